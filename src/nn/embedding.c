#include "heed/nn/embedding.h"

#include <string.h>

#include "heed/multiversion.h"
#include "heed/stage.h"
#include "nn/parallel.h"

HEED_MULTIVERSION static void add_scaled(real *y, const real *x, real scale, size_t n) {
    for (size_t i = 0; i < n; i++)
        y[i] = heedi_fma(scale, x[i], y[i]);
}

HEED_MULTIVERSION static void embed_row(real *y, const real *entry, const real *position, real scale, size_t width) {
    if (position)
        for (size_t i = 0; i < width; i++)
            y[i] = heedi_fma(scale, entry[i], position[i]);
    else
        for (size_t i = 0; i < width; i++)
            y[i] = scale * entry[i];
}

void heed_embedding_forward(real *y, const int32_t *token, const real *table, const real *positions,
                            const heed_ragged *rows, size_t width, real scale) {
    HEED_IN_STAGE(EMBEDDING);
#pragma omp parallel if (rows->n_rows * width >= HEEDI_WORTH_THREADS)
    {
        size_t from, to, s = 0;
        heedi_share(rows->n_rows, 1, &from, &to);
        for (size_t r = from; r < to; r++) {
            while (rows->first_row[s + 1] <= r)
                s++;
            const real *position = positions ? positions + (r - rows->first_row[s]) * width : NULL;
            embed_row(y + r * width, table + (size_t)token[r] * width, position, scale, width);
        }
    }
}

/* Rows may share a token, so threads divide the columns. */
void heed_embedding_backward_table(real *d_table, const real *d_y, const int32_t *token, size_t first_row,
                                   size_t n_rows, size_t vocab, size_t width, real scale) {
    HEED_IN_STAGE(D_EMBEDDING);
#pragma omp parallel if ((vocab + n_rows) * width >= HEEDI_WORTH_THREADS)
    {
        size_t from, to;
        heedi_share(width, HEEDI_LANES, &from, &to);
        if (from < to) {
            for (size_t v = 0; v < vocab; v++)
                memset(d_table + v * width + from, 0, (to - from) * sizeof *d_table);
            for (size_t r = first_row; r < first_row + n_rows; r++)
                add_scaled(d_table + (size_t)token[r] * width + from, d_y + r * width + from, scale, to - from);
        }
    }
}

void heed_embedding_backward_positions(real *d_positions, const real *d_y, const heed_ragged *rows, size_t grain,
                                       size_t time, size_t width) {
    HEED_IN_STAGE(D_EMBEDDING);
#pragma omp parallel if (time * width >= HEEDI_WORTH_THREADS)
    {
        size_t from, to;
        heedi_share(time, 1, &from, &to);
        for (size_t p = from; p < to; p++) {
            real *d_position = d_positions + p * width;
            memset(d_position, 0, width * sizeof *d_position);
            for (size_t s = rows->first_of[grain]; s < rows->first_of[grain + 1]; s++)
                if (p < heed_length(rows, s))
                    add_scaled(d_position, d_y + (rows->first_row[s] + p) * width, 1, width);
        }
    }
}
