/* A tile of a product, held in registers while k runs: the micro-kernel of our own for AVX-512. It adds in the order of
 * BLIS's, so its bits are the same; but BLIS's takes both operands packed, and this one takes the right one as it lies,
 * which a product of a few hundred rows would else spend a tenth of its time on. Internal to gemm. */
#ifndef HEEDI_GEMM_TILE_H
#define HEEDI_GEMM_TILE_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/gemm_pack.h"
#include "heed/real.h"

#define HEEDI_TILE_LEFT 32 /* of C's elements that lie side by side */
#define HEEDI_TILE_RIGHT 12
#define HEEDI_TILE_REST 8 /* a narrower tile: 2^n strips end with one or two of these */

/* Memory that will be read soon: n pairs of cache lines, `step` elements from one pair to the next. */
typedef struct heedi_ahead {
    const real *at;
    size_t n, step;
} heedi_ahead;

/* What a tile multiplies: 32 strips side by side, left(i, p) = left[p * left_step + i], and as many strips of `right`
 * as the tile is wide; k elements of each. Right strips along memory (k_step 1) go with a left panel that is packed
 * (left_step 32) or lies in place, packed ones (step 1, k_step 12) with a packed one. */
typedef struct heedi_tile_operands {
    const real *left;
    size_t left_step;
    heedi_strips right;
    size_t k;
} heedi_tile_operands;

/* Can this processor, and this build, run it? */
bool heedi_tile_usable(void);

/* What a product joins: it first joins first[j * first_step + i], then their sum second[j * second_step + i]; either
 * may be NULL, or C itself. A step of 0 repeats the same 32 numbers. */
typedef struct heedi_tile_terms {
    const real *first, *second;
    size_t first_step, second_step;
} heedi_tile_terms;

/* c[j * c_step + i] = second + (first + alpha * sum over p < k of left(i, p) * right(j, p)), i < 32, j < columns (12,
 * or 8 of strips along memory): one chain of fused multiply-adds in the order of p. Asks meanwhile for as much of what
 * comes as k leaves time for. */
void heedi_tile(real *c, size_t c_step, size_t columns, real alpha, const heedi_tile_operands *operands,
                const heedi_tile_terms *terms, const heedi_ahead *ahead);

#endif
