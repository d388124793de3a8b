#include <string.h>

#include "heed/log.h"
#include "heed/optimizer.h"
#include "heed/pairs.h"
#include "heed/stage.h"
#include "heed/watchdog.h"
#include "train/run.h"

heed_status heedi_save_open(heedi_run *run, heed_error *error) {
    const heed_config *config = run->config;
    const heed_params *params = heed_model_params(run->trainer.model);
    char folder[HEED_PATH_MAX + 16];
    if (run->comm->rank != 0)
        return HEED_OK;
    const size_t arena_bytes = heed_aligned(heed_bytes(params->n_elements, sizeof(real)));
    const size_t n_arenas = 1 + (size_t)heed_optimizer_moments(config);
    heed_status status =
        heed_arena_init(&run->snapshot_arena, heed_bytes(n_arenas, arena_bytes), "checkpoint snapshot", error);
    if (status != HEED_OK)
        return status;
    run->snapshot.params = params;
    run->snapshot.weights = heed_arena_take(&run->snapshot_arena, arena_bytes);
    run->snapshot.m = n_arenas > 1 ? heed_arena_take(&run->snapshot_arena, arena_bytes) : NULL;
    run->snapshot.v = n_arenas > 2 ? heed_arena_take(&run->snapshot_arena, arena_bytes) : NULL;
    snprintf(folder, sizeof folder, "%s/checkpoints", config->run.dir);
    status = heed_checkpoint_writer_create(&run->writer, folder, (size_t)config->checkpoint.keep, error);
    return status == HEED_OK ? heedi_figures_open(run, error) : status;
}

heed_status heedi_figures_open(heedi_run *run, heed_error *error) {
    const heed_config *config = run->config;
    if (run->comm->rank != 0)
        return HEED_OK;
    heed_metrics_close(run->metrics);
    heed_phases_close(run->look.phases);
    run->metrics = NULL;
    run->look.phases = NULL;
    heed_status status = heed_attention_log_cut(config->run.dir, run->trainer.step, error);
    if (status == HEED_OK)
        status = heed_metrics_open(&run->metrics, config->run.dir, run->trainer.step, error);
    if (status == HEED_OK && run->look.every > 0)
        status = heed_phases_open(&run->look.phases, config->run.dir, (size_t)config->model.layers,
                                  (size_t)config->model.heads, run->trainer.step, error);
    return status;
}

/* Which checkpoints stay because of phase changes that are marked so far. */
static heed_status tell_phases(heedi_run *run, heed_error *error) {
    heed_checkpoint_phases phases = {.every = (uint64_t)run->config->checkpoint.phase_every,
                                     .around = HEED_CHANGE_LOGS * run->look.every};
    if (phases.every == 0)
        return HEED_OK;
    phases.marks = heed_phases_steps(run->look.phases, &phases.n_marks);
    return heed_checkpoint_writer_phases(run->writer, &phases, error);
}

/* What must be written before a checkpoint: without its logs and figures there would be a gap in the run that goes on
 * from it. What cannot be written (HEED_IO, HEED_CREATE) is kept, and may be tried again. */
static heed_status write_what_waits(heedi_run *run, heed_error *error) {
    heed_status status = heedi_look_finish(run, error);
    if (status == HEED_OK)
        status = heed_metrics_flush(run->metrics, error);
    if (status == HEED_OK && run->look.phases)
        status = heed_phases_flush(run->look.phases, error);
    return status;
}

static heed_status start_saving(heedi_run *run, heed_error *error) {
    const heed_checkpoint_figures figures = {run->metrics, run->look.phases};
    const heed_status status = tell_phases(run, error);
    return status == HEED_OK ? heed_checkpoint_writer_start(run->writer, &run->state, &run->snapshot, &figures,
                                                            heed_corpus_tokenizer(run->corpus), error)
                             : status;
}

/* How the last save went. Training goes on without it, but not without figures. */
static void hear_of_last_save(heedi_run *run) {
    heed_error lost = HEED_ERROR_INIT;
    if (heed_checkpoint_writer_wait(run->writer, &lost) == HEED_OK)
        return;
    if (heed_checkpoint_writer_lost_figures(run->writer, &run->trainer.failed) == HEED_OK)
        heed_say(HEED_WARNING, "the last checkpoint was not saved: %s (training goes on; earlier ones are whole)",
                 lost.message);
}

static bool is_last_save(const heedi_run *run) {
    return run->trainer.stop || run->trainer.step >= (uint64_t)run->config->train.steps;
}

heed_status heedi_save(heedi_run *run, heed_error *error) {
    HEED_IN_STAGE(SAVE);
    heed_watchdog_mark(run->comm, run->trainer.step);
    heed_error failed = HEED_ERROR_INIT;
    const bool root = run->comm->rank == 0;
    heed_status status = heedi_verify(run, error); /* what is saved is what all ranks have */
    if (status != HEED_OK)
        return status;
    const double start = heed_seconds();
    if (root)
        hear_of_last_save(run);
    if (root)
        heedi_stop_saved(run, run->save_seconds + heed_checkpoint_writer_seconds(run->writer));
    status = heed_gradsync_complete(run->trainer.sync, error);
    if (status == HEED_OK)
        status = heed_gradsync_gather_moments(run->trainer.sync, run->snapshot.m, run->snapshot.v, error);
    if (status != HEED_OK || !root)
        return status;
    if (run->trainer.failed.status != HEED_OK) /* a log or figures are lost, and the run ends: it goes on from before */
        return HEED_OK;
    memcpy(run->snapshot.weights, heed_model_weights(run->trainer.model),
           run->snapshot.params->n_elements * sizeof(real));
    run->save_seconds = heed_seconds() - start;
    run->state.step = run->trainer.step;
    run->state.guard = run->trainer.guard;
    run->state.source_tokenizer = heed_corpus_separate_sources(run->corpus);
    const bool complete = write_what_waits(run, &failed) == HEED_OK;
    if (complete)
        start_saving(run, &failed);
    if (!complete && !is_last_save(run))
        heed_say(HEED_WARNING, "no checkpoint after step %llu: %s (training goes on; earlier ones are whole)",
                 (unsigned long long)run->trainer.step, failed.message);
    else if (failed.status != HEED_OK)
        heed_fail(&run->trainer.failed, failed.status, "%s", failed.message);
    return HEED_OK;
}

void heedi_save_poll(heedi_run *run) {
    if (run->comm->rank == 0 && heed_checkpoint_writer_idle(run->writer))
        hear_of_last_save(run);
}

heed_status heedi_save_finish(heedi_run *run, heed_error *error) {
    return run->comm->rank == 0 ? heed_checkpoint_writer_wait(run->writer, error) : HEED_OK;
}

void heedi_save_close(heedi_run *run) {
    heed_checkpoint_writer_destroy(run->writer);
    heed_metrics_close(run->metrics);
    heed_arena_reset(&run->snapshot_arena);
}
