/* Multi-head scaled dot-product attention (Vaswani et al. 2017, eq. 1), computed in tiles of queries: no (time, time)
 * array per head is ever held, the softmax is recomputed in the backward pass, memory is linear in time. */
#ifndef HEED_NN_ATTENTION_H
#define HEED_NN_ATTENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/ragged.h"
#include "heed/real.h"

/* For each sequence and head, over the keys j that query i may see (all, or j <= i when causal):
 *   s_ij = scale * q_i . k_j,   a_ij = exp(s_ij) / sum_j exp(s_ij),   o_i = sum_j a_ij v_j
 * Controls see less: with a window query i sees only the last `window` keys up to its own place; with scale = 0 it sees
 * all alike; with a table the scores are s_ij = scale * table[h, i, j] instead (heed/nn/attention_table.h).
 * Head h of a row lies at h * head_width. query, key, value rows are stride elements apart (they may be columns of one
 * (rows, 3 width) product), output rows heads * head_width.
 * query_rows and key_rows have the same sequences, in self-attention they are the same object; a sequence that has
 * queries has at least one key. */
typedef struct heed_attention {
    size_t heads, head_width;
    bool causal;
    real scale;          /* usually 1 / sqrt(head_width) */
    size_t query_stride; /* of query and d_query */
    size_t key_stride;   /* of key, value, d_key, d_value */
    real dropout;        /* on a_ij, after the softmax; 0 = off */
    uint64_t seed;       /* dropout's key, with site and step */
    uint32_t site, step;
    size_t window;     /* keys that a query of causal attention sees; 0: all up to its own place */
    const real *table; /* learned scores instead of queries and keys, or NULL */
    size_t table_head; /* elements from one head's scores to the next one's */
    real *scratch;     /* heed_attention_scratch reals; with a table, heed_attention_table_scratch */
} heed_attention;

/* Reals of scratch for sequences of at most `time` keys and the current number of threads. */
size_t heed_attention_scratch(size_t time, size_t head_width);

/* Overwrites output (rows, width) and log_sum (rows, heads): log sum_j exp(s_ij), which backward needs.
 * Not collective. Cannot fail. */
void heed_attention_forward(const heed_attention *attention, real *output, real *log_sum, const real *query,
                            const real *key, const real *value, const heed_ragged *query_rows,
                            const heed_ragged *key_rows);

/* With g_i = d_output_i:  d_s_ij = a_ij g_i . (v_j - o_i),  d_q_i = scale sum_j d_s_ij k_j,  d_k_j = scale sum_i d_s_ij
 * q_i, d_v_j = sum_i a_ij g_i. (With dropout, a_ij in d_v and v_j carry its mask.) Overwrites d_query, d_key, d_value.
 */
void heed_attention_backward(const heed_attention *attention, real *d_query, real *d_key, real *d_value,
                             const real *d_output, const real *output, const real *log_sum, const real *query,
                             const real *key, const real *value, const heed_ragged *query_rows,
                             const heed_ragged *key_rows);

/* The weights a_ij of one sequence and head, as an array, for looking at: weights (length, key length), 0 where not
 * visible. advantage_ij = g_i . (o_i - v_j) and credit_ij = a_ij advantage_ij are filled too unless NULL (0 where not
 * visible); d_output and output are read only then. Dropout is ignored, scratch is not used. */
void heed_attention_inspect(const heed_attention *attention, real *weights, real *advantage, real *credit,
                            const real *d_output, const real *output, const real *query, const real *key,
                            const real *value, const heed_ragged *query_rows, const heed_ragged *key_rows,
                            size_t sequence, size_t head);

#endif
