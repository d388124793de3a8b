/* A rank that is late all the time (a node that throttles, a neighbour that steals its cores) slows down all others:
 * the log names it. */
#include <stdlib.h>

#include "heed/log.h"
#include "train/run.h"

#define LATE_SHARE 0.25   /* of the time that others take */
#define LATE_SECONDS 0.02 /* less is jitter of small steps */
enum { FIRST_STEPS = 64, STEPS_OF_SILENCE = 1024 };

heed_status heedi_pace_open(heedi_run *run, heed_error *error) {
    if (run->comm->rank != 0)
        return HEED_OK;
    run->pace.late = calloc((size_t)run->comm->size, sizeof *run->pace.late);
    return run->pace.late ? HEED_OK : heed_fail(error, HEED_MEMORY, "out of memory for %d ranks", run->comm->size);
}

heedi_pace heedi_pace_look(heedi_run *run) {
    const heedi_pace pace = heedi_pace_judge(&run->trainer, run->pace.late);
    const uint64_t n = ++run->pace.n_steps;
    const bool may_speak = n >= FIRST_STEPS && (!run->pace.told || n - run->pace.told >= STEPS_OF_SILENCE);
    if (may_speak && pace.latest > LATE_SECONDS && pace.share > LATE_SHARE) {
        run->pace.told = n;
        heed_say(HEED_WARNING,
                 "rank %d on %s is late in every step: %.0f ms, %.0f %% more than others take; all wait for it",
                 pace.latest_rank, run->pace.hosts + (size_t)pace.latest_rank * sizeof run->comm->host,
                 1e3 * pace.latest, 1e2 * pace.share);
    }
    return pace;
}
