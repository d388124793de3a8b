/* The attention logs of one run, and where its probes' true positions are. */
#ifndef HEED_PROBE_CREDIT_LOG_H
#define HEED_PROBE_CREDIT_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "heed/config.h"
#include "heed/status.h"

typedef enum heedi_map_kind { HEEDI_MAP_ATTENTION, HEEDI_MAP_ADVANTAGE, HEEDI_MAP_CREDIT } heedi_map_kind;

typedef struct heedi_credit_log {
    char folder[HEED_PATH_MAX];
    size_t n_logs, probes, layers, heads, time;
    uint64_t *step; /* (n_logs) */
    size_t n_truth;
    int32_t *token; /* (probes, time) */
    int32_t *truth; /* (probes, time, n_truth): keys, -1 behind the last */
    double *chance; /* (probes, time): true positions by candidates; 0 where there is no truth */
} heedi_credit_log;

/* Finds the logs, and makes the probes' truth from the configuration that they carry. Errors: HEED_NOT_FOUND,
 * HEED_DATA, HEED_MEMORY. Ownership: heedi_credit_log_close, after a failure too. */
heed_status heedi_credit_log_open(heedi_credit_log *log, const char *run_dir, heed_error *error);
void heedi_credit_log_close(heedi_credit_log *log);

/* The maps of the i-th log: (probes, layers, heads, time, time). */
heed_status heedi_credit_log_read(const heedi_credit_log *log, size_t i, heedi_map_kind kind, float *map,
                                  heed_error *error);
/* A statistic of the i-th log: (layers, heads). */
heed_status heedi_credit_log_statistic(const heedi_credit_log *log, size_t i, const char *name, double *values,
                                       heed_error *error);
size_t heedi_credit_log_elements(const heedi_credit_log *log);

/* The row of one query in such maps. */
static inline const float *heedi_map_row(const heedi_credit_log *log, const float *map, size_t probe, size_t layer,
                                         size_t head, size_t query) {
    return map + ((((probe * log->layers + layer) * log->heads + head) * log->time) + query) * log->time;
}

#endif
