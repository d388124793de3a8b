/* An encoder with an attention of its own: it sees what it may, its gradients are the slopes of the loss, and what is
 * frozen stays; the decoder is none the wiser. */
#include <math.h>

#include "fixture.h"
#include "heed/nn/attention.h"
#include "heed/variant.h"

#define VOCAB 11
#define TIME 7
#define TOLERANCE (sizeof(real) == 8 ? 1e-11 : 2e-5)

static const size_t lengths[] = {5, 3, 7, 0}, source_lengths[] = {6, 7, 2};
static const heed_encoder_attend all[] = {HEED_ENCODER_AS_DECODER, HEED_ENCODER_SOFTMAX, HEED_ENCODER_UNIFORM,
                                          HEED_ENCODER_RANDOM, HEED_ENCODER_NONE};
enum { N_ALL = sizeof all / sizeof *all };

static heed_config config_of(heed_encoder_attend encoder) {
    heed_config config = small_config();
    config.model.kind = HEED_ENCODER_DECODER;
    config.model.encoder_layers = 2;
    config.model.layers = 1;
    config.model.encoder_attention = encoder;
    config.model.heads = 2;
    config.model.width = 8;
    config.model.hidden = 9;
    config.model.time = TIME;
    config.model.init = HEED_INIT_UNIFORM_FAN_IN;
    return config;
}

static heed_model *create(const heed_config *config, bool training) {
    heed_error error = HEED_ERROR_INIT;
    heed_model *model;
    const heed_model_shape shape = {.vocab = VOCAB,
                                    .source_vocab = VOCAB,
                                    .max_rows = 64,
                                    .max_source_rows = 64,
                                    .max_sequences = 8,
                                    .training = training};
    assert_int_equal(heed_model_create(&model, config, &shape, &error), HEED_OK);
    heed_params_init(heed_model_params(model), heed_model_weights(model), config);
    return model;
}

static void make_batch(test_batch *batch) {
    test_batch_fill(batch, lengths, 2, VOCAB, true, 500);
    test_batch_add_sources(batch, source_lengths, VOCAB, 501);
}

typedef struct seen {
    real weights[2][TIME * TIME]; /* of the encoder's layers, sequence 0, head 1 */
    real keys[TIME * 16];         /* what cross-attention reads of sequence 0 */
} seen;

static void see(void *context, const heed_attention_view *view) {
    seen *s = context;
    if (view->kind == HEED_ENCODER_ATTENTION)
        heed_attention_inspect(view->how, s->weights[view->layer], NULL, NULL, NULL, NULL, view->query, view->key,
                               view->value, view->query_rows, view->key_rows, 0, 1);
    for (size_t r = 0; view->kind == HEED_CROSS_ATTENTION && r < source_lengths[0]; r++)
        memcpy(s->keys + r * 16, view->key + r * view->how->key_stride, 8 * sizeof(real));
}

static void look(seen *s, heed_encoder_attend encoder, const test_batch *batch) {
    const heed_config config = config_of(encoder);
    heed_model *model = create(&config, false);
    double loss[8];
    *s = (seen){0};
    heed_model_observe(model, see, s);
    heed_model_forward(model, &batch->batch, HEED_PASS_EVAL);
    heed_model_loss(model, &batch->batch, NULL, loss, NULL);
    heed_model_destroy(model);
}

static void each_sees_what_it_may(void **state) {
    (void)state;
    static test_batch batch;
    static seen before, after;
    const size_t n = source_lengths[0];
    for (size_t v = 0; v < N_ALL; v++) {
        make_batch(&batch);
        look(&before, all[v], &batch);
        for (size_t layer = 0; layer < 2; layer++)
            for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < n; j++) {
                    const double a = (double)before.weights[layer][i * n + j];
                    if (all[v] == HEED_ENCODER_NONE)
                        assert_true(a == (i == j));
                    else if (all[v] == HEED_ENCODER_UNIFORM)
                        assert_true(fabs(a - 1 / (double)n) < TOLERANCE);
                    else
                        assert_true(a > 0 && fabs(a - 1 / (double)n) > 1e-6);
                }
        batch.source[2] = (batch.source[2] + 1) % VOCAB; /* what the decoder reads of the other tokens' places */
        look(&after, all[v], &batch);
        for (size_t r = 0; r < n; r++) {
            const bool is_same = memcmp(before.keys + r * 16, after.keys + r * 16, 8 * sizeof(real)) == 0;
            assert_int_equal(is_same, all[v] == HEED_ENCODER_NONE && r != 2);
        }
    }
}

static real *gradient_of(heed_model *model, const test_batch *batch) {
    heed_error error = HEED_ERROR_INIT;
    heed_gradient *gradient;
    const heed_params *params = heed_model_params(model);
    double loss[8];
    assert_int_equal(heed_gradient_create(&gradient, params, 0, batch->n_grains, batch->n_grains, &error), HEED_OK);
    heed_model_forward(model, &batch->batch, HEED_PASS_TRAIN);
    heed_model_loss(model, &batch->batch, gradient, loss, NULL);
    heed_model_backward(model, &batch->batch, gradient);
    real *sum = malloc(params->n_gradient * sizeof *sum);
    memcpy(sum, heed_gradient_partial(gradient, 0), params->n_gradient * sizeof *sum);
    heed_gradient_destroy(gradient);
    return sum;
}

static void gradients_are_the_slopes_of_the_loss(void **state) {
    (void)state;
    static test_batch batch;
    if (sizeof(real) < 8)
        skip(); /* differences need double */
    make_batch(&batch);
    for (size_t v = 1; v < N_ALL; v++) { /* the first is the second, here */
        const heed_config config = config_of(all[v]);
        heed_model *model = create(&config, true);
        const heed_params *params = heed_model_params(model);
        real *gradient = gradient_of(model, &batch);
        size_t n_frozen = 0;
        for (size_t i = 0; i < params->n_tensors; i++) {
            const heed_tensor *tensor = &params->tensors[i];
            double norm = 1e-12, wrong = 0;
            n_frozen += tensor->frozen;
            assert_true(tensor->frozen == 0 || strncmp(tensor->name, "encoder.", 8) == 0);
            for (size_t e = 0; e < tensor->size; e++) {
                const double found = (double)gradient[tensor->gradient + e];
                if (e < tensor->frozen)
                    assert_true(found == 0);
                if (e < tensor->frozen || (e + i) % 3 > 0) /* a third of the others will do */
                    continue;
                const double slope = test_slope(model, &batch.batch, tensor->offset + e, 3e-3);
                norm += slope * slope;
                wrong += (slope - found) * (slope - found);
            }
            if (sqrt(wrong) > 1e-7 * sqrt(norm) + 1e-10)
                fail_msg("encoder %zu: %s: |gradient - differences| = %g of %g", v, tensor->name, sqrt(wrong),
                         sqrt(norm));
        }
        assert_int_equal(n_frozen, heed_variant_of_encoder(&config)->frozen ? 2 * (2 * 8 * 8 + 2 * 8) : 0);
        assert_int_equal(params->n_trained + n_frozen, params->n_parameters);
        free(gradient);
        heed_model_destroy(model);
    }
}

static int start(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    omp_set_num_threads(1);
    return heed_gemm_open(heed_gemm_best(), 1, &error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_sees_what_it_may),
        cmocka_unit_test(gradients_are_the_slopes_of_the_loss),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
