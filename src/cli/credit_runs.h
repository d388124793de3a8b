/* Runs whose credit is measured, with their twins; and what was found, as JSON. For `heed credit` and `heed report`. */
#ifndef HEED_CLI_CREDIT_RUNS_H
#define HEED_CLI_CREDIT_RUNS_H

#include <jansson.h>

#include "heed/config.h"
#include "heed/credit.h"

enum { HEEDI_MOST_SUBJECTS = 1000 };

/* A run and what was measured on it. */
typedef struct heedi_subject {
    char run[HEED_PATH_MAX], frozen[HEED_PATH_MAX], uniform[HEED_PATH_MAX]; /* twins: empty without one */
    heed_credit found;
} heedi_subject;

typedef struct heedi_subjects {
    heedi_subject *all;
    size_t n;
} heedi_subjects;

/* Adds the run that lies there; or, of a folder of controls, the runs softmax-SEED with random-SEED and uniform-SEED as
 * their twins. Errors: HEED_NOT_FOUND, HEED_MEMORY. Ownership: heedi_subjects_reset, after a failure too. */
heed_status heedi_subjects_add(heedi_subjects *list, const char *place, heed_error *error);
void heedi_subjects_reset(heedi_subjects *list);

heed_status heedi_subject_measure(heedi_subject *subject, heed_error *error);

/* What `heed credit --json` prints of a run. */
json_t *heedi_subject_json(const heedi_subject *subject);

#endif
