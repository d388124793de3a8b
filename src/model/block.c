/* x1 = x0 + dropout(out(attention(qkv(norm1(x0)))))
 * x2 = x1 + dropout(down(activation(up(norm2(x1)))))
 *
 * Backward walks the same lines upwards. The gradient of the residual stream is one array, d_x, that every branch adds
 * to. Other gradients take the place of activations that backward no longer needs: those of hidden units lie in
 * `active`, that of attention's output in `norm2_y`, those of queries, keys and values in `hidden`. */
#include "block.h"

#include <math.h>
#include <string.h>

#include "add.h"
#include "heed/nn/activation.h"
#include "heed/nn/attention.h"
#include "heed/nn/embedding.h"
#include "heed/stage.h"

/* --- the residual stream ---------------------------------------------------------------------------------------- */

static void add_branch(const heedi_pass *pass, real *sum, const real *x, const real *branch) {
    HEED_IN_STAGE(RESIDUAL);
    heedi_add(sum, x, branch, pass->batch->rows.n_rows * (size_t)pass->config->model.width);
}

/* Where the gradient of a branch's end starts: d_x itself, or a copy behind dropout's mask. */
static const real *enter_branch(const heedi_pass *pass, const real *d_x, uint32_t site) {
    if (pass->kind != HEED_PASS_TRAIN || pass->config->model.dropout == 0)
        return d_x;
    memcpy(pass->branch, d_x, pass->batch->rows.n_rows * (size_t)pass->config->model.width * sizeof(real));
    heedi_drop(pass, pass->branch, site);
    return pass->branch;
}

/* --- attention -------------------------------------------------------------------------------------------------- */

static heed_attention attention_of(const heedi_pass *pass, const heedi_block *block) {
    const size_t width = (size_t)pass->config->model.width, heads = (size_t)pass->config->model.heads;
    return (heed_attention){
        .heads = heads,
        .head_width = width / heads,
        .causal = true,
        .scale = (real)(1.0 / sqrt((double)(width / heads))),
        .query_stride = 3 * width,
        .key_stride = 3 * width,
        .dropout = pass->kind == HEED_PASS_TRAIN ? (real)pass->config->model.dropout : 0,
        .seed = (uint64_t)pass->config->run.seed,
        .site = HEEDI_DROP_WEIGHTS(block->layer),
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

static void observe(const heedi_pass *pass, const heedi_block *block, const real *d_output) {
    const size_t width = (size_t)pass->config->model.width, heads = (size_t)pass->config->model.heads;
    if (!pass->observer)
        return;
    const heed_attention_view view = {
        .kind = HEED_SELF_ATTENTION,
        .layer = block->layer,
        .heads = heads,
        .head_width = width / heads,
        .causal = true,
        .query_rows = &pass->batch->rows,
        .key_rows = &pass->batch->rows,
        .query = block->heads,
        .key = block->heads + width,
        .value = block->heads + 2 * width,
        .stride = 3 * width,
        .output = block->attention,
        .d_output = d_output,
    };
    pass->observer(pass->observer_context, &view);
}

static void attend(const heedi_pass *pass, const heedi_block *block) {
    const size_t width = (size_t)pass->config->model.width;
    const heed_ragged *rows = &pass->batch->rows;
    const heed_attention attention = attention_of(pass, block);
    const real *heads = block->heads;
    heed_attention_forward(&attention, block->attention, block->log_sum, heads, heads + width, heads + 2 * width, rows,
                           rows);
    if (pass->kind == HEED_PASS_EVAL)
        observe(pass, block, NULL);
}

static void attend_backward(const heedi_pass *pass, const heedi_block *block, real *d_heads, const real *d_output) {
    const size_t width = (size_t)pass->config->model.width;
    const heed_ragged *rows = &pass->batch->rows;
    const heed_attention attention = attention_of(pass, block);
    const real *heads = block->heads;
    observe(pass, block, d_output);
    heed_attention_backward(&attention, d_heads, d_heads + width, d_heads + 2 * width, d_output, block->attention,
                            block->log_sum, heads, heads + width, heads + 2 * width, rows, rows);
}

/* One query over the cached keys and values, its own among them. */
static void attend_cached(const heedi_pass *pass, const heedi_block *block, real *cache, size_t position) {
    const size_t width = (size_t)pass->config->model.width;
    const size_t first_row[2] = {0, position + 1};
    const heed_ragged *rows = &pass->batch->rows;
    heed_ragged key_rows = *rows;
    key_rows.n_rows = key_rows.max_length = position + 1;
    key_rows.first_row = first_row;
    heed_attention attention = attention_of(pass, block);
    attention.causal = false;
    attention.key_stride = 2 * width;
    memcpy(cache + position * 2 * width, block->heads + width, 2 * width * sizeof(real));
    heed_attention_forward(&attention, block->attention, block->log_sum, block->heads, cache, cache + width, rows,
                           &key_rows);
}

/* --- the block -------------------------------------------------------------------------------------------------- */

static void heads_forward(const heedi_pass *pass, const heedi_block *block) {
    heedi_norm_forward(pass, &block->norm1, block->norm1_y, block->norm1_mean, block->norm1_rstd, block->input);
    heedi_linear_forward(pass, &block->qkv, block->heads, block->norm1_y);
    rotate(pass, block->heads, false);
}

static void heads_backward(const heedi_pass *pass, const heedi_block *block, real *d_x, real *d_heads) {
    rotate(pass, d_heads, true);
    heedi_linear_backward(pass, &block->qkv, pass->branch, d_heads, block->norm1_y);
    heedi_norm_backward(pass, &block->norm1, d_x, pass->branch, block->input, block->norm1_mean, block->norm1_rstd,
                        true);
}

static void out_forward(const heedi_pass *pass, const heedi_block *block) {
    heedi_linear_forward(pass, &block->out, pass->branch, block->attention);
    heedi_drop(pass, pass->branch, HEEDI_DROP_ATTENTION(block->layer));
    add_branch(pass, block->middle, block->input, pass->branch);
}

static void out_backward(const heedi_pass *pass, const heedi_block *block, const real *d_x, real *d_output) {
    const real *d_branch = enter_branch(pass, d_x, HEEDI_DROP_ATTENTION(block->layer));
    heedi_linear_backward(pass, &block->out, d_output, d_branch, block->attention);
}

static void mlp_forward(const heedi_pass *pass, const heedi_block *block) {
    const size_t n = pass->batch->rows.n_rows * block->up.out;
    heedi_norm_forward(pass, &block->norm2, block->norm2_y, block->norm2_mean, block->norm2_rstd, block->middle);
    heedi_linear_forward(pass, &block->up, block->hidden, block->norm2_y);
    heed_activation_forward(pass->config->model.activation, block->active, block->hidden, n);
    heedi_linear_forward(pass, &block->down, pass->branch, block->active);
    heedi_drop(pass, pass->branch, HEEDI_DROP_MLP(block->layer));
    add_branch(pass, block->output, block->middle, pass->branch);
}

static void mlp_backward(const heedi_pass *pass, const heedi_block *block, real *d_x) {
    const size_t n = pass->batch->rows.n_rows * block->up.out;
    real *d_hidden = block->active;
    const real *d_branch = enter_branch(pass, d_x, HEEDI_DROP_MLP(block->layer));
    heedi_linear_backward(pass, &block->down, d_hidden, d_branch, block->active);
    heed_activation_backward(pass->config->model.activation, d_hidden, d_hidden, block->hidden, n);
    heedi_linear_backward(pass, &block->up, pass->branch, d_hidden, block->norm2_y);
    heedi_norm_backward(pass, &block->norm2, d_x, pass->branch, block->middle, block->norm2_mean, block->norm2_rstd,
                        true);
}

void heedi_block_forward(const heedi_pass *pass, const heedi_block *block) {
    heads_forward(pass, block);
    attend(pass, block);
    out_forward(pass, block);
    mlp_forward(pass, block);
}

void heedi_block_backward(const heedi_pass *pass, const heedi_block *block, real *d_x) {
    real *d_output = block->norm2_y, *d_heads = block->hidden;
    mlp_backward(pass, block, d_x);
    out_backward(pass, block, d_x, d_output);
    attend_backward(pass, block, d_heads, d_output);
    heads_backward(pass, block, d_x, d_heads);
}

void heedi_block_next(const heedi_pass *pass, const heedi_block *block, real *cache, size_t position) {
    heads_forward(pass, block);
    attend_cached(pass, block, cache, position);
    out_forward(pass, block);
    mlp_forward(pass, block);
}
