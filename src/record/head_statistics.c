/* Statistics of attention heads over the global batch.
 *
 * One item of work is one (sequence, head); a thread takes it whole and fills its slot, so that no sum depends on
 * threads. An item runs over tiles of queries, like attention itself: memory is linear in the sequence's length. With
 * u_ij = g_i . v_j, the credit is a_ij (sum_k a_ik u_ik - u_ij). */
#include <math.h>
#include <omp.h>

#include "base/vmath.h"
#include "heed/attention_log.h"
#include "heed/gemm.h"
#include "heed/multiversion.h"

#define QUERIES 64
#define LANES 16
#define SLOT (HEED_N_STATISTICS + 1)

size_t heed_head_statistics_scratch(size_t time) {
    return (size_t)omp_get_max_threads() * 2 * QUERIES * time;
}

HEEDI_INLINE real fold(real lane[LANES]) {
    for (size_t half = LANES / 2; half > 0; half /= 2)
        for (size_t l = 0; l < half; l++)
            lane[l] += lane[l + half];
    return lane[0];
}

HEEDI_INLINE real largest(const real *x, size_t n) {
    real most = x[0];
    for (size_t j = 1; j < n; j++)
        most = x[j] > most ? x[j] : most;
    return most;
}

/* sum_j a_j x_j over n, lane by lane */
HEEDI_INLINE real weighted(const real *a, const real *x, size_t n) {
    real lane[LANES] = {0};
    for (size_t j = 0; j < n; j += LANES)
        for (size_t l = 0; l < LANES && l < n - j; l++)
            lane[l] = heedi_fma(a[j + l], x[j + l], lane[l]);
    return fold(lane);
}

/* Adds the statistics of a query at place i, counted from its first visible key on, whose n_visible scores become
 * weights; gain holds u_ij, or is NULL. */
HEED_MULTIVERSION static void add_query(double slot[SLOT], real *score, real *gain, size_t i, size_t n_visible) {
    const real most = largest(score, n_visible);
    real sum[LANES] = {0}, spread[LANES] = {0}, place[LANES] = {0}, credit[LANES] = {0};
    for (size_t j = 0; j < n_visible; j += LANES)
        for (size_t l = 0; l < LANES && l < n_visible - j; l++) {
            const real below = score[j + l] - most, e = heedi_exp(below);
            score[j + l] = e;
            sum[l] += e;
            spread[l] = heedi_fma(e, below, spread[l]);
            place[l] = heedi_fma(e, (real)(j + l), place[l]);
        }
    const real total = fold(sum), scale = 1 / total;
    for (size_t j = 0; j < n_visible; j++)
        score[j] *= scale;
    slot[HEED_ENTROPY] += log((double)total) - (double)(fold(spread) * scale);
    slot[HEED_DISTANCE] += (double)i - (double)(fold(place) * scale);
    slot[HEED_TOP1] += (double)scale; /* the largest score's exponential is 1 */
    slot[HEED_PREVIOUS] += i > 0 && i <= n_visible ? (double)score[i - 1] : 0;
    slot[HEED_N_STATISTICS] += 1;
    if (!gain)
        return;
    const real mean = weighted(score, gain, n_visible);
    for (size_t j = 0; j < n_visible; j += LANES)
        for (size_t l = 0; l < LANES && l < n_visible - j; l++) {
            const real c = score[j + l] * (mean - gain[j + l]);
            credit[l] += c < 0 ? -c : c;
        }
    slot[HEED_CREDIT_SIZE] += (double)fold(credit);
}

/* Scores of queries [first, first + n) of a sequence for its first `seen` keys. */
static void find_scores(real *score, const heed_attention_view *view, size_t sequence, size_t head, size_t first,
                        size_t n, size_t seen) {
    const heed_attention *how = view->how;
    const size_t column = head * view->head_width, row = view->query_rows->first_row[sequence] + first;
    if (!how->table) {
        heed_gemm(false, true, n, seen, view->head_width, how->scale, view->query + row * how->query_stride + column,
                  how->query_stride, view->key + view->key_rows->first_row[sequence] * how->key_stride + column,
                  how->key_stride, 0, score, seen);
        return;
    }
    for (size_t q = 0; q < n; q++) {
        const size_t i = first + q;
        for (size_t j = 0; j <= i; j++)
            score[q * seen + j] = how->scale * how->table[head * how->table_head + i * (i + 1) / 2 + j];
    }
}

static void see_item(double slot[SLOT], real *scratch, const heed_attention_view *view, size_t sequence, size_t head) {
    const size_t length = heed_length(view->query_rows, sequence), n_keys = heed_length(view->key_rows, sequence);
    const size_t column = head * view->head_width, width = view->heads * view->head_width;
    const size_t row = view->query_rows->first_row[sequence], window = view->how->window;
    const size_t keys = view->key_rows->first_row[sequence] * view->how->key_stride;
    real *score = scratch, *gain = view->d_output ? scratch + QUERIES * view->key_rows->max_length : NULL;
    for (int k = 0; k < SLOT; k++)
        slot[k] = 0;
    for (size_t first = 0; first < length && n_keys > 0; first += QUERIES) {
        const size_t n_queries = length - first < QUERIES ? length - first : QUERIES;
        const size_t last = first + n_queries, seen = view->causal && last < n_keys ? last : n_keys;
        find_scores(score, view, sequence, head, first, n_queries, seen);
        if (gain)
            heed_gemm(false, true, n_queries, seen, view->head_width, 1,
                      view->d_output + (row + first) * width + column, width, view->value + keys + column,
                      view->how->key_stride, 0, gain, seen);
        for (size_t q = 0; q < n_queries; q++) {
            const size_t i = first + q, n_visible = view->causal && i + 1 < seen ? i + 1 : seen;
            const size_t from = window > 0 && i >= window ? i + 1 - window : 0, at = q * seen + from;
            add_query(slot, score + at, gain ? gain + at : NULL, i - from, n_visible - from);
        }
    }
    if (!gain)
        slot[HEED_CREDIT_SIZE] = NAN;
}

void heed_head_statistics_see(void *context, const heed_attention_view *view) {
    heed_head_statistics *statistics = context;
    const size_t items = view->query_rows->n_sequences * view->heads, tile = QUERIES * view->key_rows->max_length;
    HEED_CHECK(view->heads == statistics->heads && view->layer < statistics->layers);
#pragma omp parallel for schedule(dynamic)
    for (size_t item = 0; item < items; item++) {
        const size_t sequence = item / view->heads, head = item % view->heads;
        const size_t global = view->query_rows->sequence[sequence];
        const size_t index = (global * statistics->layers + view->layer) * statistics->heads + head;
        see_item(statistics->per_sequence + index * SLOT, statistics->scratch + (size_t)omp_get_thread_num() * 2 * tile,
                 view, sequence, head);
    }
}

void heed_head_statistics_mean(double *mean, const double *per_sequence, size_t n_sequences, size_t layers,
                               size_t heads) {
    for (size_t h = 0; h < layers * heads; h++) {
        double sum[SLOT] = {0}, with_previous = 0;
        for (size_t s = 0; s < n_sequences; s++) {
            const double *slot = per_sequence + (s * layers * heads + h) * SLOT;
            for (int k = 0; k < SLOT; k++)
                sum[k] += slot[k];
            with_previous += slot[HEED_N_STATISTICS] > 0 ? slot[HEED_N_STATISTICS] - 1 : 0;
        }
        for (int k = 0; k < HEED_N_STATISTICS; k++) {
            const double n = k == HEED_PREVIOUS ? with_previous : sum[HEED_N_STATISTICS];
            mean[h * HEED_N_STATISTICS + (size_t)k] = n > 0 ? sum[k] / n : NAN;
        }
    }
}
