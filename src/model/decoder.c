/* tokens -> embedding -> blocks -> norm -> classifier -> losses, and the same way back.
 *
 * The classifier stands between forward and backward: its logits are large, so they live for a block of rows only, and
 * the loss, the gradient of the hidden state and that of the classifier are computed while they are there. */
#include "decoder.h"

#include <stdio.h>
#include <string.h>

#include "heed/nn/attention.h"
#include "heed/nn/attention_table.h"
#include "heed/nn/embedding.h"
#include "heed/nn/linear.h"
#include "heed/nn/loss.h"
#include "window_linear.h"

/* --- memory ----------------------------------------------------------------------------------------------------- */

static void place_attention(heedi_block *block, heedi_placer *placer, const heed_config *config, size_t rows) {
    block->norm1_y = heedi_place(placer, rows, (size_t)config->model.width);
    block->norm1_mean = heedi_place(placer, rows, 1);
    block->norm1_rstd = heedi_place(placer, rows, 1);
    heedi_attention_layer_place(&block->attention, placer, config, rows);
}

/* first: the block whose attention arrays all use, when backward computes attention again. */
static void place_block(heedi_block *block, heedi_placer *placer, const heed_config *config,
                        const heed_model_shape *shape, const heedi_block *first) {
    const size_t width = (size_t)config->model.width, hidden = (size_t)config->model.hidden, rows = shape->max_rows;
    const size_t room = shape->training && hidden < 3 * width ? 3 * width : hidden;
    if (block != first && config->train.recompute == HEED_RECOMPUTE_ATTENTION)
        *block = *first;
    else
        place_attention(block, placer, config, rows);
    block->norm2_y = heedi_place(placer, rows, width);
    block->norm2_mean = heedi_place(placer, rows, 1);
    block->norm2_rstd = heedi_place(placer, rows, 1);
    block->hidden = heedi_place(placer, rows, room);
    block->active = heedi_place(placer, rows, hidden);
}

/* Blocks for training keep their activations, or all but the stream when backward computes them again; else all use
 * those of the first one, and one array is the stream. */
static void place_blocks(heedi_decoder *decoder, heedi_placer *placer, const heed_config *config,
                         const heed_model_shape *shape) {
    const size_t width = (size_t)config->model.width;
    const bool keeps = shape->training && config->train.recompute != HEED_RECOMPUTE_BLOCK;
    real *stream = heedi_place(placer, shape->max_rows, width);
    for (size_t i = 0; i < decoder->n_blocks; i++) {
        heedi_block *block = &decoder->blocks[i];
        if (i == 0 || keeps)
            place_block(block, placer, config, shape, &decoder->blocks[0]);
        else
            *block = decoder->blocks[0];
        block->layer = block->attention.layer = i;
        block->attention.causal = true;
        block->attention.site = HEEDI_DROP_WEIGHTS(i);
        block->network = heed_variant_of(config)->network;
        block->input = stream;
        block->again = config->train.recompute == HEED_RECOMPUTE_ATTENTION && shape->training && !block->network &&
                       i + 1 < decoder->n_blocks;
        if (!shape->training || block->network)
            block->middle = stream;
        else if (i == 0 || keeps)
            block->middle = heedi_place(placer, shape->max_rows, width);
        block->output = shape->training ? heedi_place(placer, shape->max_rows, width) : stream;
        stream = block->output;
    }
}

static void place_positions(heedi_decoder *decoder, heedi_placer *placer, const heed_config *config) {
    const size_t width = (size_t)config->model.width, time = (size_t)config->model.time;
    const size_t half_head = width / (size_t)config->model.heads / 2;
    const bool rotary = config->model.positions == HEED_ROTARY;
    decoder->sinusoids = config->model.positions == HEED_SINUSOIDAL ? heedi_place(placer, time, width) : NULL;
    decoder->cosines = rotary ? heedi_place(placer, time, half_head) : NULL;
    decoder->sines = rotary ? heedi_place(placer, time, half_head) : NULL;
}

/* What the variant of attention needs at most. */
static size_t scratch_size(const heed_config *config) {
    const size_t width = (size_t)config->model.width, time = (size_t)config->model.time;
    const size_t heads = (size_t)config->model.heads;
    const heed_variant *variant = heed_variant_of(config);
    return variant->network ? heedi_window_scratch(time, time, width)
           : variant->table ? heed_attention_table_scratch(time, heads)
                            : heed_attention_scratch(time, width / heads);
}

/* Tokens without places, where the variant needs them. */
static void place_content(heedi_decoder *decoder, heedi_placer *placer, const heed_model_shape *shape) {
    const heed_config *config = decoder->pass.config;
    if (!heed_variant_of(config)->content)
        return;
    heedi_content_place(&decoder->content, placer, shape->max_rows, (size_t)config->model.width, shape->training);
    decoder->pass.content = &decoder->content;
}

void heedi_decoder_place(heedi_decoder *decoder, heedi_placer *placer, const heed_config *config,
                         const heed_model_shape *shape) {
    const size_t width = (size_t)config->model.width, rows = shape->max_rows, time = (size_t)config->model.time;
    const size_t loss_rows = rows < HEED_LOSS_BLOCK ? rows : HEED_LOSS_BLOCK;
    heedi_pass *pass = &decoder->pass;
    decoder->n_blocks = (size_t)config->model.layers;
    decoder->vocab = shape->vocab;
    pass->config = config;
    place_positions(decoder, placer, config);
    place_blocks(decoder, placer, config, shape);
    decoder->norm_y = heedi_place(placer, rows, width);
    decoder->norm_mean = heedi_place(placer, rows, 1);
    decoder->norm_rstd = heedi_place(placer, rows, 1);
    decoder->logits = heedi_place(placer, loss_rows, shape->vocab);
    decoder->loss = heedi_place(placer, rows, 1);
    pass->attention_scratch = heedi_place(placer, scratch_size(config), 1);
    place_content(decoder, placer, shape);
    pass->branch = heedi_place(placer, rows, width);
    if (shape->training) {
        decoder->d_x = heedi_place(placer, rows, width);
        decoder->used = heedi_place_indices(placer, rows);
        decoder->use = heedi_place_indices(placer, rows);
        decoder->place = heedi_place_indices(placer, shape->vocab);
    } else {
        decoder->cache = heedi_place(placer, heed_bytes(decoder->n_blocks, time), 2 * width);
    }
}

static size_t find(const heed_params *params, const char *name) {
    const int tensor = heed_params_find(params, name);
    HEED_CHECK(tensor >= 0);
    return (size_t)tensor;
}

static void bind_block(heedi_block *block, const heed_params *params, const real *weights) {
    char name[64];
    const int layer = (int)block->layer;
    if (!block->network) {
        snprintf(name, sizeof name, "block.%d.norm1", layer);
        block->norm1 = heedi_norm_find(params, weights, name);
        snprintf(name, sizeof name, "block.%d.attention", layer);
        heedi_attention_layer_bind(&block->attention, params, weights, name);
    }
    snprintf(name, sizeof name, "block.%d.norm2", layer);
    block->norm2 = heedi_norm_find(params, weights, name);
    snprintf(name, sizeof name, "block.%d.mlp.up", layer);
    block->up = heedi_linear_find(params, weights, name);
    snprintf(name, sizeof name, "block.%d.mlp.down", layer);
    block->down = heedi_linear_find(params, weights, name);
}

void heedi_decoder_bind(heedi_decoder *decoder, const heed_params *params, const real *weights) {
    const heed_config *config = decoder->pass.config;
    const size_t width = (size_t)config->model.width, time = (size_t)config->model.time;
    decoder->token_tensor = find(params, "token.weight");
    decoder->token = weights + params->tensors[decoder->token_tensor].offset;
    decoder->output_tensor = find(params, "output.weight");
    decoder->output = weights + params->tensors[decoder->output_tensor].offset;
    decoder->norm = heedi_norm_find(params, weights, "norm");
    for (size_t i = 0; i < decoder->n_blocks; i++)
        bind_block(&decoder->blocks[i], params, weights);
    decoder->positions = decoder->sinusoids;
    if (config->model.positions == HEED_LEARNED) {
        decoder->position_tensor = find(params, "position.weight");
        decoder->positions = weights + params->tensors[decoder->position_tensor].offset;
    }
    if (decoder->sinusoids)
        heed_sinusoidal_positions(decoder->sinusoids, time, width);
    if (decoder->cosines)
        heed_rotary_table(decoder->cosines, decoder->sines, time, width / (size_t)config->model.heads);
}

/* --- embedding -------------------------------------------------------------------------------------------------- */

static void embed_forward(const heedi_decoder *decoder, const real *positions) {
    const heedi_pass *pass = &decoder->pass;
    real *x = decoder->blocks[0].input;
    heed_embedding_forward(x, pass->batch->token, decoder->token, positions, &pass->batch->rows,
                           (size_t)pass->config->model.width, 1);
    heedi_drop(pass, x, HEEDI_DROP_EMBEDDING);
    if (pass->content)
        heedi_content_forward(pass, decoder->token);
}

/* Lists the tokens that occur: in a large vocabulary they are few, and the others' gradients are zero. */
static void list_tokens(heedi_decoder *decoder) {
    const heed_batch *batch = decoder->pass.batch;
    memset(decoder->place, 0, decoder->vocab * sizeof *decoder->place);
    for (size_t r = 0; r < batch->rows.n_rows; r++)
        decoder->place[batch->token[r]] = 1;
    decoder->n_used = 0;
    for (size_t v = 0; v < decoder->vocab; v++)
        if (decoder->place[v]) {
            decoder->place[v] = (int32_t)decoder->n_used;
            decoder->used[decoder->n_used++] = (int32_t)v;
        }
    for (size_t r = 0; r < batch->rows.n_rows; r++)
        decoder->use[r] = decoder->place[batch->token[r]];
}

static void sum_tokens(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    const heedi_decoder *decoder = context;
    (void)grain;
    heed_embedding_backward_table(d[0], decoder->d_x, decoder->use, first_row, n_rows, decoder->n_used,
                                  (size_t)decoder->pass.config->model.width, 1);
}

static void sum_positions(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    const heedi_decoder *decoder = context;
    const heed_config *config = decoder->pass.config;
    (void)first_row;
    (void)n_rows;
    heed_embedding_backward_positions(d[0], decoder->d_x, &decoder->pass.batch->rows, grain, (size_t)config->model.time,
                                      (size_t)config->model.width);
}

static void embed_backward(heedi_decoder *decoder) {
    const heedi_pass *pass = &decoder->pass;
    if (!pass->gradient)
        return;
    heedi_drop(pass, decoder->d_x, HEEDI_DROP_EMBEDDING);
    if (pass->config->model.positions == HEED_LEARNED)
        heed_gradient_sum(pass->gradient, &pass->batch->rows, &decoder->position_tensor, 1, sum_positions, decoder);
    if (pass->content)
        heedi_content_backward(pass, decoder->d_x);
    list_tokens(decoder);
    heed_gradient_sum_entries(pass->gradient, &pass->batch->rows, decoder->token_tensor, decoder->used, decoder->n_used,
                              sum_tokens, decoder);
}

/* --- the passes ------------------------------------------------------------------------------------------------- */

static const real *last_output(const heedi_decoder *decoder) {
    return decoder->blocks[decoder->n_blocks - 1].output;
}

void heedi_decoder_forward(heedi_decoder *decoder, const heed_batch *batch, heed_pass kind) {
    heedi_pass *pass = &decoder->pass;
    pass->batch = batch;
    pass->rows = &batch->rows;
    pass->kind = kind;
    pass->cosines = decoder->cosines;
    pass->sines = decoder->sines;
    embed_forward(decoder, decoder->positions);
    for (size_t i = 0; i < decoder->n_blocks; i++)
        heedi_block_forward(pass, &decoder->blocks[i]);
    heedi_norm_forward(pass, &decoder->norm, decoder->norm_y, decoder->norm_mean, decoder->norm_rstd,
                       last_output(decoder));
}

/* Losses of some rows, the gradient of their hidden states into pass->branch, and that of the classifier into d_output
 * unless NULL. The last block's logits become their own gradient. */
static void classify(const heedi_decoder *decoder, real *d_output, size_t first_row, size_t n_rows) {
    const heedi_pass *pass = &decoder->pass;
    const size_t width = (size_t)pass->config->model.width;
    real *d_x = pass->kind == HEED_PASS_EVAL ? NULL : pass->branch + first_row * width;
    heed_classifier_loss(decoder->loss + first_row, d_x, d_output, decoder->logits, decoder->norm_y + first_row * width,
                         decoder->output, pass->batch->target + first_row, pass->batch->weight + first_row, n_rows,
                         width, decoder->vocab);
}

/* The rows from the start of a grain that fit into one block of logits: this grain and the next ones, whole. */
static size_t rows_of_whole_grains(const heed_ragged *rows, size_t grain) {
    const size_t first = heed_grain_row(rows, grain);
    while (grain + 1 < rows->n_grains && heed_grain_row(rows, grain + 2) - first <= HEED_LOSS_BLOCK)
        grain++;
    return heed_grain_row(rows, grain + 1) - first;
}

/* Small grains share a block: products with a large vocabulary cost almost the same for few rows as for many. */
static void sum_classifier(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    heedi_decoder *decoder = context;
    const size_t width = (size_t)decoder->pass.config->model.width;
    if (n_rows > HEED_LOSS_BLOCK) {
        classify(decoder, d[0], first_row, n_rows);
        return;
    }
    if (first_row >= decoder->classified) {
        decoder->block_first = first_row;
        decoder->classified = first_row + rows_of_whole_grains(&decoder->pass.batch->rows, grain);
        classify(decoder, NULL, first_row, decoder->classified - first_row);
    }
    heed_linear_backward_weight(d[0], NULL, decoder->norm_y + first_row * width,
                                decoder->logits + (first_row - decoder->block_first) * decoder->vocab, n_rows, width,
                                decoder->vocab);
}

void heedi_decoder_loss(heedi_decoder *decoder, heed_gradient *gradient) {
    const heed_ragged *rows = &decoder->pass.batch->rows;
    decoder->classified = 0;
    if (gradient)
        heed_gradient_sum(gradient, rows, &decoder->output_tensor, 1, sum_classifier, decoder);
    else
        classify(decoder, NULL, 0, rows->n_rows);
}

static int32_t largest(const real *logits, size_t vocab) {
    size_t best = 0;
    for (size_t v = 1; v < vocab; v++)
        best = logits[v] > logits[best] ? v : best;
    return (int32_t)best;
}

void heedi_decoder_predict(heedi_decoder *decoder, int32_t *best) {
    const size_t rows = decoder->pass.batch->rows.n_rows, width = (size_t)decoder->pass.config->model.width;
    for (size_t first = 0; first < rows; first += HEED_LOSS_BLOCK) {
        const size_t n = rows - first < HEED_LOSS_BLOCK ? rows - first : HEED_LOSS_BLOCK;
        heed_linear_forward(decoder->logits, decoder->norm_y + first * width, decoder->output, NULL, n, width,
                            decoder->vocab);
#pragma omp parallel for schedule(static)
        for (size_t r = 0; r < n; r++)
            best[first + r] = largest(decoder->logits + r * decoder->vocab, decoder->vocab);
    }
}

void heedi_decoder_backward(heedi_decoder *decoder, heed_gradient *gradient) {
    heedi_pass *pass = &decoder->pass;
    pass->gradient = gradient;
    heedi_norm_backward(pass, &decoder->norm, decoder->d_x, pass->branch, last_output(decoder), decoder->norm_mean,
                        decoder->norm_rstd, false);
    const bool again = pass->config->train.recompute == HEED_RECOMPUTE_BLOCK;
    for (size_t i = decoder->n_blocks; i-- > 0;) {
        if (again && i + 1 < decoder->n_blocks) /* the last one's activations are still there */
            heedi_block_forward(pass, &decoder->blocks[i]);
        heedi_block_backward(pass, &decoder->blocks[i], decoder->d_x);
    }
    embed_backward(decoder);
}

/* --- decoding one token after the other ------------------------------------------------------------------------- */

const real *heedi_decoder_next_logits(heedi_decoder *decoder, int32_t token) {
    heedi_pass *pass = &decoder->pass;
    const heed_config *config = pass->config;
    const size_t width = (size_t)config->model.width, time = (size_t)config->model.time;
    const size_t position = decoder->n_cached++, half_head = width / (size_t)config->model.heads / 2;
    const size_t first_row[2] = {0, 1}, first_of[2] = {0, 1};
    const uint32_t sequence = 0;
    const heed_batch batch = {.rows = {.n_rows = 1,
                                       .n_sequences = 1,
                                       .max_length = 1,
                                       .first_row = first_row,
                                       .sequence = &sequence,
                                       .n_grains = 1,
                                       .first_of = first_of},
                              .token = &token};
    HEED_CHECK(position < time);
    pass->batch = &batch;
    pass->rows = &batch.rows;
    pass->kind = HEED_PASS_EVAL;
    pass->cosines = decoder->cosines ? decoder->cosines + position * half_head : NULL;
    pass->sines = decoder->sines ? decoder->sines + position * half_head : NULL;
    embed_forward(decoder, decoder->positions ? decoder->positions + position * width : NULL);
    for (size_t i = 0; i < decoder->n_blocks; i++)
        heedi_block_next(pass, &decoder->blocks[i], decoder->cache + i * time * 2 * width, position);
    heedi_norm_forward(pass, &decoder->norm, decoder->norm_y, decoder->norm_mean, decoder->norm_rstd,
                       last_output(decoder));
    heed_linear_forward(decoder->logits, decoder->norm_y, decoder->output, NULL, 1, width, decoder->vocab);
    pass->batch = NULL;
    pass->rows = NULL;
    return decoder->logits;
}
