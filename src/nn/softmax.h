/* Softmax of one row, for attention and for the loss. */
#ifndef HEEDI_NN_SOFTMAX_H
#define HEEDI_NN_SOFTMAX_H

#include <math.h>

#include "nn/parallel.h"

/* x = exp(x - largest) in place; returns the sum of the results. *log_sum gets log sum exp(x) of the x that came in. */
HEEDI_INLINE real heedi_exp_row(real *x, size_t n, real *log_sum) {
    real largest = x[0];
    for (size_t i = 1; i < n; i++)
        largest = x[i] > largest ? x[i] : largest;
    real lane[HEEDI_LANES] = {0};
    size_t i = 0;
    for (; i < n; i += HEEDI_LANES) {
        const size_t rest = n - i < HEEDI_LANES ? n - i : HEEDI_LANES;
        for (size_t l = 0; l < rest; l++) {
            x[i + l] = heedi_exp(x[i + l] - largest);
            lane[l] += x[i + l];
        }
    }
    const real sum = heedi_fold(lane);
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
