#include "heed/statistics.h"

#include <math.h>
#include <stdbool.h>

/* The continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8), by Lentz's method. It
 * converges fast for x < (a + 1) / (a + b + 2). */
static double beta_fraction(double a, double b, double x) {
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double fraction = d;
    for (int m = 1; m < 10000; m++) {
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 + even * d;
        c = 1 + even / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        fraction *= c * d;
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 + odd * d;
        c = 1 + odd / c;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = fabs(c) < tiny ? tiny : c;
        const double factor = c * d;
        fraction *= factor;
        if (fabs(factor - 1) < 1e-15)
            break;
    }
    return fraction;
}

/* Regularised incomplete beta function I_x(a, b); y = 1 - x is given too, since it may be too small to be told from x.
 */
static double incomplete_beta(double a, double b, double x, double y) {
    if (x <= 0)
        return 0;
    if (y <= 0)
        return 1;
    const double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(y));
    return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a : 1 - front * beta_fraction(b, a, y) / b;
}

double heed_student_tails(double t, double freedom) {
    if (isnan(t))
        return NAN;
    if (isinf(t))
        return 0;
    const double square = t * t;
    return incomplete_beta(freedom / 2, 0.5, freedom / (freedom + square), square / (freedom + square));
}

double heed_student_quantile(double tails, double freedom) {
    double low = 0, high = 1;
    while (heed_student_tails(high, freedom) > tails)
        high *= 2;
    for (int i = 0; i < 200 && low < high; i++) {
        const double middle = low + (high - low) / 2;
        if (middle == low || middle == high)
            break;
        if (heed_student_tails(middle, freedom) > tails)
            low = middle;
        else
            high = middle;
    }
    return high;
}

/* Mean and standard error; false when a value is not finite. */
static bool summarise(const double *values, size_t n, double *mean, double *error) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        sum += values[i];
    *mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (values[i] - *mean) * (values[i] - *mean);
    *error = n > 1 ? sqrt(squares / (double)(n - 1) / (double)n) : INFINITY;
    return isfinite(sum) && isfinite(squares);
}

heed_interval heed_interval_of(const double *values, size_t n, double tails) {
    double mean, error;
    if (n == 0 || !summarise(values, n, &mean, &error))
        return (heed_interval){NAN, NAN, NAN};
    const double reach = n > 1 ? heed_student_quantile(tails, (double)(n - 1)) * error : INFINITY;
    return (heed_interval){mean, mean - reach, mean + reach};
}

double heed_mean_test(const double *values, size_t n, double expected) {
    double mean, error;
    if (n < 2 || !summarise(values, n, &mean, &error))
        return 1;
    if (error == 0)
        return mean == expected ? 1 : 0;
    return heed_student_tails((mean - expected) / error, (double)(n - 1));
}

void heed_holm(double *tails, const double *p, size_t n, double alpha) {
    double level = alpha / (double)n;
    bool rejects = true;
    for (size_t i = 0; i < n; i++)
        tails[i] = 0;
    for (size_t k = 0; k < n; k++) {
        size_t next = n; /* the smallest p of those that have no level yet */
        for (size_t i = 0; i < n; i++)
            if (tails[i] == 0 && (next == n || p[i] < p[next]))
                next = i;
        if (rejects)
            level = alpha / (double)(n - k);
        tails[next] = level;
        rejects = rejects && p[next] < level;
    }
}

double heed_kendall_tau(const double *x, const double *y, size_t n) {
    double balance = 0, untied_x = 0, untied_y = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) {
            const int a = (x[i] > x[j]) - (x[i] < x[j]), b = (y[i] > y[j]) - (y[i] < y[j]);
            balance += a * b;
            untied_x += a != 0;
            untied_y += b != 0;
        }
    return untied_x > 0 && untied_y > 0 ? balance / sqrt(untied_x * untied_y) : NAN;
}
