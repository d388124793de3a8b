/* Token and position embeddings. */
#ifndef HEED_NN_EMBEDDING_H
#define HEED_NN_EMBEDDING_H

#include <stddef.h>
#include <stdint.h>

#include "heed/ragged.h"
#include "heed/real.h"

/* y[r] = scale * table[token[r]] + positions[p(r)], p(r) the place of row r in its sequence; positions may be NULL.
 * Shapes: y (rows, width), table (vocab, width), positions (time, width). Overwrites y. Not collective. Cannot fail. */
void heed_embedding_forward(real *y, const int32_t *token, const real *table, const real *positions,
                            const heed_ragged *rows, size_t width, real scale);

/* d_table[v] = scale * sum of d_y[r] over rows r in [first_row, first_row + n_rows) with token[r] = v, in row order.
 * Overwrites all of d_table (vocab, width). */
void heed_embedding_backward_table(real *d_table, const real *d_y, const int32_t *token, size_t first_row,
                                   size_t n_rows, size_t vocab, size_t width, real scale);

/* d_positions[p] = sum of d_y[r] over the rows of grain `grain` at place p. Overwrites all of d_positions (time,
 * width). */
void heed_embedding_backward_positions(real *d_positions, const real *d_y, const heed_ragged *rows, size_t grain,
                                       size_t time, size_t width);

/* Sinusoidal positions (Vaswani et al. 2017, section 3.5): table[p, 2i] = sin(p / 10000^(2i/width)), table[p, 2i+1] =
 * cos(same). Shapes: table (time, width). */
void heed_sinusoidal_positions(real *table, size_t time, size_t width);

/* Rotary positions (Su et al. 2021, eq. 34) on one head layout: pairs (x[2i], x[2i+1]) of every head turn by p /
 * 10000^(2i/head_width). cosines, sines (time, head_width / 2) from heed_rotary_table. In place on x (rows, heads *
 * head_width; rows stride apart); inverse turns back, which is the backward pass. head_width must be even. */
void heed_rotary_table(real *cosines, real *sines, size_t time, size_t head_width);
void heed_rotary(real *x, size_t stride, const heed_ragged *rows, size_t heads, size_t head_width, const real *cosines,
                 const real *sines, int inverse);

#endif
