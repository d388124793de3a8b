/* The interface: owns configuration, table, parameters and the memory of activations, and leaves computing to the
 * transformer. */
#include "heed/model.h"

#include <stdlib.h>

#include "transformer.h"

struct heed_model {
    heed_config config;
    heed_model_shape shape;
    heed_params *params;
    heed_arena weight_arena, activation_arena;
    real *weights;
    heedi_transformer transformer;
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
    status = heedi_transformer_init(&model->transformer, &model->config, &model->shape, error);
    if (status != HEED_OK)
        return status;

    heedi_placer plan = {0};
    heedi_transformer_place(&model->transformer, &plan, &model->config, &model->shape);
    status = heed_arena_init(&model->activation_arena, plan.bytes, "activations", error);
    if (status != HEED_OK)
        return status;
    heedi_placer placer = {.arena = &model->activation_arena};
    heedi_transformer_place(&model->transformer, &placer, &model->config, &model->shape);
    heedi_transformer_bind(&model->transformer, model->params, model->weights);
    return HEED_OK;
}

/* Room for at least one row and, where it does not train, for one hypothesis. */
static heed_model_shape rounded(const heed_model_shape *shape) {
    heed_model_shape at_least = *shape;
    at_least.max_hypotheses += at_least.max_hypotheses == 0;
    if (!shape->training && at_least.max_rows < at_least.max_hypotheses)
        at_least.max_rows = at_least.max_hypotheses;
    at_least.max_rows += at_least.max_rows == 0;
    at_least.max_source_rows += at_least.max_source_rows == 0;
    return at_least;
}

heed_status heed_model_activations(const heed_config *config, const heed_model_shape *shape, size_t *bytes,
                                   heed_error *error) {
    const heed_model_shape at_least = rounded(shape);
    heedi_transformer transformer = {0};
    const heed_status status = heedi_transformer_init(&transformer, config, &at_least, error);
    heedi_placer count = {0};
    if (status == HEED_OK)
        heedi_transformer_place(&transformer, &count, config, &at_least);
    *bytes = count.bytes;
    heedi_transformer_reset(&transformer);
    return status;
}

heed_status heed_model_create(heed_model **model, const heed_config *config, const heed_model_shape *shape,
                              heed_error *error) {
    *model = NULL;
    HEED_CHECK(config->model.hidden > 0 && config->model.layers > 0 && config->model.width % config->model.heads == 0);
    heed_model *made = calloc(1, sizeof *made);
    if (!made)
        return heed_fail(error, HEED_MEMORY, "model: cannot get %zu bytes of memory", sizeof *made);
    made->config = *config;
    made->shape = rounded(shape);
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
    heedi_transformer_reset(&model->transformer);
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
    heedi_stack *const stacks[] = {&model->transformer.encoder, &model->transformer.decoder};
    for (size_t i = 0; i < 2; i++) {
        stacks[i]->pass.observer = observer;
        stacks[i]->pass.observer_context = context;
    }
}

void heed_model_listen(heed_model *model, heed_weights_needed *needed, void *context) {
    heedi_stack *const stacks[] = {&model->transformer.encoder, &model->transformer.decoder};
    for (size_t i = 0; i < 2; i++) {
        stacks[i]->pass.needed = needed;
        stacks[i]->pass.needed_context = context;
    }
}

void heed_model_forward(heed_model *model, const heed_batch *batch, heed_pass pass) {
    HEED_CHECK(batch->rows.n_rows <= model->shape.max_rows && batch->rows.n_sequences <= model->shape.max_sequences);
    HEED_CHECK(batch->rows.max_length <= (size_t)model->config.model.time);
    HEED_CHECK(pass == HEED_PASS_EVAL || model->shape.training);
    if (model->transformer.has_encoder) {
        HEED_CHECK(batch->source_token && batch->source.n_rows <= model->shape.max_source_rows);
        HEED_CHECK(batch->source.max_length <= (size_t)model->config.model.time);
    }
    heedi_transformer_forward(&model->transformer, batch, pass);
}

void heed_model_loss(heed_model *model, const heed_batch *batch, heed_gradient *gradient, double *sequence_loss,
                     real *token_loss) {
    const heed_ragged *rows = &batch->rows;
    heedi_stack *decoder = &model->transformer.decoder;
    const real *loss = model->transformer.classifier.loss;
    HEED_CHECK(batch == decoder->pass.batch);
    HEED_CHECK(gradient == NULL || decoder->pass.kind != HEED_PASS_EVAL);
    heedi_classifier_losses(&model->transformer.classifier, &decoder->pass, heedi_stack_output(decoder), gradient);
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
    const heedi_stack *decoder = &model->transformer.decoder;
    HEED_CHECK(batch == decoder->pass.batch && decoder->pass.kind == HEED_PASS_EVAL);
    heedi_classifier_predict(&model->transformer.classifier, &decoder->pass, heedi_stack_output(decoder), best);
}

void heed_model_backward(heed_model *model, const heed_batch *batch, heed_gradient *gradient) {
    const heedi_pass *pass = &model->transformer.decoder.pass;
    HEED_CHECK(batch == pass->batch && pass->kind != HEED_PASS_EVAL);
    heedi_transformer_backward(&model->transformer, gradient);
}

void heed_model_decode_begin(heed_model *model, const int32_t *source, size_t n_source) {
    HEED_CHECK(!model->shape.training && model->transformer.has_encoder == (n_source > 0));
    HEED_CHECK(n_source <= model->shape.max_source_rows && n_source <= (size_t)model->config.model.time);
    heedi_transformer_begin(&model->transformer, source, n_source);
}

const real *heed_model_decode(heed_model *model, const int32_t *token, const size_t *parent, size_t n_hypotheses) {
    HEED_CHECK(!model->shape.training && n_hypotheses > 0 && n_hypotheses <= model->shape.max_hypotheses);
    HEED_CHECK(model->transformer.new_tokens.position < (size_t)model->config.model.time);
    return heedi_transformer_next(&model->transformer, token, parent, n_hypotheses);
}
