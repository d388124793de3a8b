/* The weights of a head come first, once for all sequences; then one item of work is one (sequence, head), whose
 * products go through BLIS. A shorter sequence reads the corner of the weights: a causal row does not depend on what
 * comes after it. */
#include "nn/attention_table.h"

#include <string.h>

#include "heed/gemm.h"
#include "heed/multiversion.h"
#include "nn/softmax.h"

size_t heed_attention_table_size(size_t time) {
    return time * (time + 1) / 2;
}

size_t heed_attention_table_scratch(size_t time, size_t heads) {
    return ((size_t)omp_get_max_threads() + heads) * time * time;
}

HEED_MULTIVERSION static void weigh(real *weights, const real *score, real scale, size_t n_visible, size_t n_keys) {
    real log_sum;
    for (size_t j = 0; j < n_visible; j++)
        weights[j] = scale * score[j];
    const real inverse = 1 / heedi_exp_row(weights, n_visible, &log_sum);
    for (size_t j = 0; j < n_visible; j++)
        weights[j] *= inverse;
    for (size_t j = n_visible; j < n_keys; j++)
        weights[j] = 0;
}

void heedi_table_weights(const heed_attention *attention, real *weights, size_t head, size_t n_queries, size_t n_keys) {
    const real *table = attention->table + head * attention->table_head;
    HEED_CHECK(attention->causal || n_queries == 1);
    for (size_t i = 0; i < n_queries; i++)
        weigh(weights + i * n_keys, table + i * (i + 1) / 2, attention->scale,
              attention->causal ? heedi_min(i + 1, n_keys) : n_keys, n_keys);
}

/* The weights of all heads, (heads, longest, longest), into scratch. */
static size_t weigh_all(const heed_attention *attention, const heed_ragged *query_rows, const heed_ragged *key_rows) {
    const size_t n_queries = query_rows->max_length, n_keys = key_rows->max_length;
#pragma omp parallel for schedule(dynamic)
    for (size_t head = 0; head < attention->heads; head++)
        heedi_table_weights(attention, attention->scratch + head * n_queries * n_keys, head, n_queries, n_keys);
    return n_keys;
}

/* Where one (sequence, head) lies in arrays (rows, heads * head_width) and (rows, stride). */
typedef struct item {
    size_t n_queries, n_keys, output, key;
    const real *weights;
} item;

static item item_at(const heed_attention *attention, size_t index, size_t stride, const heed_ragged *query_rows,
                    const heed_ragged *key_rows) {
    const size_t sequence = index / attention->heads, head = index % attention->heads;
    const size_t column = head * attention->head_width;
    return (item){heed_length(query_rows, sequence), heed_length(key_rows, sequence),
                  query_rows->first_row[sequence] * attention->heads * attention->head_width + column,
                  key_rows->first_row[sequence] * attention->key_stride + column,
                  attention->scratch + head * query_rows->max_length * stride};
}

void heedi_table_forward(const heed_attention *attention, real *output, const real *value,
                         const heed_ragged *query_rows, const heed_ragged *key_rows) {
    const size_t stride = weigh_all(attention, query_rows, key_rows), width = attention->heads * attention->head_width;
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < query_rows->n_sequences * attention->heads; i++) {
        const item it = item_at(attention, i, stride, query_rows, key_rows);
        if (it.n_queries > 0)
            heed_gemm(false, false, it.n_queries, attention->head_width, it.n_keys, 1, it.weights, stride,
                      value + it.key, attention->key_stride, 0, output + it.output, width);
    }
}

static void clear(real *x, const heed_ragged *rows, size_t width, size_t stride) {
    for (size_t r = 0; r < rows->n_rows; r++)
        memset(x + r * stride, 0, width * sizeof *x);
}

void heedi_table_backward(const heed_attention *attention, real *d_query, real *d_key, real *d_value,
                          const real *d_output, const heed_ragged *query_rows, const heed_ragged *key_rows) {
    const size_t stride = weigh_all(attention, query_rows, key_rows), width = attention->heads * attention->head_width;
    clear(d_query, query_rows, width, attention->query_stride);
    clear(d_key, key_rows, width, attention->key_stride);
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < query_rows->n_sequences * attention->heads; i++) {
        const item it = item_at(attention, i, stride, query_rows, key_rows);
        if (it.n_queries > 0)
            heed_gemm(true, false, it.n_keys, attention->head_width, it.n_queries, 1, it.weights, stride,
                      d_output + it.output, width, 0, d_value + it.key, attention->key_stride);
    }
}

/* Adds scale * d_s of one sequence and head to the head's triangle. gain holds g_i . v_j. */
HEED_MULTIVERSION static void add_sequence(real *d_table, const real *weights, size_t stride, const real *gain,
                                           const real *g, const real *o, size_t length, size_t head_width, size_t width,
                                           real scale) {
    for (size_t i = 0; i < length; i++) {
        real mean = 0;
        for (size_t c = 0; c < head_width; c++)
            mean = heedi_fma(g[i * width + c], o[i * width + c], mean);
        for (size_t j = 0; j <= i; j++)
            d_table[i * (i + 1) / 2 + j] += scale * weights[i * stride + j] * (gain[i * length + j] - mean);
    }
}

void heed_attention_table_gradient(const heed_attention *attention, real *d_table, const real *d_output,
                                   const real *output, const real *value, const heed_ragged *rows, size_t first,
                                   size_t n) {
    const size_t heads = attention->heads, head_width = attention->head_width, width = heads * head_width;
    const size_t stride = weigh_all(attention, rows, rows);
    HEED_CHECK(attention->causal);
    memset(d_table, 0, heads * attention->table_head * sizeof *d_table);
#pragma omp parallel for schedule(dynamic)
    for (size_t head = 0; head < heads; head++) {
        real *gain = attention->scratch + (heads + (size_t)omp_get_thread_num()) * stride * stride;
        for (size_t s = first; s < first + n; s++) {
            const item it = item_at(attention, s * heads + head, stride, rows, rows);
            if (it.n_queries == 0)
                continue;
            heed_gemm(false, true, it.n_queries, it.n_keys, head_width, 1, d_output + it.output, width, value + it.key,
                      attention->key_stride, 0, gain, it.n_keys);
            add_sequence(d_table + head * attention->table_head, it.weights, stride, gain, d_output + it.output,
                         output + it.output, it.n_queries, head_width, width, attention->scale);
        }
    }
}
