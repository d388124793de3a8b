/* Statistics of attention heads over the global batch.
 *
 * One item of work is one (sequence, head); a thread takes it whole and fills its slot, so that no sum depends on
 * threads. An item runs over tiles of queries, like attention itself: memory is linear in the sequence's length. With
 * u_ij = g_i . v_j, the credit is a_ij (sum_k a_ik u_ik - u_ij). */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/vmath.h"
#include "heed/attention_log.h"
#include "heed/gemm.h"
#include "heed/multiversion.h"

#define QUERIES 64
#define LANES 16
size_t heed_head_statistics_scratch(size_t time) {
    return (size_t)omp_get_max_threads() * 2 * QUERIES * time;
}

HEEDI_INLINE real fold(real lane[LANES]) {
    for (size_t half = LANES / 2; half > 0; half /= 2)
        for (size_t l = 0; l < half; l++)
            lane[l] += lane[l + half];
    return lane[0];
}

/* The last n < LANES of a row as a whole block; `beyond` stands behind its end. */
HEEDI_INLINE void pad(real block[LANES], const real *x, size_t n, real beyond) {
    for (size_t l = 0; l < LANES; l++)
        block[l] = l < n ? x[l] : beyond;
}

HEEDI_INLINE real largest(const real *x, size_t n) {
    real lane[LANES], rest[LANES];
    size_t j = 0;
    for (size_t l = 0; l < LANES; l++)
        lane[l] = x[0];
    for (; j + LANES <= n; j += LANES)
#pragma omp simd
        for (size_t l = 0; l < LANES; l++)
            lane[l] = x[j + l] > lane[l] ? x[j + l] : lane[l];
    pad(rest, x + j, n - j, x[0]);
    for (size_t l = 0; l < LANES; l++)
        lane[l] = rest[l] > lane[l] ? rest[l] : lane[l];
    for (size_t half = LANES / 2; half > 0; half /= 2)
        for (size_t l = 0; l < half; l++)
            lane[l] = lane[l + half] > lane[l] ? lane[l + half] : lane[l];
    return lane[0];
}

HEEDI_INLINE void add_products(real lane[LANES], const real *a, const real *x) {
    for (size_t l = 0; l < LANES; l++)
        lane[l] = heedi_fma(a[l], x[l], lane[l]);
}

/* sum_j a_j x_j over n, lane by lane */
HEEDI_INLINE real weighted(const real *a, const real *x, size_t n) {
    real lane[LANES] = {0}, a_rest[LANES], x_rest[LANES];
    size_t j = 0;
    for (; j + LANES <= n; j += LANES)
        add_products(lane, a + j, x + j);
    pad(a_rest, a + j, n - j, 0);
    pad(x_rest, x + j, n - j, 0);
    add_products(lane, a_rest, x_rest);
    return fold(lane);
}

static void count(double slot[HEED_STATISTIC_SLOT], heed_head_statistic statistic, double value, double weight) {
    slot[statistic] += value;
    slot[HEED_N_STATISTICS + statistic] += weight;
}

/* Of exponentials e_j = exp(s_j - most): sum e_j, sum e_j (s_j - most), sum e_j j, lane by lane. */
typedef struct moments {
    real sum[LANES], spread[LANES], place[LANES];
} moments;

/* Scores of n keys from `first` on become exponentials, and are added; behind them stand zeros, which add nothing. */
HEEDI_INLINE void add_exponentials(moments *m, real *score, real most, size_t first, size_t n) {
    for (size_t l = 0; l < LANES; l++) {
        const real below = l < n ? score[l] - most : -1000, e = heedi_exp_falling(below);
        score[l] = e;
        m->sum[l] += e;
        m->spread[l] = heedi_fma(e, below, m->spread[l]);
        m->place[l] = heedi_fma(e, (real)(int32_t)(first + l), m->place[l]);
    }
}

/* Gains become advantages; adds their credits' sizes. */
HEEDI_INLINE void add_credit(real credit[LANES], real *gain, const real *weight, real mean) {
    for (size_t l = 0; l < LANES; l++) {
        const real advantage = mean - gain[l], c = weight[l] * advantage;
        gain[l] = advantage;
        credit[l] += c < 0 ? -c : c;
    }
}

/* Adds the statistics of a query at place i, counted from its first visible key on, whose n_visible scores become
 * weights; gain holds u_ij, or is NULL, and becomes the advantage. alike: queries and keys are tokens of one sequence.
 */
HEED_MULTIVERSION static void add_query(double slot[HEED_STATISTIC_SLOT], real *score, real *gain, size_t i,
                                        size_t n_visible, bool alike) {
    const real most = largest(score, n_visible);
    const size_t whole = n_visible / LANES * LANES, n_rest = n_visible - whole;
    real rest[LANES], weight_rest[LANES];
    moments m = {{0}, {0}, {0}};
    for (size_t j = 0; j < whole; j += LANES)
        add_exponentials(&m, score + j, most, j, LANES);
    pad(rest, score + whole, n_rest, 0);
    add_exponentials(&m, rest, most, whole, n_rest);
    memcpy(score + whole, rest, n_rest * sizeof *score);
    const real total = fold(m.sum), scale = 1 / total;
    for (size_t j = 0; j < n_visible; j++)
        score[j] *= scale;
    count(slot, HEED_ENTROPY, log((double)total) - (double)(fold(m.spread) * scale), 1);
    count(slot, HEED_DISTANCE, (double)i - (double)(fold(m.place) * scale), 1);
    count(slot, HEED_TOP1, (double)scale, 1); /* the largest score's exponential is 1 */
    if (alike && i > 0 && i <= n_visible)
        count(slot, HEED_PREVIOUS, (double)score[i - 1], 1);
    if (!gain)
        return;
    const real mean = weighted(score, gain, n_visible);
    real credit[LANES] = {0};
    for (size_t j = 0; j < whole; j += LANES)
        add_credit(credit, gain + j, score + j, mean);
    pad(rest, gain + whole, n_rest, 0);
    pad(weight_rest, score + whole, n_rest, 0);
    add_credit(credit, rest, weight_rest, mean);
    memcpy(gain + whole, rest, n_rest * sizeof *gain);
    count(slot, HEED_CREDIT_SIZE, (double)fold(credit), 1);
}

/* Weights of the places that hold the query's token, and of those behind them. token: of the sequence; keys from `from`
 * on are visible, weights are counted from there. */
static void add_tokens(double slot[HEED_STATISTIC_SLOT], const real *weights, const int32_t *token, size_t i,
                       size_t from) {
    double duplicate = 0, induction = 0;
    bool is_repeated = false;
    for (size_t j = 0; j < i; j++) {
        if (token[j] != token[i])
            continue;
        is_repeated = true;
        duplicate += j >= from ? (double)weights[j - from] : 0;
        induction += j + 1 >= from ? (double)weights[j + 1 - from] : 0;
    }
    if (!is_repeated)
        return;
    count(slot, HEED_DUPLICATE, duplicate, 1);
    count(slot, HEED_INDUCTION, induction, 1);
}

/* Attention, advantage and credit on the true positions and elsewhere. truth: n_truth places of the query, -1 behind
 * the last; keys [from, end) are visible. */
static void add_truth(double slot[HEED_STATISTIC_SLOT], const real *weights, const real *advantage,
                      const int32_t *truth, size_t n_truth, size_t from, size_t end) {
    double on_target = 0, credit = 0, positive = 0, all = 0, there = 0, rest = 0, n_there = 0;
    if (n_truth == 0 || truth[0] < 0)
        return;
    for (size_t t = 0; t < n_truth && truth[t] >= 0; t++) {
        const size_t j = (size_t)truth[t];
        if (j < from || j >= end)
            continue;
        on_target += (double)weights[j - from];
        if (!advantage)
            continue;
        const double a = (double)advantage[j - from], c = (double)weights[j - from] * a;
        credit += c;
        positive += c > 0 ? c : 0;
        there += a;
        n_there++;
    }
    count(slot, HEED_ON_TARGET, on_target, 1);
    if (!advantage)
        return;
    for (size_t j = from; j < end; j++) {
        const double a = (double)advantage[j - from], c = (double)weights[j - from] * a;
        all += c > 0 ? c : 0;
        rest += a;
    }
    const double n_rest = (double)(end - from) - n_there;
    count(slot, HEED_CREDIT_SHARE, positive, all);
    count(slot, HEED_CREDIT_TARGET, credit, 1);
    if (n_there > 0)
        count(slot, HEED_ADVANTAGE_TARGET, there / n_there, 1);
    if (n_rest > 0)
        count(slot, HEED_ADVANTAGE_REST, (rest - there) / n_rest, 1);
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

static void see_item(double slot[HEED_STATISTIC_SLOT], real *scratch, const heed_attention_view *view, size_t sequence,
                     size_t head) {
    const size_t length = heed_length(view->query_rows, sequence), n_keys = heed_length(view->key_rows, sequence);
    const size_t column = head * view->head_width, width = view->heads * view->head_width;
    const size_t row = view->query_rows->first_row[sequence], window = view->how->window;
    const size_t keys = view->key_rows->first_row[sequence] * view->how->key_stride;
    real *score = scratch, *gain = view->d_output ? scratch + QUERIES * view->key_rows->max_length : NULL;
    const bool crosses = view->query_rows != view->key_rows;
    const heed_batch *batch = view->batch;
    const int32_t *token = !batch || crosses                  ? NULL
                           : view->query_rows == &batch->rows ? batch->token + row
                           : batch->source_token              ? batch->source_token + row
                                                              : NULL;
    const bool has_truth =
        batch && batch->truth && batch->truth_in_source == crosses && view->query_rows == &batch->rows;
    memset(slot, 0, HEED_STATISTIC_SLOT * sizeof *slot);
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
            real *advantage = gain ? gain + at : NULL;
            add_query(slot, score + at, advantage, i - from, n_visible - from, !crosses);
            if (token)
                add_tokens(slot, score + at, token, i, from);
            if (has_truth)
                add_truth(slot, score + at, advantage, batch->truth + (row + i) * batch->n_truth, batch->n_truth, from,
                          n_visible);
        }
    }
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
        see_item(statistics->per_sequence + index * HEED_STATISTIC_SLOT,
                 statistics->scratch + (size_t)omp_get_thread_num() * 2 * tile, view, sequence, head);
    }
}

void heed_head_statistics_mean(double *mean, const double *per_sequence, size_t n_sequences, size_t layers,
                               size_t heads) {
    for (size_t h = 0; h < layers * heads; h++) {
        double sum[HEED_STATISTIC_SLOT] = {0};
        for (size_t s = 0; s < n_sequences; s++)
            for (int k = 0; k < HEED_STATISTIC_SLOT; k++)
                sum[k] += per_sequence[(s * layers * heads + h) * HEED_STATISTIC_SLOT + (size_t)k];
        for (int k = 0; k < HEED_N_STATISTICS; k++) {
            const double weight = sum[HEED_N_STATISTICS + k];
            mean[h * HEED_N_STATISTICS + (size_t)k] = weight > 0 ? sum[k] / weight : NAN;
        }
    }
}
