/* What a thread of attention works on: an item is one (sequence, head), a group 32 of its queries in two halves; and
 * what comes behind it, which is asked for while it is worked on. Internal to attention. */
#ifndef HEEDI_ATTENTION_ITEMS_H
#define HEEDI_ATTENTION_ITEMS_H

#include <omp.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sizes.h"
#include "heed/nn/attention.h"
#include "nn/attention_product.h"
#include "nn/parallel.h"

enum { HEEDI_GROUP_QUERIES = 2 * HEEDI_LANES, HEEDI_MOST_SOON = 8, HEEDI_SOON_AT_ONCE = 2 };

/* Where one (sequence, head) lies in the arrays, and one group of its queries. */
typedef struct heedi_item {
    size_t n_queries, n_keys;           /* of the sequence */
    size_t query_at, key_at, output_at; /* first element: of query, of key and value, of output */
    size_t output_stride, log_sum_at;
    size_t head;
    uint32_t sequence; /* in the global batch */
} heedi_item;

typedef struct heedi_half {
    size_t first, n; /* queries first .. first + n - 1; n may be 0 */
    size_t n_keys;   /* that any of them may see */
    size_t n_blocks; /* the same, rounded up to whole blocks of the products */
} heedi_half;

typedef struct heedi_group {
    heedi_half half[2]; /* the second sees all the keys of the first */
    size_t n;           /* queries of both */
} heedi_group;

static inline heedi_item heedi_item_at(const heed_attention *attention, const heed_ragged *query_rows,
                                       const heed_ragged *key_rows, size_t sequence, size_t head) {
    const size_t column = head * attention->head_width, row = query_rows->first_row[sequence];
    const size_t width = attention->heads * attention->head_width;
    return (heedi_item){.n_queries = heed_length(query_rows, sequence),
                        .n_keys = heed_length(key_rows, sequence),
                        .query_at = row * attention->query_stride + column,
                        .key_at = key_rows->first_row[sequence] * attention->key_stride + column,
                        .output_at = row * width + column,
                        .output_stride = width,
                        .log_sum_at = row * attention->heads + head,
                        .head = head,
                        .sequence = query_rows->sequence[sequence]};
}

/* The item that a thread which has taken item i is likely to take next; without queries and keys where there is none.
 */
static inline heedi_item heedi_item_behind(const heed_attention *attention, const heed_ragged *query_rows,
                                           const heed_ragged *key_rows, size_t i) {
    const size_t next = i + (size_t)omp_get_num_threads();
    if (next >= query_rows->n_sequences * attention->heads)
        return (heedi_item){0};
    return heedi_item_at(attention, query_rows, key_rows, next / attention->heads, next % attention->heads);
}

static inline heedi_half heedi_half_at(const heed_attention *attention, const heedi_item *it, size_t first) {
    const size_t n = first < it->n_queries ? heedi_min(HEEDI_LANES, it->n_queries - first) : 0;
    const size_t n_keys = attention->causal ? heedi_min(first + n, it->n_keys) : it->n_keys;
    return (heedi_half){first, n, n_keys, heedi_round_up(n_keys, HEEDI_PRODUCT_ROWS)};
}

static inline heedi_group heedi_group_at(const heed_attention *attention, const heedi_item *it, size_t first) {
    heedi_group g = {.half = {heedi_half_at(attention, it, first), heedi_half_at(attention, it, first + HEEDI_LANES)}};
    if (g.half[1].n == 0)
        g.half[1].n_keys = g.half[1].n_blocks = g.half[0].n_blocks;
    g.n = g.half[0].n + g.half[1].n;
    return g;
}

/* Rows of several arrays that will be read or written soon. They are asked for into the second cache before products,
 * some at a time: more than a core can wait for at once would hold the product up. */
typedef struct heedi_soon {
    const real *x[HEEDI_MOST_SOON];
    size_t rows[HEEDI_MOST_SOON], stride[HEEDI_MOST_SOON];
    size_t n, width, asked;
} heedi_soon;

static inline void heedi_will_use(heedi_soon *s, const real *x, size_t rows, size_t stride) {
    s->x[s->n] = x;
    s->rows[s->n] = rows;
    s->stride[s->n++] = stride;
}

static inline void heedi_ask_for_some(heedi_soon *s) {
    for (size_t i = 0; i < HEEDI_SOON_AT_ONCE && s->asked < s->n; i++, s->asked++)
        for (size_t r = 0; r < s->rows[s->asked]; r++)
            for (size_t c = 0; c < s->width; c += HEEDI_LINE)
                __builtin_prefetch(s->x[s->asked] + r * s->stride[s->asked] + c, 0, 2);
}

/* Of an item's keys, the part that goes with the group at query `first` of `n_queries`. */
static inline void heedi_will_use_keys(heedi_soon *s, const heed_attention *attention, const heedi_item *it,
                                       const real *keys, size_t first, size_t n_queries) {
    const size_t from = it->n_keys * first / n_queries;
    const size_t to = it->n_keys * heedi_min(first + HEEDI_GROUP_QUERIES, n_queries) / n_queries;
    heedi_will_use(s, keys + it->key_at + from * attention->key_stride, to - from, attention->key_stride);
}

/* Of the group behind the one at query `first`; it may belong to the next item. */
static inline void heedi_will_use_queries(heedi_soon *s, const heedi_item *it, const heedi_item *next, size_t first,
                                          const real *x, size_t at, size_t next_at, size_t stride) {
    if (first + HEEDI_GROUP_QUERIES < it->n_queries)
        heedi_will_use(s, x + at + (first + HEEDI_GROUP_QUERIES) * stride,
                       heedi_min(HEEDI_GROUP_QUERIES, it->n_queries - first - HEEDI_GROUP_QUERIES), stride);
    else
        heedi_will_use(s, x + next_at, heedi_min(HEEDI_GROUP_QUERIES, next->n_queries), stride);
}

#endif
