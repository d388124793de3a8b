/* A row of `heads` holds a token's query, key and value, all heads side by side, so that one product makes all three.
 */
#include "attention_layer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "heed/nn/attention.h"
#include "heed/nn/embedding.h"

void heedi_attention_layer_place(heedi_attention_layer *layer, heedi_placer *placer, const heed_config *config,
                                 size_t rows) {
    const size_t width = (size_t)config->model.width;
    layer->heads = heedi_place(placer, rows, 3 * width);
    layer->mixture = heedi_place(placer, rows, width);
    layer->log_sum = heedi_place(placer, rows, (size_t)config->model.heads);
}

static heedi_linear find(const heed_params *params, const real *weights, const char *name, const char *part) {
    char full[96];
    snprintf(full, sizeof full, "%s.%s", name, part);
    return heedi_linear_find(params, weights, full);
}

void heedi_attention_layer_bind(heedi_attention_layer *layer, const heed_params *params, const real *weights,
                                const char *name) {
    layer->qkv = find(params, weights, name, "qkv");
    layer->out = find(params, weights, name, "out");
}

static heed_attention attention_of(const heedi_pass *pass, const heedi_attention_layer *layer) {
    const size_t width = (size_t)pass->config->model.width, heads = (size_t)pass->config->model.heads;
    return (heed_attention){
        .heads = heads,
        .head_width = width / heads,
        .causal = layer->causal,
        .scale = (real)(1.0 / sqrt((double)(width / heads))),
        .query_stride = 3 * width,
        .key_stride = 3 * width,
        .dropout = pass->kind == HEED_PASS_TRAIN ? (real)pass->config->model.dropout : 0,
        .seed = (uint64_t)pass->config->run.seed,
        .site = layer->site,
        .step = pass->batch->step,
        .scratch = pass->attention_scratch,
    };
}

/* Turns queries and keys to their positions, or their gradients back. */
static void rotate(const heedi_pass *pass, real *heads, bool inverse) {
    const size_t width = (size_t)pass->config->model.width, n_heads = (size_t)pass->config->model.heads;
    if (pass->cosines)
        heed_rotary(heads, 3 * width, &pass->batch->rows, 2 * n_heads, width / n_heads, pass->cosines, pass->sines,
                    inverse);
}

static void observe(const heedi_pass *pass, const heedi_attention_layer *layer, const real *d_mixture) {
    const size_t width = (size_t)pass->config->model.width, heads = (size_t)pass->config->model.heads;
    if (!pass->observer)
        return;
    const heed_attention_view view = {
        .kind = HEED_SELF_ATTENTION,
        .layer = layer->layer,
        .heads = heads,
        .head_width = width / heads,
        .causal = layer->causal,
        .query_rows = &pass->batch->rows,
        .key_rows = &pass->batch->rows,
        .query = layer->heads,
        .key = layer->heads + width,
        .value = layer->heads + 2 * width,
        .stride = 3 * width,
        .output = layer->mixture,
        .d_output = d_mixture,
    };
    pass->observer(pass->observer_context, &view);
}

void heedi_attention_layer_forward(const heedi_pass *pass, const heedi_attention_layer *layer, real *y, const real *x) {
    const size_t width = (size_t)pass->config->model.width;
    const heed_ragged *rows = &pass->batch->rows;
    const heed_attention attention = attention_of(pass, layer);
    const real *heads = layer->heads;
    heedi_linear_forward(pass, &layer->qkv, layer->heads, x);
    rotate(pass, layer->heads, false);
    heed_attention_forward(&attention, layer->mixture, layer->log_sum, heads, heads + width, heads + 2 * width, rows,
                           rows);
    if (pass->kind == HEED_PASS_EVAL)
        observe(pass, layer, NULL);
    heedi_linear_forward(pass, &layer->out, y, layer->mixture);
}

void heedi_attention_layer_backward(const heedi_pass *pass, const heedi_attention_layer *layer, real *d_x,
                                    const real *d_y, const real *x, real *d_heads, real *d_mixture) {
    const size_t width = (size_t)pass->config->model.width;
    const heed_ragged *rows = &pass->batch->rows;
    const heed_attention attention = attention_of(pass, layer);
    const real *heads = layer->heads;
    heedi_linear_backward(pass, &layer->out, d_mixture, d_y, layer->mixture);
    observe(pass, layer, d_mixture);
    heed_attention_backward(&attention, d_heads, d_heads + width, d_heads + 2 * width, d_mixture, layer->mixture,
                            layer->log_sum, heads, heads + width, heads + 2 * width, rows, rows);
    rotate(pass, d_heads, true);
    heedi_linear_backward(pass, &layer->qkv, d_x, d_heads, x);
}

/* One query over the cached keys and values, its own among them. */
void heedi_attention_layer_next(const heedi_pass *pass, const heedi_attention_layer *layer, real *y, const real *x,
                                real *cache, size_t position) {
    const size_t width = (size_t)pass->config->model.width;
    const size_t first_row[2] = {0, position + 1};
    const heed_ragged *rows = &pass->batch->rows;
    heed_ragged key_rows = *rows;
    key_rows.n_rows = key_rows.max_length = position + 1;
    key_rows.first_row = first_row;
    heed_attention attention = attention_of(pass, layer);
    attention.causal = false;
    attention.key_stride = 2 * width;
    heedi_linear_forward(pass, &layer->qkv, layer->heads, x);
    rotate(pass, layer->heads, false);
    memcpy(cache + position * 2 * width, layer->heads + width, 2 * width * sizeof(real));
    heed_attention_forward(&attention, layer->mixture, layer->log_sum, layer->heads, cache, cache + width, rows,
                           &key_rows);
    heedi_linear_forward(pass, &layer->out, y, layer->mixture);
}
