/* Operands of a product cut into panels: a panel is a strip of an operand as long as a block of k and as wide as a
 * tile, packed so that a micro-kernel reads it front to back. Internal to gemm. */
#ifndef HEEDI_GEMM_PACK_H
#define HEEDI_GEMM_PACK_H

#include <stddef.h>

#include "heed/real.h"
#include "heed/status.h"

/* Strips side by side or one below the other: element p of strip w at[w * step + p * k_step]; one of the steps is 1. */
typedef struct heedi_strips {
    const real *at;
    size_t step, k_step;
} heedi_strips;

/* Panels, or tiles, that n strips take. */
static inline size_t heedi_tiles(size_t n, size_t width) {
    HEED_CHECK(width > 0);
    return (n + width - 1) / width;
}

/* Panels of `width` out of n strips, k elements of each: out[panel][p][w], `stride` between one p and the next. Zeros
 * fill the last panel up. */
void heedi_pack(real *out, size_t width, size_t stride, heedi_strips strips, size_t n, size_t k);

#endif
