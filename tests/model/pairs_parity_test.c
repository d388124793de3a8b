/* The transformer as PyTorch's own layers compute it: losses, gradients and 200 steps of training on pairs, stored in
 * pairs_vectors.txt by make_pairs_vectors.py. */
#include "heed/comm.h"
#include "heed/gemm.h"
#include "heed/gradsync.h"
#include "heed/schedule.h"
#include "vectors.h"

#ifdef HEED_DOUBLE
#define LOSS_TOLERANCE 1e-13
#define GRADIENT_TOLERANCE 1e-13
#define EARLY_TOLERANCE 1e-11
#define CURVE_TOLERANCE 1e-11
#else
#define LOSS_TOLERANCE 1e-6
#define GRADIENT_TOLERANCE 5e-6
#define EARLY_TOLERANCE 3e-6 /* over the first 20 steps */
#define CURVE_TOLERANCE 2e-5
#endif

static heed_config config_of(const vectors *c) {
    heed_config config = small_config();
    config.model.kind = (heed_model_kind)choice(c, "kind", (const char *[]){"decoder", "encoder_decoder", NULL});
    config.model.layers = integer(c, "layers");
    config.model.encoder_layers = integer(c, "encoder_layers");
    config.model.heads = integer(c, "heads");
    config.model.width = integer(c, "width");
    config.model.hidden = integer(c, "hidden");
    config.model.time = integer(c, "time");
    config.model.tied = integer(c, "tied");
    config.model.scale_embeddings = integer(c, "scale");
    config.model.norm = (heed_norm_place)choice(c, "norm", (const char *[]){"pre", "post", NULL});
    config.model.positions = (heed_positions)choice(c, "positions", (const char *[]){"learned", "sinusoidal", NULL});
    config.model.activation =
        (heed_activation)choice(c, "activation", (const char *[]){"gelu", "gelu_tanh", "relu", NULL});
    config.train.label_smoothing = strtod(find_line(c, "smoothing")->word, NULL);
    return config;
}

static heed_model *create(const vectors *c, const heed_config *config) {
    heed_error error = HEED_ERROR_INIT;
    heed_model *model;
    assert_int_equal(heed_model_create(&model, config,
                                       &(heed_model_shape){.vocab = (size_t)integer(c, "vocab"),
                                                           .source_vocab = (size_t)integer(c, "source_vocab"),
                                                           .max_rows = 64,
                                                           .max_source_rows = 64,
                                                           .max_sequences = 16,
                                                           .training = true},
                                       &error),
                     HEED_OK);
    fill_weights(model);
    return model;
}

/* --- one batch -------------------------------------------------------------------------------------------------- */

static void read_lengths(size_t length[16], const vectors *c, const char *key) {
    const line *lengths = find_line(c, key);
    memset(length, 0, 16 * sizeof *length);
    for (size_t i = 0; i < lengths->n; i++)
        length[i] = (size_t)lengths->values[i];
}

static void fill_batch(test_batch *made, const vectors *c) {
    const line *token = find_line(c, "tokens"), *target = find_line(c, "targets"), *source = find_line(c, "sources");
    size_t length[16];
    read_lengths(length, c, "lengths");
    test_batch_fill(made, length, 2, 2, false, 1);
    read_lengths(length, c, "source_lengths");
    if (integer(c, "encoder_layers") > 0)
        test_batch_add_sources(made, length, 2, 1);
    made->batch.weight_total = 0;
    for (size_t r = 0; r < source->n; r++)
        made->source[r] = (int32_t)source->values[r];
    for (size_t r = 0; r < token->n; r++) {
        made->token[r] = (int32_t)token->values[r];
        made->target[r] = (int32_t)target->values[r];
        made->weight[r] = (real)find_line(c, "weights")->values[r];
        made->batch.weight_total += (double)made->weight[r];
    }
}

static void losses_and_gradients_are_those_of_pytorch(void **state) {
    (void)state;
    static const char *const cases[] = {"vaswani", "ahead", "untied", "behind"};
    heed_error error = HEED_ERROR_INIT;
    static test_batch made;
    static vectors c;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        read_case(&c, cases[i], "pairs_vectors.txt");
        fill_batch(&made, &c);
        const heed_config config = config_of(&c);
        heed_model *model = create(&c, &config);
        const heed_params *params = heed_model_params(model);
        heed_gradient *gradient;
        double sequence_loss[16], loss = 0;
        assert_int_equal(heed_gradient_create(&gradient, params, 0, made.n_grains, made.n_grains, &error), HEED_OK);
        heed_model_forward(model, &made.batch, HEED_PASS_TRAIN);
        heed_model_loss(model, &made.batch, gradient, sequence_loss, NULL);
        heed_model_backward(model, &made.batch, gradient);
        for (size_t s = 0; s < made.n_sequences; s++)
            loss += sequence_loss[s];
        const double expected = find_line(&c, "loss")->values[0];
        if (!(fabs(loss - expected) / made.batch.weight_total <= LOSS_TOLERANCE))
            fail_msg("%s: loss %.17g, PyTorch %.17g", cases[i], loss, expected);
        compare_gradients(&c, params, gradient, GRADIENT_TOLERANCE);
        heed_gradient_destroy(gradient);
        heed_model_destroy(model);
        forget_case(&c);
    }
}

/* --- training --------------------------------------------------------------------------------------------------- */

#define STEPS 200
#define SEQUENCES 6

static heed_config curve_config(const vectors *c) {
    heed_config config = config_of(c);
    config.train.steps = STEPS;
    config.train.batch = SEQUENCES;
    config.train.grain = 1;
    config.train.optimizer = HEED_ADAMW;
    config.train.beta1 = 0.9;
    config.train.beta2 = 0.99;
    config.train.eps = 1e-8;
    config.train.weight_decay = 0.1;
    config.train.schedule = HEED_INVERSE_SQRT;
    config.train.peak_lr = 2e-3;
    config.train.warmup = 20;
    config.train.clip = 1;
    return config;
}

static int64_t draw(size_t i, uint64_t t, int64_t n) {
    return (int64_t)((number(i, t) + 1) / 2 * (double)n);
}

/* The script's pairs: a list of symbols, whose answer is the list backwards. */
static void fill_pairs(test_batch *made, const vectors *c, size_t step) {
    enum { START, END, SYMBOLS };
    const int64_t time = integer(c, "time"), vocab = integer(c, "vocab");
    size_t length[SEQUENCES + 1] = {0};
    for (size_t s = 0; s < SEQUENCES; s++)
        length[s] = (size_t)(3 + draw(step * SEQUENCES + s, 300, time - 2));
    test_batch_fill(made, length, 1, 2, false, 1);
    test_batch_add_sources(made, length, 2, 1);
    for (size_t s = 0; s < SEQUENCES; s++) {
        const size_t row = made->first_row[s], n = length[s] - 1;
        made->token[row] = START;
        made->source[row + n] = made->target[row + n] = END;
        for (size_t i = 0; i < n; i++) {
            const size_t index = (step * SEQUENCES + s) * (size_t)time + i;
            const int32_t symbol = SYMBOLS + (int32_t)draw(index, 301, vocab - SYMBOLS);
            made->source[row + i] = made->target[row + n - 1 - i] = made->token[row + n - i] = symbol;
        }
    }
}

static heed_comm *comm;

/* The loss of every step of training, through the parts of a training step. */
static void train(double *loss, const vectors *c, const heed_config *config) {
    heed_error error = HEED_ERROR_INIT;
    static test_batch made;
    heed_model *model = create(c, config);
    heed_gradsync *sync;
    assert_int_equal(heed_gradsync_create(&sync, comm, heed_model_params(model), config, 0, &error), HEED_OK);
    for (size_t step = 0; step < STEPS; step++) {
        double sequence_loss[SEQUENCES], norm;
        fill_pairs(&made, c, step);
        heed_gradsync_begin(sync);
        heed_model_forward(model, &made.batch, HEED_PASS_TRAIN);
        heed_model_loss(model, &made.batch, heed_gradsync_gradient(sync), sequence_loss, NULL);
        heed_model_backward(model, &made.batch, heed_gradsync_gradient(sync));
        loss[step] = 0;
        for (size_t s = 0; s < SEQUENCES; s++)
            loss[step] += sequence_loss[s] / made.batch.weight_total;
        assert_int_equal(heed_gradsync_finish(sync, made.batch.weight_total, &norm, &error), HEED_OK);
        const double clipping = fmin(1, config->train.clip / (norm + 1e-6));
        assert_int_equal(heed_gradsync_update(sync, heed_model_weights(model), clipping / made.batch.weight_total,
                                              heed_learning_rate(config, step), step, &error),
                         HEED_OK);
    }
    heed_gradsync_destroy(sync);
    heed_model_destroy(model);
}

static void training_follows_pytorch(void **state) {
    (void)state;
    static const char *const cases[] = {"curve_post", "curve_pre"};
    static vectors c;
    double loss[STEPS];
    for (size_t i = 0; i < 2; i++) {
        read_case(&c, cases[i], "pairs_vectors.txt");
        const heed_config config = curve_config(&c);
        train(loss, &c, &config);
        const double *expected = find_line(&c, "losses")->values;
        assert_true(expected[STEPS - 1] < 0.9 * expected[0]); /* it does learn */
        for (size_t step = 0; step < STEPS; step++)
            if (!(fabs(loss[step] - expected[step]) <= (step < 20 ? EARLY_TOLERANCE : CURVE_TOLERANCE)))
                fail_msg("%s: step %zu: loss %.17g, PyTorch %.17g", cases[i], step, loss[step], expected[step]);
        forget_case(&c);
    }
}

static int start(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    return heed_comm_open(&comm, &error) || heed_gemm_open(heed_gemm_best(), 1, &error);
}

static int stop(void **state) {
    (void)state;
    heed_comm_close(comm);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_and_gradients_are_those_of_pytorch),
        cmocka_unit_test(training_follows_pytorch),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
