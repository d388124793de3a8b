#include "heed/nn/norm.h"

#include <math.h>

#include "heed/multiversion.h"
#include "heed/stage.h"
#include "nn/parallel.h"

#ifdef HEED_DOUBLE
#define SQRT sqrt
#else
#define SQRT sqrtf
#endif

/* The first of three ways along a row x; `later` is where the last one writes. */
HEEDI_INLINE real sum(const real *x, const real *later, size_t n) {
    real lane[HEEDI_LANES] = {0};
    size_t i = 0;
    for (; i + HEEDI_LANES <= n; i += HEEDI_LANES) {
        heedi_ask_line_ahead(x + i);
        heedi_ask_line_ahead(later + i);
        for (size_t l = 0; l < HEEDI_LANES; l++)
            lane[l] += x[i + l];
    }
    for (size_t l = 0; i + l < n; l++)
        lane[l] += x[i + l];
    return heedi_fold(lane);
}

HEEDI_INLINE real sum_of_squares(const real *x, real mean, size_t n) {
    real lane[HEEDI_LANES] = {0};
    size_t i = 0;
    for (; i + HEEDI_LANES <= n; i += HEEDI_LANES)
        for (size_t l = 0; l < HEEDI_LANES; l++)
            lane[l] = heedi_fma(x[i + l] - mean, x[i + l] - mean, lane[l]);
    for (size_t l = 0; i + l < n; l++)
        lane[l] = heedi_fma(x[i + l] - mean, x[i + l] - mean, lane[l]);
    return heedi_fold(lane);
}

HEEDI_INLINE void scale_row(real *y, const real *x, real mean, real scale, const real *gain, const real *bias,
                            size_t width) {
    if (bias)
        for (size_t i = 0; i < width; i++)
            y[i] = heedi_fma((x[i] - mean) * scale, gain[i], bias[i]);
    else
        for (size_t i = 0; i < width; i++)
            y[i] = (x[i] - mean) * scale * gain[i];
}

/* Rows that take turns: while the sum of one is folded and waited for, the processor goes on with another. */
enum { TOGETHER = 2, NEAR = 4096 };

HEED_MULTIVERSION static void forward_rows(real *y, real *mean, real *rstd, const real *x, const real *gain,
                                           const real *bias, size_t from, size_t to, size_t width, real eps) {
    for (size_t first = from; first < to; first += TOGETHER) {
        const size_t end = heedi_min(first + TOGETHER, to);
        for (size_t r = first; r < end; r++)
            mean[r] = sum(x + r * width, y + r * width, width) / (real)width;
        for (size_t r = first; r < end; r++) {
            if (r + TOGETHER < to && width <= NEAR)
                heedi_ask_for(x + (r + TOGETHER) * width, width);
            rstd[r] = 1 / SQRT(sum_of_squares(x + r * width, mean[r], width) / (real)width + eps);
        }
        for (size_t r = first; r < end; r++)
            scale_row(y + r * width, x + r * width, mean[r], rstd[r], gain, bias, width);
    }
}

void heed_norm_forward(real *y, real *mean, real *rstd, const real *x, const real *gain, const real *bias, size_t rows,
                       size_t width, real eps) {
    HEED_IN_STAGE(NORM);
#pragma omp parallel if (rows * width >= HEEDI_WORTH_THREADS)
    {
        size_t from, to;
        heedi_share(rows, 1, &from, &to);
        forward_rows(y, mean, rstd, x, gain, bias, from, to, width, eps);
    }
}

HEEDI_INLINE void backward_row(real *d_x, const real *d_y, const real *x, real mean, real rstd, const real *gain,
                               size_t width, bool add) {
    real e_lane[HEEDI_LANES] = {0}, en_lane[HEEDI_LANES] = {0};
    size_t i = 0;
    for (; i < width; i += HEEDI_LANES) {
        const size_t rest = width - i < HEEDI_LANES ? width - i : HEEDI_LANES;
        heedi_ask_line_ahead(d_y + i);
        heedi_ask_line_ahead(x + i);
        heedi_ask_line_ahead(d_x + i);
        for (size_t l = 0; l < rest; l++) {
            const real e = gain[i + l] * d_y[i + l];
            e_lane[l] += e;
            en_lane[l] = heedi_fma(e, (x[i + l] - mean) * rstd, en_lane[l]);
        }
    }
    const real mean_e = heedi_fold(e_lane) / (real)width;
    const real mean_en = heedi_fold(en_lane) / (real)width;
    for (i = 0; i < width; i++) {
        const real n = (x[i] - mean) * rstd;
        const real e = gain[i] * d_y[i];
        const real d = rstd * heedi_fma(-n, mean_en, e - mean_e);
        d_x[i] = add ? d_x[i] + d : d;
    }
}

HEED_MULTIVERSION static void backward_rows(real *d_x, const real *d_y, const real *x, const real *mean,
                                            const real *rstd, const real *gain, size_t from, size_t to, size_t width,
                                            bool add) {
    for (size_t r = from; r < to; r++)
        backward_row(d_x + r * width, d_y + r * width, x + r * width, mean[r], rstd[r], gain, width, add);
}

void heed_norm_backward_input(real *d_x, const real *d_y, const real *x, const real *mean, const real *rstd,
                              const real *gain, size_t rows, size_t width, bool add) {
    HEED_IN_STAGE(D_NORM);
#pragma omp parallel if (rows * width >= HEEDI_WORTH_THREADS)
    {
        size_t from, to;
        heedi_share(rows, 1, &from, &to);
        backward_rows(d_x, d_y, x, mean, rstd, gain, from, to, width, add);
    }
}

/* Columns [from, to) of both sums, rows in order. */
HEED_MULTIVERSION static void backward_columns(real *d_gain, real *d_bias, const real *d_y, const real *x,
                                               const real *mean, const real *rstd, size_t rows, size_t width,
                                               size_t from, size_t to) {
    const size_t rows_ahead = HEEDI_AHEAD / width + 1;
    for (size_t i = from; i < to; i++)
        d_gain[i] = 0;
    for (size_t r = 0; r < rows; r++) {
        const real *g = d_y + r * width, *row = x + r * width;
        for (size_t i = from; i < to; i += HEEDI_LINE) {
            __builtin_prefetch(g + rows_ahead * width + i, 0, 2);
            __builtin_prefetch(row + rows_ahead * width + i, 0, 2);
        }
        for (size_t i = from; i < to; i++)
            d_gain[i] = heedi_fma(g[i], (row[i] - mean[r]) * rstd[r], d_gain[i]);
    }
    if (!d_bias)
        return;
    for (size_t i = from; i < to; i++)
        d_bias[i] = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = from; i < to; i++)
            d_bias[i] += d_y[r * width + i];
}

void heed_norm_backward_gain(real *d_gain, real *d_bias, const real *d_y, const real *x, const real *mean,
                             const real *rstd, size_t rows, size_t width) {
    HEED_IN_STAGE(D_NORM);
#pragma omp parallel if (rows * width >= HEEDI_WORTH_THREADS)
    {
        size_t from, to;
        heedi_share(width, HEEDI_LANES, &from, &to);
        backward_columns(d_gain, d_bias, d_y, x, mean, rstd, rows, width, from, to);
    }
}
