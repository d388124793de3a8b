/* Softmax of one row, for attention and for the loss. */
#ifndef HEEDI_NN_SOFTMAX_H
#define HEEDI_NN_SOFTMAX_H

#include <math.h>

#include "nn/parallel.h"

HEEDI_INLINE real heedi_largest(const real *x, size_t n) {
    real lane[HEEDI_LANES];
    for (size_t l = 0; l < HEEDI_LANES; l++)
        lane[l] = x[0];
    size_t i = 0;
    for (; i + HEEDI_LANES <= n; i += HEEDI_LANES)
#pragma omp simd
        for (size_t l = 0; l < HEEDI_LANES; l++)
            lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    for (size_t l = 0; i + l < n; l++)
        lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    for (size_t l = 1; l < HEEDI_LANES; l++)
        lane[0] = lane[l] > lane[0] ? lane[l] : lane[0];
    return lane[0];
}

/* x = exp(x - largest) in place; returns the sum of the results. */
HEEDI_INLINE real heedi_exp_below(real *x, size_t n, real largest) {
    real lane[HEEDI_LANES] = {0};
    size_t i = 0;
    for (; i + HEEDI_LANES <= n; i += HEEDI_LANES)
        for (size_t l = 0; l < HEEDI_LANES; l++) {
            x[i + l] = heedi_exp_falling(x[i + l] - largest);
            lane[l] += x[i + l];
        }
    for (size_t l = 0; i + l < n; l++) {
        x[i + l] = heedi_exp_falling(x[i + l] - largest);
        lane[l] += x[i + l];
    }
    return heedi_fold(lane);
}

/* The same below the largest x; *log_sum gets log sum exp(x) of the x that came in. */
HEEDI_INLINE real heedi_exp_row(real *x, size_t n, real *log_sum) {
    const real largest = heedi_largest(x, n), sum = heedi_exp_below(x, n, largest);
    *log_sum = largest + (real)log((double)sum);
    return sum;
}

/* The sum of a row, lane by lane. */
HEEDI_INLINE real heedi_sum_row(const real *x, size_t n) {
    real lane[HEEDI_LANES] = {0};
    for (size_t i = 0; i < n; i += HEEDI_LANES)
        for (size_t l = 0; l < HEEDI_LANES && l < n - i; l++)
            lane[l] += x[i + l];
    return heedi_fold(lane);
}

#endif
