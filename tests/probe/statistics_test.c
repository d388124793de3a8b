/* Statistics against SciPy's values, and the verdict against cases that were worked out by its rules. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "heed/change_point.h"
#include "heed/rng.h"
#include "heed/verdict.h"
#include "vectors.h"

#define N(array) (sizeof(array) / sizeof *(array))

static void near(double found, double expected, double relative) {
    if (!(fabs(found - expected) <= relative * fabs(expected)))
        fail_msg("%.17g, expected %.17g", found, expected);
}

static void students_distribution_is_scipys(void **state) {
    (void)state;
    for (size_t i = 0; i < N(student); i++)
        near(heed_student_tails(student[i].t, student[i].freedom), student[i].tails, 1e-10);
    for (size_t i = 0; i < N(quantile); i++)
        near(heed_student_quantile(quantile[i].tails, quantile[i].freedom), quantile[i].t,
             1e-8); /* SciPy's own error */
    assert_true(heed_student_tails(-2, 4) == heed_student_tails(2, 4));
    assert_true(heed_student_tails(INFINITY, 4) == 0 && isnan(heed_student_tails(NAN, 4)));
}

static void interval_and_test_are_scipys(void **state) {
    (void)state;
    const heed_interval interval = heed_interval_of(sample, N(sample), 0.05);
    near(interval.mean, sample_mean, 1e-14);
    near(interval.low, sample_low, 1e-11);
    near(interval.high, sample_high, 1e-11);
    near(heed_mean_test(sample, N(sample), 0.95), sample_p, 1e-10);
}

static void few_or_strange_values_decide_nothing(void **state) {
    (void)state;
    const double same[] = {2, 2, 2}, strange[] = {1, INFINITY, 2}, not_a_number[] = {1, NAN};
    const heed_interval one = heed_interval_of(same, 1, 0.05), three = heed_interval_of(same, 3, 0.05);
    assert_true(one.mean == 2 && isinf(one.low) && isinf(one.high));
    assert_true(three.low == 2 && three.high == 2);
    assert_true(isnan(heed_interval_of(strange, 3, 0.05).mean) && isnan(heed_interval_of(not_a_number, 2, 0.05).low));
    assert_true(heed_mean_test(same, 3, 2) == 1 && heed_mean_test(same, 3, 1) == 0);
    assert_true(heed_mean_test(same, 1, 1) == 1 && heed_mean_test(strange, 3, 0) == 1);
}

static void holm_steps_down(void **state) {
    (void)state;
    double tails[3];
    heed_holm(tails, (double[]){0.04, 0.001, 0.02}, 3, 0.05); /* all three are rejected */
    assert_true(tails[1] == 0.05 / 3 && tails[2] == 0.05 / 2 && tails[0] == 0.05);
    heed_holm(tails, (double[]){0.03, 0.001, 0.028}, 3, 0.05); /* the second is not, so nor is the third */
    assert_true(tails[1] == 0.05 / 3 && tails[2] == 0.05 / 2 && tails[0] == 0.05 / 2);
    heed_holm(tails, (double[]){1, 1, 1}, 3, 0.05);
    assert_true(tails[0] == 0.05 / 3 && tails[1] == 0.05 / 3 && tails[2] == 0.05 / 3);
}

static void tau_is_scipys(void **state) {
    (void)state;
    for (size_t i = 0; i < N(tau); i++)
        near(heed_kendall_tau(tau[i].x, tau[i].y, TAU_N), tau[i].tau, 1e-14);
    const double still[TAU_N] = {0};
    assert_true(isnan(heed_kendall_tau(tau[0].x, still, TAU_N)));
}

/* Losses of five seeds around a level. */
typedef struct losses {
    double of[5];
} losses;

static losses around(double level, double spread) {
    static const double shape[5] = {-1, 0.5, 0, 0.7, -0.2};
    losses made;
    for (int i = 0; i < 5; i++)
        made.of[i] = level + spread * shape[i];
    return made;
}

static heed_verdict_kind verdict(losses none, losses softmax, losses uniform, losses position) {
    return heed_judge(none.of, softmax.of, uniform.of, position.of, 5).verdict;
}

static void verdicts_follow_the_rules_in_their_order(void **state) {
    (void)state;
    const losses none = around(2, 0.01), full = around(0.01, 0.001), same = around(0.012, 0.001);
    const losses half = around(1, 0.02), loose = around(0.15, 0.3);
    assert_int_equal(verdict(none, full, half, half), HEED_VERDICT_CONTEXT);
    assert_int_equal(verdict(none, full, half, same), HEED_VERDICT_POSITION);
    assert_int_equal(verdict(none, full, same, half), HEED_VERDICT_BAG);
    assert_int_equal(verdict(none, full, same, same), HEED_VERDICT_BAG); /* tried ahead of POSITION */
    assert_int_equal(verdict(none, around(1.98, 0.01), same, same), HEED_VERDICT_NONE);
    assert_int_equal(verdict(none, none, none, none), HEED_VERDICT_NONE); /* fractions are not finite */
    assert_int_equal(verdict(none, full, loose, half), HEED_VERDICT_UNDECIDED);
    assert_int_equal(verdict(none, full, half, loose), HEED_VERDICT_UNDECIDED);
    assert_int_equal(heed_judge(none.of, full.of, NULL, half.of, 5).verdict, HEED_VERDICT_UNDECIDED);
    assert_int_equal(heed_judge(none.of, full.of, half.of, half.of, 1).verdict, HEED_VERDICT_UNDECIDED);
    assert_string_equal(heed_verdict_name(HEED_VERDICT_BAG), "BAG");
}

static void intervals_are_paired_by_seed(void **state) {
    (void)state;
    const losses none = around(2, 0.5), full = around(0.01, 0);
    losses half; /* exactly half of each seed's gap: the spread between seeds must not show */
    for (int i = 0; i < 5; i++)
        half.of[i] = (none.of[i] + full.of[i]) / 2;
    const heed_judgement judgement = heed_judge(none.of, full.of, half.of, half.of, 5);
    assert_true(fabs(judgement.uniform.low - 0.5) < 1e-12 && fabs(judgement.uniform.high - 0.5) < 1e-12);
}

/* --- change points ----------------------------------------------------------------------------------------------- */

enum { LOGS = 200 };

static double noise(uint32_t series, uint32_t i) {
    const heed_rng rng = {.seed = 5, .purpose = HEED_PURPOSE_TEST, .site = 1, .sequence = series};
    double z[2];
    heed_rng_normal(z, &rng, i);
    return z[0];
}

/* A score that rises from low to high within `width` logs around `middle`, with noise that remembers a share of its
 * past. */
static void make_series(double *scores, uint32_t series, double low, double high, double middle, double width,
                        double spread, double memory) {
    double wander = 0;
    for (uint32_t i = 0; i < LOGS; i++) {
        wander = memory * wander + noise(series, i) * sqrt(1 - memory * memory);
        scores[i] = low + (high - low) / (1 + exp(-4.4 * (i - middle) / width)) + spread * wander;
    }
}

static size_t false_marks(double slope, double spread, double memory) {
    size_t found = 0, marks[LOGS / HEED_CHANGE_LOGS + 1];
    for (uint32_t series = 0; series < 1000; series++) {
        double scores[LOGS];
        make_series(scores, series, 0.2, 0.2, 0, 1, spread, memory);
        for (int i = 0; i < LOGS; i++)
            scores[i] += slope * i;
        found += heed_change_points(marks, scores, LOGS) > 0;
    }
    return found;
}

/* Of 1000 series of 200 logs without a change, few are marked, whatever the size of the noise. */
static void still_scores_are_seldom_marked(void **state) {
    (void)state;
    assert_true(false_marks(0, 0.001, 0) == 0);
    assert_in_range(false_marks(0, 0.1, 0), 0, 10);
    assert_in_range(false_marks(0, 1, 0), 0, 10);
    assert_in_range(false_marks(0, 0.03, 0.5), 0, 20);
    assert_true(false_marks(0.004, 0, 0) == 0); /* a straight slope, 0.8 in all */
    assert_in_range(false_marks(0.004, 0.01, 0), 0, 10);
}

static void a_rise_is_marked_once_and_where_it_is(void **state) {
    (void)state;
    static const double widths[] = {1, 5, 10, 20}, spreads[] = {0.001, 0.02};
    size_t marks[LOGS / HEED_CHANGE_LOGS + 1], found = 0;
    for (size_t w = 0; w < N(widths); w++)
        for (size_t s = 0; s < N(spreads); s++)
            for (uint32_t series = 0; series < 100; series++) {
                double scores[LOGS];
                make_series(scores, series, 0.02, 0.9, 80, widths[w], spreads[s], 0);
                const size_t n = heed_change_points(marks, scores, LOGS);
                found += n == 1 && fabs((double)marks[0] - 80) <= widths[w] / 2 + HEED_CHANGE_RECENT;
            }
    assert_in_range(found, 790, 800);
}

static void a_fall_counts_and_what_is_not_finite_does_not(void **state) {
    (void)state;
    double scores[LOGS];
    size_t marks[LOGS / HEED_CHANGE_LOGS + 1];
    make_series(scores, 1, 0.9, 0.1, 100, 3, 0.01, 0);
    assert_int_equal(heed_change_points(marks, scores, LOGS), 1);
    for (int i = 0; i < 95; i++)
        scores[i] = NAN;
    assert_int_equal(heed_change_points(marks, scores, LOGS), 0);
    assert_int_equal(heed_change_points(marks, scores, HEED_CHANGE_LOGS - 1), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(students_distribution_is_scipys),
        cmocka_unit_test(interval_and_test_are_scipys),
        cmocka_unit_test(few_or_strange_values_decide_nothing),
        cmocka_unit_test(holm_steps_down),
        cmocka_unit_test(tau_is_scipys),
        cmocka_unit_test(verdicts_follow_the_rules_in_their_order),
        cmocka_unit_test(intervals_are_paired_by_seed),
        cmocka_unit_test(still_scores_are_seldom_marked),
        cmocka_unit_test(a_rise_is_marked_once_and_where_it_is),
        cmocka_unit_test(a_fall_counts_and_what_is_not_finite_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
