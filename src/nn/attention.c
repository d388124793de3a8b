/* One item of work is one (sequence, head): a thread takes it whole, so that d_key and d_value, which every query adds
 * to, are added up by one thread in query order. Items are dealt as threads become free; they write disjoint outputs.
 *
 * An item runs over tiles of QUERIES queries. A tile's scores against all the keys that any of its queries may see form
 * one (queries, keys) array in the thread's scratch. */
#include "heed/nn/attention.h"

#include <string.h>

#include "heed/gemm.h"
#include "heed/multiversion.h"
#include "nn/dropout.h"
#include "nn/softmax.h"

#define QUERIES 64

/* Where a tile's data lies. Rows of the scratch arrays are n_keys long. */
typedef struct tile {
    size_t first, n_queries; /* queries first .. first + n_queries - 1 of the sequence */
    size_t n_keys;           /* keys that the last of them may see */
    size_t key_length;       /* of the sequence */
    uint32_t sequence;       /* in the global batch */
    size_t row_of_dropout;   /* row of the first query among the rows of weights that draw from this sequence */
} tile;

static size_t round_up(size_t n) {
    return (n + HEEDI_LANES - 1) / HEEDI_LANES * HEEDI_LANES;
}

static size_t tile_reals(size_t time) {
    return round_up(QUERIES * time);
}

size_t heed_attention_scratch(size_t time, size_t head_width) {
    (void)head_width;
    return (size_t)omp_get_max_threads() * 2 * tile_reals(time);
}

/* How many keys query i may see. */
static size_t visible(const heed_attention *attention, size_t query, size_t key_length) {
    return attention->causal ? heedi_min(query + 1, key_length) : key_length;
}

static tile tile_at(const heed_attention *attention, const heed_ragged *query_rows, const heed_ragged *key_rows,
                    size_t sequence, size_t head, size_t first) {
    const size_t length = heed_length(query_rows, sequence), key_length = heed_length(key_rows, sequence);
    const size_t n_queries = heedi_min(QUERIES, length - first);
    return (tile){.first = first,
                  .n_queries = n_queries,
                  .n_keys = visible(attention, first + n_queries - 1, key_length),
                  .key_length = key_length,
                  .sequence = query_rows->sequence[sequence],
                  .row_of_dropout = head * length + first};
}

/* Scores become weights; keys out of sight get 0. */
HEED_MULTIVERSION static void softmax_row(real *score, size_t n_visible, size_t n_keys, real *log_sum) {
    const real scale = 1 / heedi_exp_row(score, n_visible, log_sum);
    for (size_t j = 0; j < n_visible; j++)
        score[j] *= scale;
    for (size_t j = n_visible; j < n_keys; j++)
        score[j] = 0;
}

/* The same weights from log_sum. */
HEED_MULTIVERSION static void softmax_again(real *score, size_t n_visible, size_t n_keys, real log_sum) {
    for (size_t j = 0; j < n_visible; j++)
        score[j] = heedi_exp(score[j] - log_sum);
    for (size_t j = n_visible; j < n_keys; j++)
        score[j] = 0;
}

/* scores = scale query key^T of a tile */
static void tile_scores(const heed_attention *attention, real *scores, const tile *t, const real *query,
                        const real *key) {
    heed_gemm(false, true, t->n_queries, t->n_keys, attention->head_width, attention->scale, query,
              attention->query_stride, key, attention->key_stride, 0, scores, t->n_keys);
}

static void tile_dropout(real *weights, const tile *t, const heed_attention *attention, const heedi_dropout *dropout) {
    for (size_t i = 0; i < t->n_queries; i++)
        heedi_dropout_row(weights + i * t->n_keys, dropout, t->sequence, t->row_of_dropout + i, t->key_length,
                          visible(attention, t->first + i, t->key_length));
}

static void forward_item(const heed_attention *attention, const heedi_dropout *dropout, real *weights, real *output,
                         real *log_sum, const real *query, const real *key, const real *value,
                         const heed_ragged *query_rows, const heed_ragged *key_rows, size_t sequence, size_t head) {
    const size_t length = heed_length(query_rows, sequence), row = query_rows->first_row[sequence];
    const size_t column = head * attention->head_width, width = attention->heads * attention->head_width;
    const real *k = key + key_rows->first_row[sequence] * attention->key_stride + column;
    const real *v = value + key_rows->first_row[sequence] * attention->key_stride + column;
    for (size_t first = 0; first < length; first += QUERIES) {
        const tile t = tile_at(attention, query_rows, key_rows, sequence, head, first);
        tile_scores(attention, weights, &t, query + (row + first) * attention->query_stride + column, k);
        for (size_t i = 0; i < t.n_queries; i++)
            softmax_row(weights + i * t.n_keys, visible(attention, first + i, t.key_length), t.n_keys,
                        &log_sum[(row + first + i) * attention->heads + head]);
        if (attention->dropout > 0)
            tile_dropout(weights, &t, attention, dropout);
        heed_gemm(false, false, t.n_queries, attention->head_width, t.n_keys, 1, weights, t.n_keys, v,
                  attention->key_stride, 0, output + (row + first) * width + column, width);
    }
}

void heed_attention_forward(const heed_attention *attention, real *output, real *log_sum, const real *query,
                            const real *key, const real *value, const heed_ragged *query_rows,
                            const heed_ragged *key_rows) {
    const size_t items = query_rows->n_sequences * attention->heads;
    heedi_dropout dropout;
    heedi_dropout_init(&dropout, attention->dropout, attention->seed, attention->site, attention->step);
#pragma omp parallel for schedule(dynamic)
    for (size_t item = 0; item < items; item++) {
        real *scratch = attention->scratch + (size_t)omp_get_thread_num() * 2 * tile_reals(key_rows->max_length);
        forward_item(attention, &dropout, scratch, output, log_sum, query, key, value, query_rows, key_rows,
                     item / attention->heads, item % attention->heads);
    }
}

/* d_scores = weights * (d_weights - g . o), one query; d_weights is overwritten. */
HEED_MULTIVERSION static void softmax_backward_row(real *d_weights, const real *weights, const real *d_output,
                                                   const real *output, size_t n_visible, size_t n_keys,
                                                   size_t head_width) {
    real lane[HEEDI_LANES] = {0};
    for (size_t i = 0; i < head_width; i += HEEDI_LANES) {
        const size_t rest = head_width - i < HEEDI_LANES ? head_width - i : HEEDI_LANES;
        for (size_t l = 0; l < rest; l++)
            lane[l] = heedi_fma(d_output[i + l], output[i + l], lane[l]);
    }
    const real dot = heedi_fold(lane);
    for (size_t j = 0; j < n_visible; j++)
        d_weights[j] = weights[j] * (d_weights[j] - dot);
    for (size_t j = n_visible; j < n_keys; j++)
        d_weights[j] = 0;
}

typedef struct gradients { /* of one item: rows of its sequence, columns of its head */
    real *d_query, *d_key, *d_value;
} gradients;

/* One tile adds to d_key and d_value and fills its rows of d_query. query, d_output, output, d.d_query and log_sum
 * point at the tile's first query, the others at the sequence's first row. */
static void backward_tile(const heed_attention *attention, const heedi_dropout *dropout, const tile *t, real *weights,
                          real *d_weights, const gradients *d, const real *d_output, const real *output,
                          const real *log_sum, const real *query, const real *key, const real *value) {
    const size_t head_width = attention->head_width, width = attention->heads * head_width, n_keys = t->n_keys;
    tile_scores(attention, weights, t, query, key);
    for (size_t i = 0; i < t->n_queries; i++)
        softmax_again(weights + i * n_keys, visible(attention, t->first + i, t->key_length), n_keys,
                      log_sum[i * attention->heads]);
    heed_gemm(false, true, t->n_queries, n_keys, head_width, 1, d_output, width, value, attention->key_stride, 0,
              d_weights, n_keys);
    if (attention->dropout > 0)
        tile_dropout(d_weights, t, attention, dropout);
    for (size_t i = 0; i < t->n_queries; i++)
        softmax_backward_row(d_weights + i * n_keys, weights + i * n_keys, d_output + i * width, output + i * width,
                             visible(attention, t->first + i, t->key_length), n_keys, head_width);
    if (attention->dropout > 0)
        tile_dropout(weights, t, attention, dropout);
    heed_gemm(true, false, n_keys, head_width, t->n_queries, 1, weights, n_keys, d_output, width, 1, d->d_value,
              attention->key_stride);
    heed_gemm(true, false, n_keys, head_width, t->n_queries, attention->scale, d_weights, n_keys, query,
              attention->query_stride, 1, d->d_key, attention->key_stride);
    heed_gemm(false, false, t->n_queries, head_width, n_keys, attention->scale, d_weights, n_keys, key,
              attention->key_stride, 0, d->d_query, attention->query_stride);
}

static void clear_rows(real *x, size_t rows, size_t width, size_t stride) {
    for (size_t r = 0; r < rows; r++)
        memset(x + r * stride, 0, width * sizeof *x);
}

static void backward_item(const heed_attention *attention, const heedi_dropout *dropout, real *scratch,
                          const gradients *all, const real *d_output, const real *output, const real *log_sum,
                          const real *query, const real *key, const real *value, const heed_ragged *query_rows,
                          const heed_ragged *key_rows, size_t sequence, size_t head) {
    const size_t length = heed_length(query_rows, sequence), key_length = heed_length(key_rows, sequence);
    const size_t column = head * attention->head_width, width = attention->heads * attention->head_width;
    const size_t keys_at = key_rows->first_row[sequence] * attention->key_stride + column;
    clear_rows(all->d_key + keys_at, key_length, attention->head_width, attention->key_stride);
    clear_rows(all->d_value + keys_at, key_length, attention->head_width, attention->key_stride);
    for (size_t first = 0; first < length; first += QUERIES) {
        const tile t = tile_at(attention, query_rows, key_rows, sequence, head, first);
        const size_t row = query_rows->first_row[sequence] + first;
        const size_t query_at = row * attention->query_stride + column, output_at = row * width + column;
        const gradients d = {all->d_query + query_at, all->d_key + keys_at, all->d_value + keys_at};
        backward_tile(attention, dropout, &t, scratch, scratch + tile_reals(key_rows->max_length), &d,
                      d_output + output_at, output + output_at, log_sum + row * attention->heads + head,
                      query + query_at, key + keys_at, value + keys_at);
    }
}

void heed_attention_backward(const heed_attention *attention, real *d_query, real *d_key, real *d_value,
                             const real *d_output, const real *output, const real *log_sum, const real *query,
                             const real *key, const real *value, const heed_ragged *query_rows,
                             const heed_ragged *key_rows) {
    const size_t items = query_rows->n_sequences * attention->heads;
    const gradients d = {d_query, d_key, d_value};
    heedi_dropout dropout;
    heedi_dropout_init(&dropout, attention->dropout, attention->seed, attention->site, attention->step);
#pragma omp parallel for schedule(dynamic)
    for (size_t item = 0; item < items; item++) {
        real *scratch = attention->scratch + (size_t)omp_get_thread_num() * 2 * tile_reals(key_rows->max_length);
        backward_item(attention, &dropout, scratch, &d, d_output, output, log_sum, query, key, value, query_rows,
                      key_rows, item / attention->heads, item % attention->heads);
    }
}

void heed_attention_inspect(const heed_attention *attention, real *weights, real *advantage, real *credit,
                            const real *d_output, const real *output, const real *query, const real *key,
                            const real *value, const heed_ragged *query_rows, const heed_ragged *key_rows,
                            size_t sequence, size_t head) {
    const size_t length = heed_length(query_rows, sequence), n_keys = heed_length(key_rows, sequence);
    const size_t head_width = attention->head_width, width = attention->heads * head_width;
    const size_t column = head * head_width, row = query_rows->first_row[sequence];
    const size_t keys_at = key_rows->first_row[sequence] * attention->key_stride + column;
    if (length == 0 || n_keys == 0)
        return;
    heed_gemm(false, true, length, n_keys, head_width, attention->scale, query + row * attention->query_stride + column,
              attention->query_stride, key + keys_at, attention->key_stride, 0, weights, n_keys);
    for (size_t i = 0; i < length; i++) {
        real log_sum;
        softmax_row(weights + i * n_keys, visible(attention, i, n_keys), n_keys, &log_sum);
    }
    real *gain = advantage ? advantage : credit;
    if (!gain)
        return;
    const real *g = d_output + row * width + column, *o = output + row * width + column;
    heed_gemm(false, true, length, n_keys, head_width, -1, g, width, value + keys_at, attention->key_stride, 0, gain,
              n_keys);
    for (size_t i = 0; i < length; i++) {
        real dot = 0;
        for (size_t c = 0; c < head_width; c++)
            dot = heedi_fma(g[i * width + c], o[i * width + c], dot);
        const size_t n_visible = visible(attention, i, n_keys);
        for (size_t j = 0; j < n_keys; j++) {
            const size_t at = i * n_keys + j;
            gain[at] = j < n_visible ? gain[at] + dot : 0;
            if (credit)
                credit[at] = weights[at] * gain[at];
        }
    }
}
