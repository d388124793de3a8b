/* A step is the layers, the sum over ranks, the update, and what of the communication does not fit behind the backward
 * pass.
 *
 * The network is alpha + bytes / beta for every message (Hockney 1994). A rank sends to every other one in each bucket,
 * and the ranks of a node share its link. Gradients leave while backward runs, all but those of the last bucket.
 * Parameters return while the next forward pass runs, all but those of the first bucket, where every rank has a node
 * of its own (train/gradsync_return.c); with several ranks on several nodes they return when nothing else can be done.
 * Two sums go to all ranks, along a tree of nodes. Where this very run has as many ranks as the plan, its own exchange
 * is measured instead, and how much of it other work hides (exchange.c). */
#include <math.h>
#include <unistd.h>

#include "bench/forecast.h"
#include "bench/layers.h"
#include "heed/model.h"
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

static heed_status plan_memory(const heed_config *config, const heed_params *params, heedi_forecast *f, size_t vocab,
                               heed_error *error) {
    const size_t n_rows = most_sequences(config, f->n_ranks) * (size_t)config->model.time;
    const size_t arena = params->n_elements * sizeof(real), *peak = heed_peak_shapes[0];
    f->memory = (heedi_memory){.parameters = arena, .exchange = f->exchange.memory};
    f->base_bytes = resident_bytes();
    f->peak_bytes = heed_bytes(peak[0] * peak[2] + peak[2] * peak[1] + peak[0] * peak[1], sizeof(real));
    f->snapshot_bytes = (1 + (f->exchange.memory.moments > 0) * 2) * arena; /* rank 0 keeps one for checkpoints */
    const heed_model_shape shape = {.vocab = vocab, .max_rows = n_rows, .training = true};
    return heed_model_activations(config, &shape, &f->memory.activations, error);
}

/* Of `seconds` under way bucket by bucket, what a pass covers that goes through as many buckets: it has one bucket more
 * or less behind it whenever one moves. */
static double covered(double seconds, double pass, size_t n_buckets) {
    return fmin(seconds, pass) * (double)(n_buckets - 1) / (double)n_buckets;
}

/* Whether parameters return while nothing else is done, as train/gradsync_return.c has it. */
static bool waits_for_parameters(int n_ranks, int n_nodes) {
    return n_nodes > 1 && n_nodes < n_ranks;
}

/* What passes cover of the way out and back. */
static void hide(const heedi_layer_times *layers, heedi_forecast *f) {
    const int n_nodes = 1 + (f->n_ranks - 1) / f->ranks_per_node;
    f->out_hidden_seconds = covered(f->out_seconds, layers->backward, f->exchange.n_buckets);
    f->back_hidden_seconds = waits_for_parameters(f->n_ranks, n_nodes)
                                 ? 0
                                 : covered(f->back_seconds, layers->forward, f->exchange.n_buckets);
}

/* Seconds of all gradients' way out and all parameters' way back, as this run does it. */
static heed_status measure_network(heed_comm *comm, const heed_params *params, const heedi_layer_times *layers,
                                   heedi_forecast *f, heed_error *error) {
    const size_t n_buckets = f->exchange.n_buckets, bytes = params->n_gradient * sizeof(real) / n_buckets;
    const bool waits = waits_for_parameters(comm->size, comm->n_nodes);
    heedi_overlap overlap;
    double both = 0;
    heed_status status = heedi_measure_exchange(comm, bytes, &both, error);
    if (status == HEED_OK)
        status = heedi_measure_overlap(comm, bytes, n_buckets, params->n_tensors, layers->forward, layers->backward,
                                       &overlap, error);
    if (status != HEED_OK)
        return status;
    const double one_way = 0.5 * both * (double)n_buckets;
    f->out_seconds = fmax(one_way, overlap.out_seconds);
    f->back_seconds = waits ? one_way : fmax(one_way, overlap.back_seconds);
    f->out_hidden_seconds = f->out_seconds - overlap.out_seconds;
    f->back_hidden_seconds = waits ? 0 : f->back_seconds - overlap.back_seconds;
    f->sums_seconds = overlap.sums_seconds;
    return HEED_OK;
}

static void model_network(const heed_params *params, const heedi_network *network, const heedi_layer_times *layers,
                          heedi_forecast *f) {
    const double n = f->n_ranks, near = f->ranks_per_node < n ? f->ranks_per_node : n;
    const double far_share = n > 1 ? (n - near) / (n - 1) : 0; /* of the other ranks that are on other nodes */
    const double sent = (double)f->exchange.sent_bytes * far_share * near;
    const double returned = (double)params->n_elements * sizeof(real) * (n - near) / n * near;
    const double messages = (double)f->exchange.n_buckets * (n - near);
    f->out_seconds = messages * network->alpha + sent / network->beta;
    f->back_seconds = messages * network->alpha + returned / network->beta;
    f->sums_seconds =
        2 * 2 * ceil(log2(fmax(1, n / near))) * network->alpha; /* two sums, up and down a tree of nodes */
    hide(layers, f);
}

/* Of the forward pass that backward does again. The last block's is still there. */
static double again_share(const heed_config *config) {
    const double layers = (double)config->model.layers, width = (double)config->model.width;
    const double attention = 4 * width / (4 * width + 2 * (double)config->model.hidden);
    const double all_but_one = (layers - 1) / layers;
    switch (config->train.recompute) {
    case HEED_RECOMPUTE_ATTENTION:
        return all_but_one * attention;
    case HEED_RECOMPUTE_BLOCK:
        return all_but_one;
    case HEED_RECOMPUTE_NONE:
        break;
    }
    return 0;
}

heed_status heedi_make_forecast(heed_comm *comm, const heed_config *config, size_t vocab, const heedi_network *network,
                                heedi_forecast *f, heed_error *error) {
    heed_params *params = NULL;
    heedi_layer_times layers;
    heed_error failed = HEED_ERROR_INIT;
    if (heed_params_create(&params, config, vocab, 0, &failed) == HEED_OK &&
        heed_gradsync_outlook(config, params, 0, f->n_ranks, &f->exchange, &failed) == HEED_OK)
        plan_memory(config, params, f, vocab, &failed);
    heed_status status = heed_comm_agree(comm, &failed);
    if (status != HEED_OK)
        *error = failed;
    if (status == HEED_OK)
        status = heedi_measure_layers(comm, config, params, most_sequences(config, f->n_ranks), &layers, error);
    if (status == HEED_OK) {
        const double own = (double)f->exchange.own_elements;
        const double added = own * (double)(f->exchange.n_leaves - 1) + (config->model.tied ? own : 0);
        f->compute_seconds = layers.forward * (1 + again_share(config)) + layers.classifier + layers.backward +
                             own * layers.update + (added + 0.5 * own) * layers.move;
        f->n_parameters = (double)params->n_parameters;
        f->flops_per_token = heed_flops_per_token(config, params);
        f->tokens = (double)(config->train.batch * config->model.time);
        if (f->n_ranks > 1 && network)
            model_network(params, network, &layers, f);
        else if (f->n_ranks > 1)
            status = measure_network(comm, params, &layers, f, error);
        f->seconds = f->compute_seconds + f->out_seconds - f->out_hidden_seconds + f->back_seconds -
                     f->back_hidden_seconds + f->sums_seconds;
    }
    heed_params_destroy(params);
    return status;
}
