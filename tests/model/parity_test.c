/* The same model in PyTorch: losses, gradients and 200 steps of training, stored in vectors.txt by make_vectors.py. */
#include "parity.h"

#ifdef HEED_DOUBLE
#define EARLY_TOLERANCE 1e-12
#define CURVE_TOLERANCE 1e-12
#else
#define EARLY_TOLERANCE 3e-6
#define CURVE_TOLERANCE 2e-5
#endif

static heed_config config_of(const vectors *c) {
    heed_config config = parity_config(c);
    config.model.bias = integer(c, "bias");
    return config;
}

static void losses_and_gradients_are_those_of_pytorch(void **state) {
    (void)state;
    static const char *const cases[] = {"nanogpt", "gpt2", "rotary", "sinusoidal", "bag"};
    static test_batch made;
    static vectors c;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t length[MOST_SEQUENCES];
        read_case(&c, cases[i], "vectors.txt");
        parity_lengths(length, &c, "lengths");
        test_batch_fill(&made, length, 2, 2, false, 1);
        parity_tokens(&made, &c);
        const heed_config config = config_of(&c);
        heed_model *model = parity_model(&c, &config, 0);
        parity_compare(&c, cases[i], model, &made);
        heed_model_destroy(model);
        forget_case(&c);
    }
}

/* The fixture's windows. */
static void fill_windows(test_batch *made, const vectors *c, size_t step) {
    const line *text = find_line(c, "tokens"), *starts = find_line(c, "starts");
    const size_t time = (size_t)integer(c, "time");
    size_t length[SEQUENCES + 1] = {0};
    for (size_t s = 0; s < SEQUENCES; s++)
        length[s] = time;
    test_batch_fill(made, length, 1, 2, false, 1);
    for (size_t s = 0; s < SEQUENCES; s++)
        for (size_t p = 0; p < time; p++) {
            const size_t at = (size_t)starts->values[step * SEQUENCES + s] + p;
            made->token[s * time + p] = (int32_t)text->values[at];
            made->target[s * time + p] = (int32_t)text->values[at + 1];
        }
}

static void train(double loss[STEPS], const vectors *c, heed_activation activation) {
    heed_config config = config_of(c);
    config.model.activation = activation;
    parity_optimizer(&config);
    config.train.schedule = HEED_COSINE;
    config.train.final_lr = 2e-4;
    parity_train(loss, c, &config, parity_model(c, &config, 0), fill_windows);
}

static void training_follows_pytorch(void **state) {
    (void)state;
    static vectors c;
    double loss[STEPS];
    read_case(&c, "curve", "vectors.txt");
    train(loss, &c, config_of(&c).model.activation);
    const double *expected = find_line(&c, "losses")->values;
    assert_true(expected[STEPS - 1] < 0.8 * expected[0]); /* it does learn */
    parity_compare_curve(&c, "curve", loss, EARLY_TOLERANCE, CURVE_TOLERANCE);
    forget_case(&c);
}

/* The comparison is sharp enough to tell the two GELUs apart, which differ by less than 1e-3 all along the curve. */
static void training_tells_tanh_from_erf(void **state) {
    (void)state;
    static vectors c;
    double loss[STEPS], furthest = 0;
    read_case(&c, "curve", "vectors.txt");
    train(loss, &c, HEED_GELU_TANH);
    for (size_t step = 0; step < STEPS; step++)
        furthest = fmax(furthest, fabs(loss[step] - find_line(&c, "losses")->values[step]));
    assert_true(furthest > CURVE_TOLERANCE && furthest < 1e-3);
    forget_case(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_and_gradients_are_those_of_pytorch),
        cmocka_unit_test(training_follows_pytorch),
        cmocka_unit_test(training_tells_tanh_from_erf),
    };
    return cmocka_run_group_tests(tests, parity_start, parity_stop);
}
