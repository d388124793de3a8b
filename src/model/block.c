/* x1 = x0 + dropout(attention(norm1(x0)))
 * x2 = x1 + dropout(down(activation(up(norm2(x1)))))
 *
 * or, for the network that stands for attention, x2 = x0 + dropout(down(activation(up(window of norm2(x0))))).
 *
 * Backward walks the same lines upwards. The gradient of the residual stream is one array, d_x, that every branch adds
 * to. Other gradients take the place of activations that backward no longer needs: those of hidden units lie in
 * `active`, that of the heads' mixture in `norm2_y`, those of queries, keys and values in `hidden`. */
#include "block.h"

#include <string.h>

#include "add.h"
#include "heed/nn/activation.h"
#include "heed/stage.h"
#include "window_linear.h"

/* --- the residual stream ---------------------------------------------------------------------------------------- */

static void add_branch(const heedi_pass *pass, real *sum, const real *x, const real *branch) {
    HEED_IN_STAGE(RESIDUAL);
    heedi_add(sum, x, branch, pass->rows->n_rows * (size_t)pass->config->model.width);
}

/* Where the gradient of a branch's end starts: d_x itself, or a copy behind dropout's mask. */
static const real *enter_branch(const heedi_pass *pass, const real *d_x, uint32_t site) {
    if (pass->kind != HEED_PASS_TRAIN || pass->config->model.dropout == 0)
        return d_x;
    memcpy(pass->branch, d_x, pass->rows->n_rows * (size_t)pass->config->model.width * sizeof(real));
    heedi_drop(pass, pass->branch, site);
    return pass->branch;
}

/* --- the block -------------------------------------------------------------------------------------------------- */

static void attention_forward(const heedi_pass *pass, const heedi_block *block, real *cache, size_t position) {
    heedi_norm_forward(pass, &block->norm1, block->norm1_y, block->norm1_mean, block->norm1_rstd, block->input);
    if (cache)
        heedi_attention_layer_next(pass, &block->attention, pass->branch, block->norm1_y, cache, position);
    else
        heedi_attention_layer_forward(pass, &block->attention, pass->branch, block->norm1_y);
    heedi_drop(pass, pass->branch, HEEDI_DROP_ATTENTION(block->layer));
    add_branch(pass, block->middle, block->input, pass->branch);
}

static void attention_backward(const heedi_pass *pass, const heedi_block *block, real *d_x) {
    const real *d_branch = enter_branch(pass, d_x, HEEDI_DROP_ATTENTION(block->layer));
    heedi_attention_layer_backward(pass, &block->attention, pass->branch, d_branch, block->norm1_y, block->hidden,
                                   block->norm2_y);
    heedi_norm_backward(pass, &block->norm1, d_x, pass->branch, block->input, block->norm1_mean, block->norm1_rstd,
                        true);
}

static void mlp_forward(const heedi_pass *pass, const heedi_block *block, real *cache, size_t position) {
    const size_t n = pass->rows->n_rows * block->up.out;
    heedi_norm_forward(pass, &block->norm2, block->norm2_y, block->norm2_mean, block->norm2_rstd, block->middle);
    if (block->network && cache)
        heedi_window_next(pass, &block->up, block->hidden, block->norm2_y, cache, position);
    else if (block->network)
        heedi_window_forward(pass, &block->up, block->hidden, block->norm2_y);
    else
        heedi_linear_forward(pass, &block->up, block->hidden, block->norm2_y);
    heed_activation_forward(pass->config->model.activation, block->active, block->hidden, n);
    heedi_linear_forward(pass, &block->down, pass->branch, block->active);
    heedi_drop(pass, pass->branch, HEEDI_DROP_MLP(block->layer));
    add_branch(pass, block->output, block->middle, pass->branch);
}

static void mlp_backward(const heedi_pass *pass, const heedi_block *block, real *d_x) {
    const size_t n = pass->rows->n_rows * block->up.out;
    real *d_hidden = block->active;
    const real *d_branch = enter_branch(pass, d_x, HEEDI_DROP_MLP(block->layer));
    heedi_linear_backward(pass, &block->down, d_hidden, d_branch, block->active);
    heed_activation_backward(pass->config->model.activation, d_hidden, d_hidden, block->hidden, n);
    if (block->network)
        heedi_window_backward(pass, &block->up, pass->branch, d_hidden, block->norm2_y);
    else
        heedi_linear_backward(pass, &block->up, pass->branch, d_hidden, block->norm2_y);
    heedi_norm_backward(pass, &block->norm2, d_x, pass->branch, block->middle, block->norm2_mean, block->norm2_rstd,
                        true);
}

void heedi_block_forward(const heedi_pass *pass, const heedi_block *block) {
    heedi_block_next(pass, block, NULL, 0);
}

void heedi_block_backward(const heedi_pass *pass, const heedi_block *block, real *d_x) {
    mlp_backward(pass, block, d_x);
    if (block->again)
        attention_forward(pass, block, NULL, 0);
    if (!block->network)
        attention_backward(pass, block, d_x);
}

void heedi_block_next(const heedi_pass *pass, const heedi_block *block, real *cache, size_t position) {
    if (!block->network)
        attention_forward(pass, block, cache, position);
    mlp_forward(pass, block, cache, position);
}
