/* The table's part of heed_attention_forward, backward and inspect. */
#ifndef HEEDI_NN_ATTENTION_TABLE_H
#define HEEDI_NN_ATTENTION_TABLE_H

#include "heed/nn/attention_table.h"

/* Overwrites output; there is no log_sum. */
void heedi_table_forward(const heed_attention *attention, real *output, const real *value,
                         const heed_ragged *query_rows, const heed_ragged *key_rows);

/* Overwrites d_query and d_key, with zeros, and d_value. */
void heedi_table_backward(const heed_attention *attention, real *d_query, real *d_key, real *d_value,
                          const real *d_output, const heed_ragged *query_rows, const heed_ragged *key_rows);

/* weights (n_queries, n_keys) of a head: 0 where not visible. */
void heedi_table_weights(const heed_attention *attention, real *weights, size_t head, size_t n_queries, size_t n_keys);

#endif
