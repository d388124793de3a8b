/* Our own loops and packing around a micro-kernel, BLIS's or ours. BLIS's own are made for large square products: where
 * a weight matrix meets a few hundred rows, its packing takes as long as the product. Internal to gemm. */
#ifndef HEEDI_GEMM_BLOCKS_H
#define HEEDI_GEMM_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>

#include "heed/gemm.h"
#include "heed/real.h"
#include "heed/status.h"

/* C = alpha A B + beta C with elements (i, j) at i * row + j * column; beta 0 or 1. With parts (alpha 1, beta 0; k
 * theirs together), if heedi_sum_takes them, the sum of their products, as heed_gemm_sum says. With `row` or `z` (alpha
 * 1, beta 0, no parts), for the kernel of our own, as heed_gemm_add says. */
typedef struct heedi_operand {
    const real *at;
    size_t row, column;
} heedi_operand;
typedef struct heedi_product_task {
    size_t m, n, k;
    real alpha, beta;
    heedi_operand a, b;
    real *c;
    size_t c_row;
    const heed_gemm_part *parts; /* NULL: none */
    size_t n_parts;
    const real *row, *z; /* NULL: none */
    size_t z_row;
} heedi_product_task;

/* Memory to pack into, for n_threads. false in *usable where this BLIS does not offer its micro-kernels this way.
 * Errors: HEED_MEMORY. After bli_init. */
heed_status heedi_blocks_open(int n_threads, bool *usable, heed_error *error);
void heedi_blocks_close(void);

/* The product, by n_threads; inside a parallel region of at most that many threads, by the calling one. */
void heedi_blocks_multiply(const heedi_product_task *task, int n_threads);

#endif
