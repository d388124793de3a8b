/* Dropout's random numbers, for the dropout layer and for attention's weights. */
#ifndef HEEDI_NN_DROPOUT_H
#define HEEDI_NN_DROPOUT_H

#include <stddef.h>
#include <stdint.h>

#include "heed/real.h"
#include "heed/rng.h"

typedef struct heedi_dropout {
    heed_rng rng;       /* everything but the sequence is set */
    uint32_t threshold; /* a number of 32 bits below it is dropped: p of 2^24, times 2^8 */
    real scale;         /* 1 / (1 - p) */
} heedi_dropout;

void heedi_dropout_init(heedi_dropout *dropout, real p, uint64_t seed, uint32_t site, uint32_t step);

/* The masks of attention's weights: mask (n_keys, 16), 0 or 1 / (1 - p), of rows first_row .. first_row + 15 of a
 * sequence whose rows have key_length weights. Weight j of row r draws word j % 4 of block r * ceil(key_length / 4) + j
 * / 4 (blocks are counted modulo 2^32). */
void heedi_dropout_mask(real *mask, const heedi_dropout *dropout, uint32_t sequence, size_t first_row,
                        size_t key_length, size_t n_keys);

#endif
