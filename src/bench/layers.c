/* Room for the layers of a model, and the clock. Weights and activations lie as far apart as in a model, so that caches
 * are as cold as they will be. The kinds are measured one after the other; nothing is learned, nothing is kept. */
#include "bench/layers.h"

#include <math.h>
#include <stdlib.h>

#include "base/sizes.h"
#include "bench/workbench.h"
#include "heed/nn/attention.h"
#include "heed/nn/loss.h"
#include "heed/optimizer.h"
#include "model/add.h"

/* ---- clocks ---------------------------------------------------------------------------------------------------------
 */

/* Numbers of an ordinary size. Some kinds would make them smaller from run to run, until the processor takes a hundred
 * times as long for each, as some do for numbers below 1e-38. */
static void fill_pool(heedi_workbench *w) {
    for (size_t i = 0; i < w->pool_size; i++)
        w->pool[i] = (real)0.1 * (real)(i % 11) - (real)0.5;
}

/* Mean seconds of a run of `kind`, on the slowest rank: where ranks share a core, what a run waits for its turn counts.
 */
static heed_status clock_kind(heed_comm *comm, heedi_workbench *w, heedi_kind *kind, double *seconds,
                              heed_error *error) {
    enum { MOST = 15 };
    size_t n = 0;
    fill_pool(w);
    kind(w);
    heed_status status = heed_comm_barrier(comm, error);
    const double start = heed_seconds();
    for (; n < 3 || (n < MOST && heed_seconds() - start < 0.1); n++)
        kind(w);
    double mean = (heed_seconds() - start) / (double)n;
    if (status == HEED_OK)
        status = heed_comm_max(comm, &mean, 1, error);
    *seconds += mean;
    return status;
}

/* ---- memory ---------------------------------------------------------------------------------------------------------
 */

/* n_sequences of `time` rows each. */
static heed_status lay_rows(heedi_rows_of_all *of, size_t n_sequences, size_t grain, size_t time, size_t vocab,
                            heed_error *error) {
    const size_t n_rows = n_sequences * time, n_grains = n_sequences / grain;
    of->first_row = calloc(n_sequences + 1, sizeof *of->first_row);
    of->first_of = calloc(n_grains + 1, sizeof *of->first_of);
    of->sequence = calloc(n_sequences, sizeof *of->sequence);
    of->token = calloc(n_rows, sizeof *of->token);
    if (!of->first_row || !of->first_of || !of->sequence || !of->token)
        return heed_fail(error, HEED_MEMORY, "plan: out of memory for %zu rows", n_rows);
    for (size_t s = 0; s <= n_sequences; s++)
        of->first_row[s] = s * time;
    for (size_t g = 0; g <= n_grains; g++)
        of->first_of[g] = g * grain;
    for (size_t r = 0; r < n_rows; r++)
        of->token[r] = (int32_t)(r * 7919 % vocab);
    of->ragged = (heed_ragged){.n_rows = n_rows,
                               .n_sequences = n_sequences,
                               .max_length = time,
                               .first_row = of->first_row,
                               .sequence = of->sequence,
                               .n_grains = n_grains,
                               .first_of = of->first_of};
    return HEED_OK;
}

static void clear_rows(heedi_rows_of_all *of) {
    free(of->first_row);
    free(of->first_of);
    free(of->sequence);
    free(of->token);
}

static heed_status place(heedi_workbench *w, const heedi_sizes *sizes, size_t n_sequences, heed_error *error) {
    const size_t time = heedi_max(sizes->rows, sizes->source_rows), grain = (size_t)w->config->train.grain;
    const size_t n_rows = n_sequences * time, n_grains = n_sequences / grain;
    const size_t widest = heedi_widest_layer(w), loss_rows = n_rows < HEED_LOSS_BLOCK ? n_rows : HEED_LOSS_BLOCK;
    const size_t scratch = heed_attention_scratch(time, w->width / (size_t)w->config->model.heads) + n_rows;
    const size_t least_vocab = sizes->source_vocab && sizes->source_vocab < w->vocab ? sizes->source_vocab : w->vocab;
    w->pool_size = heed_bytes(n_rows, 2 * widest + 4 * w->width) * (w->n_encoder + w->n_decoder) + 4 * widest * n_rows;
    /* embeddings read both tables from the start of the weights */
    const size_t sizes_of[] = {heedi_max(w->params->n_elements, (size_t)w->config->model.time * w->width), w->pool_size,
                               scratch, heed_bytes(loss_rows, w->vocab), heed_bytes(n_rows, 3 * w->width)};
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof sizes_of / sizeof *sizes_of; i++)
        bytes += heed_aligned(heed_bytes(sizes_of[i], sizeof(real)));
    if (heed_arena_init(&w->arena, bytes, "layers to measure", error) != HEED_OK)
        return error->status;
    w->weights = heed_arena_take(&w->arena, sizes_of[0] * sizeof(real));
    w->pool = heed_arena_take(&w->arena, sizes_of[1] * sizeof(real));
    w->scratch = heed_arena_take(&w->arena, sizes_of[2] * sizeof(real));
    w->logits = heed_arena_take(&w->arena, sizes_of[3] * sizeof(real));
    w->d_heads = heed_arena_take(&w->arena, sizes_of[4] * sizeof(real));
    for (size_t i = 0; i < sizes_of[0]; i++)
        w->weights[i] = (real)0.01 * (real)(i % 7);
    if (lay_rows(&w->target, n_sequences, grain, sizes->rows, least_vocab, error) != HEED_OK ||
        (w->n_encoder > 0 &&
         lay_rows(&w->source, n_sequences, grain, sizes->source_rows, least_vocab, error) != HEED_OK))
        return error->status;
    return heed_gradient_create(&w->gradient, w->params, 0, n_grains, n_grains, error);
}

static void clear(heedi_workbench *w) {
    heed_gradient_destroy(w->gradient);
    heed_arena_reset(&w->arena);
    clear_rows(&w->target);
    clear_rows(&w->source);
}

/* Adding and updating reach as far as memory lets them: measured over the parameters, or enough of them. */
static heed_status measure_moves(heed_comm *comm, heedi_workbench *w, heedi_layer_times *times, heed_error *error) {
    real *g = heed_gradient_partial(w->gradient, 0);
    const size_t n = w->params->n_elements;
    heed_error failed = HEED_ERROR_INIT;
    heed_arena arena;
    heed_arena_init(&arena, 2 * heed_aligned(n * sizeof(real)), "moments to measure with", &failed);
    if (heed_comm_agree(comm, &failed) != HEED_OK) {
        heed_arena_reset(&arena);
        return *error = failed, failed.status;
    }
    real *m = heed_arena_take(&arena, n * sizeof(real)), *v = heed_arena_take(&arena, n * sizeof(real));
    double best[2] = {INFINITY, INFINITY};
    for (int i = 0; i < 4; i++) {
        const double start = heed_seconds();
        heedi_add(m, m, g, n);
        const double between = heed_seconds();
        heed_optimizer_update(w->config, w->params, w->weights, 0, n, g, m, v, 1e-3, 1e-4, 1);
        const double end = heed_seconds();
        best[0] = fmin(best[0], between - start);
        best[1] = fmin(best[1], end - between);
    }
    heed_arena_reset(&arena);
    const heed_status status = heed_comm_max(comm, best, 2, error);
    times->move = best[0] / (double)n;
    times->update = best[1] / (double)n;
    return status;
}

heed_status heedi_measure_layers(heed_comm *comm, const heed_config *config, const heed_params *params,
                                 const heedi_sizes *sizes, size_t n_sequences, heedi_layer_times *times,
                                 heed_error *error) {
    heedi_workbench w = {.config = config,
                         .params = params,
                         .width = (size_t)config->model.width,
                         .hidden = (size_t)config->model.hidden,
                         .vocab = sizes->vocab,
                         .n_encoder = heed_encoder_layers(config),
                         .n_decoder = (size_t)config->model.layers};
    *times = (heedi_layer_times){0};
    heed_error failed = HEED_ERROR_INIT;
    place(&w, sizes, n_sequences, &failed);
    heed_status status = heed_comm_agree(comm, &failed);
    if (status != HEED_OK)
        *error = failed;
    for (size_t i = 0; i < HEEDI_FORWARD_KINDS && status == HEED_OK; i++)
        status = clock_kind(comm, &w, heedi_forward_kinds[i], &times->forward, error);
    for (size_t i = 0; i < HEEDI_BACKWARD_KINDS && status == HEED_OK; i++)
        status = clock_kind(comm, &w, heedi_backward_kinds[i], &times->backward, error);
    if (status == HEED_OK)
        status = clock_kind(comm, &w, heedi_classifier_kind, &times->classifier, error);
    if (status == HEED_OK)
        status = measure_moves(comm, &w, times, error);
    clear(&w);
    return status;
}
