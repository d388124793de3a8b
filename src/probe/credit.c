/* Logs are read one after the other: shares on true positions come from each, mean early maps from the first ones, and
 * where attention is in the end from the last. */
#include "heed/credit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "heed/change_point.h"
#include "heed/statistics.h"
#include "record/attention_read.h"

double heed_onset(const double *share, const uint64_t *step, size_t n_logs, double base_rate) {
    for (size_t i = 0; i + HEED_ONSET_LOGS <= n_logs; i++) {
        size_t above = 0;
        while (above < HEED_ONSET_LOGS && share[i + above] > HEED_ONSET_FACTOR * base_rate)
            above++;
        if (above == HEED_ONSET_LOGS)
            return (double)step[i];
    }
    return NAN;
}

/* Everything that measuring one run needs room for. */
typedef struct work {
    heedi_log_reader log;
    size_t n_heads, n_early;                                           /* layers * heads */
    float *attention, *credit, *early_credit, *early_attention, *twin; /* maps */
    double *share; /* (n_logs, heads, 2 halves, 2: attention, credit) */
} work;

static void work_free(work *w) {
    heedi_log_reader_close(&w->log);
    free(w->attention);
    free(w->credit);
    free(w->early_credit);
    free(w->early_attention);
    free(w->twin);
    free(w->share);
}

static heed_status work_alloc(work *w, heed_error *error) {
    const size_t n = heedi_log_reader_elements(&w->log) + 1;
    w->n_heads = w->log.layers * w->log.heads;
    w->attention = calloc(n, sizeof(float));
    w->credit = calloc(n, sizeof(float));
    w->early_credit = calloc(n, sizeof(float));
    w->early_attention = calloc(n, sizeof(float));
    w->twin = calloc(n, sizeof(float));
    w->share = calloc(w->log.n_logs * w->n_heads * 4, sizeof(double));
    if (w->attention && w->credit && w->early_credit && w->early_attention && w->twin && w->share)
        return HEED_OK;
    return heed_fail(error, HEED_MEMORY, "%s: out of memory", w->log.folder);
}

static const int32_t *truth_of(const heedi_log_reader *log, size_t probe, size_t query) {
    const int32_t *truth = log->truth + (probe * log->time + query) * log->n_truth;
    return log->chance[probe * log->time + query] > 0 ? truth : NULL;
}

/* Shares on true positions of one head and one half of the probes. */
static void find_shares(const work *w, size_t head, size_t half, double share[2]) {
    const heedi_log_reader *log = &w->log;
    double on_truth = 0, queries = 0, credit_there = 0, credit_all = 0;
    for (size_t p = half; p < log->probes; p += 2)
        for (size_t i = 0; i < log->time; i++) {
            const int32_t *truth = truth_of(log, p, i);
            if (!truth)
                continue;
            const float *a = heedi_map_row(log, w->attention, p, head / log->heads, head % log->heads, i);
            const float *c = heedi_map_row(log, w->credit, p, head / log->heads, head % log->heads, i);
            queries++;
            for (size_t j = 0; j < heedi_log_reader_keys(log, p, i); j++)
                credit_all += c[j] > 0 ? (double)c[j] : 0;
            for (size_t t = 0; t < log->n_truth && truth[t] >= 0; t++) {
                on_truth += (double)a[truth[t]];
                credit_there += c[truth[t]] > 0 ? (double)c[truth[t]] : 0;
            }
        }
    share[0] = queries > 0 ? on_truth / queries : 0;
    share[1] = credit_all > 0 ? credit_there / credit_all : 0;
}

static void add_map(float *sum, const float *map, size_t n) {
    for (size_t i = 0; i < n; i++)
        sum[i] += map[i];
}

/* After this, attention and credit hold the last log's maps. */
static heed_status read_run(work *w, heed_error *error) {
    const heedi_log_reader *log = &w->log;
    const size_t n = heedi_log_reader_elements(log);
    for (size_t i = 0; i < log->n_logs; i++) {
        if (heedi_log_reader_read(log, i, HEEDI_MAP_ATTENTION, w->attention, error) != HEED_OK ||
            heedi_log_reader_read(log, i, HEEDI_MAP_CREDIT, w->credit, error) != HEED_OK)
            return error->status;
        for (size_t head = 0; head < w->n_heads; head++)
            for (size_t half = 0; half < 2; half++)
                find_shares(w, head, half, w->share + ((i * w->n_heads + head) * 2 + half) * 2);
        if (i < w->n_early) {
            add_map(w->early_credit, w->credit, n);
            add_map(w->early_attention, w->attention, n);
        }
    }
    return HEED_OK;
}

/* Logs of the first twentieth of the steps, at least five. */
static size_t count_early(const heedi_log_reader *log) {
    size_t n = 0;
    while (n < log->n_logs && (double)log->step[n] <= HEED_EARLY_SHARE * (double)log->step[log->n_logs - 1])
        n++;
    return n < HEED_EARLY_LOGS ? HEED_EARLY_LOGS : n;
}

static size_t largest(const float *x, size_t n) {
    size_t best = 0;
    for (size_t j = 1; j < n; j++)
        best = x[j] > x[best] ? j : best;
    return best;
}

/* Of a map with attention at the end, over the visible keys of the odd probes' queries that have truth. */
static heed_agreement agree(const work *w, const float *map, size_t head) {
    const heedi_log_reader *log = &w->log;
    double match = 0, tau = 0, queries = 0, with_tau = 0;
    double *x = calloc(2 * log->time + 1, sizeof *x), *y = x + log->time;
    HEED_CHECK(x);
    for (size_t p = 1; p < log->probes; p += 2)
        for (size_t i = 0; i < log->time; i++) {
            if (!truth_of(log, p, i))
                continue;
            const float *a = heedi_map_row(log, w->attention, p, head / log->heads, head % log->heads, i);
            const float *b = heedi_map_row(log, map, p, head / log->heads, head % log->heads, i);
            const size_t n = heedi_log_reader_keys(log, p, i);
            for (size_t j = 0; j < n; j++) {
                x[j] = (double)a[j];
                y[j] = (double)b[j];
            }
            const double t = heed_kendall_tau(x, y, n);
            queries++;
            match += largest(a, n) == largest(b, n);
            tau += isnan(t) ? 0 : t;
            with_tau += !isnan(t);
        }
    free(x);
    return (heed_agreement){match / queries, tau / with_tau};
}

static heed_status open_log(heedi_log_reader *log, const char *run_dir, heed_attention_kind kind, heed_error *error) {
    const heed_status status = heedi_log_reader_open(log, run_dir, kind, error);
    return status == HEED_OK ? heedi_log_reader_truth(log, error) : status;
}

/* The attention whose keys the true positions are: to the sources, where a task is told as pairs. */
static heed_status open_with_truth(heedi_log_reader *log, const char *run_dir, heed_error *error) {
    heed_error not_there = HEED_ERROR_INIT;
    const heed_status status = open_log(log, run_dir, HEED_CROSS_ATTENTION, &not_there);
    if (status == HEED_OK)
        return status;
    heedi_log_reader_close(log);
    return open_log(log, run_dir, HEED_SELF_ATTENTION, error);
}

/* Opens a twin and holds its form against the run's. */
static heed_status open_twin(heedi_log_reader *twin, const work *w, const char *run_dir, heed_error *error) {
    const heedi_log_reader *log = &w->log;
    const heed_status status = open_log(twin, run_dir, log->kind, error);
    if (status != HEED_OK)
        return status;
    const bool fits = twin->probes == log->probes && twin->layers == log->layers && twin->heads == log->heads &&
                      twin->time == log->time && twin->n_logs >= w->n_early &&
                      memcmp(twin->token, log->token, log->probes * log->time * sizeof *log->token) == 0;
    return fits ? HEED_OK
                : heed_fail(error, HEED_DATA, "%s: no twin of %s: other probes, layers, heads or logs", run_dir,
                            log->folder);
}

/* The frozen twin's mean early credit, summed into w->twin; or the uniform twin's advantage at the end. */
static heed_status read_twin(work *w, const char *run_dir, bool early, heed_error *error) {
    heedi_log_reader twin;
    const size_t n = heedi_log_reader_elements(&w->log);
    heed_status status = open_twin(&twin, w, run_dir, error);
    memset(w->twin, 0, n * sizeof *w->twin);
    for (size_t i = 0; early && i < w->n_early && status == HEED_OK; i++) {
        status = heedi_log_reader_read(&twin, i, HEEDI_MAP_CREDIT, w->credit, error);
        add_map(w->twin, w->credit, n);
    }
    if (!early && status == HEED_OK)
        status = heedi_log_reader_read(&twin, twin.n_logs - 1, HEEDI_MAP_ADVANTAGE, w->twin, error);
    heedi_log_reader_close(&twin);
    return status;
}

/* Adds the marks of one head's series. */
static heed_status mark_series(heed_credit *found, const heedi_log_reader *log, const double *series, size_t head,
                               const char *score, heed_error *error) {
    size_t *at = calloc(log->n_logs / HEED_CHANGE_LOGS + 1, sizeof *at);
    const size_t n = at ? heed_change_points(at, series, log->n_logs) : 0;
    heed_phase_mark *grown = at ? realloc(found->marks, (found->n_marks + n + 1) * sizeof *grown) : NULL;
    for (size_t m = 0; grown && m < n; m++)
        grown[found->n_marks + m] = (heed_phase_mark){.score = score,
                                                      .layer = head / log->heads,
                                                      .head = head % log->heads,
                                                      .step = log->step[at[m]],
                                                      .before = series[at[m] + 1 - HEED_CHANGE_LOGS],
                                                      .now = series[at[m]]};
    free(at);
    if (!grown)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", log->folder);
    found->marks = grown;
    found->n_marks += n;
    return HEED_OK;
}

/* Phase changes of the scores that lie between 0 and 1, head by head. */
static heed_status find_marks(heed_credit *found, const work *w, heed_error *error) {
    const heedi_log_reader *log = &w->log;
    double *all = calloc(log->n_logs * (w->n_heads + 1) + 1, sizeof *all), *series = all + log->n_logs * w->n_heads;
    heed_status status = all ? HEED_OK : heed_fail(error, HEED_MEMORY, "%s: out of memory", log->folder);
    for (size_t k = 0; k < HEED_PHASE_SCORES && status == HEED_OK; k++) {
        const char *score = heed_statistic_name(heed_phase_scores[k]);
        for (size_t i = 0; i < log->n_logs && status == HEED_OK; i++)
            status = heedi_log_reader_statistic(log, i, score, all + i * w->n_heads, error);
        for (size_t head = 0; head < w->n_heads && status == HEED_OK; head++) {
            for (size_t i = 0; i < log->n_logs; i++)
                series[i] = all[i * w->n_heads + head];
            status = mark_series(found, log, series, head, score, error);
        }
    }
    free(all);
    return status;
}

static void choose_head(heed_credit *found, const work *w) {
    const double *last = w->share + (w->log.n_logs - 1) * w->n_heads * 4;
    size_t best = 0;
    for (size_t head = 1; head < w->n_heads; head++)
        best = last[head * 4] > last[best * 4] ? head : best; /* attention, even probes */
    found->layer = best / w->log.heads;
    found->head = best % w->log.heads;
    found->attention_at_end = last[best * 4 + 2];
}

static heed_status fill(heed_credit *found, const work *w, heed_error *error) {
    const heedi_log_reader *log = &w->log;
    double queries = 0;
    found->kind = log->kind;
    found->n_logs = log->n_logs;
    found->n_early = w->n_early;
    for (size_t p = 1; p < log->probes; p += 2)
        for (size_t i = 0; i < log->time; i++) {
            found->base_rate += log->chance[p * log->time + i];
            queries += log->chance[p * log->time + i] > 0;
        }
    found->base_rate /= queries;
    choose_head(found, w);
    found->share_credit = calloc(log->n_logs, sizeof(double));
    found->share_attention = calloc(log->n_logs, sizeof(double));
    found->step = calloc(log->n_logs, sizeof *found->step);
    if (!found->share_credit || !found->share_attention || !found->step)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", log->folder);
    const size_t head = found->layer * log->heads + found->head;
    for (size_t i = 0; i < log->n_logs; i++) {
        const double *share = w->share + ((i * w->n_heads + head) * 2 + 1) * 2;
        found->share_attention[i] = share[0];
        found->share_credit[i] = share[1];
        found->step[i] = log->step[i];
    }
    found->onset_attention = heed_onset(found->share_attention, log->step, log->n_logs, found->base_rate);
    found->onset_credit = heed_onset(found->share_credit, log->step, log->n_logs, found->base_rate);
    found->credit = agree(w, w->early_credit, head);
    found->attention = agree(w, w->early_attention, head);
    return HEED_OK;
}

heed_status heed_credit_measure(heed_credit *found, const char *run_dir, const char *frozen, const char *uniform,
                                heed_error *error) {
    work w = {0};
    *found = (heed_credit){.twin = {NAN, NAN}, .uniform = {NAN, NAN}};
    heed_status status = open_with_truth(&w.log, run_dir, error);
    if (status == HEED_OK && (w.log.n_logs < HEED_EARLY_LOGS || w.log.probes < 2)) {
        status = heed_fail(error, HEED_DATA, "%s: %zu logs of %zu probes are too few", w.log.folder, w.log.n_logs,
                           w.log.probes);
        heed_hint(error, "log more often (log.attention_every), and two probes or more (log.probes)");
    }
    if (status == HEED_OK)
        status = work_alloc(&w, error);
    w.n_early = status == HEED_OK ? count_early(&w.log) : 0;
    if (status == HEED_OK)
        status = read_run(&w, error);
    if (status == HEED_OK)
        status = fill(found, &w, error);
    if (status == HEED_OK)
        status = find_marks(found, &w, error);
    const size_t head = status == HEED_OK ? found->layer * w.log.heads + found->head : 0;
    if (status == HEED_OK && frozen && (status = read_twin(&w, frozen, true, error)) == HEED_OK)
        found->twin = agree(&w, w.twin, head);
    if (status == HEED_OK && uniform && (status = read_twin(&w, uniform, false, error)) == HEED_OK)
        found->uniform = agree(&w, w.twin, head);
    work_free(&w);
    if (status != HEED_OK)
        heed_credit_reset(found);
    return status;
}

void heed_credit_reset(heed_credit *found) {
    free(found->share_credit);
    free(found->share_attention);
    free(found->step);
    free(found->marks);
    *found = (heed_credit){0};
}
