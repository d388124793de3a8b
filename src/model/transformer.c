#include "transformer.h"

#include <stdlib.h>
#include <string.h>

heed_status heedi_transformer_init(heedi_transformer *model, const heed_config *config, const heed_model_shape *shape,
                                   heed_error *error) {
    const size_t n_encoder = heed_encoder_layers(config), n_decoder = (size_t)config->model.layers;
    model->blocks = calloc(n_encoder + n_decoder, sizeof *model->blocks);
    if (!model->blocks)
        return heed_fail(error, HEED_MEMORY, "model: no memory for %zu blocks", n_encoder + n_decoder);
    model->has_encoder = n_encoder > 0;
    model->encoder = (heedi_stack){.kind = HEED_ENCODER_ATTENTION,
                                   .prefix = "encoder.",
                                   .n_blocks = n_encoder,
                                   .blocks = model->blocks,
                                   .embedding.vocab = shape->source_vocab ? shape->source_vocab : shape->vocab};
    model->decoder = (heedi_stack){.kind = HEED_SELF_ATTENTION,
                                   .crosses = model->has_encoder,
                                   .prefix = "",
                                   .n_blocks = n_decoder,
                                   .blocks = model->blocks + n_encoder,
                                   .embedding.vocab = shape->vocab};
    model->classifier.vocab = shape->vocab;
    return HEED_OK;
}

void heedi_transformer_reset(heedi_transformer *model) {
    free(model->blocks);
}

/* --- memory ----------------------------------------------------------------------------------------------------- */

static void place_encoder(heedi_transformer *model, heedi_placer *placer, const heed_config *config,
                          const heed_model_shape *shape, real *scratch) {
    const size_t width = (size_t)config->model.width, rows = shape->max_source_rows;
    const heedi_stack_shape encoder = {.rows = rows, .training = shape->training};
    heedi_stack_place(&model->encoder, placer, config, &encoder, scratch);
    if (!shape->training)
        return;
    model->memory.d_y = heedi_place(placer, rows, width);
    model->memory.d_heads = heedi_place(placer, rows, 2 * width);
}

static void place_hypotheses(heedi_transformer *model, heedi_placer *placer, size_t most) {
    model->max_hypotheses = most;
    model->slot = heedi_place_bytes(placer, heed_bytes(most, sizeof *model->slot));
    model->next_slot = heedi_place_bytes(placer, heed_bytes(most, sizeof *model->next_slot));
    model->is_taken = heedi_place_bytes(placer, most);
    model->first_row = heedi_place_bytes(placer, heed_bytes(most + 1, sizeof *model->first_row));
    model->sequence = heedi_place_bytes(placer, heed_bytes(most, sizeof *model->sequence));
}

void heedi_transformer_place(heedi_transformer *model, heedi_placer *placer, const heed_config *config,
                             const heed_model_shape *shape) {
    const size_t hypotheses = shape->training ? 0 : shape->max_hypotheses;
    const heedi_stack_shape decoder = {.rows = shape->max_rows,
                                       .source_rows = shape->max_source_rows,
                                       .hypotheses = hypotheses,
                                       .training = shape->training};
    real *scratch = heedi_place(placer, heedi_stack_scratch(config), 1);
    if (model->has_encoder)
        place_encoder(model, placer, config, shape, scratch);
    heedi_stack_place(&model->decoder, placer, config, &decoder, scratch);
    heedi_classifier_place(&model->classifier, placer, shape->max_rows, hypotheses);
    if (hypotheses > 0)
        place_hypotheses(model, placer, hypotheses);
}

void heedi_transformer_bind(heedi_transformer *model, const heed_params *params, const real *weights) {
    if (model->has_encoder)
        heedi_stack_bind(&model->encoder, params, weights);
    heedi_stack_bind(&model->decoder, params, weights);
    heedi_classifier_bind(&model->classifier, params, weights);
    for (size_t i = 0; i < model->max_hypotheses; i++) {
        model->first_row[i + 1] = i + 1;
        model->sequence[i] = (uint32_t)i;
    }
}

/* --- the passes ------------------------------------------------------------------------------------------------- */

static void begin_pass(heedi_stack *stack, const heed_batch *batch, const heed_ragged *rows, const int32_t *token,
                       heed_pass kind) {
    heedi_pass *pass = &stack->pass;
    pass->batch = batch;
    pass->rows = rows;
    pass->token = token;
    pass->kind = kind;
    pass->new_tokens = NULL;
}

/* The sources of a batch to what the decoder attends to. */
static void encode(heedi_transformer *model, const heed_batch *batch, heed_pass kind) {
    if (!model->has_encoder)
        return;
    begin_pass(&model->encoder, batch, &batch->source, batch->source_token, kind);
    model->memory.y = heedi_stack_forward(&model->encoder);
    model->memory.rows = &batch->source;
    model->decoder.pass.memory = &model->memory;
}

void heedi_transformer_forward(heedi_transformer *model, const heed_batch *batch, heed_pass kind) {
    encode(model, batch, kind);
    begin_pass(&model->decoder, batch, &batch->rows, batch->token, kind);
    heedi_stack_forward(&model->decoder);
}

void heedi_transformer_backward(heedi_transformer *model, heed_gradient *gradient) {
    if (model->has_encoder)
        memset(model->memory.d_y, 0,
               model->memory.rows->n_rows * (size_t)model->encoder.pass.config->model.width * sizeof(real));
    heedi_stack_backward(&model->decoder, model->decoder.pass.branch, gradient);
    if (model->has_encoder)
        heedi_stack_backward(&model->encoder, model->memory.d_y, gradient);
}

/* --- decoding --------------------------------------------------------------------------------------------------- */

void heedi_transformer_begin(heedi_transformer *model, const int32_t *source, size_t n_source) {
    model->new_tokens.position = 0;
    model->n_hypotheses = 1; /* whose cache is empty */
    model->slot[0] = 0;
    model->source_row[1] = n_source;
    model->batch.source = (heed_ragged){.n_rows = n_source,
                                        .n_sequences = 1,
                                        .max_length = n_source,
                                        .first_row = model->source_row,
                                        .sequence = model->sequence};
    model->batch.source_token = source;
    encode(model, &model->batch, HEED_PASS_EVAL);
    for (size_t i = 0; i < model->decoder.n_blocks && model->has_encoder; i++)
        heedi_attention_layer_remember(&model->decoder.pass, &model->decoder.blocks[i].cross);
    model->batch.source_token = NULL; /* the caller's, who need not keep it */
}

/* Copies the cached part of a slot, in all layers. */
static void copy_slot(const heedi_transformer *model, size_t to, size_t from) {
    const heed_config *config = model->decoder.pass.config;
    const size_t width = (size_t)config->model.width, time = (size_t)config->model.time;
    for (size_t i = 0; i < model->decoder.n_blocks; i++) {
        const heedi_block *block = &model->decoder.blocks[i];
        real *cache = block->network ? block->window_cache : block->attention.cache;
        const size_t row = block->network ? width : 2 * width;
        memcpy(cache + to * time * row, cache + from * time * row, model->new_tokens.position * row * sizeof(real));
    }
}

/* The first to go on from a hypothesis gets its cache, the others copies in slots that nobody goes on from: there are
 * never too few, since every slot has one hypothesis at most. */
static void follow(heedi_transformer *model, const size_t *parent, size_t n) {
    for (size_t i = 0; i < model->max_hypotheses; i++)
        model->is_taken[i] = false;
    for (size_t i = 0; i < n; i++) {
        const size_t from = parent ? parent[i] : i;
        HEED_CHECK(from < model->n_hypotheses);
        const bool is_first = !model->is_taken[model->slot[from]];
        model->next_slot[i] = is_first ? model->slot[from] : model->max_hypotheses; /* known below */
        model->is_taken[model->slot[from]] = true;
    }
    for (size_t i = 0, empty = 0; i < n; i++) {
        if (model->next_slot[i] < model->max_hypotheses)
            continue;
        while (model->is_taken[empty])
            empty++;
        model->is_taken[empty] = true;
        model->next_slot[i] = empty;
        copy_slot(model, empty, model->slot[parent[i]]);
    }
    size_t *slot = model->slot;
    model->slot = model->next_slot;
    model->next_slot = slot;
    model->n_hypotheses = n;
}

const real *heedi_transformer_next(heedi_transformer *model, const int32_t *token, const size_t *parent, size_t n) {
    heedi_stack *decoder = &model->decoder;
    follow(model, parent, n);
    model->batch.rows = (heed_ragged){
        .n_rows = n, .n_sequences = n, .max_length = 1, .first_row = model->first_row, .sequence = model->sequence};
    begin_pass(decoder, &model->batch, &model->batch.rows, token, HEED_PASS_EVAL);
    model->new_tokens.slot = model->slot;
    decoder->pass.new_tokens = &model->new_tokens;
    const real *y = heedi_stack_forward(decoder);
    const real *logits = heedi_classifier_logits(&model->classifier, &decoder->pass, y, n);
    decoder->pass.batch = NULL;
    model->new_tokens.position++;
    return logits;
}
