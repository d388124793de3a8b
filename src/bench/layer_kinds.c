/* The kinds of layers, on rows of the usual number. Each takes its operands from the pool: what the layer before has
 * written, or what comes next. */
#include "bench/workbench.h"

#include <math.h>
#include <string.h>

#include "heed/nn/activation.h"
#include "heed/nn/attention.h"
#include "heed/nn/dropout.h"
#include "heed/nn/embedding.h"
#include "heed/nn/linear.h"
#include "heed/nn/loss.h"
#include "heed/nn/norm.h"
#include "model/add.h"
#include "model/layer.h"

enum { ALIGNED = HEED_ALIGNMENT / sizeof(real) };

/* The next n reals of the pool, which comes round: memory that was touched long ago, like what a pass writes, or what
 * the forward pass has left for backward. */
static real *next(heedi_workbench *w, size_t n) {
    HEED_CHECK(n <= w->pool_size);
    if (w->at + n > w->pool_size)
        w->at = 0;
    real *taken = w->pool + w->at;
    w->at += heed_aligned(n * sizeof(real)) / sizeof(real);
    return taken;
}

/* The n reals taken last (where the pool comes round, those at its end): as near as what the layer before has just
 * written. */
static real *last(const heedi_workbench *w, size_t n) {
    HEED_CHECK(n <= w->pool_size);
    return w->pool + ((w->at < n ? w->pool_size : w->at) - n) / ALIGNED * ALIGNED;
}

static bool is_linear(const heed_tensor *tensor) {
    return (tensor->role == HEED_ROLE_MATRIX || tensor->role == HEED_ROLE_RESIDUAL) && tensor->n_dims == 2 &&
           strcmp(tensor->name, "output.weight") != 0;
}

#define FOR_TENSORS(w, t, condition)                                                                                   \
    for (const heed_tensor *t = (w)->params->tensors; t < (w)->params->tensors + (w)->params->n_tensors; t++)          \
        if (condition)

/* What a tensor is applied to: the encoder's, and the keys and values of cross-attention, to sources. */
static const heed_ragged *rows_under(const heedi_workbench *w, const heed_tensor *tensor) {
    const bool reads_source = strncmp(tensor->name, "encoder.", 8) == 0 || strstr(tensor->name, ".cross.kv.");
    return reads_source ? &w->source.ragged : &w->target.ragged;
}

/* As in the model: a branch's last product joins the stream at once, unless dropout lies between. */
static void linear_forward(heedi_workbench *w) {
    FOR_TENSORS(w, t, is_linear(t)) {
        const size_t rows = rows_under(w, t)->n_rows;
        const real *x = last(w, rows * t->dims[1]);
        const bool joins = t->role == HEED_ROLE_RESIDUAL && w->config->model.dropout == 0;
        const real *z = joins ? next(w, rows * t->dims[0]) : NULL;
        heed_linear_forward_add(next(w, rows * t->dims[0]), z, x, w->weights + t->offset, NULL, rows, t->dims[1],
                                t->dims[0]);
    }
}

static void norm_forward(heedi_workbench *w) {
    FOR_TENSORS(w, t, t->role == HEED_ROLE_GAIN) {
        const size_t rows = rows_under(w, t)->n_rows;
        const real *x = last(w, rows * t->size);
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

static looking look_of(const heedi_workbench *w, size_t i) {
    const heed_ragged *target = &w->target.ragged, *source = &w->source.ragged;
    const looking looks[LOOKS] = {{w->n_decoder, true, target, target, 3, 3},
                                  {w->n_encoder, false, source, source, 3, 3},
                                  {w->n_encoder > 0 ? w->n_decoder : 0, false, target, source, 1, 2}};
    return looks[i];
}

static heed_attention attention_of(const heedi_workbench *w, const looking *look) {
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
static real *keys_of(heedi_workbench *w, const looking *look, real *queries) {
    return look->queries == look->keys ? queries + w->width : next(w, look->key_stride * look->keys->n_rows * w->width);
}

typedef void attention_pass(heedi_workbench *w, const looking *look, const heed_attention *attention);

static void look_forward(heedi_workbench *w, const looking *look, const heed_attention *attention) {
    const size_t rows = look->queries->n_rows;
    real *queries = last(w, look->query_stride * rows * w->width), *keys = keys_of(w, look, queries);
    real *log_sum = next(w, rows * attention->heads);
    heed_attention_forward(attention, next(w, rows * w->width), log_sum, queries, keys, keys + w->width, look->queries,
                           look->keys);
}

static void look_backward(heedi_workbench *w, const looking *look, const heed_attention *attention) {
    const size_t rows = look->queries->n_rows;
    const real *d_output = last(w, rows * w->width);
    real *queries = next(w, look->query_stride * rows * w->width), *keys = keys_of(w, look, queries);
    /* Gradients have one place for all layers, as in training. */
    real *d_queries = w->d_heads, *d_behind = d_queries + look->query_stride * rows * w->width;
    real *d_keys = look->queries == look->keys ? d_queries + w->width : d_behind;
    real *log_sum = next(w, rows * attention->heads);
    const real *output = next(w, rows * w->width);
    heed_attention_backward(attention, d_queries, d_keys, d_keys + w->width, d_output, output, log_sum, queries, keys,
                            keys + w->width, look->queries, look->keys);
}

static void all_attention(heedi_workbench *w, attention_pass *pass) {
    for (size_t i = 0; i < LOOKS; i++) {
        const looking look = look_of(w, i);
        const heed_attention attention = attention_of(w, &look);
        for (size_t layer = 0; layer < look.n_layers; layer++)
            pass(w, &look, &attention);
    }
}

static void attention_forward(heedi_workbench *w) {
    all_attention(w, look_forward);
}

static void attention_backward(heedi_workbench *w) {
    all_attention(w, look_backward);
}

/* An activation a block, and the additions of its branches to the stream, where products do not make them. */
static void stack_pointwise_forward(heedi_workbench *w, size_t rows, size_t n_layers, size_t n_branches) {
    /* One x for all layers: an activation of an activation of another would come to numbers too small to be normal, on
     * which processors are slow. */
    const real *x = last(w, rows * w->hidden);
    if (w->config->model.dropout == 0)
        n_branches = 0;
    for (size_t layer = 0; layer < n_layers; layer++) {
        heed_activation_forward(w->config->model.activation, next(w, rows * w->hidden), x, rows * w->hidden);
        for (size_t branch = 0; branch < n_branches; branch++) {
            const real *a = last(w, rows * w->width), *b = next(w, rows * w->width);
            heedi_add(next(w, rows * w->width), a, b, rows * w->width);
        }
    }
}

static size_t decoder_branches(const heedi_workbench *w) {
    return w->n_encoder > 0 ? 3 : 2;
}

static void pointwise_forward(heedi_workbench *w) {
    stack_pointwise_forward(w, w->target.ragged.n_rows, w->n_decoder, decoder_branches(w));
    stack_pointwise_forward(w, w->source.ragged.n_rows, w->n_encoder, 2);
}

static void stack_pointwise_backward(heedi_workbench *w, size_t rows, size_t n_layers) {
    for (size_t layer = 0; layer < n_layers; layer++) {
        real *d = last(w, rows * w->hidden);
        const real *x = next(w, rows * w->hidden);
        heed_activation_backward(w->config->model.activation, d, d, x, rows * w->hidden);
    }
}

static void pointwise_backward(heedi_workbench *w) {
    stack_pointwise_backward(w, w->target.ragged.n_rows, w->n_decoder);
    stack_pointwise_backward(w, w->source.ragged.n_rows, w->n_encoder);
}

static void stack_dropout(heedi_workbench *w, const heed_ragged *rows, size_t n_sites) {
    for (size_t i = 0; i < n_sites; i++)
        heed_dropout(next(w, rows->n_rows * w->width), rows, w->width, (real)w->config->model.dropout, 1, (uint32_t)i,
                     0);
}

/* Masks on the embedding and behind the branches of every block; once a pass. */
static void dropout(heedi_workbench *w) {
    if (w->config->model.dropout == 0)
        return;
    stack_dropout(w, &w->target.ragged, 1 + decoder_branches(w) * w->n_decoder);
    if (w->n_encoder > 0)
        stack_dropout(w, &w->source.ragged, 1 + 2 * w->n_encoder);
}

static void linear_backward_input(heedi_workbench *w) {
    FOR_TENSORS(w, t, is_linear(t)) {
        const size_t rows = rows_under(w, t)->n_rows;
        const real *d_y = last(w, rows * t->dims[0]);
        heed_linear_backward_input(next(w, rows * t->dims[1]), d_y, w->weights + t->offset, rows, t->dims[1],
                                   t->dims[0], false);
    }
}

static void weight_leaf(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    const heedi_workbench *w = context;
    const size_t in = w->tensor->dims[1], out = w->tensor->dims[0];
    (void)grain;
    heed_linear_backward_weight(d[0], NULL, w->x + first_row * in, w->d_y + first_row * out, n_rows, in, out);
}

static bool weight_branch(void *context, real *d, size_t first_row, const heed_gemm_part *parts, size_t n_parts,
                          size_t grain) {
    const heedi_workbench *w = context;
    const size_t in = w->tensor->dims[1], out = w->tensor->dims[0];
    (void)grain;
    return heed_linear_backward_weight_sum(d, w->x + first_row * in, w->d_y + first_row * out, parts, n_parts, in, out);
}

static void linear_backward_weight(heedi_workbench *w) {
    FOR_TENSORS(w, t, is_linear(t)) {
        const size_t tensor = (size_t)(t - w->params->tensors);
        const heed_ragged *rows = rows_under(w, t);
        w->tensor = t;
        w->d_y = last(w, rows->n_rows * t->dims[0]);
        w->x = next(w, rows->n_rows * t->dims[1]);
        heed_gradient_sum_matrix(w->gradient, rows, tensor, weight_leaf, weight_branch, w);
    }
}

static void norm_backward(heedi_workbench *w) {
    FOR_TENSORS(w, t, t->role == HEED_ROLE_GAIN) {
        const heed_ragged *rows = rows_under(w, t);
        const heedi_pass pass = {.config = w->config, .rows = rows, .gradient = w->gradient};
        const heedi_norm norm = {.gain = w->weights + t->offset,
                                 .width = t->size,
                                 .tensors = {(size_t)(t - w->params->tensors)},
                                 .n_tensors = 1};
        const real *d_y = last(w, rows->n_rows * t->size), *x = next(w, rows->n_rows * t->size);
        heedi_norm_backward(&pass, &norm, next(w, rows->n_rows * t->size), d_y, x, w->pool, w->pool, true);
    }
}

static void stack_embedding_forward(heedi_workbench *w, const heedi_rows_of_all *of) {
    heed_embedding_forward(next(w, of->ragged.n_rows * w->width), of->token, w->weights, w->weights, &of->ragged,
                           w->width, 1);
}

static void embedding_forward(heedi_workbench *w) {
    stack_embedding_forward(w, &w->target);
    if (w->n_encoder > 0)
        stack_embedding_forward(w, &w->source);
}

static void position_leaf(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    const heedi_workbench *w = context;
    (void)first_row, (void)n_rows;
    heed_embedding_backward_positions(d[0], w->d_y, rows_under(w, w->tensor), grain, w->tensor->dims[0], w->width);
}

static void embedding_backward(heedi_workbench *w) {
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
    heedi_workbench *w = context;
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
        size_t final = grain;
        while (final + 1 < rows->n_grains && heed_grain_row(rows, final + 2) - first_row <= HEED_LOSS_BLOCK)
            final++;
        w->block_first = first_row;
        w->classified = heed_grain_row(rows, final + 1);
        heed_classifier_loss(loss, d_x + first_row * width, NULL, w->logits, x + first_row * width, weight, token, x, 0,
                             w->classified - first_row, width, w->vocab);
    }
    heed_linear_backward_weight(d[0], NULL, x + first_row * width, w->logits + (first_row - w->block_first) * w->vocab,
                                n_rows, width, w->vocab);
}

void heedi_classifier_kind(heedi_workbench *w) {
    const size_t tensor = (size_t)heed_params_find(w->params, "output.weight");
    w->tensor = &w->params->tensors[tensor];
    w->classified = 0;
    heed_gradient_sum(w->gradient, &w->target.ragged, &tensor, 1, classifier_leaf, w);
}

size_t heedi_widest_layer(const heedi_workbench *w) {
    size_t widest = 3 * w->width > w->hidden ? 3 * w->width : w->hidden;
    FOR_TENSORS(w, t, is_linear(t)) {
        widest = t->dims[0] > widest ? t->dims[0] : widest;
        widest = t->dims[1] > widest ? t->dims[1] : widest;
    }
    return widest;
}

heedi_kind *const heedi_forward_kinds[HEEDI_FORWARD_KINDS] = {embedding_forward, norm_forward,      linear_forward,
                                                              attention_forward, pointwise_forward, dropout};
heedi_kind *const heedi_backward_kinds[HEEDI_BACKWARD_KINDS] = {
    norm_backward, linear_backward_input, linear_backward_weight, attention_backward, pointwise_backward,
    dropout,       embedding_backward};
