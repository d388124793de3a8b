/* A row of `heads` holds a token's query, key and value, all heads side by side, so that one product makes all three.
 * Attention to the sources has its queries there, and keys and values, side by side too, in `sources`. */
#include "attention_layer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "content.h"
#include "heed/nn/attention.h"
#include "heed/nn/attention_table.h"
#include "heed/nn/embedding.h"

static bool crosses(const heedi_attention_layer *layer) {
    return layer->kind == HEED_CROSS_ATTENTION;
}

void heedi_attention_layer_place(heedi_attention_layer *layer, heedi_placer *placer, const heed_config *config,
                                 size_t rows) {
    const size_t width = (size_t)config->model.width;
    layer->variant = layer->kind == HEED_ENCODER_ATTENTION ? heed_variant_of_encoder(config) : heed_variant_of(config);
    layer->heads = heedi_place(placer, rows, crosses(layer) ? width : 3 * width);
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
    layer->qkv = find(params, weights, name, crosses(layer) ? "query" : "qkv");
    if (crosses(layer))
        layer->kv = find(params, weights, name, "kv");
    layer->out = find(params, weights, name, "out");
    if (layer->variant->table) {
        char full[96];
        snprintf(full, sizeof full, "%s.table", name);
        layer->table_tensor = (size_t)heed_params_find(params, full);
        layer->table = weights + params->tensors[layer->table_tensor].offset;
    }
}

/* One step of Adam moves every number by about the learning rate. A score of queries and keys, a sum of head_width
 * products, moves by more than that; a table's single number is given the same reach by a larger scale. */
static double scale_of(const heed_variant *variant, size_t head_width) {
    return variant->flat ? 0 : variant->table ? sqrt((double)head_width) : 1 / sqrt((double)head_width);
}

static heed_attention attention_of(const heedi_pass *pass, const heedi_attention_layer *layer) {
    const size_t width = (size_t)pass->config->model.width, heads = (size_t)pass->config->model.heads;
    return (heed_attention){
        .heads = heads,
        .head_width = width / heads,
        .causal = layer->kind == HEED_SELF_ATTENTION || layer->variant->alone,
        .scale = (real)scale_of(layer->variant, width / heads),
        .query_stride = crosses(layer) ? width : 3 * width,
        .key_stride = crosses(layer) ? 2 * width : 3 * width,
        .dropout = pass->kind == HEED_PASS_TRAIN ? (real)pass->config->model.dropout : 0,
        .seed = (uint64_t)pass->config->run.seed,
        .site = layer->site,
        .step = pass->batch->step,
        .window = heed_variant_window(layer->variant, pass->config),
        .table = layer->table,
        .table_head = layer->table ? heed_attention_table_size((size_t)pass->config->model.time) : 0,
        .scratch = pass->attention_scratch,
    };
}

/* Keys of a layer, with the values a width behind them, and the rows that they belong to. */
static real *keys_of(const heedi_pass *pass, const heedi_attention_layer *layer) {
    return crosses(layer) ? layer->sources : layer->heads + (size_t)pass->config->model.width;
}

static const heed_ragged *key_rows_of(const heedi_pass *pass, const heedi_attention_layer *layer) {
    return crosses(layer) ? pass->memory->rows : pass->rows;
}

/* The pass as a layer over the sources sees it. */
static heedi_pass over_sources(const heedi_pass *pass) {
    heedi_pass over = *pass;
    over.rows = pass->memory->rows;
    return over;
}

/* Turns queries and keys to their positions, or their gradients back. Sources and targets have no place in common. */
static void rotate(const heedi_pass *pass, const heedi_attention_layer *layer, real *heads, bool inverse) {
    const size_t width = (size_t)pass->config->model.width, n_heads = (size_t)pass->config->model.heads;
    if (pass->cosines && !pass->content && !crosses(layer))
        heed_rotary(heads, 3 * width, pass->rows, 2 * n_heads, width / n_heads, pass->cosines, pass->sines, inverse);
}

static void observe(const heedi_pass *pass, const heedi_attention_layer *layer, const real *d_mixture) {
    const size_t width = (size_t)pass->config->model.width, heads = (size_t)pass->config->model.heads;
    if (!pass->observer)
        return;
    heed_attention how = attention_of(pass, layer);
    how.dropout = 0;
    const real *keys = keys_of(pass, layer);
    const heed_attention_view view = {
        .kind = layer->kind,
        .layer = layer->layer,
        .heads = heads,
        .head_width = width / heads,
        .causal = how.causal,
        .query_rows = pass->rows,
        .key_rows = key_rows_of(pass, layer),
        .query = layer->heads,
        .key = keys,
        .value = keys + width,
        .how = &how,
        .batch = pass->batch,
        .output = layer->mixture,
        .d_output = d_mixture,
    };
    pass->observer(pass->observer_context, &view);
}

void heedi_attention_layer_remember(const heedi_pass *pass, const heedi_attention_layer *layer) {
    const heedi_pass over = over_sources(pass);
    heedi_linear_forward(&over, &layer->kv, layer->sources, pass->memory->y);
}

/* Queries, keys and values of x, turned to their positions. */
static void project(const heedi_pass *pass, const heedi_attention_layer *layer, const real *x) {
    if (pass->content)
        heedi_content_project(pass, &layer->qkv, layer->heads, x);
    else
        heedi_linear_forward(pass, &layer->qkv, layer->heads, x);
    rotate(pass, layer, layer->heads, false);
    if (crosses(layer) && !pass->new_tokens)
        heedi_attention_layer_remember(pass, layer);
}

static void project_backward(const heedi_pass *pass, const heedi_attention_layer *layer, real *d_x, real *d_heads,
                             const real *x) {
    rotate(pass, layer, d_heads, true);
    if (pass->content)
        heedi_content_project_backward(pass, &layer->qkv, d_x, d_heads, x);
    else
        heedi_linear_backward(pass, &layer->qkv, d_x, d_heads, x);
    if (crosses(layer)) {
        const heedi_pass over = over_sources(pass);
        heedi_linear_backward_add(&over, &layer->kv, pass->memory->d_y, pass->memory->d_heads, pass->memory->y);
    }
}

typedef struct table_leaf {
    const heed_attention *attention;
    const heedi_attention_layer *layer;
    const heed_ragged *rows;
    const real *d_mixture;
} table_leaf;

static void sum_table(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    const table_leaf *leaf = context;
    const size_t first = leaf->rows->first_of[grain], width = leaf->attention->heads * leaf->attention->head_width;
    (void)first_row, (void)n_rows;
    heed_attention_table_gradient(leaf->attention, d[0], leaf->d_mixture, leaf->layer->mixture,
                                  leaf->layer->heads + 2 * width, leaf->rows, first,
                                  leaf->rows->first_of[grain + 1] - first);
}

/* Self-attention of new tokens: each is one query over the cached keys and values of its hypothesis, its own among
 * them. */
static void attend_cached(const heedi_pass *pass, const heedi_attention_layer *layer) {
    const size_t width = (size_t)pass->config->model.width, time = (size_t)pass->config->model.time;
    const size_t position = pass->new_tokens->position, end = position + 1;
    heed_attention attention = attention_of(pass, layer);
    const size_t window = attention.window, first_row[2] = {window > 0 && end > window ? end - window : 0, end};
    const size_t one[2] = {0, 1};
    const uint32_t sequence = 0;
    const heed_ragged query_rows = {
        .n_rows = 1, .n_sequences = 1, .max_length = 1, .first_row = one, .sequence = &sequence};
    heed_ragged key_rows = query_rows;
    key_rows.n_rows = end;
    key_rows.max_length = end - first_row[0];
    key_rows.first_row = first_row;
    attention.causal = false;
    attention.window = 0;
    if (attention.table)
        attention.table += heed_attention_table_size(position);
    attention.key_stride = 2 * width;
    for (size_t r = 0; r < pass->rows->n_rows; r++) {
        real *cache = layer->cache + pass->new_tokens->slot[r] * time * 2 * width;
        const real *heads = layer->heads + r * 3 * width;
        memcpy(cache + position * 2 * width, heads + width, 2 * width * sizeof(real));
        heed_attention_forward(&attention, layer->mixture + r * width, layer->log_sum + r * attention.heads, heads,
                               cache, cache + width, &query_rows, &key_rows);
    }
}

/* Attention of new tokens to the sources: all hypotheses are queries to the same keys, as if they were one sequence. */
static void attend_remembered(const heedi_pass *pass, const heedi_attention_layer *layer) {
    const size_t width = (size_t)pass->config->model.width, n = pass->rows->n_rows, first_row[2] = {0, n};
    const heed_attention attention = attention_of(pass, layer);
    heed_ragged query_rows = *pass->memory->rows;
    query_rows.n_rows = query_rows.max_length = n;
    query_rows.first_row = first_row;
    heed_attention_forward(&attention, layer->mixture, layer->log_sum, layer->heads, layer->sources,
                           layer->sources + width, &query_rows, pass->memory->rows);
}

static void attend(const heedi_pass *pass, const heedi_attention_layer *layer) {
    const size_t width = (size_t)pass->config->model.width;
    const heed_attention attention = attention_of(pass, layer);
    const real *keys = keys_of(pass, layer);
    heed_attention_forward(&attention, layer->mixture, layer->log_sum, layer->heads, keys, keys + width, pass->rows,
                           key_rows_of(pass, layer));
    if (pass->kind == HEED_PASS_EVAL)
        observe(pass, layer, NULL);
}

void heedi_attention_layer_forward(const heedi_pass *pass, const heedi_attention_layer *layer, const real *x) {
    project(pass, layer, x);
    if (pass->new_tokens && crosses(layer))
        attend_remembered(pass, layer);
    else if (pass->new_tokens)
        attend_cached(pass, layer);
    else
        attend(pass, layer);
}

void heedi_attention_layer_backward(const heedi_pass *pass, const heedi_attention_layer *layer, real *d_x,
                                    const real *d_y, const real *x, real *d_heads, real *d_mixture) {
    const size_t width = (size_t)pass->config->model.width;
    const heed_ragged *rows = pass->rows;
    const heed_attention attention = attention_of(pass, layer);
    const real *keys = keys_of(pass, layer);
    real *d_keys = crosses(layer) ? pass->memory->d_heads : d_heads + width;
    heedi_linear_backward(pass, &layer->out, d_mixture, d_y, layer->mixture);
    observe(pass, layer, d_mixture);
    heed_attention_backward(&attention, d_heads, d_keys, d_keys + width, d_mixture, layer->mixture, layer->log_sum,
                            layer->heads, keys, keys + width, rows, key_rows_of(pass, layer));
    project_backward(pass, layer, d_x, d_heads, x);
    table_leaf leaf = {&attention, layer, rows, d_mixture};
    if (layer->table && pass->gradient)
        heed_gradient_sum(pass->gradient, rows, &layer->table_tensor, 1, sum_table, &leaf);
}
