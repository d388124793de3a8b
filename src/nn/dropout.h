/* Dropout of one row, for the dropout layer and for attention's weights. */
#ifndef HEEDI_NN_DROPOUT_H
#define HEEDI_NN_DROPOUT_H

#include <stddef.h>
#include <stdint.h>

#include "heed/real.h"
#include "heed/rng.h"

typedef struct heedi_dropout {
    heed_rng rng;       /* everything but the sequence is set */
    uint32_t threshold; /* a number of 24 bits below it is dropped */
    real scale;         /* 1 / (1 - p) */
} heedi_dropout;

void heedi_dropout_init(heedi_dropout *dropout, real p, uint64_t seed, uint32_t site, uint32_t step);

/* Row `row` of a sequence whose rows have n elements: element i draws word i % 4 of block row * ceil(n / 4) + i / 4.
 * (Blocks are counted modulo 2^32.) Only the first n_used elements are touched. */
void heedi_dropout_row(real *x, const heedi_dropout *dropout, uint32_t sequence, size_t row, size_t n, size_t n_used);

#endif
