/* What all layers of one pass share, and the two kinds of layer that have parameters, as rows of the table of tensors.
 * Internal to src/model. */
#ifndef HEEDI_LAYER_H
#define HEEDI_LAYER_H

#include <stddef.h>

#include "heed/arena.h"
#include "heed/batch.h"
#include "heed/config.h"
#include "heed/gradient.h"
#include "heed/model.h"
#include "heed/params.h"

/* Hands out arrays of an arena. Without an arena it only adds up their sizes, so that one function that places arrays
 * both plans the arena and fills it. */
typedef struct heedi_placer {
    heed_arena *arena; /* NULL: count */
    size_t bytes;      /* SIZE_MAX once it overflows */
} heedi_placer;
real *heedi_place(heedi_placer *placer, size_t rows, size_t width);
int32_t *heedi_place_indices(heedi_placer *placer, size_t n);
void *heedi_place_bytes(heedi_placer *placer, size_t bytes);

/* Rows of the table of tensors that make up one layer, and where their values lie. bias is NULL without biases. */
typedef struct heedi_linear {
    size_t tensors[2], n_tensors;
    size_t in, out;
    size_t end;       /* of its weights, in their arena */
    size_t frozen[2]; /* elements of each tensor, from its start on, whose gradient is 0 */
    const real *weight, *bias;
} heedi_linear;
typedef struct heedi_norm {
    size_t tensors[2], n_tensors;
    size_t width;
    size_t end; /* as above */
    const real *gain, *bias;
} heedi_norm;

typedef struct heedi_content heedi_content;

/* New tokens of hypotheses that are decoded side by side, all at one place of theirs. */
typedef struct heedi_new_tokens {
    size_t position;    /* of the new tokens: so many are cached of every hypothesis */
    const size_t *slot; /* (rows) of the caches, one a hypothesis */
} heedi_new_tokens;

/* What attention to the sources reads: what the encoder made of them. */
typedef struct heedi_memory {
    const heed_ragged *rows;
    const real *y;       /* (rows, width) */
    real *d_y, *d_heads; /* (rows, width): its gradient, summed over the layers; (rows, 2 width): that of one layer's
                            keys and values; training alone */
} heedi_memory;

/* What all layers of a pass share. */
typedef struct heedi_pass {
    const heed_config *config;
    const heed_batch *batch;
    const heed_ragged *rows;            /* of the stream: those of the batch, or of its sources */
    const int32_t *token;               /* (rows) */
    const heedi_new_tokens *new_tokens; /* decoding: a row is the newest token of a hypothesis; else NULL */
    heed_pass kind;
    heed_gradient *gradient;     /* NULL: no parameter gradients */
    const real *cosines, *sines; /* rotary tables from the position of a sequence's first row on, or NULL */
    heed_attention_observer *observer;
    void *observer_context;
    heed_weights_needed *needed; /* NULL: all weights are there */
    void *needed_context;
    const heedi_memory *memory;   /* or NULL */
    const heedi_content *content; /* tokens without places, for queries and keys; or NULL */
    real *attention_scratch;
    real *branch; /* (rows, width): what a branch adds to the residual stream, and its gradient */
} heedi_pass;

/* Finds a layer's tensors by name ("block.3.mlp.up": weight and bias). */
heedi_linear heedi_linear_find(const heed_params *params, const real *weights, const char *name);
heedi_norm heedi_norm_find(const heed_params *params, const real *weights, const char *name);

/* Before weights are read: waits until those before element `end` are there. */
void heedi_need(const heedi_pass *pass, size_t end);

void heedi_linear_forward(const heedi_pass *pass, const heedi_linear *linear, real *y, const real *x);
void heedi_linear_forward_add(const heedi_pass *pass, const heedi_linear *linear, real *y, const real *z,
                              const real *x); /* y = z + linear(x); z is not y, or NULL */
void heedi_norm_forward(const heedi_pass *pass, const heedi_norm *norm, real *y, real *mean, real *rstd, const real *x);

/* d_x = gradient through the layer, overwriting (or adding to) d_x; its parameters' gradients go to pass->gradient
 * first, so that a linear layer's d_x may be its x, and a norm's d_x its d_y. */
void heedi_linear_backward(const heedi_pass *pass, const heedi_linear *linear, real *d_x, const real *d_y,
                           const real *x);
void heedi_linear_backward_add(const heedi_pass *pass, const heedi_linear *linear, real *d_x, const real *d_y,
                               const real *x);
void heedi_norm_backward(const heedi_pass *pass, const heedi_norm *norm, real *d_x, const real *d_y, const real *x,
                         const real *mean, const real *rstd, bool add);

/* Sites of dropout, which key its masks: the embedding's, then three a block; those of an encoder and of attention to
 * the sources lie apart. */
#define HEEDI_DROP_EMBEDDING 0
#define HEEDI_DROP_WEIGHTS(layer) (1 + 3 * (uint32_t)(layer))
#define HEEDI_DROP_ATTENTION(layer) (2 + 3 * (uint32_t)(layer))
#define HEEDI_DROP_MLP(layer) (3 + 3 * (uint32_t)(layer))
#define HEEDI_DROP_CROSS_WEIGHTS(layer) (0x40000000 + 2 * (uint32_t)(layer))
#define HEEDI_DROP_CROSS(layer) (0x40000001 + 2 * (uint32_t)(layer))
#define HEEDI_DROP_ENCODER 0x80000000 /* added to the encoder's */

/* Dropout on x (rows, width) in a TRAIN pass, else nothing; whether it does anything. */
bool heedi_drops(const heedi_pass *pass);
void heedi_drop(const heedi_pass *pass, real *x, uint32_t site);

#endif
