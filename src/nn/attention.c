/* One item of work is one (sequence, head): a thread takes it whole, so that d_key and d_value, which every query adds
 * to, are added up by one thread in query order. Items are dealt as threads become free; they write disjoint outputs.
 *
 * An item runs over groups of 32 queries, two halves of a vector each. The scores of a group are an array (keys, 32):
 * softmax then needs no sums across lanes, its result is laid out as the next product wants it, and with a causal mask
 * a half stops at its own last key. Products go over both halves at once as far as both see keys, which halves the ways
 * to and from memory. Keys and values are first copied to the thread's scratch, row behind row and padded. */
#include "heed/nn/attention.h"

#include <math.h>
#include <string.h>

#include "heed/gemm.h"
#include "heed/multiversion.h"
#include "heed/stage.h"
#include "nn/attention_items.h"
#include "nn/attention_product.h"
#include "nn/attention_table.h"
#include "nn/dropout.h"
#include "nn/softmax.h"

enum { QUERIES = HEEDI_GROUP_QUERIES };
enum { ROWS_AHEAD = 32 };

/* A thread's scratch. padded: head width rounded up to the lanes; keys: rounded up to whole blocks of the products. */
typedef struct workspace {
    size_t padded;
    real *key, *value, *d_key, *d_value;          /* (keys, padded) */
    real *weights, *d_weights;                    /* (keys, 32) */
    real *mask;                                   /* (keys, 16) of one half */
    real *query, *d_output, *result;              /* (32, padded) */
    real *query_transposed, *d_output_transposed; /* (padded, 32) */
} workspace;

static size_t workspace_reals(size_t time, size_t head_width) {
    const size_t keys = heedi_round_up(time, HEEDI_LANES), padded = heedi_round_up(head_width, HEEDI_LANES);
    return keys * (4 * padded + 2 * QUERIES + HEEDI_LANES) + 5 * QUERIES * padded;
}

size_t heed_attention_scratch(size_t time, size_t head_width) {
    return (size_t)omp_get_max_threads() * workspace_reals(time, head_width);
}

static real *take(real **at, size_t n) {
    real *taken = *at;
    *at += n;
    return taken;
}

static workspace my_workspace(const heed_attention *attention, size_t time) {
    const size_t keys = heedi_round_up(time, HEEDI_LANES), padded = heedi_round_up(attention->head_width, HEEDI_LANES);
    real *at = attention->scratch + (size_t)omp_get_thread_num() * workspace_reals(time, attention->head_width);
    return (workspace){.padded = padded,
                       .key = take(&at, keys * padded),
                       .value = take(&at, keys * padded),
                       .d_key = take(&at, keys * padded),
                       .d_value = take(&at, keys * padded),
                       .weights = take(&at, keys * QUERIES),
                       .d_weights = take(&at, keys * QUERIES),
                       .mask = take(&at, keys * HEEDI_LANES),
                       .query = take(&at, QUERIES * padded),
                       .d_output = take(&at, QUERIES * padded),
                       .result = take(&at, QUERIES * padded),
                       .query_transposed = take(&at, padded * QUERIES),
                       .d_output_transposed = take(&at, padded * QUERIES)};
}

/* out (n_out, padded) = scale * the rows of x, zeros behind. */
HEED_MULTIVERSION static void copy_in(real *out, size_t n_out, size_t padded, const real *x, size_t rows, size_t width,
                                      size_t stride, real scale) {
    for (size_t r = 0; r < rows; r++) {
        for (size_t c = 0; c < width; c += HEEDI_LINE)
            __builtin_prefetch(x + (r + ROWS_AHEAD) * stride + c, 0, 2);
        for (size_t c = 0; c < width; c++)
            out[r * padded + c] = scale * x[r * stride + c];
        for (size_t c = width; c < padded; c++)
            out[r * padded + c] = 0;
    }
    memset(out + rows * padded, 0, (n_out - rows) * padded * sizeof *out);
}

/* The rows of x = scale[r] * in. */
HEED_MULTIVERSION static void copy_out(real *x, size_t rows, size_t width, size_t stride, const real *in, size_t padded,
                                       const real *scale) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < width; c++)
            x[r * stride + c] = scale[r] * in[r * padded + c];
}

/* The scores of one half are columns of the group's.
 *
 * Query l of a causal half sees keys up to first + l: the others get a score that exp turns into 0. */
HEEDI_INLINE void hide_later_keys(real *score, const heedi_half *h) {
    for (size_t j = h->first; j < h->n_keys; j++)
        for (size_t l = 0; l < HEEDI_LANES; l++)
            score[j * QUERIES + l] = l < j - h->first ? (real)-INFINITY : score[j * QUERIES + l];
}

/* And none before the last `window` of these. Lanes without a query keep their scores: they must stay finite. */
static void hide_earlier_keys(real *score, const heedi_half *h, size_t window) {
    for (size_t l = 0; window > 0 && l < h->n; l++)
        for (size_t j = 0; j + window <= h->first + l; j++)
            score[j * QUERIES + l] = (real)-INFINITY;
}

/* Rows behind the last key become 0. */
HEEDI_INLINE void clear_rest(real *score, const heedi_half *h) {
    for (size_t j = h->n_keys; j < h->n_blocks; j++)
        memset(score + j * QUERIES, 0, HEEDI_LANES * sizeof *score);
}

/* The scores of a half become exp(score - largest), to be divided by sum[l]. */
HEED_MULTIVERSION static void softmax_half(real *score, real sum[HEEDI_LANES], real log_sum[HEEDI_LANES],
                                           const heedi_half *h, bool causal) {
    real largest[HEEDI_LANES], total[HEEDI_LANES] = {0};
    if (causal)
        hide_later_keys(score, h);
    memcpy(largest, score, sizeof largest);
    for (size_t j = 1; j < h->n_keys; j++)
#pragma omp simd
        for (size_t l = 0; l < HEEDI_LANES; l++) {
            const real s = score[j * QUERIES + l];
            largest[l] = s > largest[l] ? s : largest[l];
        }
    for (size_t j = 0; j < h->n_keys; j++)
#pragma omp simd
        for (size_t l = 0; l < HEEDI_LANES; l++) {
            const real e = heedi_exp_falling(score[j * QUERIES + l] - largest[l]);
            score[j * QUERIES + l] = e;
            total[l] += e;
        }
    clear_rest(score, h);
    memcpy(sum, total, sizeof total);
    for (size_t l = 0; l < HEEDI_LANES; l++)
        log_sum[l] = largest[l] + (real)log((double)total[l]);
}

/* The half's weights times its mask. */
HEED_MULTIVERSION static void multiply(real *weights, const real *mask, size_t n_keys) {
    for (size_t j = 0; j < n_keys; j++)
        for (size_t l = 0; l < HEEDI_LANES; l++)
            weights[j * QUERIES + l] *= mask[j * HEEDI_LANES + l];
}

static void draw_mask(const workspace *w, const heedi_dropout *dropout, const heedi_item *it, const heedi_half *h,
                      size_t n_rows) {
    heedi_dropout_mask(w->mask, dropout, it->sequence, it->head * it->n_queries + h->first, it->n_keys, n_rows);
}

/* out (keys, 32) = x (keys, channels) y (channels, 32), for the keys that each half sees. */
static void product_with_keys(real *out, const workspace *w, const heedi_group *g, const real *x, const real *y,
                              size_t head_width) {
    const size_t both = g->half[0].n_blocks, all = g->half[1].n_blocks;
    const size_t columns = g->half[1].n > 0 ? QUERIES : HEEDI_LANES;
    heedi_product(out, QUERIES, (heedi_matrix){x, w->padded, 1}, y, QUERIES, both, columns, head_width, false);
    if (all > both)
        heedi_product(out + both * QUERIES + HEEDI_LANES, QUERIES, (heedi_matrix){x + both * w->padded, w->padded, 1},
                      y + HEEDI_LANES, QUERIES, all - both, HEEDI_LANES, head_width, false);
}

/* sum (keys, padded) += x (keys, 32) y (32, padded), where x has the columns of the halves that see a key. */
static void add_to_keys(real *sum, const workspace *w, const heedi_group *g, const real *x, const real *y) {
    const size_t both = g->half[0].n_blocks, all = g->half[1].n_blocks;
    const size_t queries = g->half[1].n > 0 ? QUERIES : HEEDI_LANES;
    heedi_product(sum, w->padded, (heedi_matrix){x, QUERIES, 1}, y, w->padded, both, w->padded, queries, true);
    if (all > both)
        heedi_product(sum + both * w->padded, w->padded, (heedi_matrix){x + both * QUERIES + HEEDI_LANES, QUERIES, 1},
                      y + HEEDI_LANES * w->padded, w->padded, all - both, w->padded, HEEDI_LANES, true);
}

/* workspace.result (32, padded) = x^T y: x (keys, 32), y (keys, padded). */
static void sum_over_keys(const workspace *w, const heedi_group *g, const real *x, const real *y) {
    for (size_t i = 0; i < 2 && g->half[i].n > 0; i++)
        heedi_product(w->result + i * HEEDI_LANES * w->padded, w->padded,
                      (heedi_matrix){x + i * HEEDI_LANES, 1, QUERIES}, y, w->padded, HEEDI_LANES, w->padded,
                      g->half[i].n_keys, false);
}

/* workspace.weights (keys, 32) = scores of the group */
static void group_scores(const heed_attention *attention, const workspace *w, const heedi_group *g, const real *query) {
    copy_in(w->query, QUERIES, w->padded, query, g->n, attention->head_width, attention->query_stride,
            attention->scale);
    heedi_transpose(w->query_transposed, w->query, QUERIES, w->padded);
    product_with_keys(w->weights, w, g, w->key, w->query_transposed, attention->head_width);
    for (size_t i = 0; i < 2; i++)
        hide_earlier_keys(w->weights + i * HEEDI_LANES, &g->half[i], attention->window);
}

static void forward_group(const heed_attention *attention, const heedi_dropout *dropout, const workspace *w,
                          const heedi_item *it, const heedi_group *g, heedi_soon *s, real *output, real *log_sum,
                          const real *query) {
    real sum[QUERIES] = {0}, log_of_sum[QUERIES] = {0};
    heedi_ask_for_some(s);
    group_scores(attention, w, g, query);
    for (size_t i = 0; i < 2 && g->half[i].n > 0; i++) {
        const heedi_half *h = &g->half[i];
        real *weights = w->weights + i * HEEDI_LANES;
        softmax_half(weights, sum + i * HEEDI_LANES, log_of_sum + i * HEEDI_LANES, h, attention->causal);
        if (attention->dropout > 0) {
            draw_mask(w, dropout, it, h, h->n_keys);
            multiply(weights, w->mask, h->n_keys);
        }
    }
    heedi_ask_for_some(s);
    sum_over_keys(w, g, w->weights, w->value);
    for (size_t l = 0; l < g->n; l++)
        sum[l] = 1 / sum[l];
    copy_out(output, g->n, attention->head_width, it->output_stride, w->result, w->padded, sum);
    for (size_t l = 0; l < g->n; l++)
        log_sum[l * attention->heads] = log_of_sum[l];
}

/* Of a query and a key, as far as whole halves go: what is worked on. */
static size_t pairs_of(const heedi_group *g) {
    return g->half[0].n * g->half[0].n_keys + g->half[1].n * g->half[1].n_keys;
}

void heed_attention_forward(const heed_attention *attention, real *output, real *log_sum, const real *query,
                            const real *key, const real *value, const heed_ragged *query_rows,
                            const heed_ragged *key_rows) {
    HEED_IN_STAGE(ATTENTION);
    const size_t items = query_rows->n_sequences * attention->heads;
    heedi_dropout dropout;
    if (attention->table) {
        heedi_table_forward(attention, output, value, query_rows, key_rows);
        return;
    }
    heedi_dropout_init(&dropout, attention->dropout, attention->seed, attention->site, attention->step);
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < items; i++) {
        const workspace w = my_workspace(attention, key_rows->max_length);
        const heedi_item it =
            heedi_item_at(attention, query_rows, key_rows, i / attention->heads, i % attention->heads);
        const heedi_item next = heedi_item_behind(attention, query_rows, key_rows, i);
        const size_t keys = heedi_round_up(it.n_keys, HEEDI_PRODUCT_ROWS);
        copy_in(w.key, keys, w.padded, key + it.key_at, it.n_keys, attention->head_width, attention->key_stride, 1);
        copy_in(w.value, keys, w.padded, value + it.key_at, it.n_keys, attention->head_width, attention->key_stride, 1);
        size_t pairs = 0;
        for (size_t first = 0; first < it.n_queries; first += QUERIES) {
            const heedi_group g = heedi_group_at(attention, &it, first);
            pairs += pairs_of(&g);
            heedi_soon s = {.width = attention->head_width};
            heedi_will_use_keys(&s, attention, &next, key, first, it.n_queries);
            heedi_will_use_keys(&s, attention, &next, value, first, it.n_queries);
            heedi_will_use_queries(&s, &it, &next, first, query, it.query_at, next.query_at, attention->query_stride);
            heedi_will_use(&s, output + it.output_at + first * it.output_stride, g.n, it.output_stride);
            forward_group(attention, &dropout, &w, &it, &g, &s, output + it.output_at + first * it.output_stride,
                          log_sum + it.log_sum_at + first * attention->heads,
                          query + it.query_at + first * attention->query_stride);
        }
        heed_stage_work(4.0 * (double)(pairs * attention->head_width));
    }
}

/* A half's weights from its scores and log_sum. */
HEED_MULTIVERSION static void softmax_again(real *score, const real log_sum[HEEDI_LANES], const heedi_half *h,
                                            bool causal) {
    if (causal)
        hide_later_keys(score, h);
    for (size_t j = 0; j < h->n_keys; j++)
        for (size_t l = 0; l < HEEDI_LANES; l++)
            score[j * QUERIES + l] = heedi_exp_falling(score[j * QUERIES + l] - log_sum[l]);
    clear_rest(score, h);
}

/* dot[r] = g_r . o_r, 0 behind the last row */
HEED_MULTIVERSION static void dot_rows(real dot[QUERIES], const real *d_output, const real *output, size_t rows,
                                       size_t width, size_t stride) {
    for (size_t r = 0; r < rows; r++) {
        const real *a = d_output + r * stride, *b = output + r * stride;
        real lane[HEEDI_LANES] = {0};
        size_t c = 0;
        for (; c + HEEDI_LANES <= width; c += HEEDI_LANES)
#pragma omp simd
            for (size_t l = 0; l < HEEDI_LANES; l++)
                lane[l] = heedi_fma(a[c + l], b[c + l], lane[l]);
        for (size_t l = 0; c + l < width; l++)
            lane[l] = heedi_fma(a[c + l], b[c + l], lane[l]);
        dot[r] = heedi_fold(lane);
    }
    for (size_t r = rows; r < QUERIES; r++)
        dot[r] = 0;
}

/* A half's d_weights, which hold g . v, become the scores' gradient a (mask g . v - g . o); weights get their mask. */
HEED_MULTIVERSION static void softmax_backward(real *d_weights, real *weights, const real *mask,
                                               const real dot[HEEDI_LANES], size_t n_rows) {
    for (size_t j = 0; j < n_rows; j++)
        for (size_t l = 0; l < HEEDI_LANES; l++) {
            const size_t at = j * QUERIES + l, masked = j * HEEDI_LANES + l;
            d_weights[at] = weights[at] * ((mask ? mask[masked] * d_weights[at] : d_weights[at]) - dot[l]);
            if (mask)
                weights[at] *= mask[masked];
        }
}

/* Adds to w->d_key and w->d_value, overwrites the group's rows of d_query. */
static void backward_group(const heed_attention *attention, const heedi_dropout *dropout, const workspace *w,
                           const heedi_item *it, const heedi_group *g, heedi_soon *s, real *d_query,
                           const real *d_output, const real *output, const real *log_sum, const real *query) {
    real log_of_sum[QUERIES] = {0}, dot[QUERIES], scale[QUERIES];
    for (size_t l = 0; l < g->n; l++)
        log_of_sum[l] = log_sum[l * attention->heads];
    heedi_ask_for_some(s);
    group_scores(attention, w, g, query);

    copy_in(w->d_output, QUERIES, w->padded, d_output, g->n, attention->head_width, it->output_stride, 1);
    heedi_transpose(w->d_output_transposed, w->d_output, QUERIES, w->padded);
    heedi_ask_for_some(s);
    product_with_keys(w->d_weights, w, g, w->value, w->d_output_transposed, attention->head_width);
    dot_rows(dot, d_output, output, g->n, attention->head_width, it->output_stride);
    for (size_t i = 0; i < 2 && g->half[i].n > 0; i++) {
        const heedi_half *h = &g->half[i];
        const size_t at = i * HEEDI_LANES;
        softmax_again(w->weights + at, log_of_sum + at, h, attention->causal);
        if (attention->dropout > 0)
            draw_mask(w, dropout, it, h, h->n_blocks);
        softmax_backward(w->d_weights + at, w->weights + at, attention->dropout > 0 ? w->mask : NULL, dot + at,
                         h->n_blocks);
    }

    heedi_ask_for_some(s);
    add_to_keys(w->d_value, w, g, w->weights, w->d_output);
    heedi_ask_for_some(s);
    add_to_keys(w->d_key, w, g, w->d_weights, w->query);
    sum_over_keys(w, g, w->d_weights, w->key);
    for (size_t l = 0; l < g->n; l++)
        scale[l] = attention->scale;
    copy_out(d_query, g->n, attention->head_width, attention->query_stride, w->result, w->padded, scale);
}

/* copy_in's way back, without a scale. */
static void put_rows(real *x, size_t rows, size_t width, size_t stride, const real *in, size_t padded) {
    for (size_t r = 0; r < rows; r++)
        memcpy(x + r * stride, in + r * padded, width * sizeof *x);
}

void heed_attention_backward(const heed_attention *attention, real *d_query, real *d_key, real *d_value,
                             const real *d_output, const real *output, const real *log_sum, const real *query,
                             const real *key, const real *value, const heed_ragged *query_rows,
                             const heed_ragged *key_rows) {
    HEED_IN_STAGE(D_ATTENTION);
    const size_t items = query_rows->n_sequences * attention->heads, head_width = attention->head_width;
    heedi_dropout dropout;
    if (attention->table) {
        heedi_table_backward(attention, d_query, d_key, d_value, d_output, query_rows, key_rows);
        return;
    }
    heedi_dropout_init(&dropout, attention->dropout, attention->seed, attention->site, attention->step);
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < items; i++) {
        const workspace w = my_workspace(attention, key_rows->max_length);
        const heedi_item it =
            heedi_item_at(attention, query_rows, key_rows, i / attention->heads, i % attention->heads);
        const heedi_item next = heedi_item_behind(attention, query_rows, key_rows, i);
        const size_t keys = heedi_round_up(it.n_keys, HEEDI_PRODUCT_ROWS);
        copy_in(w.key, keys, w.padded, key + it.key_at, it.n_keys, head_width, attention->key_stride, 1);
        copy_in(w.value, keys, w.padded, value + it.key_at, it.n_keys, head_width, attention->key_stride, 1);
        memset(w.d_key, 0, keys * w.padded * sizeof(real));
        memset(w.d_value, 0, keys * w.padded * sizeof(real));
        size_t pairs = 0;
        for (size_t first = 0; first < it.n_queries; first += QUERIES) {
            const heedi_group g = heedi_group_at(attention, &it, first);
            pairs += pairs_of(&g);
            const size_t query_at = it.query_at + first * attention->query_stride;
            const size_t output_at = it.output_at + first * it.output_stride;
            heedi_soon s = {.width = head_width};
            heedi_will_use_keys(&s, attention, &next, key, first, it.n_queries);
            heedi_will_use_keys(&s, attention, &next, value, first, it.n_queries);
            heedi_will_use_queries(&s, &it, &next, first, query, it.query_at, next.query_at, attention->query_stride);
            heedi_will_use_queries(&s, &it, &next, first, d_output, it.output_at, next.output_at, it.output_stride);
            heedi_will_use_queries(&s, &it, &next, first, output, it.output_at, next.output_at, it.output_stride);
            heedi_will_use(&s, d_query + query_at, g.n, attention->query_stride);
            heedi_will_use_keys(&s, attention, &it, d_key, first, it.n_queries);
            heedi_will_use_keys(&s, attention, &it, d_value, first, it.n_queries);
            backward_group(attention, &dropout, &w, &it, &g, &s, d_query + query_at, d_output + output_at,
                           output + output_at, log_sum + it.log_sum_at + first * attention->heads, query + query_at);
        }
        heed_stage_work(10.0 * (double)(pairs * head_width));
        put_rows(d_key + it.key_at, it.n_keys, head_width, attention->key_stride, w.d_key, w.padded);
        put_rows(d_value + it.key_at, it.n_keys, head_width, attention->key_stride, w.d_value, w.padded);
    }
}
