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
#define HEEDI_TILE_RIGHT HEEDI_PACKED_WIDTH

/* Memory that will be read soon: n cache lines. */
typedef struct heedi_ahead {
    const real *at;
    size_t n;
} heedi_ahead;

/* Can this processor, and this build, run it? */
bool heedi_tile_usable(void);

/* c[j * c_step + i] = alpha * sum over p < k of left[p * 32 + i] * right(j, p), i < 32, j < 12, plus what it was where
 * `add`; one chain of fused multiply-adds in the order of p. left is aligned to a cache line. Asks meanwhile for as
 * much of what comes as k leaves time for. */
void heedi_tile(real *c, size_t c_step, size_t k, real alpha, const real *left, const heedi_strips *right, bool add,
                const heedi_ahead *ahead);

#endif
