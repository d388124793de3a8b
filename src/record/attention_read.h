/* The attention logs of one run and one kind of attention, and where its probes' true positions are. */
#ifndef HEED_RECORD_ATTENTION_READ_H
#define HEED_RECORD_ATTENTION_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "heed/config.h"
#include "heed/model.h"
#include "heed/status.h"
#include "heed/store.h"

typedef enum heedi_map_kind { HEEDI_MAP_ATTENTION, HEEDI_MAP_ADVANTAGE, HEEDI_MAP_CREDIT } heedi_map_kind;

typedef struct heedi_log_reader {
    char folder[HEED_PATH_MAX];
    heed_attention_kind kind;
    size_t n_logs, probes, layers, heads, time, text_bytes;
    uint64_t *step;    /* (n_logs) */
    char *config_text; /* of the run */
    int64_t *length;   /* (probes): tokens that look */
    int32_t *token;    /* (probes, time) */
    char *text;        /* (probes, time, text_bytes): of each token, padded with NUL */
    int64_t
        *key_length; /* (probes): tokens that are looked at. Of cross-attention those of the source, else the same */
    char *key_text;  /* (probes, time, text_bytes) */
    size_t n_truth;
    int32_t *truth; /* (probes, time, n_truth): keys, -1 behind the last; NULL until heedi_log_reader_truth */
    double *chance; /* (probes, time): true positions by candidates; 0 where there is no truth */
} heedi_log_reader;

/* Finds the logs of that kind. Errors: HEED_NOT_FOUND, HEED_DATA, HEED_MEMORY. Ownership: heedi_log_reader_close, after
 * a failure too. */
heed_status heedi_log_reader_open(heedi_log_reader *log, const char *run_dir, heed_attention_kind kind,
                                  heed_error *error);
void heedi_log_reader_close(heedi_log_reader *log);

/* Makes the probes' truth from the configuration that the logs carry. Errors: HEED_DATA (a text, or a task whose true
 * positions, if any, are not among the keys of this kind of attention), HEED_CONFIG, HEED_MEMORY. */
heed_status heedi_log_reader_truth(heedi_log_reader *log, heed_error *error);

/* Opens the i-th log's file. Ownership: heed_store_close. */
heed_status heedi_log_reader_store(const heedi_log_reader *log, size_t i, heed_store **store, heed_error *error);

/* The maps of the i-th log: (probes, layers, heads, time, time). */
heed_status heedi_log_reader_read(const heedi_log_reader *log, size_t i, heedi_map_kind kind, float *map,
                                  heed_error *error);
/* A statistic of the i-th log: (layers, heads). */
heed_status heedi_log_reader_statistic(const heedi_log_reader *log, size_t i, const char *name, double *values,
                                       heed_error *error);
size_t heedi_log_reader_elements(const heedi_log_reader *log);

/* Keys that a query of the probe sees. */
static inline size_t heedi_log_reader_keys(const heedi_log_reader *log, size_t probe, size_t query) {
    return log->kind == HEED_SELF_ATTENTION ? query + 1 : (size_t)log->key_length[probe];
}

/* The row of one query in such maps. */
static inline const float *heedi_map_row(const heedi_log_reader *log, const float *map, size_t probe, size_t layer,
                                         size_t head, size_t query) {
    return map + ((((probe * log->layers + layer) * log->heads + head) * log->time) + query) * log->time;
}

#endif
