/* The watchdog: no rank waits for ever for one that is gone.
 *
 * A thread a rank sends a datagram to rank 0 several times a second, with the stage that the rank's main thread is in,
 * and rank 0 answers. It uses UDP and not MPI: an MPI that waits for a lost rank is what it watches. Who is missing:
 *
 *   - a rank that was not heard of (dead, stopped, or behind a link that was cut);
 *   - when no rank moves on, although all are there: the one that is furthest behind, or does not wait for others.
 *
 * It acts two seconds before the limit (at half of it, if that is less), which is what launchers take to end a job.
 *
 * Then every rank that is left prints, all together, one line with the missing rank, its host and the stage that it was
 * last seen in, and ends at once with the exit status of HEED_PEER. Rank 0 speaks, or rank 1 when rank 0 is the missing
 * one; the others speak only if nobody ends them within a second and a half. A rank that was silent for a while and
 * came back is named in a warning. A job that is suspended as a whole and continued misses nobody.
 *
 * Datagrams carry a random cookie that is shared through MPI; others are dropped. A rank that UDP does not reach (a
 * firewall) is not watched, and a warning says so. IPv4 alone. */
#ifndef HEED_WATCHDOG_H
#define HEED_WATCHDOG_H

#include <stdint.h>

#include "heed/comm.h"

/* Starts watching with that limit in seconds; 0 starts nothing. While it watches, comm->watchdog is set. Errors:
 * HEED_UNAVAILABLE (no socket, no thread), HEED_MEMORY. Ownership: heed_watchdog_stop. Collective. */
heed_status heed_watchdog_start(heed_comm *comm, double limit_seconds, heed_error *error);

/* Tells the others that this rank leaves in good order, and ends the thread. Not collective. */
void heed_watchdog_stop(heed_comm *comm);

/* Says that the main thread begins step `number` (counted from 1), or with 0 another piece of work in it. All ranks
 * pass the same marks in the same order, so that who has passed fewer is behind. Until the first one nothing but
 * silence is held against a rank. What it does in the step is told by heed/stage.h. Cheap; does nothing where nothing
 * watches. Not collective. */
void heed_watchdog_mark(heed_comm *comm, uint64_t number);

#endif
