/* When a run ends before its last step: on request, or in time before its walltime does. Signal handlers only set the
 * flag; that the ranks agree is the business of the step's reduction (train/tally.h). The wall clock is read once, at
 * the start: setting it changes nothing. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "heed/log.h"
#include "train/run.h"

#define FIRST_GUESS 1e8 /* bytes/s: of a checkpoint before one was written */
#define SPARE 5.0       /* s: for the launcher, and for what takes longer than ever before */

static volatile sig_atomic_t stop_requested;

void heed_train_request_stop(void) {
    stop_requested = 1;
}

void heedi_stop_forget(void) {
    stop_requested = 0;
}

/* Seconds from now to the end of the time that the run has; infinite: no end. */
static double time_left(const char *walltime) {
    if (strcmp(walltime, "slurm") != 0)
        return heed_walltime_seconds(walltime) > 0.0 ? heed_walltime_seconds(walltime) : INFINITY;
    const char *end = getenv("SLURM_JOB_END_TIME");
    return end && atof(end) > 0.0 ? atof(end) - (double)time(NULL) : INFINITY;
}

heed_status heedi_stop_open(heedi_run *run, heed_error *error) {
    (void)error;
    const double left = time_left(run->config->train.walltime), now = heed_seconds();
    run->stop.deadline = now + left;
    run->stop.looked = now;
    if (isfinite(left))
        heed_say(HEED_INFO, "time: %.0f s are left; training stops in time to save", left);
    return HEED_OK;
}

/* Open MPI's mpirun lets this time pass twice between the last word of ranks that end with another status than 0 and
 * its own end, even when all of them are gone (1 s, if nobody sets it). */
static double launcher_lingers(void) {
    const char *seconds = getenv("OMPI_MCA_odls_base_sigkill_timeout");
    return seconds && atof(seconds) > 0.0 ? 2.0 * atof(seconds) : 0.0;
}

/* What is still to come after a decision to stop: the step under way and what belongs to it, and a checkpoint, each
 * twice as long as the longest so far. */
static double margin(const heedi_run *run) {
    const double save = run->stop.longest_save > 0.0 ? run->stop.longest_save
                                                     : (double)run->snapshot_arena.capacity_bytes / FIRST_GUESS;
    return SPARE + launcher_lingers() + 2.0 * save + 2.0 * run->stop.longest_piece;
}

bool heedi_stop_wanted(void *context) {
    heedi_run *run = context;
    if (run->comm->rank == 0 && isfinite(run->stop.deadline)) {
        const double now = heed_seconds();
        run->stop.longest_piece = fmax(run->stop.longest_piece, now - run->stop.looked);
        run->stop.looked = now;
        run->stop.in_time = run->stop.in_time || now + margin(run) > run->stop.deadline;
    }
    return stop_requested || run->stop.in_time;
}

void heedi_stop_saved(heedi_run *run, double seconds) {
    run->stop.longest_save = fmax(run->stop.longest_save, seconds);
}
