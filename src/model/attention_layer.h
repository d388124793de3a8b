/* Attention as a layer: the projections to queries, keys and values, their positions, attention itself, and the
 * projection of what the heads drew. Internal to src/model. */
#ifndef HEEDI_ATTENTION_LAYER_H
#define HEEDI_ATTENTION_LAYER_H

#include "heed/variant.h"
#include "layer.h"

typedef struct heedi_attention_layer {
    heed_attention_kind kind;
    size_t layer;  /* of its stack */
    uint32_t site; /* keys dropout on the weights */
    const heed_variant *variant;
    heedi_linear qkv, out; /* cross: qkv makes queries alone */
    heedi_linear kv;       /* cross: keys and values of the sources */
    size_t table_tensor;   /* of a variant with a table */
    const real *table;     /* (heads, heed_attention_table_size) or NULL */
    real *heads;           /* (rows, 3 width): queries, keys, values; cross: (rows, width): queries */
    real *sources;         /* cross: (source rows, 2 width): keys and values */
    real *mixture;         /* (rows, width): what the heads drew from the values */
    real *log_sum;         /* (rows, heads) */
    real *cache;           /* self, for decoding: (slots, model.time, 2 width): keys and values of earlier tokens */
} heedi_attention_layer;

/* Places all but sources and cache. */
void heedi_attention_layer_place(heedi_attention_layer *layer, heedi_placer *placer, const heed_config *config,
                                 size_t rows);

/* Finds the tensors of `name` ("block.3.attention"). */
void heedi_attention_layer_bind(heedi_attention_layer *layer, const heed_params *params, const real *weights,
                                const char *name);

/* layer->mixture = attention(x), which layer->out then reads. When decoding, x is the newest token of every hypothesis,
 * whose keys and values join those in the cache; keys and values of the sources are those that
 * heedi_attention_layer_remember has made. Shape: x (rows, width). */
void heedi_attention_layer_forward(const heedi_pass *pass, const heedi_attention_layer *layer, const real *x);

/* Cross: keys and values of pass->memory. */
void heedi_attention_layer_remember(const heedi_pass *pass, const heedi_attention_layer *layer);

/* d_x (overwritten; may be d_y) from d_y and the x of forward; cross adds to the gradient of pass->memory too. The
 * observer sees the gradient of the mixture before the rest is computed. d_heads (rows, 3 width) and d_mixture (rows,
 * width) are scratch, apart from all others. */
void heedi_attention_layer_backward(const heedi_pass *pass, const heedi_attention_layer *layer, real *d_x,
                                    const real *d_y, const real *x, real *d_heads, real *d_mixture);

#endif
