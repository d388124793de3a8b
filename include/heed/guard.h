/* What a run remembers of steps that went wrong. Plain bytes: every checkpoint keeps it, and it is sent as it is.
 *
 * Steps are counted from 1 here, as in metrics.jsonl. All ranks hold the same bits: what is decided by them is decided
 * alike on every rank, at any number of ranks. */
#ifndef HEED_GUARD_H
#define HEED_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#define HEED_MOST_SKIPPED 256 /* more is no accident */
#define HEED_MOST_WINDOW 1024

typedef struct heed_guard {
    uint64_t suspect;   /* the run was rolled back because of it; when it fails again, its batch is at fault. 0: none */
    uint64_t n_skipped; /* steps that changed nothing, ascending */
    uint64_t skipped[HEED_MOST_SKIPPED];
    uint64_t n_losses; /* of the last steps taken, oldest first: at most train.spike_window of them */
    double losses[HEED_MOST_WINDOW];
} heed_guard;

/* Is the step one that is left out? Cannot fail. */
bool heed_guard_skips(const heed_guard *guard, uint64_t step);

/* Notes it as such, in its place; false when the list is full. Once noted is enough. */
bool heed_guard_skip(heed_guard *guard, uint64_t step);

/* How many steps in a row were left out just before this one. */
uint64_t heed_guard_row(const heed_guard *guard, uint64_t step);

#endif
