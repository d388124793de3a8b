/* What the passes promise beside gradients: losses, the observer, and decoding with a cache. */
#include <math.h>

#include "fixture.h"
#include "heed/gemm.h"

#define VOCAB 11
#ifdef HEED_DOUBLE
#define TOLERANCE 1e-12
#else
#define TOLERANCE 2e-5
#endif

static const size_t lengths[] = {11, 3, 1, 9, 10, 0};

static heed_model *create(const heed_config *config, bool training) {
    heed_error error = HEED_ERROR_INIT;
    heed_model *model;
    assert_int_equal(
        heed_model_create(&model, config,
                          &(heed_model_shape){.vocab = VOCAB, .max_rows = 64, .max_sequences = 8, .training = training},
                          &error),
        HEED_OK);
    heed_params_init(heed_model_params(model), heed_model_weights(model), config);
    return model;
}

static heed_config config_with(heed_positions positions, double dropout) {
    heed_config config = small_config();
    config.model.positions = positions;
    config.model.dropout = dropout;
    config.model.width = 18;
    config.model.init = HEED_INIT_UNIFORM_FAN_IN;
    return config;
}

static void losses(heed_model *model, const heed_batch *batch, heed_pass pass, double *sequence_loss,
                   real *token_loss) {
    heed_model_forward(model, batch, pass);
    heed_model_loss(model, batch, NULL, sequence_loss, token_loss);
}

static void passes_differ_by_dropout_alone(void **state) {
    (void)state;
    static test_batch made;
    const heed_config config = config_with(HEED_LEARNED, 0.5);
    heed_model *model = create(&config, true);
    test_batch_fill(&made, lengths, 2, VOCAB, true, 3);
    double eval[8], probe[8], train[8], again[8], next_step[8];
    real token_loss[64];
    losses(model, &made.batch, HEED_PASS_EVAL, eval, token_loss);
    losses(model, &made.batch, HEED_PASS_PROBE, probe, NULL);
    losses(model, &made.batch, HEED_PASS_TRAIN, train, NULL);
    losses(model, &made.batch, HEED_PASS_TRAIN, again, NULL);
    made.batch.step++;
    losses(model, &made.batch, HEED_PASS_TRAIN, next_step, NULL);
    assert_memory_equal(eval, probe, made.n_sequences * sizeof *eval);
    assert_memory_equal(train, again, made.n_sequences * sizeof *eval);
    for (size_t s = 0; s < made.n_sequences; s++) {
        double sum = 0;
        for (size_t r = made.first_row[s]; r < made.first_row[s + 1]; r++) {
            assert_true(made.weight[r] > 0 ? token_loss[r] > 0 : token_loss[r] == 0);
            sum += (double)token_loss[r];
        }
        assert_true(sum == eval[s]);
        if (sum > 0)
            assert_true(train[s] != eval[s] && train[s] != next_step[s]);
    }
    heed_model_destroy(model);
}

/* An evaluation model shares activations between blocks; its losses are those of a training model. */
static void evaluation_models_agree(void **state) {
    (void)state;
    static test_batch made;
    const heed_config config = config_with(HEED_ROTARY, 0);
    heed_model *training = create(&config, true), *evaluation = create(&config, false);
    test_batch_fill(&made, lengths, 2, VOCAB, false, 3);
    double a[8], b[8];
    losses(training, &made.batch, HEED_PASS_TRAIN, a, NULL);
    losses(evaluation, &made.batch, HEED_PASS_EVAL, b, NULL);
    assert_memory_equal(a, b, made.n_sequences * sizeof *a);
    assert_true(heed_model_activation_bytes(evaluation) < heed_model_activation_bytes(training));
    heed_model_destroy(training);
    heed_model_destroy(evaluation);
}

/* With weight 1 and target v, the loss is -log p(v): so the full forward pass gives all log probabilities. */
static void cache_agrees_with_the_full_forward(void **state) {
    (void)state;
    static test_batch made;
    for (heed_positions positions = HEED_LEARNED; positions <= HEED_NO_POSITIONS; positions++)
        for (int bias = 0; bias < 2; bias++) {
            heed_config config = config_with(positions, 0.5); /* which decoding must not draw */
            config.model.bias = bias;
            config.model.tied = bias;
            heed_model *model = create(&config, false);
            test_batch_fill(&made, (size_t[]){11, 0}, 1, VOCAB, false, (uint32_t)(60 + positions));
            static real expected[11][VOCAB];
            for (int32_t v = 0; v < VOCAB; v++) {
                double sequence_loss;
                real token_loss[11];
                for (size_t r = 0; r < 11; r++)
                    made.target[r] = v;
                losses(model, &made.batch, HEED_PASS_EVAL, &sequence_loss, token_loss);
                for (size_t r = 0; r < 11; r++)
                    expected[r][v] = -token_loss[r];
            }
            for (int round = 0; round < 2; round++) { /* a cleared cache forgets */
                heed_model_decode_begin(model, NULL, 0);
                for (size_t r = 0; r < 11; r++) {
                    const real *logits = heed_model_decode(model, &made.token[r], NULL, 1);
                    double sum = 0;
                    for (size_t v = 0; v < VOCAB; v++)
                        sum += exp((double)logits[v]);
                    for (size_t v = 0; v < VOCAB; v++)
                        assert_true(fabs((double)logits[v] - log(sum) - (double)expected[r][v]) < TOLERANCE);
                }
            }
            heed_model_destroy(model);
        }
}

/* --- hypotheses side by side ------------------------------------------------------------------------------------ */

enum { MOST = 5, STEPS = 7 };

/* What each hypothesis has said so far, and where it came from. */
typedef struct beam {
    int32_t said[MOST][STEPS];
} beam;

static heed_model *create_decoding(const heed_config *config, size_t hypotheses) {
    heed_error error = HEED_ERROR_INIT;
    heed_model *model;
    const heed_model_shape shape = {.vocab = VOCAB,
                                    .source_vocab = config->model.kind == HEED_DECODER ? 0 : 9,
                                    .max_rows = 1,
                                    .max_source_rows = 11,
                                    .max_sequences = 1,
                                    .max_hypotheses = hypotheses};
    assert_int_equal(heed_model_create(&model, config, &shape, &error), HEED_OK);
    heed_params_init(heed_model_params(model), heed_model_weights(model), config);
    return model;
}

/* Follows random parents, more and fewer of them: every hypothesis' logits are those that it gets alone, by another
 * model that is fed all of it again. */
static void follow_parents(const heed_config *config, const int32_t *source, size_t n_source, uint32_t site) {
    heed_model *many = create_decoding(config, MOST), *alone = create_decoding(config, 0);
    beam now = {{{0}}}, next = {{{0}}};
    size_t n_now = 1;
    heed_model_decode_begin(many, source, n_source);
    for (size_t step = 0; step < STEPS; step++) {
        static const size_t counts[STEPS] = {4, 5, 2, 5, 1, 5, 5};
        const size_t n = counts[step];
        size_t parent[MOST];
        int32_t token[MOST];
        for (size_t i = 0; i < n; i++) {
            parent[i] = (size_t)(test_uniform(site, (uint32_t)(step * 10 + i)) * (double)n_now);
            token[i] = (int32_t)(test_uniform(site + 1, (uint32_t)(step * 10 + i)) * VOCAB);
            memcpy(next.said[i], now.said[parent[i]], sizeof next.said[i]);
            next.said[i][step] = token[i];
        }
        const real *logits = heed_model_decode(many, token, parent, n);
        for (size_t i = 0; i < n; i++) {
            heed_model_decode_begin(alone, source, n_source);
            const real *expected = NULL;
            for (size_t t = 0; t <= step; t++)
                expected = heed_model_decode(alone, &next.said[i][t], NULL, 1);
            assert_memory_equal(logits + i * VOCAB, expected, VOCAB * sizeof(real));
        }
        now = next;
        n_now = n;
    }
    heed_model_destroy(many);
    heed_model_destroy(alone);
}

static void hypotheses_do_not_see_each_other(void **state) {
    (void)state;
    static const int32_t source[] = {3, 1, 8, 0, 2};
    for (heed_positions positions = HEED_LEARNED; positions <= HEED_NO_POSITIONS; positions++)
        for (int kind = HEED_DECODER; kind <= HEED_ENCODER_DECODER; kind++)
            for (heed_attend attention = HEED_ATTEND_SOFTMAX; attention <= HEED_ATTEND_MLP; attention++) {
                heed_config config = config_with(positions, 0);
                config.model.kind = (heed_model_kind)kind;
                config.model.norm = kind == HEED_DECODER ? HEED_PRE_NORM : HEED_POST_NORM;
                config.model.attention = attention;
                config.model.layers = attention == HEED_ATTEND_MLP ? 1 : 2;
                if (kind == HEED_DECODER || attention == HEED_ATTEND_SOFTMAX || attention == HEED_ATTEND_UNIFORM)
                    follow_parents(&config, source, kind == HEED_DECODER ? 0 : 5, (uint32_t)(300 + attention));
            }
}

/* As above: the full pass of an encoder-decoder gives all log probabilities; and a second source starts anew. */
static void decoding_agrees_with_the_full_forward_on_sources(void **state) {
    (void)state;
    static test_batch made;
    for (int norm = HEED_PRE_NORM; norm <= HEED_POST_NORM; norm++)
        for (heed_positions positions = HEED_LEARNED; positions <= HEED_NO_POSITIONS; positions++) {
            heed_config config = config_with(positions, 0.5);
            config.model.kind = HEED_ENCODER_DECODER;
            config.model.encoder_layers = 1;
            config.model.norm = (heed_norm_place)norm;
            config.model.scale_embeddings = norm == HEED_POST_NORM;
            config.train.label_smoothing = 0.3; /* which evaluation does without */
            heed_model *model = create_decoding(&config, 2);
            for (size_t n_source = 3; n_source <= 11; n_source += 8) {
                test_batch_fill(&made, (size_t[]){1, 0}, 1, VOCAB, false, (uint32_t)(80 + positions));
                test_batch_add_sources(&made, &n_source, 9, (uint32_t)(81 + positions));
                heed_model_decode_begin(model, made.source, n_source);
                const real *logits = heed_model_decode(model, made.token, NULL, 1);
                double sum = 0, probability[VOCAB];
                for (size_t v = 0; v < VOCAB; v++)
                    sum += exp((double)logits[v]);
                for (size_t v = 0; v < VOCAB; v++)
                    probability[v] = (double)logits[v] - log(sum);
                for (int32_t v = 0; v < VOCAB; v++) {
                    double sequence_loss;
                    made.target[0] = v;
                    losses(model, &made.batch, HEED_PASS_EVAL, &sequence_loss, NULL);
                    assert_true(fabs(probability[v] + sequence_loss) < TOLERANCE);
                }
            }
            heed_model_destroy(model);
        }
}

/* --- the observer ----------------------------------------------------------------------------------------------- */

typedef struct witness {
    const heed_ragged *rows;
    int n_calls;
    size_t layers[4];
    bool with_gradient;
    double value_bias[2][18]; /* by layer: sum over rows of d_output */
} witness;

/* Recomputes every output from what the view shows. */
static void assert_outputs(const heed_attention_view *view) {
    const size_t width = view->heads * view->head_width;
    for (size_t s = 0; s < view->query_rows->n_sequences; s++)
        for (size_t h = 0; h < view->heads; h++)
            for (size_t i = 0; i < heed_length(view->query_rows, s); i++) {
                const size_t first = view->query_rows->first_row[s], column = h * view->head_width;
                double sum = 0, output[18] = {0};
                for (size_t j = 0; j <= i; j++) {
                    double score = 0;
                    for (size_t c = column; c < column + view->head_width; c++)
                        score += (double)view->query[(first + i) * view->how->query_stride + c] *
                                 (double)view->key[(first + j) * view->how->key_stride + c];
                    const double a = exp(score / sqrt((double)view->head_width));
                    sum += a;
                    for (size_t c = 0; c < view->head_width; c++)
                        output[c] += a * (double)view->value[(first + j) * view->how->key_stride + column + c];
                }
                for (size_t c = 0; c < view->head_width; c++)
                    assert_true(fabs(output[c] / sum - (double)view->output[(first + i) * width + column + c]) <
                                TOLERANCE);
            }
}

static void see(void *context, const heed_attention_view *view) {
    witness *w = context;
    assert_true(w->n_calls < 4);
    assert_true(view->kind == HEED_SELF_ATTENTION && view->causal && view->query_rows == view->key_rows);
    assert_true(view->query_rows->n_rows == w->rows->n_rows);
    assert_int_equal(view->heads * view->head_width, 18);
    assert_int_equal(view->d_output != NULL, w->with_gradient);
    assert_outputs(view);
    for (size_t r = 0; view->d_output && r < w->rows->n_rows; r++)
        for (size_t c = 0; c < 18; c++)
            w->value_bias[view->layer][c] += (double)view->d_output[r * 18 + c];
    w->layers[w->n_calls++] = view->layer;
}

/* The rows of attention sum to one, so the gradient of a bias of the values is the sum of d_output over all queries. */
static void assert_value_bias(const witness *w, const heed_params *params, const heed_gradient *gradient) {
    for (int layer = 0; layer < 2; layer++) {
        const heed_tensor *bias = &params->tensors[heed_params_find(params, layer ? "block.1.attention.qkv.bias"
                                                                                  : "block.0.attention.qkv.bias")];
        for (size_t c = 0; c < 18; c++) {
            const double d = (double)heed_gradient_partial(gradient, 0)[bias->gradient + 36 + c];
            assert_true(fabs(d) > 0 && fabs(w->value_bias[layer][c] - d) < 10 * TOLERANCE);
        }
    }
}

static void observer_sees_every_layer_once(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    static test_batch made;
    const heed_config config = config_with(HEED_ROTARY, 0.5);
    heed_model *model = create(&config, true);
    test_batch_fill(&made, lengths, 2, VOCAB, true, 3);
    double sequence_loss[8];

    witness eval = {.rows = &made.batch.rows};
    heed_model_observe(model, see, &eval);
    losses(model, &made.batch, HEED_PASS_EVAL, sequence_loss, NULL);
    assert_true(eval.n_calls == 2 && eval.layers[0] == 0 && eval.layers[1] == 1);

    witness probe = {.rows = &made.batch.rows, .with_gradient = true};
    heed_model_observe(model, see, &probe);
    losses(model, &made.batch, HEED_PASS_PROBE, sequence_loss, NULL);
    assert_int_equal(probe.n_calls, 0);
    heed_model_backward(model, &made.batch, NULL);
    assert_true(probe.n_calls == 2 && probe.layers[0] == 1 && probe.layers[1] == 0);

    witness with_gradient = {.rows = &made.batch.rows, .with_gradient = true};
    heed_gradient *gradient;
    assert_int_equal(heed_gradient_create(&gradient, heed_model_params(model), 0, made.n_grains, made.n_grains, &error),
                     HEED_OK);
    heed_model_observe(model, see, &with_gradient);
    heed_model_forward(model, &made.batch, HEED_PASS_PROBE);
    heed_model_loss(model, &made.batch, gradient, sequence_loss, NULL);
    heed_model_backward(model, &made.batch, gradient);
    assert_value_bias(&with_gradient, heed_model_params(model), gradient);
    assert_value_bias(&probe, heed_model_params(model), gradient);
    heed_gradient_destroy(gradient);
    heed_model_destroy(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_differ_by_dropout_alone),
        cmocka_unit_test(evaluation_models_agree),
        cmocka_unit_test(cache_agrees_with_the_full_forward),
        cmocka_unit_test(hypotheses_do_not_see_each_other),
        cmocka_unit_test(decoding_agrees_with_the_full_forward_on_sources),
        cmocka_unit_test(observer_sees_every_layer_once),
    };
    return cmocka_run_group_tests(tests, test_open_products, NULL);
}
