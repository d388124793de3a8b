/* The same model in PyTorch: losses, gradients and 200 steps of training, stored in vectors.txt by make_vectors.py. */
#include "heed/comm.h"
#include "heed/gemm.h"
#include "heed/gradsync.h"
#include "heed/schedule.h"
#include "vectors.h"

#ifdef HEED_DOUBLE
#define LOSS_TOLERANCE 1e-13
#define GRADIENT_TOLERANCE 1e-13
#define EARLY_TOLERANCE 1e-12
#define CURVE_TOLERANCE 1e-12
#else
#define LOSS_TOLERANCE 1e-6
#define GRADIENT_TOLERANCE 5e-6
#define EARLY_TOLERANCE 3e-6 /* over the first 20 steps */
#define CURVE_TOLERANCE 2e-5
#endif

static heed_config config_of(const vectors *c) {
    heed_config config = small_config();
    config.model.layers = integer(c, "layers");
    config.model.heads = integer(c, "heads");
    config.model.width = integer(c, "width");
    config.model.hidden = integer(c, "hidden");
    config.model.time = integer(c, "time");
    config.model.tied = integer(c, "tied");
    config.model.bias = integer(c, "bias");
    config.model.positions =
        (heed_positions)choice(c, "positions", (const char *[]){"learned", "sinusoidal", "rotary", "none", NULL});
    config.model.activation =
        (heed_activation)choice(c, "activation", (const char *[]){"gelu", "gelu_tanh", "relu", NULL});
    return config;
}

/* --- one batch -------------------------------------------------------------------------------------------------- */

static void fill_batch(test_batch *made, const vectors *c) {
    const line *lengths = find_line(c, "lengths"), *token = find_line(c, "tokens"), *target = find_line(c, "targets");
    size_t length[16] = {0};
    for (size_t i = 0; i < lengths->n; i++)
        length[i] = (size_t)lengths->values[i];
    test_batch_fill(made, length, 2, 2, false, 1);
    made->batch.weight_total = 0;
    for (size_t r = 0; r < token->n; r++) {
        made->token[r] = (int32_t)token->values[r];
        made->target[r] = (int32_t)target->values[r];
        made->weight[r] = (real)find_line(c, "weights")->values[r];
        made->batch.weight_total += (double)made->weight[r];
    }
}

static void losses_and_gradients_are_those_of_pytorch(void **state) {
    (void)state;
    static const char *const cases[] = {"nanogpt", "gpt2", "rotary", "sinusoidal", "bag"};
    heed_error error = HEED_ERROR_INIT;
    static test_batch made;
    static vectors c;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        read_case(&c, cases[i], "vectors.txt");
        fill_batch(&made, &c);
        const heed_config config = config_of(&c);
        heed_model *model;
        heed_gradient *gradient;
        double sequence_loss[16], loss = 0;
        assert_int_equal(heed_model_create(&model, &config,
                                           &(heed_model_shape){.vocab = (size_t)integer(&c, "vocab"),
                                                               .max_rows = 64,
                                                               .max_sequences = 16,
                                                               .training = true},
                                           &error),
                         HEED_OK);
        assert_int_equal(
            heed_gradient_create(&gradient, heed_model_params(model), 0, made.n_grains, made.n_grains, &error),
            HEED_OK);
        fill_weights(model);
        heed_model_forward(model, &made.batch, HEED_PASS_TRAIN);
        heed_model_loss(model, &made.batch, gradient, sequence_loss, NULL);
        heed_model_backward(model, &made.batch, gradient);
        for (size_t s = 0; s < made.n_sequences; s++)
            loss += sequence_loss[s];
        const double expected = find_line(&c, "loss")->values[0];
        if (!(fabs(loss - expected) / made.batch.weight_total <= LOSS_TOLERANCE))
            fail_msg("%s: loss %.17g, PyTorch %.17g", cases[i], loss, expected);
        compare_gradients(&c, heed_model_params(model), gradient, GRADIENT_TOLERANCE);
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
    config.train.schedule = HEED_COSINE;
    config.train.peak_lr = 2e-3;
    config.train.final_lr = 2e-4;
    config.train.warmup = 20;
    config.train.clip = 1;
    return config;
}

static void fill_windows(test_batch *made, const vectors *c, size_t step) {
    const line *text = find_line(c, "tokens"), *starts = find_line(c, "starts");
    const size_t time = (size_t)integer(c, "time");
    for (size_t s = 0; s < SEQUENCES; s++)
        for (size_t p = 0; p < time; p++) {
            const size_t at = (size_t)starts->values[step * SEQUENCES + s] + p;
            made->token[s * time + p] = (int32_t)text->values[at];
            made->target[s * time + p] = (int32_t)text->values[at + 1];
        }
}

/* The loss of every step of training on the fixture's windows, through the parts of a training step. */
static void train(double *loss, const vectors *c, const heed_config *config, heed_comm *comm) {
    heed_error error = HEED_ERROR_INIT;
    static test_batch made;
    heed_model *model;
    heed_gradsync *sync;
    size_t lengths[SEQUENCES + 1] = {0};
    for (size_t s = 0; s < SEQUENCES; s++)
        lengths[s] = (size_t)config->model.time;
    test_batch_fill(&made, lengths, 1, 2, false, 1);
    assert_int_equal(heed_model_create(&model, config,
                                       &(heed_model_shape){.vocab = (size_t)integer(c, "vocab"),
                                                           .max_rows = made.batch.rows.n_rows,
                                                           .max_sequences = SEQUENCES,
                                                           .training = true},
                                       &error),
                     HEED_OK);
    assert_int_equal(heed_gradsync_create(&sync, comm, heed_model_params(model), config, 0, &error), HEED_OK);
    fill_weights(model);
    for (size_t step = 0; step < STEPS; step++) {
        double sequence_loss[SEQUENCES], norm;
        fill_windows(&made, c, step);
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

static heed_comm *comm;

static void training_follows_pytorch(void **state) {
    (void)state;
    static vectors c;
    double loss[STEPS];
    read_case(&c, "curve", "vectors.txt");
    const heed_config config = curve_config(&c);
    train(loss, &c, &config, comm);
    const double *expected = find_line(&c, "losses")->values;
    assert_true(expected[STEPS - 1] < 0.8 * expected[0]); /* it does learn */
    for (size_t step = 0; step < STEPS; step++)
        if (!(fabs(loss[step] - expected[step]) <= (step < 20 ? EARLY_TOLERANCE : CURVE_TOLERANCE)))
            fail_msg("step %zu: loss %.17g, PyTorch %.17g", step, loss[step], expected[step]);
    forget_case(&c);
}

/* The comparison is sharp enough to tell the two GELUs apart, which differ by less than 1e-3 all along the curve. */
static void training_tells_tanh_from_erf(void **state) {
    (void)state;
    static vectors c;
    double loss[STEPS], furthest = 0;
    read_case(&c, "curve", "vectors.txt");
    heed_config config = curve_config(&c);
    config.model.activation = HEED_GELU_TANH;
    train(loss, &c, &config, comm);
    for (size_t step = 0; step < STEPS; step++)
        furthest = fmax(furthest, fabs(loss[step] - find_line(&c, "losses")->values[step]));
    assert_true(furthest > CURVE_TOLERANCE && furthest < 1e-3);
    forget_case(&c);
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
        cmocka_unit_test(training_tells_tanh_from_erf),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
