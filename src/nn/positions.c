/* Positions that are computed, not learned. */
#include <math.h>

#include "heed/multiversion.h"
#include "heed/nn/embedding.h"
#include "nn/parallel.h"

static double angle(size_t position, size_t pair, size_t width) {
    return (double)position * pow(10000.0, -(double)(2 * pair) / (double)width);
}

void heed_sinusoidal_positions(real *table, size_t time, size_t width) {
    for (size_t p = 0; p < time; p++)
        for (size_t c = 0; c < width; c++) {
            const double a = angle(p, c / 2, width);
            table[p * width + c] = (real)(c % 2 ? cos(a) : sin(a));
        }
}

void heed_rotary_table(real *cosines, real *sines, size_t time, size_t head_width) {
    const size_t pairs = head_width / 2;
    for (size_t p = 0; p < time; p++)
        for (size_t i = 0; i < pairs; i++) {
            cosines[p * pairs + i] = (real)cos(angle(p, i, head_width));
            sines[p * pairs + i] = (real)sin(angle(p, i, head_width));
        }
}

HEED_MULTIVERSION static void rotate_row(real *x, size_t heads, size_t pairs, const real *cosine, const real *sine,
                                         real direction) {
    for (size_t h = 0; h < heads; h++, x += 2 * pairs)
        for (size_t i = 0; i < pairs; i++) {
            const real even = x[2 * i], odd = x[2 * i + 1], s = direction * sine[i];
            x[2 * i] = even * cosine[i] - odd * s;
            x[2 * i + 1] = even * s + odd * cosine[i];
        }
}

void heed_rotary(real *x, size_t stride, const heed_ragged *rows, size_t heads, size_t head_width, const real *cosines,
                 const real *sines, int inverse) {
    const size_t pairs = head_width / 2;
#pragma omp parallel if (rows->n_rows * heads * head_width >= HEEDI_WORTH_THREADS)
    {
        size_t from, to, s = 0;
        heedi_share(rows->n_rows, 1, &from, &to);
        for (size_t r = from; r < to; r++) {
            while (rows->first_row[s + 1] <= r)
                s++;
            const size_t p = r - rows->first_row[s];
            rotate_row(x + r * stride, heads, pairs, cosines + p * pairs, sines + p * pairs, inverse ? -1 : 1);
        }
    }
}
