/* Beam search: one hypothesis is greedy, as many as there are sequences is the best of them all, and a score is that of
 * the answer that it comes with. Everything is told anew by a model that decodes one sequence at a time. */
#include <math.h>

#include "fixture.h"
#include "heed/search.h"

#define VOCAB 5
#define BEGIN 0
#define END 4
#define MOST 5     /* tokens of an answer, with its end */
#define WHOLE 1024 /* more than there are sequences */
#define N_SOURCES 12
#define TOLERANCE 1e-4

typedef struct answer {
    int32_t token[MOST];
    size_t n; /* without its end */
    double score;
} answer;

/* Of every seed another model. */
static heed_model *create(size_t hypotheses, size_t seed) {
    heed_error error = HEED_ERROR_INIT;
    heed_model *model;
    heed_config config = small_config();
    config.run.seed = seed;
    config.model.kind = HEED_ENCODER_DECODER;
    config.model.encoder_layers = 1;
    config.model.layers = 1;
    config.model.init_std = 0.6; /* far from equal probabilities */
    const heed_model_shape shape = {
        .vocab = VOCAB, .max_rows = 1, .max_source_rows = 3, .max_sequences = 1, .max_hypotheses = hypotheses};
    assert_int_equal(heed_model_create(&model, &config, &shape, &error), HEED_OK);
    heed_params_init(heed_model_params(model), heed_model_weights(model), &config);
    return model;
}

static const int32_t *source_of(size_t index) {
    static int32_t source[3];
    for (size_t i = 0; i < 3; i++)
        source[i] = (int32_t)(test_uniform(500, (uint32_t)(3 * index + i)) * VOCAB);
    return source;
}

/* Log probabilities of what follows n tokens. */
static void follow(heed_model *alone, const int32_t *source, const int32_t *token, size_t n, double log_p[VOCAB]) {
    const int32_t begin = BEGIN;
    heed_model_decode_begin(alone, source, 3);
    const real *logits = heed_model_decode(alone, &begin, NULL, 1);
    for (size_t i = 0; i < n; i++)
        logits = heed_model_decode(alone, &token[i], NULL, 1);
    double sum = 0;
    for (size_t v = 0; v < VOCAB; v++)
        sum += exp((double)logits[v]);
    for (size_t v = 0; v < VOCAB; v++)
        log_p[v] = (double)logits[v] - log(sum);
}

static double score_of(double log_p, size_t n, double alpha) {
    return log_p / pow((5.0 + (double)n) / 6.0, alpha);
}

static answer search(heed_model *model, const int32_t *source, size_t beam, double alpha, size_t most) {
    heed_error error = HEED_ERROR_INIT;
    const heed_search_rule rule = {.beam = beam, .length_penalty = alpha, .begin = BEGIN, .end = END, .most = most};
    heed_search *made;
    const int32_t *token;
    answer found = {.n = 0};
    assert_int_equal(heed_search_create(&made, model, &rule, &error), HEED_OK);
    for (int again = 0; again < 2; again++) { /* nothing is left from the run before */
        assert_int_equal(heed_search_run(made, source, 3, &token, &found.n, &found.score, &error), HEED_OK);
        assert_in_range(found.n, 0, most);
        memcpy(found.token, token, found.n * sizeof *token);
    }
    heed_search_destroy(made);
    return found;
}

static void assert_same(const answer *found, const answer *expected) {
    assert_int_equal(found->n, expected->n);
    assert_memory_equal(found->token, expected->token, found->n * sizeof *found->token);
    assert_true(fabs(found->score - expected->score) < TOLERANCE);
}

static void one_hypothesis_is_greedy(void **state) {
    (void)state;
    size_t n_ended = 0;
    for (size_t s = 0; s < N_SOURCES; s++) {
        heed_model *model = create(1, s), *alone = create(1, s);
        const int32_t *source = source_of(s);
        answer expected = {.n = 0};
        double total = 0;
        bool is_ended = false;
        while (expected.n < MOST && !is_ended) {
            double log_p[VOCAB];
            follow(alone, source, expected.token, expected.n, log_p);
            int32_t best = BEGIN + 1;
            for (int32_t v = 2; v < VOCAB; v++)
                best = log_p[v] > log_p[best] ? v : best;
            total += log_p[best];
            is_ended = best == END;
            if (!is_ended)
                expected.token[expected.n++] = best;
        }
        n_ended += is_ended;
        expected.score = score_of(total, expected.n + is_ended, 20); /* however much longer ones are worth */
        const answer found = search(model, source, 1, 20, MOST);
        assert_same(&found, &expected);
        heed_model_destroy(model);
        heed_model_destroy(alone);
    }
    assert_in_range(n_ended, 1, N_SOURCES - 1); /* some came to their end, some were cut off */
}

/* Every sequence that begins with these tokens and has its end within MOST tokens. */
static void try_all(heed_model *alone, const int32_t *source, answer *now, double total, double alpha, answer *best) {
    double log_p[VOCAB];
    follow(alone, source, now->token, now->n, log_p);
    now->score = score_of(total + log_p[END], now->n + 1, alpha);
    if (now->score > best->score)
        *best = *now;
    for (int32_t v = BEGIN + 1; v < END && now->n + 1 < MOST; v++) {
        now->token[now->n++] = v;
        try_all(alone, source, now, total + log_p[v], alpha, best);
        now->n--;
    }
}

static void all_hypotheses_find_the_best_of_all(void **state) {
    (void)state;
    static const double alphas[] = {0, 0.6, 3};
    size_t tokens[3] = {0}, n_better = 0;
    for (size_t s = 0; s < N_SOURCES; s++) {
        heed_model *model = create(WHOLE, s), *alone = create(1, s);
        for (size_t a = 0; a < 3; a++) {
            const int32_t *source = source_of(s);
            answer now = {.n = 0}, best = {.score = -INFINITY};
            try_all(alone, source, &now, 0, alphas[a], &best);
            const answer found = search(model, source, WHOLE, alphas[a], MOST);
            assert_same(&found, &best);
            const answer greedy = search(model, source, 1, alphas[a], MOST);
            n_better += best.score > greedy.score + TOLERANCE;
            tokens[a] += best.n;
        }
        heed_model_destroy(model);
        heed_model_destroy(alone);
    }
    assert_true(n_better > 0);              /* or greedy would have done */
    assert_true(tokens[0] < tokens[2]);     /* the penalty is one for short answers */
    assert_true(tokens[2] < N_SOURCES * 4); /* and not all of them are as long as they may be */
}

/* Of a few hypotheses: an answer is scored as it is when it is read by itself. */
static void a_score_is_that_of_its_answer(void **state) {
    (void)state;
    for (size_t s = 0; s < N_SOURCES; s++) {
        heed_model *model = create(3, s), *alone = create(1, s);
        for (size_t beam = 2; beam <= 3; beam++)
            for (size_t most = 1; most <= MOST; most++) {
                const int32_t *source = source_of(s);
                const answer found = search(model, source, beam, 0.6, most);
                const size_t n = found.n < most ? found.n + 1 : found.n; /* one that fills it all is cut off */
                double total = 0, log_p[VOCAB];
                for (size_t i = 0; i < n; i++) {
                    follow(alone, source, found.token, i, log_p);
                    total += log_p[i < found.n ? found.token[i] : END];
                    assert_true(i == found.n || (found.token[i] != END && found.token[i] != BEGIN));
                }
                assert_true(fabs(found.score - score_of(total, n, 0.6)) < TOLERANCE);
            }
        heed_model_destroy(model);
        heed_model_destroy(alone);
    }
}

static void what_is_not_finite_is_said(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    const heed_search_rule rule = {.beam = 2, .begin = BEGIN, .end = END, .most = MOST};
    heed_model *model = create(2, 1);
    heed_search *made;
    const int32_t *token;
    size_t n;
    double score;
    const size_t n_weights = heed_model_params(model)->n_elements;
    for (size_t i = 0; i < n_weights; i++)
        heed_model_weights(model)[i] = (real)NAN;
    assert_int_equal(heed_search_create(&made, model, &rule, &error), HEED_OK);
    assert_int_equal(heed_search_run(made, source_of(0), 3, &token, &n, &score, &error), HEED_NUMERIC);
    heed_search_destroy(made);
    heed_model_destroy(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_hypothesis_is_greedy),
        cmocka_unit_test(all_hypotheses_find_the_best_of_all),
        cmocka_unit_test(a_score_is_that_of_its_answer),
        cmocka_unit_test(what_is_not_finite_is_said),
    };
    return cmocka_run_group_tests(tests, test_open_products, NULL);
}
