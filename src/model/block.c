/* The branches of a block, in the order of the stream (residual.h adds them, with the norms):
 *
 *   attention(x)
 *   cross(x, sources)                     in the decoder of an encoder-decoder
 *   down(activation(up(x)))               up reads a window of x where a network stands for attention
 *
 * Backward walks them upwards. The gradient of the residual stream is one array, d_x, that every branch adds to. Other
 * gradients take the place of activations that backward no longer needs: those of hidden units lie in `active`, that of
 * the heads' mixture in around_mlp.y, those of queries, keys and values in `hidden`. */
#include "block.h"

#include "heed/nn/activation.h"
#include "window_linear.h"

static void attend(const heedi_pass *pass, const heedi_residual *around, const heedi_attention_layer *attention) {
    const real *x = heedi_residual_read(pass, around);
    heedi_attention_layer_forward(pass, attention, x);
    heedi_residual_add(pass, around, &attention->out, attention->mixture);
}

static void attend_backward(const heedi_pass *pass, const heedi_block *block, const heedi_residual *around,
                            const heedi_attention_layer *attention, real *d_x) {
    const real *d_branch = heedi_residual_enter(pass, around, d_x);
    heedi_attention_layer_backward(pass, attention, pass->branch, d_branch, heedi_residual_was_read(pass, around),
                                   block->hidden, block->around_mlp.y);
    heedi_residual_leave(pass, around, d_x);
}

static void mlp_forward(const heedi_pass *pass, const heedi_block *block) {
    const size_t n = pass->rows->n_rows * block->up.out;
    const real *x = heedi_residual_read(pass, &block->around_mlp);
    if (block->network && pass->new_tokens)
        heedi_window_next(pass, &block->up, block->hidden, x, block->window_cache);
    else if (block->network)
        heedi_window_forward(pass, &block->up, block->hidden, x);
    else
        heedi_linear_forward(pass, &block->up, block->hidden, x);
    heed_activation_forward(pass->config->model.activation, block->active, block->hidden, n);
    heedi_residual_add(pass, &block->around_mlp, &block->down, block->active);
}

static void mlp_backward(const heedi_pass *pass, const heedi_block *block, real *d_x) {
    const size_t n = pass->rows->n_rows * block->up.out;
    real *d_hidden = block->active;
    const real *d_branch = heedi_residual_enter(pass, &block->around_mlp, d_x);
    const real *x = heedi_residual_was_read(pass, &block->around_mlp);
    heedi_linear_backward(pass, &block->down, d_hidden, d_branch, block->active);
    heed_activation_backward(pass->config->model.activation, d_hidden, d_hidden, block->hidden, n);
    if (block->network)
        heedi_window_backward(pass, &block->up, pass->branch, d_hidden, x);
    else
        heedi_linear_backward(pass, &block->up, pass->branch, d_hidden, x);
    heedi_residual_leave(pass, &block->around_mlp, d_x);
}

/* All attention of the block, which recomputation repeats. */
static void attention_forward(const heedi_pass *pass, const heedi_block *block) {
    if (!block->network)
        attend(pass, &block->around_attention, &block->attention);
    if (block->crosses)
        attend(pass, &block->around_cross, &block->cross);
}

void heedi_block_forward(const heedi_pass *pass, const heedi_block *block) {
    heedi_need(pass, block->down.end); /* the last of the block's tensors */
    attention_forward(pass, block);
    mlp_forward(pass, block);
}

void heedi_block_backward(const heedi_pass *pass, const heedi_block *block, real *d_x) {
    mlp_backward(pass, block, d_x);
    if (block->again)
        attention_forward(pass, block);
    if (block->crosses)
        attend_backward(pass, block, &block->around_cross, &block->cross, d_x);
    if (!block->network)
        attend_backward(pass, block, &block->around_attention, &block->attention, d_x);
}
