/* Statistics over few numbers: Student's distribution, intervals, Holm's correction, rank correlation. Pure functions.
 */
#ifndef HEED_STATISTICS_H
#define HEED_STATISTICS_H

#include <stddef.h>

/* P(|T| > |t|) of Student's t with the given degrees of freedom (>= 1), by the incomplete beta function (Abramowitz and
 * Stegun 26.7.1), relative error below 1e-10. 0 for infinite t, NaN for NaN. */
double heed_student_tails(double t, double freedom);

/* The t > 0 with P(|T| > t) = tails, 0 < tails < 1. */
double heed_student_quantile(double tails, double freedom);

/* A mean over n values and its two-sided interval. */
typedef struct heed_interval {
    double mean, low, high;
} heed_interval;

/* Student's interval that misses the mean with probability `tails` (0.05: a 95 % interval): mean -+ q s / sqrt(n).
 * n = 1: an infinite interval. A value that is not finite makes all three NaN. */
heed_interval heed_interval_of(const double *values, size_t n, double tails);

/* The two-sided p of the hypothesis that the values' mean is `expected`. Values that are all equal give 0, or 1 when
 * they are as expected; n = 1, or a value that is not finite, gives 1. */
double heed_mean_test(const double *values, size_t n, double expected);

/* Holm 1979, n comparisons with p-values p at `alpha` in all: tails[i] is the level at which comparison i is to be
 * read, such that an interval with that level leaves out the tested value exactly when Holm's procedure rejects it. The
 * smallest p is read at alpha / n, the next at alpha / (n - 1), and so on; those behind the first that is not rejected
 * are read at its level. */
void heed_holm(double *tails, const double *p, size_t n, double alpha);

/* Kendall's tau-b of n pairs (Kendall 1945): (concordant - discordant) / sqrt(pairs not tied in x * pairs not tied in
 * y). NaN when one side is all ties. */
double heed_kendall_tau(const double *x, const double *y, size_t n);

#endif
