/* Phase transitions, marked while a run is under way: the scores of heads that lie between 0 and 1 are held against the
 * rule of heed/change_point.h log by log. run_dir/phases.jsonl has one JSON object a mark; it is made of the attention
 * logs alone, so that a run that goes on writes the same lines. */
#ifndef HEED_PHASE_H
#define HEED_PHASE_H

#include <stddef.h>
#include <stdint.h>

#include "heed/attention_log.h"
#include "heed/change_point.h"
#include "heed/status.h"

enum { HEED_PHASE_SCORES = 4 };
extern const heed_head_statistic heed_phase_scores[HEED_PHASE_SCORES];
const char *heed_statistic_name(heed_head_statistic statistic); /* as in the log: "induction" */

/* A change of a head's score within few logs. */
typedef struct heed_phase_mark {
    const char *score; /* name of the statistic */
    size_t layer, head;
    uint64_t step;      /* of the log at which the change shows */
    double before, now; /* the score HEED_CHANGE_LOGS - 1 logs before, and at that log */
} heed_phase_mark;

/* Looks through the logs of steps before `step` and writes what they tell to phases.jsonl anew. Logs that cannot be
 * read are warned of and passed over. Errors: HEED_CREATE, HEED_IO, HEED_MEMORY. Ownership: heed_phases_close. Rank 0.
 */
typedef struct heed_phases heed_phases;
heed_status heed_phases_open(heed_phases **phases, const char *run_dir, size_t layers, size_t heads, uint64_t step,
                             heed_error *error);
void heed_phases_close(heed_phases *phases);

/* The log of a step: means (layers, heads, HEED_N_STATISTICS). What changes is said, and written. Errors: HEED_IO,
 * HEED_MEMORY. */
heed_status heed_phases_see(heed_phases *phases, uint64_t step, const double *means, heed_error *error);
/* As heed_metrics_flush and heed_metrics_sync. */
heed_status heed_phases_flush(heed_phases *phases, heed_error *error);
heed_status heed_phases_sync(heed_phases *phases, heed_error *error);

/* The steps with marks, ascending, each once. They belong to phases, until the next call of see. */
const uint64_t *heed_phases_steps(const heed_phases *phases, size_t *n_steps);

/* Reads run_dir/phases.jsonl; *marks is allocated and the caller frees it. A torn last line is passed over. Errors:
 * HEED_NOT_FOUND, HEED_DATA, HEED_MEMORY. */
heed_status heed_phases_read(heed_phase_mark **marks, size_t *n_marks, const char *run_dir, heed_error *error);

#endif
