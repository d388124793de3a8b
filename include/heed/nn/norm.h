/* Layer norm over the last axis (Ba, Kiros and Hinton 2016, eq. 3). */
#ifndef HEED_NN_NORM_H
#define HEED_NN_NORM_H

#include <stdbool.h>
#include <stddef.h>

#include "heed/real.h"

/* y = gain * (x - mean) * rstd + bias, rstd = 1 / sqrt(var(x) + eps); bias may be NULL.
 * Shapes: x, y (rows, width); gain, bias (width); mean, rstd (rows).
 * Overwrites y, mean, rstd. Not collective. Cannot fail. */
void heed_norm_forward(real *y, real *mean, real *rstd, const real *x, const real *gain, const real *bias, size_t rows,
                       size_t width, real eps);

/* With n = (x - mean) * rstd and e = gain * d_y:  d_x = rstd * (e - mean(e) - n * mean(e * n)); adds to d_x when add is
 * true. */
void heed_norm_backward_input(real *d_x, const real *d_y, const real *x, const real *mean, const real *rstd,
                              const real *gain, size_t rows, size_t width, bool add);

/* d_gain = sum over rows of d_y * n, d_bias = sum over rows of d_y, in a fixed order; overwrites; d_bias may be NULL.
 */
void heed_norm_backward_gain(real *d_gain, real *d_bias, const real *d_y, const real *x, const real *mean,
                             const real *rstd, size_t rows, size_t width);

#endif
