/* The transformer as PyTorch's own layers compute it: losses, gradients and 200 steps of training on pairs, stored in
 * pairs_vectors.txt by make_pairs_vectors.py. */
#include "parity.h"

#ifdef HEED_DOUBLE
#define EARLY_TOLERANCE 1e-11
#define CURVE_TOLERANCE 1e-11
#else
#define EARLY_TOLERANCE 3e-6
#define CURVE_TOLERANCE 2e-5
#endif

static heed_config config_of(const vectors *c) {
    heed_config config = parity_config(c);
    config.model.kind = (heed_model_kind)choice(c, "kind", (const char *[]){"decoder", "encoder_decoder", NULL});
    config.model.encoder_layers = integer(c, "encoder_layers");
    config.model.scale_embeddings = integer(c, "scale");
    config.model.norm = (heed_norm_place)choice(c, "norm", (const char *[]){"pre", "post", NULL});
    config.train.label_smoothing = strtod(find_line(c, "smoothing")->word, NULL);
    return config;
}

static heed_model *create(const vectors *c, const heed_config *config) {
    return parity_model(c, config, (size_t)integer(c, "source_vocab"));
}

static void fill_batch(test_batch *made, const vectors *c) {
    const line *source = find_line(c, "sources");
    size_t length[MOST_SEQUENCES];
    parity_lengths(length, c, "lengths");
    test_batch_fill(made, length, 2, 2, false, 1);
    parity_lengths(length, c, "source_lengths");
    if (integer(c, "encoder_layers") > 0)
        test_batch_add_sources(made, length, 2, 1);
    for (size_t r = 0; r < source->n; r++)
        made->source[r] = (int32_t)source->values[r];
    parity_tokens(made, c);
}

static void losses_and_gradients_are_those_of_pytorch(void **state) {
    (void)state;
    static const char *const cases[] = {"vaswani", "ahead", "untied", "behind"};
    static test_batch made;
    static vectors c;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        read_case(&c, cases[i], "pairs_vectors.txt");
        fill_batch(&made, &c);
        const heed_config config = config_of(&c);
        heed_model *model = create(&c, &config);
        parity_compare(&c, cases[i], model, &made);
        heed_model_destroy(model);
        forget_case(&c);
    }
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

static void training_follows_pytorch(void **state) {
    (void)state;
    static const char *const cases[] = {"curve_post", "curve_pre"};
    static vectors c;
    double loss[STEPS];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        read_case(&c, cases[i], "pairs_vectors.txt");
        heed_config config = config_of(&c);
        parity_optimizer(&config);
        config.train.schedule = HEED_INVERSE_SQRT;
        parity_train(loss, &c, &config, create(&c, &config), fill_pairs);
        const double *expected = find_line(&c, "losses")->values;
        assert_true(expected[STEPS - 1] < 0.9 * expected[0]); /* it does learn */
        parity_compare_curve(&c, cases[i], loss, EARLY_TOLERANCE, CURVE_TOLERANCE);
        forget_case(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_and_gradients_are_those_of_pytorch),
        cmocka_unit_test(training_follows_pytorch),
    };
    return cmocka_run_group_tests(tests, parity_start, parity_stop);
}
