/* Sampling: which tokens are kept is exact, draws follow the probabilities, and a seed decides the text. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heed/sample.h"

enum { VOCAB = 6 };

/* Probabilities 0.4 0.3 0.15 0.1 0.04 0.01, of tokens 2 4 0 5 1 3. */
static const double share[VOCAB] = {0.15, 0.04, 0.4, 0.01, 0.3, 0.1};
static const int32_t by_share[VOCAB] = {2, 4, 0, 5, 1, 3};

static void logits_of(real *logits) {
    for (int i = 0; i < VOCAB; i++)
        logits[i] = (real)(log(share[i]) + 3.0); /* softmax does not see a constant */
}

static heed_sampler sampler_for(heed_sample_rule rule) {
    heed_sampler sampler;
    heed_error error = HEED_ERROR_INIT;
    real logits[VOCAB];
    logits_of(logits);
    assert_int_equal(heed_sampler_init(&sampler, &rule, VOCAB, &error), HEED_OK);
    assert_int_equal(heed_sampler_see(&sampler, logits, &error), HEED_OK);
    return sampler;
}

/* The n likeliest are kept, in order, and their probabilities are shares^(1/temperature) scaled to sum to 1. */
static void expect_kept(heed_sample_rule rule, size_t n) {
    heed_sampler sampler = sampler_for(rule);
    assert_int_equal(sampler.n_kept, n);
    double total = 0;
    for (size_t i = 0; i < n; i++)
        total += pow(share[by_share[i]], 1 / rule.temperature);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(sampler.token[i], by_share[i]);
        assert_true(fabs(sampler.probability[i] - pow(share[by_share[i]], 1 / rule.temperature) / total) < 1e-6);
    }
    heed_sampler_reset(&sampler);
}

static void top_k_keeps_k(void **state) {
    (void)state;
    for (size_t k = 1; k <= VOCAB; k++)
        expect_kept((heed_sample_rule){.temperature = 1, .top_k = k, .top_p = 1}, k);
    expect_kept((heed_sample_rule){.temperature = 1, .top_k = 0, .top_p = 1}, VOCAB);
    expect_kept((heed_sample_rule){.temperature = 1, .top_k = VOCAB + 5, .top_p = 1}, VOCAB);
}

static void top_p_keeps_the_fewest_that_reach_p(void **state) {
    (void)state;
    const struct {
        double p;
        size_t n;
    } cases[] = {{0, 1}, {0.39, 1}, {0.41, 2}, {0.69, 2}, {0.71, 3}, {0.86, 4}, {0.96, 5}, {0.995, 6}, {1, 6}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_kept((heed_sample_rule){.temperature = 1, .top_p = cases[i].p}, cases[i].n);
}

/* top-p counts within what top-k left: of 0.4 0.3 0.15, the first two are 82 %. */
static void top_p_comes_after_top_k(void **state) {
    (void)state;
    expect_kept((heed_sample_rule){.temperature = 1, .top_k = 3, .top_p = 0.81}, 2);
    expect_kept((heed_sample_rule){.temperature = 1, .top_k = 3, .top_p = 0.84}, 3);
}

static void temperature_sharpens_and_flattens(void **state) {
    (void)state;
    expect_kept((heed_sample_rule){.temperature = 0.5, .top_p = 1}, VOCAB);
    expect_kept((heed_sample_rule){.temperature = 3, .top_p = 1}, VOCAB);
    expect_kept((heed_sample_rule){.temperature = 0.5, .top_p = 0.8}, 2); /* 0.16 and 0.09 of 0.2842: 88 % */
    heed_sampler coldest = sampler_for((heed_sample_rule){.temperature = 0, .top_p = 1, .seed = 9});
    for (uint32_t i = 0; i < 50; i++)
        assert_int_equal(heed_sampler_draw(&coldest, i), by_share[0]);
    heed_sampler_reset(&coldest);
}

static void equals_are_ranked_by_number(void **state) {
    (void)state;
    enum { N = 100 };
    const real logits[N] = {0};
    heed_sampler sampler;
    heed_error error = HEED_ERROR_INIT;
    assert_int_equal(heed_sampler_init(&sampler, &(heed_sample_rule){1, 10, 1, 0}, N, &error), HEED_OK);
    assert_int_equal(heed_sampler_see(&sampler, logits, &error), HEED_OK);
    for (int32_t i = 0; i < 10; i++)
        assert_int_equal(sampler.token[i], i);
    sampler.rule.temperature = 0;
    assert_int_equal(heed_sampler_see(&sampler, logits, &error), HEED_OK);
    assert_int_equal(sampler.n_kept, 1);
    assert_int_equal(heed_sampler_draw(&sampler, 3), 0);
    heed_sampler_reset(&sampler);
}

/* Chi-square with 5 degrees of freedom stays below 20.5 in 99.9 % of all seeds (below 0.2 in 0.1 %). The seed is fixed.
 */
static void draws_follow_the_probabilities(void **state) {
    (void)state;
    enum { DRAWS = 20000 };
    heed_sampler sampler = sampler_for((heed_sample_rule){.temperature = 1, .top_p = 1, .seed = 42});
    double count[VOCAB] = {0}, chi_square = 0;
    for (uint32_t i = 0; i < DRAWS; i++)
        count[heed_sampler_draw(&sampler, i)]++;
    for (int i = 0; i < VOCAB; i++)
        chi_square += pow(count[i] - DRAWS * share[i], 2) / (DRAWS * share[i]);
    assert_true(chi_square < 20.5);
    assert_true(chi_square > 0.2);
    heed_sampler_reset(&sampler);
}

static void a_seed_decides_the_draws(void **state) {
    (void)state;
    enum { DRAWS = 200 };
    heed_sampler a = sampler_for((heed_sample_rule){.temperature = 1, .top_p = 1, .seed = 1});
    heed_sampler same = sampler_for((heed_sample_rule){.temperature = 1, .top_p = 1, .seed = 1});
    heed_sampler other = sampler_for((heed_sample_rule){.temperature = 1, .top_p = 1, .seed = 2});
    int differences = 0;
    for (uint32_t i = 0; i < DRAWS; i++) {
        assert_int_equal(heed_sampler_draw(&a, i), heed_sampler_draw(&same, i));
        differences += heed_sampler_draw(&a, i) != heed_sampler_draw(&other, i);
    }
    assert_true(differences > DRAWS / 4);
    heed_sampler_reset(&a);
    heed_sampler_reset(&same);
    heed_sampler_reset(&other);
}

static void logits_that_are_no_numbers_are_refused(void **state) {
    (void)state;
    const real bad[][2] = {{0, NAN}, {(real)INFINITY, 0}, {-(real)INFINITY, -(real)INFINITY}};
    for (size_t i = 0; i < 3; i++) {
        heed_sampler sampler;
        heed_error error = HEED_ERROR_INIT;
        assert_int_equal(heed_sampler_init(&sampler, &(heed_sample_rule){1, 0, 1, 0}, 2, &error), HEED_OK);
        assert_int_equal(heed_sampler_see(&sampler, bad[i], &error), HEED_NUMERIC);
        heed_sampler_reset(&sampler);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(top_k_keeps_k),
        cmocka_unit_test(top_p_keeps_the_fewest_that_reach_p),
        cmocka_unit_test(top_p_comes_after_top_k),
        cmocka_unit_test(temperature_sharpens_and_flattens),
        cmocka_unit_test(equals_are_ranked_by_number),
        cmocka_unit_test(draws_follow_the_probabilities),
        cmocka_unit_test(a_seed_decides_the_draws),
        cmocka_unit_test(logits_that_are_no_numbers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
