/* A sum of products along a tree (heed_gemm_sum), tile by tile: a part after the other, with the sums that wait for
 * theirs on a stack, whose bottom is C itself. Internal to gemm. */
#ifndef HEEDI_GEMM_SUM_H
#define HEEDI_GEMM_SUM_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/gemm_ahead.h"
#include "engine/gemm_kernel.h"
#include "heed/gemm.h"

enum { HEEDI_MOST_K_BLOCKS = 4 }; /* of the kernel's, that a block of parts may need */

/* Parts [first, end) of a sum are multiplied at a time; k elements together. */
typedef struct heedi_sum_block {
    const heed_gemm_part *parts;
    size_t n_parts, first, end, k;
} heedi_sum_block;

/* Moves on to the next parts, at first {parts, n_parts}; false behind the last ones. They leave one sum. */
bool heedi_sum_next(heedi_sum_block *block);

/* Can the parts be summed this way? */
bool heedi_sum_takes(const heed_gemm_part *parts, size_t n_parts);

/* The block's parts added to the tile at C, which holds the sum of those before. rows, columns: left and right strips
 * of it that count; operands: of the block's first element of k. */
void heedi_sum_tile(const heedi_sum_block *block, const heedi_tile_place *c, size_t rows, size_t columns,
                    heedi_tile_operands operands, heedi_coming *soon);

#endif
