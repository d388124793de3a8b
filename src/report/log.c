/* The attention logs on the page: statistics of the heads at every log, marks of change, the probes' text, their true
 * positions, and the maps. Each log's file is opened once. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heed/attention_log.h"
#include "heed/change_point.h"
#include "heed/report.h"
#include "record/attention_log.h"
#include "report/maps.h"
#include "report/run.h"

/* Of very many logs only some are read. */
static void thin_logs(heedi_report_log *w) {
    w->n_all = w->log.n_logs;
    if (w->n_all <= HEED_REPORT_LOGS)
        return;
    for (size_t i = 0; i < HEED_REPORT_LOGS; i++)
        w->log.step[i] = w->log.step[heedi_thinned(i, HEED_REPORT_LOGS, w->n_all)];
    w->log.n_logs = HEED_REPORT_LOGS;
}

static heed_status read_log(heedi_report_log *w, size_t i, heed_error *error) {
    const heedi_log_reader *log = &w->log;
    heed_store *store;
    heed_status status = heedi_log_reader_store(log, i, &store, error);
    if (status != HEED_OK)
        return status;
    status = heed_store_check_kind(store, HEEDI_LOG_KIND, HEEDI_LOG_FORMAT, error);
    for (size_t k = 0; k < HEED_N_STATISTICS && status == HEED_OK; k++)
        status = heed_store_read(store, heedi_log_table[HEEDI_LOG_STATISTIC + k].name, HEED_TYPE_FLOAT64, 3,
                                 (size_t[]){1, log->layers, log->heads},
                                 w->statistic + (k * log->n_logs + i) * w->n_heads, error);
    if (status == HEED_OK)
        status = heedi_maps_take(&w->maps, i, store, error);
    heed_store_close(store);
    return status;
}

/* name -> logs that are shown, each with the numbers of its heads; a statistic that was never defined is left out. */
static json_t *statistics_of(const heedi_report_log *w) {
    const size_t n = w->log.n_logs, numbers = HEED_N_STATISTICS * w->n_heads;
    const size_t most = HEED_REPORT_NUMBERS / numbers, kept = n < most || most < 2 ? n : most;
    json_t *steps = json_array(), *all = json_object(), *about = json_object();
    for (size_t i = 0; i < kept; i++)
        json_array_append_new(steps, json_integer((json_int_t)w->log.step[heedi_thinned(i, kept, n)]));
    for (size_t k = 0; k < HEED_N_STATISTICS; k++) {
        const heedi_netcdf_array *array = &heedi_log_table[HEEDI_LOG_STATISTIC + k];
        json_t *logs = json_array();
        bool defined = false;
        for (size_t i = 0; i < kept; i++) {
            const double *values = w->statistic + (k * n + heedi_thinned(i, kept, n)) * w->n_heads;
            for (size_t h = 0; h < w->n_heads; h++)
                defined = defined || isfinite(values[h]);
            json_array_append_new(logs, heedi_json_numbers(values, w->n_heads));
        }
        if (defined)
            json_object_set(all, array->name, logs);
        json_decref(logs);
        json_object_set_new(about, array->name, json_pack("{ss ss}", "unit", array->units, "meaning", array->meaning));
    }
    return json_pack("{so so so}", "step", steps, "values", all, "about", about);
}

/* Changes of the scores that lie between 0 and 1, by the rule of heed/change_point.h. */
static json_t *marks_of(const heedi_report_log *w) {
    static const heed_head_statistic scores[] = {HEED_PREVIOUS, HEED_DUPLICATE, HEED_INDUCTION, HEED_ON_TARGET};
    const size_t n = w->log.n_logs;
    json_t *all = json_array();
    double *series = calloc(n + 1, sizeof *series);
    size_t *at = calloc(n / HEED_CHANGE_LOGS + 1, sizeof *at);
    for (size_t k = 0; series && at && k < sizeof scores / sizeof *scores; k++)
        for (size_t h = 0; h < w->n_heads; h++) {
            for (size_t i = 0; i < n; i++)
                series[i] = w->statistic[(scores[k] * n + i) * w->n_heads + h];
            const size_t n_marks = heed_change_points(at, series, n);
            for (size_t m = 0; m < n_marks; m++)
                json_array_append_new(all, json_pack("{ss sI sI so so}", "score",
                                                     heedi_log_table[HEEDI_LOG_STATISTIC + scores[k]].name, "head",
                                                     (json_int_t)h, "step", (json_int_t)w->log.step[at[m]], "before",
                                                     heedi_json_number(series[at[m] + 1 - HEED_CHANGE_LOGS]), "now",
                                                     heedi_json_number(series[at[m]])));
        }
    free(series);
    free(at);
    return all;
}

static json_t *texts_of(const heedi_log_reader *log, const char *text, size_t probe, int64_t length) {
    json_t *all = json_array();
    for (size_t i = 0; i < (size_t)length; i++) {
        char *piece = strndup(text + (probe * log->time + i) * log->text_bytes, log->text_bytes);
        json_array_append_new(all, heedi_json_text(piece ? piece : ""));
        free(piece);
    }
    return all;
}

/* The text of the shown probes' tokens, of the source's where these are looked at, and of each query the keys that the
 * task calls true. */
static json_t *probes_of(const heedi_report_log *w) {
    const heedi_log_reader *log = &w->log;
    json_t *all = json_array();
    for (size_t p = 0; p < w->maps.probes; p++) {
        json_t *truth = log->truth ? json_array() : json_null();
        for (size_t i = 0; log->truth && i < (size_t)log->length[p]; i++) {
            const size_t at = p * log->time + i;
            json_t *keys = json_array();
            for (size_t t = 0; t < log->n_truth && log->truth[at * log->n_truth + t] >= 0; t++)
                json_array_append_new(keys, json_integer(log->truth[at * log->n_truth + t]));
            json_array_append_new(truth, keys);
        }
        const bool crosses = log->kind == HEED_CROSS_ATTENTION;
        json_array_append_new(all,
                              json_pack("{so so so}", "text", texts_of(log, log->text, p, log->length[p]), "keys",
                                        crosses ? texts_of(log, log->key_text, p, log->key_length[p]) : json_null(),
                                        "truth", truth));
    }
    return all;
}

/* The head that is worth a look: at the last log the one that looks at the true positions most, where there are none
 * the one with the largest induction score, else the first. */
static size_t head_to_show(const heedi_report_log *w) {
    static const heed_head_statistic scores[] = {HEED_ON_TARGET, HEED_INDUCTION};
    for (size_t k = 0; k < sizeof scores / sizeof *scores; k++) {
        const double *last = w->statistic + (scores[k] * w->log.n_logs + w->log.n_logs - 1) * w->n_heads;
        size_t best = w->n_heads;
        for (size_t h = 0; h < w->n_heads; h++)
            if (isfinite(last[h]) && (best == w->n_heads || last[h] > last[best]))
                best = h;
        if (best < w->n_heads)
            return best;
    }
    return 0;
}

static json_t *json_of(heedi_report_log *w, size_t n_bytes) {
    const heedi_log_reader *log = &w->log;
    w->maps.first = head_to_show(w);
    return json_pack("{sI sI sI sI sI sI sI sb sI so so so so}", "logs", (json_int_t)w->n_all, "first",
                     (json_int_t)w->maps.first, "read", (json_int_t)log->n_logs, "layers", (json_int_t)log->layers,
                     "heads", (json_int_t)log->heads, "queries", (json_int_t)w->maps.queries, "keys",
                     (json_int_t)w->maps.keys, "causal", log->kind == HEED_SELF_ATTENTION, "probes_logged",
                     (json_int_t)log->probes, "probes", probes_of(w), "maps", heedi_maps_fit(&w->maps, n_bytes),
                     "statistics", statistics_of(w), "marks", marks_of(w));
}

/* A log whose reader is open. */
static heed_status read_kind(heedi_report_log *w, size_t share, json_t **json, heed_error *error) {
    heed_error no_truth = HEED_ERROR_INIT;
    heedi_log_reader_truth(&w->log, &no_truth); /* only generated tasks have it */
    if (no_truth.status != HEED_OK) {
        free(w->log.truth);
        w->log.truth = NULL;
    }
    thin_logs(w);
    w->n_heads = w->log.layers * w->log.heads;
    w->statistic = calloc(HEED_N_STATISTICS * w->log.n_logs * w->n_heads + 1, sizeof *w->statistic);
    heed_status status = w->statistic ? heedi_maps_init(&w->maps, &w->log, HEED_REPORT_MAP_VALUES / share, error)
                                      : heed_fail(error, HEED_MEMORY, "%s: out of memory", w->log.folder);
    for (size_t i = 0; i < w->log.n_logs && status == HEED_OK; i++)
        status = read_log(w, i, error);
    if (status == HEED_OK && !(*json = json_of(w, HEED_REPORT_BYTES / share)))
        status = heed_fail(error, HEED_MEMORY, "%s: out of memory", w->log.folder);
    return status;
}

heed_status heedi_report_logs_read(heedi_report_run *run, const char *dir, size_t n_runs, json_t **json,
                                   heed_error *error) {
    heed_status status = HEED_OK;
    *json = json_object();
    for (int kind = 0; kind < HEED_N_ATTENTION_KINDS && status == HEED_OK; kind++) {
        heed_error none = HEED_ERROR_INIT;
        heedi_report_log *w = &run->log[run->n_logs];
        status = heedi_log_reader_open(&w->log, dir, (heed_attention_kind)kind, &none);
        if (status == HEED_NOT_FOUND) { /* a run without a log is a run */
            heedi_log_reader_close(&w->log);
            status = HEED_OK;
            continue;
        }
        run->n_logs++;
        if (status != HEED_OK)
            *error = none;
    }
    for (size_t k = 0; k < run->n_logs && status == HEED_OK; k++) {
        json_t *log = NULL;
        status = read_kind(&run->log[k], n_runs * run->n_logs, &log, error);
        json_object_set_new(*json, heedi_kind_names[run->log[k].log.kind], log ? log : json_null());
    }
    return status;
}
