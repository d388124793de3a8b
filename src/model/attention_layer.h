/* Attention as a layer: the projection to queries, keys and values, their positions, attention itself, and the
 * projection of what the heads drew. Internal to src/model. */
#ifndef HEEDI_ATTENTION_LAYER_H
#define HEEDI_ATTENTION_LAYER_H

#include "heed/variant.h"
#include "layer.h"

typedef struct heedi_attention_layer {
    size_t layer;  /* of its stack */
    uint32_t site; /* keys dropout on the weights */
    bool causal;
    const heed_variant *variant;
    heedi_linear qkv, out;
    size_t table_tensor; /* of a variant with a table */
    const real *table;   /* (heads, heed_attention_table_size) or NULL */
    real *heads;         /* (rows, 3 width): queries, keys, values */
    real *mixture;       /* (rows, width): what the heads drew from the values */
    real *log_sum;       /* (rows, heads) */
} heedi_attention_layer;

void heedi_attention_layer_place(heedi_attention_layer *layer, heedi_placer *placer, const heed_config *config,
                                 size_t rows);

/* Finds the tensors of `name` ("block.3.attention"). */
void heedi_attention_layer_bind(heedi_attention_layer *layer, const heed_params *params, const real *weights,
                                const char *name);

/* y = out(attention(qkv(x))). Shapes: x, y (rows, width). */
void heedi_attention_layer_forward(const heedi_pass *pass, const heedi_attention_layer *layer, real *y, const real *x);

/* d_x (overwritten; may be d_y) from d_y and the x of forward. The observer sees the gradient of the mixture before
 * the rest is computed. d_heads (rows, 3 width) and d_mixture (rows, width) are scratch, apart from all others. */
void heedi_attention_layer_backward(const heedi_pass *pass, const heedi_attention_layer *layer, real *d_x,
                                    const real *d_y, const real *x, real *d_heads, real *d_mixture);

/* Forward of one new token at `position`, whose key and value join those of earlier tokens in cache (time, 2 width). */
void heedi_attention_layer_next(const heedi_pass *pass, const heedi_attention_layer *layer, real *y, const real *x,
                                real *cache, size_t position);

#endif
