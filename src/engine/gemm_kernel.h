/* The micro-kernel, BLIS's or the tile of our own, and what it asks of its operands. Internal to gemm.
 *
 * Left and right are its words: a kernel that likes columns computes C^T = B^T A^T, so its left operand is B. */
#ifndef HEEDI_GEMM_KERNEL_H
#define HEEDI_GEMM_KERNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/gemm_pack.h"
#include "engine/gemm_tile.h"
#include "heed/real.h"

enum { HEEDI_MOST_TILE = 1024 }; /* elements of a tile that sums are made of */

/* Where BLIS does not offer its micro-kernels this way there is none, and no width. */
typedef struct heedi_kernel_facts {
    size_t left_width, right_width;   /* of a tile */
    size_t left_stride, right_stride; /* elements from one k to the next in a packed panel */
    size_t left_at_once;              /* strips of the left operand that BLIS would pack at once */
    size_t k_block;                   /* elements of k that are one chain of additions */
    bool likes_rows;
    bool own; /* tiles of our own */
} heedi_kernel_facts;
extern heedi_kernel_facts heedi_kernel;

/* Fills heedi_kernel in. After bli_init. */
void heedi_kernel_open(void);

/* Where a tile of C, or of a sum that waits, lies: elements to its next left and right strip. */
typedef struct heedi_tile_place {
    real *at;
    size_t left, right;
} heedi_tile_place;

/* rows, columns: of the tile that count, left and right strips. */

/* c = second + (first + alpha * product), as heedi_tile; for BLIS's kernels `first` is c itself or NULL and there is no
 * `second`. Operands go by pointer: a structure that is written by halves and read whole waits for the store. */
void heedi_multiply_tile(const heedi_tile_place *c, size_t rows, size_t columns, real alpha,
                         const heedi_tile_operands *operands, const heedi_tile_terms *terms, const heedi_ahead *ahead);

/* to += from */
void heedi_add_tile(heedi_tile_place to, heedi_tile_place from, size_t rows, size_t columns);

#endif
