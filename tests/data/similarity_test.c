/* Edit distance and chrF, against cases that were reckoned by hand. An independent reckoning in Python reads what heed
 * eval says of whole runs (tests/cli/answer_test.py). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heed/similarity.h"

static size_t distance(const char *a, const char *b) {
    int32_t x[32], y[32];
    size_t scratch[33];
    const size_t n_a = strlen(a), n_b = strlen(b);
    for (size_t i = 0; i < n_a; i++)
        x[i] = a[i];
    for (size_t i = 0; i < n_b; i++)
        y[i] = b[i];
    return heed_token_distance(x, n_a, y, n_b, scratch);
}

static void distances_by_hand(void **state) {
    (void)state;
    static const struct {
        const char *a, *b;
        size_t expected;
    } cases[] = {
        {"", "", 0},       {"abc", "abc", 0},   {"", "abc", 3},    {"abc", "acb", 2},   {"kitten", "sitting", 3},
        {"ab", "xaby", 2}, {"abcd", "bcda", 2}, {"aaaa", "bb", 4}, {"flaw", "lawn", 2}, {"saturday", "sunday", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(distance(cases[i].a, cases[i].b), cases[i].expected);
        assert_int_equal(distance(cases[i].b, cases[i].a), cases[i].expected);
    }
}

static void add(heed_chrf *counts, const char *hypothesis, const char *reference) {
    heed_error error = HEED_ERROR_INIT;
    assert_int_equal(heed_chrf_add(counts, hypothesis, strlen(hypothesis), reference, strlen(reference), &error),
                     HEED_OK);
}

static void assert_score(const char *hypothesis, const char *reference, double expected) {
    heed_chrf counts = {{0}, {0}, {0}};
    add(&counts, hypothesis, reference);
    const double found = heed_chrf_score(&counts);
    if (!(fabs(found - expected) < 1e-9))
        fail_msg("'%s' for '%s': %.12f, not %.12f", hypothesis, reference, found, expected);
}

static void scores_by_hand(void **state) {
    (void)state;
    assert_score("the whale", "the whale", 100);
    assert_score("", "the whale", 0);
    assert_score("the whale", "", 0);
    assert_score("", "", 0);
    assert_score("abc", "xyz", 0);
    assert_score("abc", "abd", 100 * (2 / 3.0 + 1 / 2.0 + 0) / 3); /* P = R; no n-grams from 4 on */
    assert_score("ab", "abab", 100 * 25 / 53.0);                   /* P = 1, R = (2/4 + 1/3) / 2 = 5/12 */
    assert_score("abab", "ab", 100 * 25 / 32.0);                   /* P = 5/12, R = 1: recall weighs more */
    assert_score("aaaa", "aab", 100 * 5 * (5 / 18.0) * (7 / 18.0) / (4 * 5 / 18.0 + 7 / 18.0)); /* "a" counts twice */
    const double recall = (7 / 8.0 + 6 / 7.0 + 5 / 6.0 + 4 / 5.0 + 3 / 4.0 + 2 / 3.0) / 6;
    assert_score("abcdefg", "abcdefgh", 100 * 5 * recall / (4 + recall)); /* n = 1 .. 6, not 7 */
}

static void characters_are_code_points_without_white_space(void **state) {
    (void)state;
    heed_chrf counts = {{0}, {0}, {0}};
    add(&counts, " a \t\n b\xC2\xA0",
        "a\xE3\x80\x80"
        "b\xE2\x80\xA8"); /* no-break, ideographic, line separator */
    assert_true(counts.hypothesis[0] == 2 && counts.reference[0] == 2 && counts.common[0] == 2);
    assert_true(counts.hypothesis[1] == 1 && counts.common[1] == 1 && counts.hypothesis[2] == 0);
    counts = (heed_chrf){{0}, {0}, {0}};
    add(&counts, "\xC3\xA9\xF0\x9F\x90\x8B", "\xC3\xA8\xF0\x9F\x90\x8B"); /* e acute, e grave; a whale */
    assert_true(counts.hypothesis[0] == 2 && counts.reference[0] == 2 && counts.common[0] == 1);
    counts = (heed_chrf){{0}, {0}, {0}};
    add(&counts, "\xFF\xC3", "\xEF\xBF\xBD");
    assert_true(counts.hypothesis[0] == 2 && counts.reference[0] == 1 && counts.common[0] == 1);
}

/* Counts of two sentences are those of both, and the score is that of the sums, not the mean of two scores. */
static void counts_add_up(void **state) {
    (void)state;
    heed_chrf counts = {{0}, {0}, {0}};
    add(&counts, "a", "a");
    add(&counts, "xxx", "yyy");
    assert_true(counts.common[0] == 1 && counts.hypothesis[0] == 4 && counts.reference[0] == 4);
    assert_true(counts.hypothesis[1] == 2 && counts.hypothesis[2] == 1 && counts.hypothesis[3] == 0);
    assert_true(fabs(heed_chrf_score(&counts) - 100 * (1 / 4.0) / 3) < 1e-9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances_by_hand),
        cmocka_unit_test(scores_by_hand),
        cmocka_unit_test(characters_are_code_points_without_white_space),
        cmocka_unit_test(counts_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
