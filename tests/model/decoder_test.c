/* The whole model in double: every gradient against five-point differences, tensor by tensor. */
#include <math.h>
#include <stdio.h>

#include "fixture.h"
#include "heed/gemm.h"

#define VOCAB 11

typedef struct variant {
    const char *name;
    bool tied, bias, weighted;
    heed_positions positions;
    heed_activation activation;
    double dropout;
    size_t width, heads, hidden, layers, grain;
    heed_norm_place norm;
    double smoothing;
    size_t encoder_layers; /* 0: a decoder */
    size_t source_vocab;   /* 0: one vocabulary for both */
    heed_attend attention;
    heed_recompute recompute;
} variant;

static const variant variants[] = {
    {"plain", false, true, false, HEED_LEARNED, HEED_GELU, 0, 9, 3, 11, 2, .grain = 1},
    {"tied, no biases", true, false, true, HEED_LEARNED, HEED_GELU, 0, 9, 3, 7, 2, .grain = 2},
    {"tied, sinusoidal", true, true, true, HEED_SINUSOIDAL, HEED_GELU_TANH, 0, 5, 1, 13, 2, .grain = 4},
    {"rotary, relu", false, true, true, HEED_ROTARY, HEED_RELU, 0, 8, 2, 6, 2, .grain = 3},
    {"no positions, dropout", true, false, true, HEED_NO_POSITIONS, HEED_GELU_TANH, 0.2, 6, 2, 7, 2, .grain = 2},
    {"dropout everywhere", false, true, true, HEED_LEARNED, HEED_GELU, 0.3, 9, 3, 8, 2, .grain = 2},
    {"one layer, narrow", false, false, false, HEED_ROTARY, HEED_GELU, 0, 6, 3, 1, 1, .grain = 5},
    {"norm behind, smooth", true, true, true, HEED_LEARNED, HEED_GELU, 0, 6, 2, 7, 2, .grain = 2,
     .norm = HEED_POST_NORM, .smoothing = 0.1},
    {"norm behind, dropout", false, false, true, HEED_SINUSOIDAL, HEED_GELU, 0.2, 4, 2, 3, 2, .grain = 1,
     .norm = HEED_POST_NORM, .smoothing = 0.3, .recompute = HEED_RECOMPUTE_ATTENTION},
    {"norm behind, again", false, false, true, HEED_SINUSOIDAL, HEED_GELU, 0, 4, 2, 3, 2, .grain = 1,
     .norm = HEED_POST_NORM, .recompute = HEED_RECOMPUTE_BLOCK},
    {"encoder, all tied", true, true, true, HEED_LEARNED, HEED_GELU, 0, 6, 2, 7, 2, .grain = 2, .smoothing = 0.1,
     .encoder_layers = 1},
    {"encoder, two vocabularies", true, false, true, HEED_SINUSOIDAL, HEED_GELU, 0, 4, 2, 5, 1, .grain = 3,
     .norm = HEED_POST_NORM, .encoder_layers = 2, .source_vocab = 7},
    {"encoder, dropout", false, true, true, HEED_ROTARY, HEED_GELU_TANH, 0.2, 4, 2, 5, 2, .grain = 2,
     .norm = HEED_POST_NORM, .smoothing = 0.2, .encoder_layers = 2, .recompute = HEED_RECOMPUTE_ATTENTION},
    {"encoder, again", true, true, true, HEED_NO_POSITIONS, HEED_GELU, 0.1, 4, 1, 3, 2, .grain = 2, .encoder_layers = 2,
     .source_vocab = 13, .recompute = HEED_RECOMPUTE_BLOCK},
    {"encoder, uniform", true, true, false, HEED_LEARNED, HEED_GELU, 0, 4, 2, 3, 1, .grain = 1, .encoder_layers = 1,
     .attention = HEED_ATTEND_UNIFORM},
    {"encoder, random", false, true, false, HEED_LEARNED, HEED_GELU, 0, 4, 2, 3, 1, .grain = 1, .encoder_layers = 1,
     .attention = HEED_ATTEND_RANDOM},
};
#define N_VARIANTS (sizeof variants / sizeof *variants)
static const size_t lengths[] = {5, 3, 1, 4, 5, 0}; /* none longer than model.time */
static const size_t source_lengths[] = {2, 5, 4, 1, 3};

static heed_config config_of(const variant *v) {
    heed_config config = small_config();
    config.model.kind = v->encoder_layers ? HEED_ENCODER_DECODER : HEED_DECODER;
    config.model.encoder_layers = (int64_t)v->encoder_layers;
    config.model.tied = v->tied;
    config.model.bias = v->bias;
    config.model.positions = v->positions;
    config.model.scale_embeddings = v->positions == HEED_SINUSOIDAL;
    config.model.norm = v->norm;
    config.model.activation = v->activation;
    config.model.attention = v->attention;
    config.model.dropout = v->dropout;
    config.model.width = (int64_t)v->width;
    config.model.heads = (int64_t)v->heads;
    config.model.hidden = (int64_t)v->hidden;
    config.model.layers = (int64_t)v->layers;
    config.model.time = 5;
    config.model.init = HEED_INIT_UNIFORM_FAN_IN; /* of order one: differences need smoothness at their own scale */
    config.train.label_smoothing = v->smoothing;
    config.train.recompute = v->recompute;
    return config;
}

static void fill_batch(test_batch *batch, const variant *v, uint32_t site) {
    test_batch_fill(batch, lengths, v->grain, VOCAB, v->weighted, site);
    if (v->encoder_layers)
        test_batch_add_sources(batch, source_lengths, v->source_vocab ? v->source_vocab : VOCAB, site);
}

/* Random gains and biases too, so that none is special. ReLU's units are held away from their kink by large biases,
 * half of them on and half off. */
static void fill_weights(heed_model *model, const variant *v) {
    const heed_config config = config_of(v);
    const heed_params *params = heed_model_params(model);
    real *weights = heed_model_weights(model);
    heed_params_init(params, weights, &config);
    for (size_t i = 0; i < params->n_tensors; i++) {
        const heed_tensor *tensor = &params->tensors[i];
        for (size_t e = 0; e < tensor->size; e++) {
            const real draw = (real)(test_uniform(40 + (uint32_t)i, (uint32_t)e) - 0.5);
            if (tensor->role == HEED_ROLE_GAIN || tensor->role == HEED_ROLE_BIAS)
                weights[tensor->offset + e] += (real)0.6 * draw;
            if (v->activation == HEED_RELU && strstr(tensor->name, "up.bias"))
                weights[tensor->offset + e] += e % 2 ? 9 : -9;
        }
    }
}

static heed_model *create(const variant *v, const test_batch *batch, bool training) {
    heed_error error = HEED_ERROR_INIT;
    const heed_config config = config_of(v);
    heed_model *model;
    assert_int_equal(heed_model_create(&model, &config,
                                       &(heed_model_shape){.vocab = VOCAB,
                                                           .source_vocab = v->source_vocab,
                                                           .max_rows = batch->batch.rows.n_rows,
                                                           .max_source_rows = batch->batch.source.n_rows,
                                                           .max_sequences = batch->batch.rows.n_sequences,
                                                           .training = training},
                                       &error),
                     HEED_OK);
    fill_weights(model, v);
    return model;
}

/* The gradient of all grains on one rank, of tied tensors both uses. */
static void whole_gradient(real *sum, heed_model *model, const heed_batch *batch) {
    heed_error error = HEED_ERROR_INIT;
    const heed_params *params = heed_model_params(model);
    heed_gradient *gradient;
    double sequence_loss[64];
    const size_t n = batch->rows.n_grains;
    assert_int_equal(heed_gradient_create(&gradient, params, 0, n, n, &error), HEED_OK);
    heed_model_forward(model, batch, HEED_PASS_TRAIN);
    heed_model_loss(model, batch, gradient, sequence_loss, NULL);
    heed_model_backward(model, batch, gradient);
    const real *partial = heed_gradient_partial(gradient, 0);
    memcpy(sum, partial, params->n_elements * sizeof *sum);
    for (size_t i = 0; i < params->n_tensors; i++) {
        const heed_tensor *tensor = &params->tensors[i];
        for (size_t e = 0; tensor->gradient >= params->n_elements && e < tensor->size; e++)
            sum[tensor->offset + e] += partial[tensor->gradient + e];
    }
    heed_gradient_destroy(gradient);
}

/* A bias of the keys adds the same to all scores of a query (unless keys turn with their place): its true gradient is
 * 0. */
static void assert_keys_have_no_bias(const heed_params *params, const real *gradient, double whole) {
    static const char *const names[] = {"block.0.attention.qkv.bias", "encoder.block.0.attention.qkv.bias",
                                        "block.0.cross.kv.bias"};
    for (size_t n = 0; n < 3; n++) {
        const int bias = heed_params_find(params, names[n]);
        if (bias < 0)
            continue;
        const heed_tensor *tensor = &params->tensors[bias];
        const size_t width = params->tensors[bias - 1].dims[1], first = n < 2 ? width : 0;
        for (size_t e = first; e < first + width; e++)
            assert_true(fabs(gradient[tensor->offset + e]) <= 1e-13 * whole);
    }
}

static void gradients_are_the_slopes_of_the_loss(void **state) {
    (void)state;
    static test_batch batch;
    for (size_t v = 0; v < N_VARIANTS; v++) {
        fill_batch(&batch, &variants[v], (uint32_t)(200 + v));
        heed_model *model = create(&variants[v], &batch, true);
        const heed_params *params = heed_model_params(model);
        real *gradient = malloc(params->n_elements * sizeof *gradient);
        whole_gradient(gradient, model, &batch.batch);
        double whole = 0;
        for (size_t e = 0; e < params->n_elements; e++)
            whole += gradient[e] * gradient[e];
        for (size_t i = 0; i < params->n_tensors; i++) {
            const heed_tensor *tensor = &params->tensors[i];
            double norm = 0, error = 0;
            if (tensor->tied_to >= 0)
                continue;
            for (size_t e = tensor->offset; e < tensor->offset + tensor->frozen; e++)
                assert_true(gradient[e] == 0);
            for (size_t e = tensor->offset + tensor->frozen; e < tensor->offset + tensor->size;
                 e += TEST_ONE_WEIGHT_OF) {
                const double slope = test_slope(model, &batch.batch, e, 4e-4);
                norm += slope * slope;
                error += (slope - gradient[e]) * (slope - gradient[e]);
            }
            const double allowed = 1e-7 * fmax(sqrt(norm), 1e-8 * sqrt(whole));
            if (!(sqrt(error) <= allowed))
                fail_msg("%s: %s: |gradient - differences| = %g, allowed %g (norm %g of %g)", variants[v].name,
                         tensor->name, sqrt(error), allowed, sqrt(norm), sqrt(whole));
        }
        if (variants[v].positions != HEED_ROTARY)
            assert_keys_have_no_bias(params, gradient, sqrt(whole));
        free(gradient);
        heed_model_destroy(model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_the_slopes_of_the_loss),
    };
    return cmocka_run_group_tests(tests, test_open_products, NULL);
}
