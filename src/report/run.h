/* One run's files as JSON for the page. */
#ifndef HEED_REPORT_RUN_H
#define HEED_REPORT_RUN_H

#include <jansson.h>

#include "heed/status.h"
#include "report/page.h"

/* Reads what lies in the folder `dir` and writes the maps' chunks of run number `run` of n_runs, which share the room
 * for them. What is not there is null in the JSON; a folder without metrics.jsonl is no run. Errors:
 * HEED_NOT_FOUND, HEED_DATA, HEED_IO, HEED_MEMORY. Ownership: json_decref. */
heed_status heedi_run_json(json_t **json, const char *dir, size_t run, size_t n_runs, heedi_page *page,
                           heed_error *error);

/* The attention log of the run, or null. */
heed_status heedi_log_json(json_t **json, const char *dir, size_t run, size_t n_runs, heedi_page *page,
                           heed_error *error);

#endif
