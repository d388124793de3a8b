/* Runs whose credit is measured, with their twins; and what was found, as JSON. For `heed credit` and `heed report`. */
#ifndef HEED_CLI_CREDIT_RUNS_H
#define HEED_CLI_CREDIT_RUNS_H

#include <jansson.h>

#include "heed/config.h"
#include "heed/credit.h"

enum { HEEDI_MOST_CREDIT_RUNS = 1000 };

/* A run and what was measured on it. */
typedef struct heedi_credit_run {
    char run[HEED_PATH_MAX], frozen[HEED_PATH_MAX], uniform[HEED_PATH_MAX]; /* twins: empty without one */
    heed_credit found;
} heedi_credit_run;

typedef struct heedi_credit_runs {
    heedi_credit_run *all;
    size_t n;
} heedi_credit_runs;

/* Adds the run that lies there; or, of a folder of controls, the runs softmax-SEED with random-SEED and uniform-SEED as
 * their twins. Errors: HEED_NOT_FOUND, HEED_MEMORY. Ownership: heedi_credit_runs_reset, after a failure too. */
heed_status heedi_credit_runs_add(heedi_credit_runs *list, const char *place, heed_error *error);
void heedi_credit_runs_reset(heedi_credit_runs *list);

heed_status heedi_credit_run_measure(heedi_credit_run *subject, heed_error *error);

/* What `heed credit --json` prints of a run. */
json_t *heedi_credit_run_json(const heedi_credit_run *subject);

#endif
