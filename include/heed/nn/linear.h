/* y = x W^T + b. Row-major, W as PyTorch keeps it: (out, in). */
#ifndef HEED_NN_LINEAR_H
#define HEED_NN_LINEAR_H

#include <stdbool.h>
#include <stddef.h>

#include "heed/gemm.h"
#include "heed/real.h"

/* y = x weight^T + bias; bias may be NULL.
 * Shapes: x (rows, in), weight (out, in), bias (out), y (rows, out). Overwrites y. Not collective. Cannot fail. */
void heed_linear_forward(real *y, const real *x, const real *weight, const real *bias, size_t rows, size_t in,
                         size_t out);

/* The same, added to z: y = z + (x weight^T + bias). z (rows, out) is not y, or NULL. */
void heed_linear_forward_add(real *y, const real *z, const real *x, const real *weight, const real *bias, size_t rows,
                             size_t in, size_t out);

/* d_x = d_y weight, added to d_x when add is true, else overwriting it. */
void heed_linear_backward_input(real *d_x, const real *d_y, const real *weight, size_t rows, size_t in, size_t out,
                                bool add);

/* d_weight = d_y^T x, d_bias = sum over rows of d_y in a fixed order; overwrites both; either may be NULL. rows may be
 * 0. */
void heed_linear_backward_weight(real *d_weight, real *d_bias, const real *x, const real *d_y, size_t rows, size_t in,
                                 size_t out);

/* d_weight = the sum over the parts of the rows of d_y^T x, as heed_gemm_sum says: false, and nothing was done, where
 * it cannot. */
bool heed_linear_backward_weight_sum(real *d_weight, const real *x, const real *d_y, const heed_gemm_part *parts,
                                     size_t n_parts, size_t in, size_t out);

#endif
