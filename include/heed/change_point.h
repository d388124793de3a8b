/* Marks where a score changes its level within few logs: a phase transition, as the induction bump of Olsson et al.
 * 2022. The rule is fixed, and looks back only, so that it can be used while a run is under way. */
#ifndef HEED_CHANGE_POINT_H
#define HEED_CHANGE_POINT_H

#include <stdbool.h>
#include <stddef.h>

enum {
    HEED_CHANGE_RECENT = 3,     /* logs whose mean is the present level */
    HEED_CHANGE_GAP = 7,        /* logs in between, for a change that takes a while */
    HEED_CHANGE_REFERENCE = 10, /* logs before these, which give the former level and its spread */
    HEED_CHANGE_LOGS = HEED_CHANGE_RECENT + HEED_CHANGE_GAP + HEED_CHANGE_REFERENCE
};
#define HEED_CHANGE_LEAST 0.1  /* of a score between 0 and 1 */
#define HEED_CHANGE_SPREADS 6. /* standard deviations of the reference */

/* Whether the last of `HEED_CHANGE_LOGS` successive scores tells a change of level: the mean of the recent logs differs
 * from that of the reference by at least HEED_CHANGE_LEAST, and by at least HEED_CHANGE_SPREADS standard deviations of
 * the reference. A straight slope is no change: there the difference is 4.46 standard deviations. A score that is not
 * finite tells nothing. */
bool heed_change_now(const double *scores);

/* All marks of a series: marks[m] is the index of the log at which heed_change_now first holds; after a mark the next
 * one needs HEED_CHANGE_LOGS new logs, so that one change is marked once. Returns how many (at most n /
 * HEED_CHANGE_LOGS
 * + 1, the room of marks). */
size_t heed_change_points(size_t *marks, const double *scores, size_t n);

#endif
