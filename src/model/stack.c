/* tokens -> embedding -> blocks -> norm, and the same way back. */
#include "stack.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "heed/nn/attention.h"
#include "heed/nn/attention_table.h"
#include "heed/nn/embedding.h"
#include "window_linear.h"

/* --- memory ----------------------------------------------------------------------------------------------------- */

static void place_attention(heedi_block *block, heedi_placer *placer, const heed_config *config,
                            const heedi_stack_shape *shape) {
    const size_t width = (size_t)config->model.width;
    if (block->network)
        return;
    heedi_residual_place(&block->around_attention, placer, shape->rows, width);
    heedi_attention_layer_place(&block->attention, placer, config, shape->rows);
    if (!block->crosses)
        return;
    heedi_residual_place(&block->around_cross, placer, shape->rows, width);
    heedi_attention_layer_place(&block->cross, placer, config, shape->rows);
}

/* first: the block whose attention arrays all use, when backward computes attention again. */
static void place_block(heedi_block *block, heedi_placer *placer, const heed_config *config,
                        const heedi_stack_shape *shape, const heedi_block *first) {
    const size_t width = (size_t)config->model.width, hidden = (size_t)config->model.hidden;
    const size_t room = shape->training && hidden < 3 * width ? 3 * width : hidden;
    if (block != first && config->train.recompute == HEED_RECOMPUTE_ATTENTION)
        *block = *first;
    else
        place_attention(block, placer, config, shape);
    heedi_residual_place(&block->around_mlp, placer, shape->rows, width);
    block->hidden = heedi_place(placer, shape->rows, room);
    block->active = heedi_place(placer, shape->rows, hidden);
}

/* The stream from `from` through the branches of a block, and where it ends. Without training one array is all of it; a
 * block whose activations are not kept uses the first one's inside. */
static real *place_stream(heedi_block *block, heedi_placer *placer, const heedi_stack_shape *shape, size_t width,
                          real *from, bool is_inside_placed) {
    heedi_residual *const around[] = {&block->around_attention, &block->around_cross, &block->around_mlp};
    const bool is_there[] = {!block->network, block->crosses, true};
    for (size_t i = 0; i < 3; i++) {
        if (!is_there[i])
            continue;
        around[i]->input = from;
        if (!shape->training)
            around[i]->output = from;
        else if (i == 2 || !is_inside_placed)
            around[i]->output = heedi_place(placer, shape->rows, width);
        from = around[i]->output;
    }
    return from;
}

static void number_block(const heedi_stack *stack, heedi_block *block, size_t i) {
    const uint32_t apart = stack->kind == HEED_ENCODER_ATTENTION ? HEEDI_DROP_ENCODER : 0;
    block->layer = block->attention.layer = block->cross.layer = i;
    block->attention.site = apart + HEEDI_DROP_WEIGHTS(i);
    block->around_attention.site = apart + HEEDI_DROP_ATTENTION(i);
    block->cross.site = HEEDI_DROP_CROSS_WEIGHTS(i);
    block->around_cross.site = HEEDI_DROP_CROSS(i);
    block->around_mlp.site = apart + HEEDI_DROP_MLP(i);
}

/* What decoding keeps of earlier tokens and of the sources, and what backward keeps of these, unless it computes them
 * again. */
static void place_caches(heedi_block *block, heedi_placer *placer, const heed_config *config,
                         const heedi_stack_shape *shape) {
    const size_t width = (size_t)config->model.width;
    const bool again = shape->training && config->train.recompute != HEED_RECOMPUTE_NONE;
    const size_t rows = heed_bytes(shape->hypotheses, (size_t)config->model.time);
    if (block->network)
        block->window_cache = heedi_place(placer, rows, width);
    else
        block->attention.cache = heedi_place(placer, rows, 2 * width);
    if (block->crosses && !(again && block->layer > 0))
        block->cross.sources = heedi_place(placer, shape->source_rows, 2 * width);
}

/* Blocks for training keep their activations, or all but the stream when backward computes them again; else all use
 * those of the first one. */
static void place_blocks(heedi_stack *stack, heedi_placer *placer, const heed_config *config,
                         const heedi_stack_shape *shape) {
    const size_t width = (size_t)config->model.width;
    const bool keeps = shape->training && config->train.recompute != HEED_RECOMPUTE_BLOCK;
    real *stream = heedi_place(placer, shape->rows, width);
    for (size_t i = 0; i < stack->n_blocks; i++) {
        heedi_block *block = &stack->blocks[i];
        block->network = heed_variant_of(config)->network;
        block->crosses = stack->crosses;
        block->attention.kind = stack->kind;
        block->cross.kind = HEED_CROSS_ATTENTION;
        if (i == 0 || keeps)
            place_block(block, placer, config, shape, &stack->blocks[0]);
        else
            *block = stack->blocks[0];
        number_block(stack, block, i);
        block->again = config->train.recompute == HEED_RECOMPUTE_ATTENTION && shape->training && !block->network &&
                       i + 1 < stack->n_blocks;
        stream = place_stream(block, placer, shape, width, stream, i > 0 && !keeps);
        place_caches(block, placer, config, shape);
    }
}

/* What the variant of attention needs at most. */
size_t heedi_stack_scratch(const heed_config *config) {
    const size_t width = (size_t)config->model.width, time = (size_t)config->model.time;
    const size_t heads = (size_t)config->model.heads;
    const heed_variant *variant = heed_variant_of(config);
    return variant->network ? heedi_window_scratch(time, time, width)
           : variant->table ? heed_attention_table_scratch(time, heads)
                            : heed_attention_scratch(time, width / heads);
}

void heedi_stack_place(heedi_stack *stack, heedi_placer *placer, const heed_config *config,
                       const heedi_stack_shape *shape, real *scratch) {
    const size_t width = (size_t)config->model.width, time = (size_t)config->model.time;
    const size_t half_head = width / (size_t)config->model.heads / 2;
    const bool rotary = config->model.positions == HEED_ROTARY;
    heedi_pass *pass = &stack->pass;
    pass->config = config;
    pass->attention_scratch = scratch;
    heedi_embedding_place(&stack->embedding, placer, config, shape->rows, shape->training);
    stack->embedding.site = stack->kind == HEED_ENCODER_ATTENTION ? HEEDI_DROP_ENCODER : HEEDI_DROP_EMBEDDING;
    stack->cosines = rotary ? heedi_place(placer, time, half_head) : NULL;
    stack->sines = rotary ? heedi_place(placer, time, half_head) : NULL;
    place_blocks(stack, placer, config, shape);
    if (config->model.norm == HEED_PRE_NORM) {
        stack->norm_y = heedi_place(placer, shape->rows, width);
        stack->norm_mean = heedi_place(placer, shape->rows, 1);
        stack->norm_rstd = heedi_place(placer, shape->rows, 1);
    }
    if (heed_variant_of(config)->content) {
        heedi_content_place(&stack->content, placer, shape->rows, width, shape->training);
        pass->content = &stack->content;
    }
    pass->branch = heedi_place(placer, shape->rows, width);
    stack->d_x = shape->training ? heedi_place(placer, shape->rows, width) : NULL;
}

static const char *name_of(char name[64], const heedi_stack *stack, const heedi_block *block, const char *part) {
    snprintf(name, 64, "%sblock.%zu.%s", stack->prefix, block->layer, part);
    return name;
}

static void bind_block(const heedi_stack *stack, heedi_block *block, const heed_params *params, const real *weights) {
    char name[64];
    if (!block->network) {
        block->around_attention.norm = heedi_norm_find(params, weights, name_of(name, stack, block, "norm1"));
        heedi_attention_layer_bind(&block->attention, params, weights, name_of(name, stack, block, "attention"));
    }
    if (block->crosses) {
        block->around_cross.norm = heedi_norm_find(params, weights, name_of(name, stack, block, "norm_cross"));
        heedi_attention_layer_bind(&block->cross, params, weights, name_of(name, stack, block, "cross"));
    }
    block->around_mlp.norm = heedi_norm_find(params, weights, name_of(name, stack, block, "norm2"));
    block->up = heedi_linear_find(params, weights, name_of(name, stack, block, "mlp.up"));
    block->down = heedi_linear_find(params, weights, name_of(name, stack, block, "mlp.down"));
}

void heedi_stack_bind(heedi_stack *stack, const heed_params *params, const real *weights) {
    const heed_config *config = stack->pass.config;
    char name[64];
    heedi_embedding_bind(&stack->embedding, params, weights, config, stack->prefix);
    for (size_t i = 0; i < stack->n_blocks; i++)
        bind_block(stack, &stack->blocks[i], params, weights);
    snprintf(name, sizeof name, "%snorm", stack->prefix);
    if (config->model.norm == HEED_PRE_NORM)
        stack->norm = heedi_norm_find(params, weights, name);
    if (stack->cosines)
        heed_rotary_table(stack->cosines, stack->sines, (size_t)config->model.time,
                          (size_t)config->model.width / (size_t)config->model.heads);
}

/* --- the passes ------------------------------------------------------------------------------------------------- */

static real *last_stream(const heedi_stack *stack) {
    return stack->blocks[stack->n_blocks - 1].around_mlp.output;
}

static real *first_stream(const heedi_stack *stack) {
    const heedi_block *first = &stack->blocks[0];
    return first->network ? first->around_mlp.input : first->around_attention.input;
}

const real *heedi_stack_output(const heedi_stack *stack) {
    return stack->norm_y ? stack->norm_y : last_stream(stack);
}

const real *heedi_stack_forward(heedi_stack *stack) {
    heedi_pass *pass = &stack->pass;
    const size_t half_head = (size_t)(pass->config->model.width / pass->config->model.heads) / 2;
    const size_t first = pass->new_tokens ? pass->new_tokens->position * half_head : 0;
    pass->cosines = stack->cosines ? stack->cosines + first : NULL;
    pass->sines = stack->sines ? stack->sines + first : NULL;
    heedi_embedding_forward(pass, &stack->embedding, first_stream(stack));
    for (size_t i = 0; i < stack->n_blocks; i++)
        heedi_block_forward(pass, &stack->blocks[i]);
    heedi_need(pass, stack->kind == HEED_ENCODER_ATTENTION ? stack->norm.end : SIZE_MAX); /* the classifier's too */
    if (stack->norm_y)
        heedi_norm_forward(pass, &stack->norm, stack->norm_y, stack->norm_mean, stack->norm_rstd, last_stream(stack));
    return heedi_stack_output(stack);
}

void heedi_stack_backward(heedi_stack *stack, const real *d_y, heed_gradient *gradient) {
    heedi_pass *pass = &stack->pass;
    pass->gradient = gradient;
    if (stack->norm_y)
        heedi_norm_backward(pass, &stack->norm, stack->d_x, d_y, last_stream(stack), stack->norm_mean, stack->norm_rstd,
                            false);
    else
        memcpy(stack->d_x, d_y, pass->rows->n_rows * (size_t)pass->config->model.width * sizeof(real));
    const bool again = pass->config->train.recompute == HEED_RECOMPUTE_BLOCK;
    for (size_t i = stack->n_blocks; i-- > 0;) {
        if (again && i + 1 < stack->n_blocks) /* the last one's activations are still there */
            heedi_block_forward(pass, &stack->blocks[i]);
        heedi_block_backward(pass, &stack->blocks[i], stack->d_x);
    }
    heedi_embedding_backward(pass, &stack->embedding, stack->d_x);
}
