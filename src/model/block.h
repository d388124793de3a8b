/* A pre-norm transformer block. Internal to src/model. */
#ifndef HEEDI_BLOCK_H
#define HEEDI_BLOCK_H

#include "attention_layer.h"

/* One block and its activations. All are (rows, width) unless said otherwise. In a model that does not train, blocks
 * share them, and input, middle and output are the same array. */
typedef struct heedi_block {
    size_t layer;
    bool again;   /* attention shares its arrays with the other blocks, so that backward computes it again */
    bool network; /* no attention: middle is input, and up reads a window of tokens */
    heedi_norm norm1, norm2;
    heedi_attention_layer attention;
    heedi_linear up, down;
    real *input, *middle, *output; /* the residual stream before, between and after the two branches */
    real *norm1_y, *norm1_mean, *norm1_rstd;
    real *norm2_y, *norm2_mean, *norm2_rstd;
    real *hidden,
        *active; /* (rows, hidden), before and after the activation; for training, hidden has room for heads */
} heedi_block;

/* input to output. */
void heedi_block_forward(const heedi_pass *pass, const heedi_block *block);

/* d_x is the gradient of output and becomes the gradient of input. */
void heedi_block_backward(const heedi_pass *pass, const heedi_block *block, real *d_x);

/* Forward of one new token at `position`, whose key and value join those of earlier tokens in cache (time, 2 width). */
void heedi_block_next(const heedi_pass *pass, const heedi_block *block, real *cache, size_t position);

#endif
