/* Back to the last checkpoint without leaving: what a new start would do, in the same process. */
#include <string.h>

#include "heed/log.h"
#include "train/run.h"

/* Nothing is under way any more; what was not saved is lost, as at a new start. */
static heed_status let_writers_end(heedi_run *run, heed_error *error) {
    heed_error lost = HEED_ERROR_INIT;
    heed_model_observe(run->trainer.model, NULL, NULL);
    if (run->comm->rank == 0 && heed_checkpoint_writer_wait(run->writer, &lost) != HEED_OK)
        heed_say(HEED_WARNING, "the last checkpoint was not saved: %s", lost.message);
    if (run->comm->rank == 0 && heed_checkpoint_writer_lost_figures(run->writer, error) != HEED_OK)
        return error->status;
    lost = (heed_error)HEED_ERROR_INIT;
    if (heedi_look_finish(run, &lost) != HEED_OK)
        heed_say(HEED_WARNING, "an attention log was not saved: %s", lost.message);
    run->trainer.failed = (heed_error)HEED_ERROR_INIT;
    return HEED_OK;
}

heed_status heedi_roll_back(heedi_run *run, heed_error *error) {
    static heed_status (*const parts[])(heedi_run * run, heed_error * error) = {
        let_writers_end,   heedi_resume_find,   heedi_resume_share,
        heedi_resume_load, heedi_resume_spread, heedi_figures_open,
    };
    const heed_guard known = run->trainer.guard;
    char data_digest[sizeof run->state.data_digest];
    memcpy(data_digest, run->state.data_digest, sizeof data_digest);
    heed_say(HEED_WARNING, "%s: going back to the last checkpoint", error->message);
    *error = (heed_error)HEED_ERROR_INIT;
    heed_status status = HEED_OK;
    run->checkpoint[0] = '\0';
    for (size_t i = 0; i < sizeof parts / sizeof *parts && status == HEED_OK; i++) {
        parts[i](run, error);
        status = heed_comm_agree(run->comm, error);
    }
    memcpy(run->state.data_digest, data_digest, sizeof data_digest);
    heed_guard *guard = &run->trainer.guard;
    for (uint64_t i = 0; i < known.n_skipped; i++)
        heed_guard_skip(guard, known.skipped[i]);
    guard->suspect = known.suspect;
    run->speed.started = heed_seconds();
    run->speed.first_step = run->trainer.step;
    return status;
}
