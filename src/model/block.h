/* A transformer block: attention, attention to the sources where there are any, and a feed-forward layer, each a branch
 * beside the residual stream. Internal to src/model. */
#ifndef HEEDI_BLOCK_H
#define HEEDI_BLOCK_H

#include "attention_layer.h"
#include "residual.h"

/* One block and its activations. All are (rows, width) unless said otherwise. In a model that does not train, blocks
 * share them, and the stream is one array. */
typedef struct heedi_block {
    size_t layer;
    bool again;   /* attention shares its arrays with the other blocks, so that backward computes it again */
    bool network; /* no attention: up reads a window of tokens */
    bool crosses; /* attends to the sources too */
    heedi_residual around_attention, around_cross, around_mlp;
    heedi_attention_layer attention, cross;
    heedi_linear up, down;
    real *hidden,
        *active;        /* (rows, hidden), before and after the activation; for training, hidden has room for heads */
    real *window_cache; /* (slots, model.time, width): what up has read of earlier tokens, when decoding */
} heedi_block;

/* From the stream before the block to that behind it. */
void heedi_block_forward(const heedi_pass *pass, const heedi_block *block);

/* d_x is the gradient of the stream behind the block and becomes that of the stream before it. */
void heedi_block_backward(const heedi_pass *pass, const heedi_block *block, real *d_x);

#endif
