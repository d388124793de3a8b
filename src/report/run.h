/* One run's files as JSON for the page, and the maps of its attention logs. */
#ifndef HEED_REPORT_RUN_H
#define HEED_REPORT_RUN_H

#include <jansson.h>

#include "heed/model.h"
#include "heed/status.h"
#include "report/maps.h"
#include "report/page.h"

/* The attention log of one kind of attention. */
typedef struct heedi_report_log {
    heedi_log_reader log;
    size_t n_all, n_heads; /* logs before thinning; layers * heads */
    double *statistic;     /* (HEED_N_STATISTICS, n_logs, n_heads) */
    heedi_maps maps;
} heedi_report_log;

typedef struct heedi_report_run {
    json_t *json;
    size_t n_logs; /* kinds of attention that were logged */
    heedi_report_log log[HEED_N_ATTENTION_KINDS];
} heedi_report_run;

/* Reads what lies in the folder `dir`, one of n_runs, which share the room for maps. What is not there is null in the
 * JSON; a folder without metrics.jsonl is no run. Memory: its share of HEED_REPORT_MAP_VALUES, and the maps of one log.
 * Errors: HEED_NOT_FOUND, HEED_DATA, HEED_IO, HEED_MEMORY. Ownership: heedi_report_run_reset, after a failure too. */
heed_status heedi_report_run_read(heedi_report_run *run, const char *dir, size_t n_runs, heed_error *error);
void heedi_report_run_reset(heedi_report_run *run);

/* The attention logs alone: {KIND: {...}} of the kinds that are there. */
heed_status heedi_report_logs_read(heedi_report_run *run, const char *dir, size_t n_runs, json_t **json,
                                   heed_error *error);

#endif
