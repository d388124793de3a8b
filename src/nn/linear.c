#include "heed/nn/linear.h"

#include <string.h>

#include "heed/gemm.h"
#include "heed/multiversion.h"
#include "heed/stage.h"
#include "nn/parallel.h"

void heed_linear_forward(real *y, const real *x, const real *weight, const real *bias, size_t rows, size_t in,
                         size_t out) {
    heed_linear_forward_add(y, NULL, x, weight, bias, rows, in, out);
}

void heed_linear_forward_add(real *y, const real *z, const real *x, const real *weight, const real *bias, size_t rows,
                             size_t in, size_t out) {
    HEED_IN_STAGE(LINEAR);
    if (rows > 0)
        heed_gemm_add(false, true, rows, out, in, x, in, weight, in, bias, z, out, y, out);
}

void heed_linear_backward_input(real *d_x, const real *d_y, const real *weight, size_t rows, size_t in, size_t out,
                                bool add) {
    HEED_IN_STAGE(D_INPUT);
    if (rows > 0)
        heed_gemm(false, false, rows, in, out, 1, d_y, out, weight, in, add ? 1 : 0, d_x, in);
}

/* Columns [from, to) of the sum over rows. Four rows are added in a tree before they join the sum: fewer passes over
 * it, and less rounding. */
HEED_MULTIVERSION static void sum_rows(real *sum, const real *x, size_t rows, size_t width, size_t from, size_t to) {
    for (size_t c = from; c < to; c++)
        sum[c] = 0;
    size_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        const real *a = x + r * width, *b = a + width, *c = b + width, *d = c + width;
        for (size_t i = from; i < to; i++)
            sum[i] += (a[i] + b[i]) + (c[i] + d[i]);
    }
    for (; r < rows; r++)
        for (size_t i = from; i < to; i++)
            sum[i] += x[r * width + i];
}

void heed_linear_backward_weight(real *d_weight, real *d_bias, const real *x, const real *d_y, size_t rows, size_t in,
                                 size_t out) {
    HEED_IN_STAGE(D_WEIGHT);
    if (rows == 0 && d_weight)
        memset(d_weight, 0, out * in * sizeof *d_weight);
    else if (d_weight)
        heed_gemm(true, false, out, in, rows, 1, d_y, out, x, in, 0, d_weight, in);
    if (!d_bias)
        return;
#pragma omp parallel if (rows * out >= HEEDI_WORTH_THREADS)
    {
        size_t from, to;
        heedi_share(out, HEEDI_LANES, &from, &to);
        sum_rows(d_bias, d_y, rows, out, from, to);
    }
}

bool heed_linear_backward_weight_sum(real *d_weight, const real *x, const real *d_y, const heed_gemm_part *parts,
                                     size_t n_parts, size_t in, size_t out) {
    HEED_IN_STAGE(D_WEIGHT);
    return heed_gemm_sum(out, in, parts, n_parts, d_y, out, x, in, d_weight, in);
}
