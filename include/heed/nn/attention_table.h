/* Attention whose scores are a learned table over places (i, j): it knows where to look, and nothing of what is there.
 * The kernels of heed/nn/attention.h take this way when attention->table is set; here are its shapes, and the table's
 * own gradient.
 *
 * For causal attention the table of a head is the lower triangle of (time, time), row behind row: s_ij = scale *
 * table[h * table_head + i (i + 1) / 2 + j]. All sequences have the same weights, so one array (time, time) a head
 * serves all. Attention without a mask takes one query a sequence (the newest token over a cache of keys): table then
 * points at that query's row. There is no dropout on these weights. */
#ifndef HEED_NN_ATTENTION_TABLE_H
#define HEED_NN_ATTENTION_TABLE_H

#include "heed/nn/attention.h"

/* Elements of one head's table, for sequences of at most `time` tokens. */
size_t heed_attention_table_size(size_t time);

/* Reals of scratch for tables, for the current number of threads. */
size_t heed_attention_table_scratch(size_t time, size_t heads);

/* d_table[h, i, j] = scale * sum over sequences [first, first + n) of d_s_ij, in their order. Causal attention alone.
 * Overwrites all of d_table (heads, table_head). */
void heed_attention_table_gradient(const heed_attention *attention, real *d_table, const real *d_output,
                                   const real *output, const real *value, const heed_ragged *rows, size_t first,
                                   size_t n);

#endif
