/* The interface: owns configuration, table, parameters and the memory of activations, and leaves computing to the
 * decoder. */
#include "heed/model.h"

#include <stdlib.h>

#include "decoder.h"

struct heed_model {
    heed_config config;
    heed_model_shape shape;
    heed_params *params;
    heed_arena weight_arena, activation_arena;
    real *weights;
    heedi_decoder decoder;
};

static heed_status allocate(heed_model *model, heed_error *error) {
    heed_status status =
        heed_params_create(&model->params, &model->config, model->shape.vocab, model->shape.source_vocab, error);
    if (status != HEED_OK)
        return status;
    const size_t weight_bytes = heed_bytes(model->params->n_elements, sizeof(real));
    status = heed_arena_init(&model->weight_arena, weight_bytes, "parameters", error);
    if (status != HEED_OK)
        return status;
    model->weights = heed_arena_take(&model->weight_arena, weight_bytes);
    model->decoder.blocks = calloc((size_t)model->config.model.layers, sizeof *model->decoder.blocks);
    if (!model->decoder.blocks)
        return heed_fail(error, HEED_MEMORY, "model: no memory for %lld blocks", (long long)model->config.model.layers);

    heedi_placer plan = {0};
    heedi_decoder_place(&model->decoder, &plan, &model->config, &model->shape);
    status = heed_arena_init(&model->activation_arena, plan.bytes, "activations", error);
    if (status != HEED_OK)
        return status;
    heedi_placer placer = {.arena = &model->activation_arena};
    heedi_decoder_place(&model->decoder, &placer, &model->config, &model->shape);
    heedi_decoder_bind(&model->decoder, model->params, model->weights);
    return HEED_OK;
}

heed_status heed_model_activations(const heed_config *config, const heed_model_shape *shape, size_t *bytes,
                                   heed_error *error) {
    heedi_decoder decoder = {.blocks = calloc((size_t)config->model.layers, sizeof *decoder.blocks)};
    if (!decoder.blocks)
        return heed_fail(error, HEED_MEMORY, "model: no memory for %lld blocks", (long long)config->model.layers);
    heedi_placer count = {0};
    heedi_decoder_place(&decoder, &count, config, shape);
    *bytes = count.bytes;
    free(decoder.blocks);
    return HEED_OK;
}

heed_status heed_model_create(heed_model **model, const heed_config *config, const heed_model_shape *shape,
                              heed_error *error) {
    *model = NULL;
    HEED_CHECK(config->model.hidden > 0 && config->model.layers > 0 && config->model.width % config->model.heads == 0);
    heed_model *made = calloc(1, sizeof *made);
    if (!made)
        return heed_fail(error, HEED_MEMORY, "model: cannot get %zu bytes of memory", sizeof *made);
    made->config = *config;
    made->shape = *shape;
    made->shape.max_rows += made->shape.max_rows == 0;
    const heed_status status = allocate(made, error);
    if (status != HEED_OK) {
        heed_model_destroy(made);
        return status;
    }
    *model = made;
    return HEED_OK;
}

void heed_model_destroy(heed_model *model) {
    if (!model)
        return;
    heed_params_destroy(model->params);
    heed_arena_reset(&model->weight_arena);
    heed_arena_reset(&model->activation_arena);
    free(model->decoder.blocks);
    free(model);
}

const heed_params *heed_model_params(const heed_model *model) {
    return model->params;
}

real *heed_model_weights(heed_model *model) {
    return model->weights;
}

size_t heed_model_vocab(const heed_model *model) {
    return model->shape.vocab;
}

size_t heed_model_activation_bytes(const heed_model *model) {
    return model->activation_arena.capacity_bytes;
}

void heed_model_observe(heed_model *model, heed_attention_observer *observer, void *context) {
    model->decoder.pass.observer = observer;
    model->decoder.pass.observer_context = context;
}

void heed_model_forward(heed_model *model, const heed_batch *batch, heed_pass pass) {
    HEED_CHECK(batch->rows.n_rows <= model->shape.max_rows && batch->rows.n_sequences <= model->shape.max_sequences);
    HEED_CHECK(batch->rows.max_length <= (size_t)model->config.model.time);
    HEED_CHECK(pass == HEED_PASS_EVAL || model->shape.training);
    heedi_decoder_forward(&model->decoder, batch, pass);
}

void heed_model_loss(heed_model *model, const heed_batch *batch, heed_gradient *gradient, double *sequence_loss,
                     real *token_loss) {
    const heed_ragged *rows = &batch->rows;
    const real *loss = model->decoder.loss;
    HEED_CHECK(batch == model->decoder.pass.batch);
    HEED_CHECK(gradient == NULL || model->decoder.pass.kind != HEED_PASS_EVAL);
    heedi_decoder_loss(&model->decoder, gradient);
    for (size_t s = 0; s < rows->n_sequences; s++) {
        sequence_loss[s] = 0;
        for (size_t r = rows->first_row[s]; r < rows->first_row[s + 1]; r++)
            sequence_loss[s] += (double)loss[r];
    }
    if (token_loss)
        for (size_t r = 0; r < rows->n_rows; r++)
            token_loss[r] = loss[r];
}

void heed_model_predict(heed_model *model, const heed_batch *batch, int32_t *best) {
    HEED_CHECK(batch == model->decoder.pass.batch && model->decoder.pass.kind == HEED_PASS_EVAL);
    heedi_decoder_predict(&model->decoder, best);
}

void heed_model_backward(heed_model *model, const heed_batch *batch, heed_gradient *gradient) {
    HEED_CHECK(batch == model->decoder.pass.batch && model->decoder.pass.kind != HEED_PASS_EVAL);
    heedi_decoder_backward(&model->decoder, gradient);
}

void heed_model_cache_clear(heed_model *model) {
    HEED_CHECK(!model->shape.training);
    model->decoder.n_cached = 0;
}

const real *heed_model_next_logits(heed_model *model, int32_t token) {
    HEED_CHECK(!model->shape.training);
    return heedi_decoder_next_logits(&model->decoder, token);
}
