/* Sequences of different length, stored one behind the other without padding: row r of every activation (rows, width)
 * belongs to one token. Layers that treat tokens alone see rows; attention sees sequences; gradients see grains.
 * There is nothing to mask, because there is nothing that is not a token. */
#ifndef HEED_RAGGED_H
#define HEED_RAGGED_H

#include <stddef.h>
#include <stdint.h>

typedef struct heed_ragged {
    size_t n_rows;            /* tokens on this rank */
    size_t n_sequences;       /* sequences on this rank */
    size_t max_length;        /* of these sequences */
    const size_t *first_row;  /* (n_sequences + 1): sequence s holds rows first_row[s] .. first_row[s + 1] - 1 */
    const uint32_t *sequence; /* (n_sequences): its index in the global batch, which keys dropout and statistics */
    size_t n_grains;          /* grains on this rank; a grain may be empty */
    size_t first_grain;       /* index of the first of them among all grains of the step */
    const size_t *first_of;   /* (n_grains + 1): grain g holds sequences first_of[g] .. first_of[g + 1] - 1 */
} heed_ragged;

static inline size_t heed_length(const heed_ragged *rows, size_t sequence) {
    return rows->first_row[sequence + 1] - rows->first_row[sequence];
}

/* The first row of grain g; with g = n_grains, the end. */
static inline size_t heed_grain_row(const heed_ragged *rows, size_t grain) {
    return rows->first_row[rows->first_of[grain]];
}

#endif
