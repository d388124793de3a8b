/* Every kind of layer is run as often as a step runs it, on rows of the usual number, on weights and activations that
 * lie as far apart as in a model, so that caches are as cold as they will be. The kinds are measured one after the
 * other; nothing is learned, nothing is kept. */
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

/* The rows of all sequences, or of all their sources. */
typedef struct rows_of_all {
    heed_ragged ragged;
    size_t *first_row, *first_of;
    uint32_t *sequence;
    int32_t *token;
} rows_of_all;

typedef struct workbench {
    const heed_config *config;
    const heed_params *params;
    size_t width, hidden, vocab, n_encoder, n_decoder; /* layers */
    rows_of_all target, source;                        /* source: of an encoder-decoder */
    heed_gradient *gradient;
    heed_arena arena;
    real *weights, *pool, *scratch, *logits;
    size_t pool_size, at;
    size_t block_first, classified;
    const heed_tensor *tensor;
    const real *x, *d_y;
} workbench;

/* The next n reals of the pool, which comes round: memory that was touched long ago. */
static real *next(workbench *w, size_t n) {
    HEED_CHECK(n <= w->pool_size);
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

/* What a tensor is applied to: the encoder's, and the keys and values of cross-attention, to sources. */
static const heed_ragged *rows_under(const workbench *w, const heed_tensor *tensor) {
    const bool reads_source = strncmp(tensor->name, "encoder.", 8) == 0 || strstr(tensor->name, ".cross.kv.");
    return reads_source ? &w->source.ragged : &w->target.ragged;
}

static void linear_forward(workbench *w) {
    FOR_TENSORS(w, t, is_linear(t)) {
        const size_t rows = rows_under(w, t)->n_rows;
        const real *x = next(w, rows * t->dims[1]);
        heed_linear_forward(next(w, rows * t->dims[0]), x, w->weights + t->offset, NULL, rows, t->dims[1], t->dims[0]);
    }
}

static void norm_forward(workbench *w) {
    FOR_TENSORS(w, t, t->role == HEED_ROLE_GAIN) {
        const size_t rows = rows_under(w, t)->n_rows;
        const real *x = next(w, rows * t->size);
        real *mean = next(w, rows), *rstd = next(w, rows);
        heed_norm_forward(next(w, rows * t->size), mean, rstd, x, w->weights + t->offset, NULL, rows, t->size,
                          (real)w->config->model.norm_eps);
    }
}

/* Who looks where: the decoder at itself, the encoder at itself, the decoder at the sources. */
typedef struct looking {
    size_t n_layers;
    bool causal;
    const heed_ragged *queries, *keys;
    size_t query_stride, key_stride; /* in multiples of the width */
} looking;

enum { LOOKS = 3 };

static looking look_of(const workbench *w, size_t i) {
    const heed_ragged *target = &w->target.ragged, *source = &w->source.ragged;
    const looking looks[LOOKS] = {{w->n_decoder, true, target, target, 3, 3},
                                  {w->n_encoder, false, source, source, 3, 3},
                                  {w->n_encoder > 0 ? w->n_decoder : 0, false, target, source, 1, 2}};
    return looks[i];
}

static heed_attention attention_of(const workbench *w, const looking *look) {
    const size_t heads = (size_t)w->config->model.heads, head_width = w->width / heads;
    return (heed_attention){.heads = heads,
                            .head_width = head_width,
                            .causal = look->causal,
                            .scale = (real)(1.0 / sqrt((double)head_width)),
                            .query_stride = look->query_stride * w->width,
                            .key_stride = look->key_stride * w->width,
                            .dropout = (real)w->config->model.dropout,
                            .scratch = w->scratch};
}

/* Where keys and values lie: behind the queries of the same row, or in rows of their own. */
static real *keys_of(workbench *w, const looking *look, real *queries) {
    return look->queries == look->keys ? queries + w->width : next(w, look->key_stride * look->keys->n_rows * w->width);
}

typedef void attention_pass(workbench *w, const looking *look, const heed_attention *attention);

static void look_forward(workbench *w, const looking *look, const heed_attention *attention) {
    const size_t rows = look->queries->n_rows;
    real *queries = next(w, look->query_stride * rows * w->width), *keys = keys_of(w, look, queries);
    real *log_sum = next(w, rows * attention->heads);
    heed_attention_forward(attention, next(w, rows * w->width), log_sum, queries, keys, keys + w->width, look->queries,
                           look->keys);
}

static void look_backward(workbench *w, const looking *look, const heed_attention *attention) {
    const size_t rows = look->queries->n_rows;
    real *queries = next(w, look->query_stride * rows * w->width), *keys = keys_of(w, look, queries);
    real *d_queries = next(w, look->query_stride * rows * w->width), *d_keys = keys_of(w, look, d_queries);
    real *log_sum = next(w, rows * attention->heads);
    const real *output = next(w, rows * w->width), *d_output = next(w, rows * w->width);
    heed_attention_backward(attention, d_queries, d_keys, d_keys + w->width, d_output, output, log_sum, queries, keys,
                            keys + w->width, look->queries, look->keys);
}

static void all_attention(workbench *w, attention_pass *pass) {
    for (size_t i = 0; i < LOOKS; i++) {
        const looking look = look_of(w, i);
        const heed_attention attention = attention_of(w, &look);
        for (size_t layer = 0; layer < look.n_layers; layer++)
            pass(w, &look, &attention);
    }
}

static void attention_forward(workbench *w) {
    all_attention(w, look_forward);
}

static void attention_backward(workbench *w) {
    all_attention(w, look_backward);
}

/* An activation a block, and what its branches add to the stream. */
static void stack_pointwise_forward(workbench *w, size_t rows, size_t n_layers, size_t n_branches) {
    for (size_t layer = 0; layer < n_layers; layer++) {
        const real *x = next(w, rows * w->hidden);
        heed_activation_forward(w->config->model.activation, next(w, rows * w->hidden), x, rows * w->hidden);
        for (size_t branch = 0; branch < n_branches; branch++) {
            const real *a = next(w, rows * w->width), *b = next(w, rows * w->width);
            heedi_add(next(w, rows * w->width), a, b, rows * w->width);
        }
    }
}

static size_t decoder_branches(const workbench *w) {
    return w->n_encoder > 0 ? 3 : 2;
}

static void pointwise_forward(workbench *w) {
    stack_pointwise_forward(w, w->target.ragged.n_rows, w->n_decoder, decoder_branches(w));
    stack_pointwise_forward(w, w->source.ragged.n_rows, w->n_encoder, 2);
}

static void stack_pointwise_backward(workbench *w, size_t rows, size_t n_layers) {
    for (size_t layer = 0; layer < n_layers; layer++) {
        const real *x = next(w, rows * w->hidden);
        real *d = next(w, rows * w->hidden);
        heed_activation_backward(w->config->model.activation, d, d, x, rows * w->hidden);
    }
}

static void pointwise_backward(workbench *w) {
    stack_pointwise_backward(w, w->target.ragged.n_rows, w->n_decoder);
    stack_pointwise_backward(w, w->source.ragged.n_rows, w->n_encoder);
}

static void stack_dropout(workbench *w, const heed_ragged *rows, size_t n_sites) {
    for (size_t i = 0; i < n_sites; i++)
        heed_dropout(next(w, rows->n_rows * w->width), rows, w->width, (real)w->config->model.dropout, 1, (uint32_t)i,
                     0);
}

/* Masks on the embedding and behind the branches of every block; once a pass. */
static void dropout(workbench *w) {
    if (w->config->model.dropout == 0)
        return;
    stack_dropout(w, &w->target.ragged, 1 + decoder_branches(w) * w->n_decoder);
    if (w->n_encoder > 0)
        stack_dropout(w, &w->source.ragged, 1 + 2 * w->n_encoder);
}

static void linear_backward_input(workbench *w) {
    FOR_TENSORS(w, t, is_linear(t)) {
        const size_t rows = rows_under(w, t)->n_rows;
        const real *d_y = next(w, rows * t->dims[0]);
        heed_linear_backward_input(next(w, rows * t->dims[1]), d_y, w->weights + t->offset, rows, t->dims[1],
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
        const heed_ragged *rows = rows_under(w, t);
        w->tensor = t;
        w->x = next(w, rows->n_rows * t->dims[1]);
        w->d_y = next(w, rows->n_rows * t->dims[0]);
        heed_gradient_sum(w->gradient, rows, &tensor, 1, weight_leaf, w);
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
        const heed_ragged *rows = rows_under(w, t);
        w->tensor = t;
        w->x = next(w, rows->n_rows * t->size);
        w->d_y = next(w, rows->n_rows * t->size);
        heed_gradient_sum(w->gradient, rows, &tensor, 1, gain_leaf, w);
        heed_norm_backward_input(next(w, rows->n_rows * t->size), w->d_y, w->x, w->pool, w->pool,
                                 w->weights + t->offset, rows->n_rows, t->size, true);
    }
}

static void stack_embedding_forward(workbench *w, const rows_of_all *of) {
    heed_embedding_forward(next(w, of->ragged.n_rows * w->width), of->token, w->weights, w->weights, &of->ragged,
                           w->width, 1);
}

static void embedding_forward(workbench *w) {
    stack_embedding_forward(w, &w->target);
    if (w->n_encoder > 0)
        stack_embedding_forward(w, &w->source);
}

static void position_leaf(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    const workbench *w = context;
    (void)first_row, (void)n_rows;
    heed_embedding_backward_positions(d[0], w->d_y, rows_under(w, w->tensor), grain, w->tensor->dims[0], w->width);
}

static void embedding_backward(workbench *w) {
    FOR_TENSORS(w, t, strstr(t->name, "position.weight")) {
        const size_t position = (size_t)(t - w->params->tensors);
        const heed_ragged *rows = rows_under(w, t);
        w->tensor = t;
        w->d_y = next(w, rows->n_rows * w->width);
        heed_gradient_sum(w->gradient, rows, &position, 1, position_leaf, w);
    }
}

/* As in the model: small grains share a block of logits. */
static void classifier_leaf(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    workbench *w = context;
    const heed_ragged *rows = &w->target.ragged;
    real *x = w->pool, *d_x = w->pool + rows->n_rows * w->width, *loss = w->scratch;
    const real *weight = w->weights + w->tensor->offset;
    const int32_t *token = w->target.token;
    const size_t width = w->width;
    if (n_rows > HEED_LOSS_BLOCK) {
        heed_classifier_loss(loss, d_x + first_row * width, d[0], w->logits, x + first_row * width, weight, token, x, 0,
                             n_rows, width, w->vocab);
        return;
    }
    if (first_row >= w->classified) {
        size_t last = grain;
        while (last + 1 < rows->n_grains && heed_grain_row(rows, last + 2) - first_row <= HEED_LOSS_BLOCK)
            last++;
        w->block_first = first_row;
        w->classified = heed_grain_row(rows, last + 1);
        heed_classifier_loss(loss, d_x + first_row * width, NULL, w->logits, x + first_row * width, weight, token, x, 0,
                             w->classified - first_row, width, w->vocab);
    }
    heed_linear_backward_weight(d[0], NULL, x + first_row * width, w->logits + (first_row - w->block_first) * w->vocab,
                                n_rows, width, w->vocab);
}

static void classifier(workbench *w) {
    const size_t tensor = (size_t)heed_params_find(w->params, "output.weight");
    w->tensor = &w->params->tensors[tensor];
    w->classified = 0;
    heed_gradient_sum(w->gradient, &w->target.ragged, &tensor, 1, classifier_leaf, w);
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

/* n_sequences of `time` rows each. */
static heed_status lay_rows(rows_of_all *of, size_t n_sequences, size_t grain, size_t time, size_t vocab,
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

static void clear_rows(rows_of_all *of) {
    free(of->first_row);
    free(of->first_of);
    free(of->sequence);
    free(of->token);
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* The most numbers that a row has on one side of a layer. */
static size_t widest_of(const workbench *w) {
    size_t widest = larger(3 * w->width, w->hidden);
    FOR_TENSORS(w, t, is_linear(t)) {
        widest = larger(widest, larger(t->dims[0], t->dims[1]));
    }
    return widest;
}

static heed_status place(workbench *w, const heedi_sizes *sizes, size_t n_sequences, heed_error *error) {
    const size_t time = larger(sizes->rows, sizes->source_rows), grain = (size_t)w->config->train.grain;
    const size_t n_rows = n_sequences * time, n_grains = n_sequences / grain;
    const size_t widest = widest_of(w), loss_rows = n_rows < HEED_LOSS_BLOCK ? n_rows : HEED_LOSS_BLOCK;
    const size_t scratch = heed_attention_scratch(time, w->width / (size_t)w->config->model.heads) + n_rows;
    const size_t least_vocab = sizes->source_vocab && sizes->source_vocab < w->vocab ? sizes->source_vocab : w->vocab;
    w->pool_size = heed_bytes(n_rows, 2 * widest + 4 * w->width) * (w->n_encoder + w->n_decoder) + 4 * widest * n_rows;
    /* embeddings read both tables from the start of the weights */
    const size_t sizes_of[] = {larger(w->params->n_elements, (size_t)w->config->model.time * w->width), w->pool_size,
                               scratch, heed_bytes(loss_rows, w->vocab)};
    size_t bytes = 0;
    for (size_t i = 0; i < 4; i++)
        bytes += heed_aligned(heed_bytes(sizes_of[i], sizeof(real)));
    if (heed_arena_init(&w->arena, bytes, "layers to measure", error) != HEED_OK)
        return error->status;
    w->weights = heed_arena_take(&w->arena, sizes_of[0] * sizeof(real));
    w->pool = heed_arena_take(&w->arena, sizes_of[1] * sizeof(real));
    w->scratch = heed_arena_take(&w->arena, sizes_of[2] * sizeof(real));
    w->logits = heed_arena_take(&w->arena, sizes_of[3] * sizeof(real));
    for (size_t i = 0; i < sizes_of[0]; i++)
        w->weights[i] = (real)0.01 * (real)(i % 7);
    for (size_t i = 0; i < w->pool_size; i++)
        w->pool[i] = (real)0.1 * (real)(i % 11) - (real)0.5;
    if (lay_rows(&w->target, n_sequences, grain, sizes->rows, least_vocab, error) != HEED_OK ||
        (w->n_encoder > 0 &&
         lay_rows(&w->source, n_sequences, grain, sizes->source_rows, least_vocab, error) != HEED_OK))
        return error->status;
    return heed_gradient_create(&w->gradient, w->params, 0, n_grains, n_grains, error);
}

static void clear(workbench *w) {
    heed_gradient_destroy(w->gradient);
    heed_arena_reset(&w->arena);
    clear_rows(&w->target);
    clear_rows(&w->source);
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
                                 const heedi_sizes *sizes, size_t n_sequences, heedi_layer_times *times,
                                 heed_error *error) {
    static void (*const forward[])(workbench *) = {embedding_forward, norm_forward,      linear_forward,
                                                   attention_forward, pointwise_forward, dropout};
    static void (*const backward[])(workbench *) = {norm_backward,      linear_backward_input, linear_backward_weight,
                                                    attention_backward, pointwise_backward,    dropout,
                                                    embedding_backward};
    workbench w = {.config = config,
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
