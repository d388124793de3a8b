/* Every kind of layer is run as often as a step runs it, on weights and activations that lie as far apart as in a
 * model, so that caches are as cold as they will be. The kinds are measured one after the other; nothing is learned,
 * nothing is kept. */
#include "bench/layers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "heed/arena.h"
#include "heed/gradient.h"
#include "heed/nn/activation.h"
#include "heed/nn/attention.h"
#include "heed/nn/dropout.h"
#include "heed/nn/embedding.h"
#include "heed/nn/linear.h"
#include "heed/nn/loss.h"
#include "heed/nn/norm.h"
#include "heed/optimizer.h"
#include "model/add.h"

typedef struct workbench {
    const heed_config *config;
    const heed_params *params;
    size_t rows, width, hidden, vocab;
    heed_ragged ragged;
    heed_gradient *gradient;
    heed_arena arena;
    real *weights, *pool, *scratch, *logits;
    size_t pool_size, at;
    size_t *first_row, *first_of;
    uint32_t *sequence;
    int32_t *token;
    size_t block_first, classified;
    const heed_tensor *tensor;
    const real *x, *d_y;
} workbench;

/* The next n reals of the pool, which comes round: memory that was touched long ago. */
static real *next(workbench *w, size_t n) {
    if (w->at + n > w->pool_size)
        w->at = 0;
    real *taken = w->pool + w->at;
    w->at += heed_aligned(n * sizeof(real)) / sizeof(real);
    return taken;
}

/* ---- the kinds -----------------------------------------------------------------------------------------------------
 */

static bool is_linear(const heed_tensor *tensor) {
    return (tensor->role == HEED_ROLE_MATRIX || tensor->role == HEED_ROLE_RESIDUAL) && tensor->n_dims == 2 &&
           strcmp(tensor->name, "output.weight") != 0;
}

#define FOR_TENSORS(w, t, condition)                                                                                   \
    for (const heed_tensor *t = (w)->params->tensors; t < (w)->params->tensors + (w)->params->n_tensors; t++)          \
        if (condition)

static void linear_forward(workbench *w) {
    FOR_TENSORS(w, t, is_linear(t)) {
        const real *x = next(w, w->rows * t->dims[1]);
        heed_linear_forward(next(w, w->rows * t->dims[0]), x, w->weights + t->offset, NULL, w->rows, t->dims[1],
                            t->dims[0]);
    }
}

static void norm_forward(workbench *w) {
    FOR_TENSORS(w, t, t->role == HEED_ROLE_GAIN) {
        const real *x = next(w, w->rows * t->size);
        real *mean = next(w, w->rows), *rstd = next(w, w->rows);
        heed_norm_forward(next(w, w->rows * t->size), mean, rstd, x, w->weights + t->offset, NULL, w->rows, t->size,
                          (real)w->config->model.norm_eps);
    }
}

static heed_attention attention_of(const workbench *w) {
    const size_t heads = (size_t)w->config->model.heads, head_width = w->width / heads;
    return (heed_attention){.heads = heads,
                            .head_width = head_width,
                            .causal = true,
                            .scale = (real)(1.0 / sqrt((double)head_width)),
                            .query_stride = 3 * w->width,
                            .key_stride = 3 * w->width,
                            .dropout = (real)w->config->model.dropout,
                            .scratch = w->scratch};
}

static void attention_forward(workbench *w) {
    const heed_attention attention = attention_of(w);
    for (int64_t layer = 0; layer < w->config->model.layers; layer++) {
        const real *heads = next(w, 3 * w->rows * w->width);
        real *log_sum = next(w, w->rows * attention.heads);
        heed_attention_forward(&attention, next(w, w->rows * w->width), log_sum, heads, heads + w->width,
                               heads + 2 * w->width, &w->ragged, &w->ragged);
    }
}

static void attention_backward(workbench *w) {
    const heed_attention attention = attention_of(w);
    for (int64_t layer = 0; layer < w->config->model.layers; layer++) {
        const real *heads = next(w, 3 * w->rows * w->width);
        real *d_heads = next(w, 3 * w->rows * w->width), *log_sum = next(w, w->rows * attention.heads);
        const real *output = next(w, w->rows * w->width), *d_output = next(w, w->rows * w->width);
        heed_attention_backward(&attention, d_heads, d_heads + w->width, d_heads + 2 * w->width, d_output, output,
                                log_sum, heads, heads + w->width, heads + 2 * w->width, &w->ragged, &w->ragged);
    }
}

static void pointwise_forward(workbench *w) {
    for (int64_t layer = 0; layer < w->config->model.layers; layer++) {
        const real *x = next(w, w->rows * w->hidden);
        heed_activation_forward(w->config->model.activation, next(w, w->rows * w->hidden), x, w->rows * w->hidden);
        for (int branch = 0; branch < 2; branch++) {
            const real *a = next(w, w->rows * w->width), *b = next(w, w->rows * w->width);
            heedi_add(next(w, w->rows * w->width), a, b, w->rows * w->width);
        }
    }
}

static void pointwise_backward(workbench *w) {
    for (int64_t layer = 0; layer < w->config->model.layers; layer++) {
        const real *x = next(w, w->rows * w->hidden);
        real *d = next(w, w->rows * w->hidden);
        heed_activation_backward(w->config->model.activation, d, d, x, w->rows * w->hidden);
    }
}

/* Masks on the embedding and behind both branches of every block; once a pass. */
static void dropout(workbench *w) {
    for (int64_t i = 0; i < 1 + 2 * w->config->model.layers && w->config->model.dropout > 0; i++)
        heed_dropout(next(w, w->rows * w->width), &w->ragged, w->width, (real)w->config->model.dropout, 1, (uint32_t)i,
                     0);
}

static void linear_backward_input(workbench *w) {
    FOR_TENSORS(w, t, is_linear(t)) {
        const real *d_y = next(w, w->rows * t->dims[0]);
        heed_linear_backward_input(next(w, w->rows * t->dims[1]), d_y, w->weights + t->offset, w->rows, t->dims[1],
                                   t->dims[0], false);
    }
}

static void weight_leaf(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    const workbench *w = context;
    const size_t in = w->tensor->dims[1], out = w->tensor->dims[0];
    (void)grain;
    heed_linear_backward_weight(d[0], NULL, w->x + first_row * in, w->d_y + first_row * out, n_rows, in, out);
}

static void linear_backward_weight(workbench *w) {
    FOR_TENSORS(w, t, is_linear(t)) {
        const size_t tensor = (size_t)(t - w->params->tensors);
        w->tensor = t;
        w->x = next(w, w->rows * t->dims[1]);
        w->d_y = next(w, w->rows * t->dims[0]);
        heed_gradient_sum(w->gradient, &w->ragged, &tensor, 1, weight_leaf, w);
    }
}

static void gain_leaf(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    const workbench *w = context;
    const size_t width = w->tensor->size;
    (void)grain;
    heed_norm_backward_gain(d[0], NULL, w->d_y + first_row * width, w->x + first_row * width, w->pool, w->pool, n_rows,
                            width);
}

static void norm_backward(workbench *w) {
    FOR_TENSORS(w, t, t->role == HEED_ROLE_GAIN) {
        const size_t tensor = (size_t)(t - w->params->tensors);
        w->tensor = t;
        w->x = next(w, w->rows * t->size);
        w->d_y = next(w, w->rows * t->size);
        heed_gradient_sum(w->gradient, &w->ragged, &tensor, 1, gain_leaf, w);
        heed_norm_backward_input(next(w, w->rows * t->size), w->d_y, w->x, w->pool, w->pool, w->weights + t->offset,
                                 w->rows, t->size, true);
    }
}

static void embedding_forward(workbench *w) {
    heed_embedding_forward(next(w, w->rows * w->width), w->token, w->weights, w->weights, &w->ragged, w->width, 1);
}

static void position_leaf(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    const workbench *w = context;
    (void)first_row, (void)n_rows;
    heed_embedding_backward_positions(d[0], w->d_y, &w->ragged, grain, w->tensor->dims[0], w->width);
}

static void embedding_backward(workbench *w) {
    const int tensor = heed_params_find(w->params, "position.weight");
    const size_t position = (size_t)tensor;
    w->d_y = next(w, w->rows * w->width);
    if (tensor < 0)
        return;
    w->tensor = &w->params->tensors[position];
    heed_gradient_sum(w->gradient, &w->ragged, &position, 1, position_leaf, w);
}

/* As in the model: small grains share a block of logits. */
static void classifier_leaf(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    workbench *w = context;
    real *x = w->pool, *d_x = w->pool + w->rows * w->width, *loss = w->scratch;
    const real *weight = w->weights + w->tensor->offset;
    const size_t width = w->width;
    if (n_rows > HEED_LOSS_BLOCK) {
        heed_classifier_loss(loss, d_x + first_row * width, d[0], w->logits, x + first_row * width, weight, w->token, x,
                             0, n_rows, width, w->vocab);
        return;
    }
    if (first_row >= w->classified) {
        size_t last = grain;
        while (last + 1 < w->ragged.n_grains && heed_grain_row(&w->ragged, last + 2) - first_row <= HEED_LOSS_BLOCK)
            last++;
        w->block_first = first_row;
        w->classified = heed_grain_row(&w->ragged, last + 1);
        heed_classifier_loss(loss, d_x + first_row * width, NULL, w->logits, x + first_row * width, weight, w->token, x,
                             0, w->classified - first_row, width, w->vocab);
    }
    heed_linear_backward_weight(d[0], NULL, x + first_row * width, w->logits + (first_row - w->block_first) * w->vocab,
                                n_rows, width, w->vocab);
}

static void classifier(workbench *w) {
    const size_t tensor = (size_t)heed_params_find(w->params, "output.weight");
    w->tensor = &w->params->tensors[tensor];
    w->classified = 0;
    heed_gradient_sum(w->gradient, &w->ragged, &tensor, 1, classifier_leaf, w);
}

/* ---- clocks ---------------------------------------------------------------------------------------------------------
 */

/* Mean seconds of a run of `kind`, on the slowest rank: where ranks share a core, what a run waits for its turn counts.
 */
static heed_status clock_kind(heed_comm *comm, workbench *w, void (*kind)(workbench *w), double *seconds,
                              heed_error *error) {
    enum { MOST = 15 };
    size_t n = 0;
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

static heed_status place(workbench *w, size_t n_sequences, heed_error *error) {
    const size_t time = (size_t)w->config->model.time, grain = (size_t)w->config->train.grain;
    const size_t widest = 3 * w->width > w->hidden ? 3 * w->width : w->hidden;
    const size_t n_grains = n_sequences / grain, loss_rows = w->rows < HEED_LOSS_BLOCK ? w->rows : HEED_LOSS_BLOCK;
    const size_t scratch = heed_attention_scratch(time, w->width / (size_t)w->config->model.heads) + w->rows;
    w->pool_size =
        heed_bytes(w->rows, 2 * widest + 4 * w->width) * (size_t)w->config->model.layers + 4 * widest * w->rows;
    size_t elements = w->params->n_elements > time * w->width ? w->params->n_elements : time * w->width;
    const size_t sizes[] = {elements, w->pool_size, scratch, heed_bytes(loss_rows, w->vocab)};
    size_t bytes = 0;
    for (size_t i = 0; i < 4; i++)
        bytes += heed_aligned(heed_bytes(sizes[i], sizeof(real)));
    if (heed_arena_init(&w->arena, bytes, "layers to measure", error) != HEED_OK)
        return error->status;
    w->weights = heed_arena_take(&w->arena, sizes[0] * sizeof(real));
    w->pool = heed_arena_take(&w->arena, sizes[1] * sizeof(real));
    w->scratch = heed_arena_take(&w->arena, sizes[2] * sizeof(real));
    w->logits = heed_arena_take(&w->arena, sizes[3] * sizeof(real));
    for (size_t i = 0; i < elements; i++)
        w->weights[i] = (real)0.01 * (real)(i % 7);
    for (size_t i = 0; i < w->pool_size; i++)
        w->pool[i] = (real)0.1 * (real)(i % 11) - (real)0.5;
    w->first_row = calloc(n_sequences + 1, sizeof *w->first_row);
    w->first_of = calloc(n_grains + 1, sizeof *w->first_of);
    w->sequence = calloc(n_sequences, sizeof *w->sequence);
    w->token = calloc(w->rows, sizeof *w->token);
    if (!w->first_row || !w->first_of || !w->sequence || !w->token)
        return heed_fail(error, HEED_MEMORY, "plan: out of memory for %zu rows", w->rows);
    for (size_t s = 0; s <= n_sequences; s++)
        w->first_row[s] = s * time;
    for (size_t g = 0; g <= n_grains; g++)
        w->first_of[g] = g * grain;
    for (size_t r = 0; r < w->rows; r++)
        w->token[r] = (int32_t)(r * 7919 % w->vocab);
    w->ragged = (heed_ragged){.n_rows = w->rows,
                              .n_sequences = n_sequences,
                              .max_length = time,
                              .first_row = w->first_row,
                              .sequence = w->sequence,
                              .n_grains = n_grains,
                              .first_of = w->first_of};
    return heed_gradient_create(&w->gradient, w->params, 0, n_grains, n_grains, error);
}

static void clear(workbench *w) {
    heed_gradient_destroy(w->gradient);
    heed_arena_reset(&w->arena);
    free(w->first_row);
    free(w->first_of);
    free(w->sequence);
    free(w->token);
}

/* Adding and updating reach as far as memory lets them: measured over the parameters, or enough of them. */
static heed_status measure_moves(heed_comm *comm, workbench *w, heedi_layer_times *times, heed_error *error) {
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
                                 size_t n_sequences, heedi_layer_times *times, heed_error *error) {
    static void (*const forward[])(workbench *) = {embedding_forward, norm_forward,      linear_forward,
                                                   attention_forward, pointwise_forward, dropout};
    static void (*const backward[])(workbench *) = {norm_backward,      linear_backward_input, linear_backward_weight,
                                                    attention_backward, pointwise_backward,    dropout,
                                                    embedding_backward};
    workbench w = {.config = config,
                   .params = params,
                   .rows = n_sequences * (size_t)config->model.time,
                   .width = (size_t)config->model.width,
                   .hidden = (size_t)config->model.hidden,
                   .vocab = params->tensors[heed_params_find(params, "token.weight")].dims[0]};
    *times = (heedi_layer_times){0};
    heed_error failed = HEED_ERROR_INIT;
    place(&w, n_sequences, &failed);
    heed_status status = heed_comm_agree(comm, &failed);
    if (status != HEED_OK)
        *error = failed;
    for (size_t i = 0; i < sizeof forward / sizeof *forward && status == HEED_OK; i++)
        status = clock_kind(comm, &w, forward[i], &times->forward, error);
    for (size_t i = 0; i < sizeof backward / sizeof *backward && status == HEED_OK; i++)
        status = clock_kind(comm, &w, backward[i], &times->backward, error);
    if (status == HEED_OK)
        status = clock_kind(comm, &w, classifier, &times->classifier, error);
    if (status == HEED_OK)
        status = measure_moves(comm, &w, times, error);
    clear(&w);
    return status;
}
