/* A step is the layers, the sum over ranks, the update, and what of the communication does not fit behind the backward
 * pass.
 *
 * The network is alpha + bytes / beta for every message (Hockney 1994). In the far round (train/gradsync_plan.h) a rank
 * sends to every other one in each bucket, and the ranks of a node share its link; in the near one bytes move as memory
 * lets them. Gradients leave while backward runs, all but those of the last bucket. Parameters return while the next
 * forward pass runs, all but those of the first bucket; nodes with different numbers of ranks wait for them
 * (train/gradsync_return.c). Two sums go to all ranks, along a tree of nodes. Without a network this very run has as
 * many ranks as the plan, and its communication is rehearsed (rehearsal.c). */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/forecast.h"
#include "bench/layers.h"
#include "heed/attention_log.h"
#include "heed/model.h"
#include "heed/store.h"
#include "heed/train.h"

/* Memory of the process as it stands: libraries, MPI, BLIS. */
static size_t resident_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long total = 0, resident = 0;
    if (file && fscanf(file, "%lu %lu", &total, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* What the largest share of the grains takes: rank 0's may be smaller. */
static size_t most_sequences(const heed_config *config, int n_ranks) {
    const size_t n_grains = (size_t)(config->train.batch / config->train.grain);
    return (n_grains + (size_t)n_ranks - 1) / (size_t)n_ranks * (size_t)config->train.grain;
}

heed_status heedi_count_probes(const heed_config *config, size_t *n_probes, heed_error *error) {
    const char *probes = config->log.probes;
    *n_probes = 0;
    if (config->log.attention_every == 0 || heed_probes_are_counted(config, n_probes))
        return HEED_OK;
    FILE *file = fopen(probes, "re");
    if (!file)
        return heed_fail(error, HEED_NOT_FOUND, "log.probes = %s: %s", probes, strerror(errno));
    *n_probes = 0;
    for (int c = getc(file), before = '\n'; c != EOF; before = c, c = getc(file)) /* lines that are not empty */
        *n_probes += before == '\n' && c != '\n' && c != '\r';
    fclose(file);
    return HEED_OK;
}

static heed_status plan_memory(const heed_config *config, const heed_params *params, heedi_forecast *f,
                               const heedi_sizes *sizes, heed_error *error) {
    const size_t trained = most_sequences(config, f->n_ranks);
    const size_t probes = (sizes->probes + (size_t)f->n_ranks - 1) / (size_t)f->n_ranks; /* the largest part */
    const size_t n_sequences = trained > probes ? trained : probes;
    const size_t arena = params->n_elements * sizeof(real);
    f->memory = (heedi_rank_memory){.parameters = arena, .exchange = f->exchange.memory};
    heed_store_trim();
    f->base_bytes = resident_bytes();
    f->peak_bytes = heed_gemm_peak_bytes();
    f->snapshot_bytes = (1 + (f->exchange.memory.moments > 0) * 2) * arena; /* rank 0 keeps one for checkpoints */
    f->file_bytes = heed_store_memory_bytes(f->snapshot_bytes);
    f->map_bytes = heed_attention_maps_bytes(config, probes);
    f->first_map_bytes = heed_attention_maps_bytes(config, sizes->probes);
    const heed_model_shape shape = {.vocab = sizes->vocab,
                                    .source_vocab = sizes->source_vocab,
                                    .max_rows = n_sequences * (size_t)config->model.time,
                                    .max_source_rows = n_sequences * sizes->most_source_rows,
                                    .max_sequences = n_sequences,
                                    .training = true};
    return heed_model_activations(config, &shape, &f->memory.activations, error);
}

/* Of `seconds` under way bucket by bucket, what a pass covers that goes through as many buckets: it has one bucket more
 * or less behind it whenever one moves. */
static double covered(double seconds, double pass, size_t n_buckets) {
    return fmin(seconds, pass) * (double)(n_buckets - 1) / (double)n_buckets;
}

static heed_status rehearse(heed_comm *comm, const heed_config *config, const heed_params *params,
                            const heedi_layer_times *layers, heedi_forecast *f, heed_error *error) {
    heedi_rehearsal found;
    const heed_status status = heedi_rehearse(comm, config, params, layers->forward, layers->backward, &found, error);
    if (status != HEED_OK)
        return status;
    f->out_seconds = fmax(found.out, found.out_alone);
    f->out_hidden_seconds = f->out_seconds - found.out;
    f->back_seconds = fmax(found.back, found.back_alone);
    f->back_hidden_seconds = f->back_seconds - found.back;
    f->sums_seconds = found.sums;
    const double update = (double)f->exchange.own_elements * layers->update;
    f->compute_seconds += f->exchange.returns_ahead ? found.update : fmin(found.update, update);
    if (!f->exchange.returns_ahead) /* parameters come while the update lasts */
        f->back_seconds += fmax(0, found.update - update);
    return HEED_OK;
}

/* Sums over ranks, norm and update of this rank's shards, from what a number takes. */
static double update_seconds(const heed_config *config, const heed_gradsync_view *view,
                             const heedi_layer_times *layers) {
    const double own = (double)view->own_elements;
    const double added = (double)view->n_added + (config->model.tied ? own : 0);
    return own * layers->update + (added + 0.5 * own) * layers->move;
}

static void model_network(const heedi_network *network, const heedi_layer_times *layers, heedi_forecast *f) {
    const heed_gradsync_view *view = &f->exchange;
    const double on_node = f->ranks_per_node < f->n_ranks ? f->ranks_per_node : f->n_ranks;
    const double others = f->n_ranks - 1, far_ranks = (double)(f->n_ranks / view->near_ranks - 1);
    const double far_share =
        view->near_ranks > 1 || others == 0 ? 1 : (f->n_ranks - on_node) / others; /* off the node */
    const double messages = (double)view->n_buckets * far_ranks * far_share;
    const double link = on_node * far_share / network->beta, memory = layers->move / sizeof(real);
    f->out_seconds =
        messages * network->alpha + (double)view->sent_bytes[1] * link + (double)view->sent_bytes[0] * memory;
    f->back_seconds =
        messages * network->alpha + (double)view->returned_bytes[1] * link + (double)view->returned_bytes[0] * memory;
    f->sums_seconds = 2 * 2 * ceil(log2(fmax(1, view->n_nodes))) * network->alpha; /* two sums, up and down a tree */
    f->out_hidden_seconds = covered(f->out_seconds, layers->backward, view->n_buckets);
    f->back_hidden_seconds = view->returns_ahead ? covered(f->back_seconds, layers->forward, view->n_buckets) : 0;
}

/* Of the forward pass that backward does again: all blocks but the last of each stack, which are still there. */
static double again_share(const heed_config *config) {
    const double width = (double)config->model.width, feed_forward = 2 * (double)config->model.hidden;
    const double encoder = (double)heed_encoder_layers(config), decoder = (double)config->model.layers;
    const double encoder_attention = 4 * width, decoder_attention = encoder > 0 ? 8 * width : 4 * width;
    const double all = encoder * (encoder_attention + feed_forward) + decoder * (decoder_attention + feed_forward);
    const double again_encoder = encoder > 0 ? encoder - 1 : 0, again_decoder = decoder - 1;
    switch (config->train.recompute) {
    case HEED_RECOMPUTE_ATTENTION:
        return (again_encoder * encoder_attention + again_decoder * decoder_attention) / all;
    case HEED_RECOMPUTE_BLOCK:
        return (again_encoder * (encoder_attention + feed_forward) +
                again_decoder * (decoder_attention + feed_forward)) /
               all;
    case HEED_RECOMPUTE_NONE:
        break;
    }
    return 0;
}

heed_status heedi_make_forecast(heed_comm *comm, const heed_config *config, const heedi_sizes *sizes,
                                const heedi_network *network, heedi_forecast *f, heed_error *error) {
    heed_params *params = NULL;
    heedi_layer_times layers;
    heed_error failed = HEED_ERROR_INIT;
    if (heed_params_create(&params, config, sizes->vocab, sizes->source_vocab, &failed) == HEED_OK &&
        heed_gradsync_outlook(config, params, f->n_ranks, f->ranks_per_node, &f->exchange, &failed) == HEED_OK)
        plan_memory(config, params, f, sizes, &failed);
    heed_status status = heed_comm_agree(comm, &failed);
    if (status != HEED_OK)
        *error = failed;
    if (status == HEED_OK)
        status = heedi_measure_layers(comm, config, params, sizes, most_sequences(config, f->n_ranks), &layers, error);
    if (status == HEED_OK) {
        f->compute_seconds = layers.forward * (1 + again_share(config)) + layers.classifier + layers.backward;
        f->n_parameters = (double)params->n_parameters;
        f->flops_per_token = heed_flops_per_token(config, params);
        f->tokens = (double)config->train.batch * (double)sizes->rows;
        if (f->n_ranks > 1 && !network)
            status = rehearse(comm, config, params, &layers, f, error);
        else
            f->compute_seconds += update_seconds(config, &f->exchange, &layers);
        if (f->n_ranks > 1 && network)
            model_network(network, &layers, f);
        f->seconds = f->compute_seconds + f->out_seconds - f->out_hidden_seconds + f->back_seconds -
                     f->back_hidden_seconds + f->sums_seconds;
    }
    heed_params_destroy(params);
    return status;
}
