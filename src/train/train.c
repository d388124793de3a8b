/* The loop around heed_step. What it does between steps (logs, evaluation, checkpoints) never touches weights or
 * moments, so that its cadence changes no bit of the result. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "heed/gemm.h"
#include "heed/log.h"
#include "heed/pairs.h"
#include "heed/watchdog.h"
#include "train/evaluate.h"
#include "train/guard.h"
#include "train/run.h"

/* ---- before the first step --------------------------------------------------------------------------------------- */

/* BLIS kernels differ in their bits: all ranks use the best that the weakest of them can run. */
static heed_status start_engine(heedi_run *run, heed_error *error) {
    double level = -(double)heed_gemm_best();
    const heed_status status = heed_comm_max(run->comm, &level, 1, error);
    return status == HEED_OK ? heed_gemm_open((heed_gemm_level)-level, run->n_threads, error) : status;
}

static heed_status start_watchdog(heedi_run *run, heed_error *error) {
    return heed_watchdog_start(run->comm, run->config->train.watchdog, error);
}

static heed_status create_model(heedi_run *run, heed_error *error) {
    const heed_config *config = run->config;
    const size_t rank = (size_t)run->comm->rank, size = (size_t)run->comm->size;
    const size_t grain = (size_t)config->train.grain, n_grains = (size_t)config->train.batch / grain;
    const heed_ragged *probes = &run->look.part.rows, *sources = &run->look.part.source;
    size_t n_sequences = (n_grains * (rank + 1) / size - n_grains * rank / size) * grain;
    size_t n_rows = n_sequences * (size_t)config->model.time;
    size_t n_source = n_sequences * heed_batcher_source_time(run->trainer.batcher);
    n_sequences = n_sequences > probes->n_sequences ? n_sequences : probes->n_sequences;
    n_rows = n_rows > probes->n_rows ? n_rows : probes->n_rows;
    n_source = n_source > sources->n_rows ? n_source : sources->n_rows;
    const size_t vocab = heed_tokenizer_vocab(heed_corpus_tokenizer(run->corpus));
    const heed_model_shape shape = {.vocab = vocab,
                                    .source_vocab = heed_corpus_source_vocab(run->corpus),
                                    .max_rows = n_rows,
                                    .max_source_rows = n_source,
                                    .max_sequences = n_sequences,
                                    .training = true};
    return heed_model_create(&run->trainer.model, config, &shape, error);
}

static heed_status create_sync(heedi_run *run, heed_error *error) {
    heed_model *model = run->trainer.model;
    const heed_status status =
        heed_gradsync_create(&run->trainer.sync, run->comm, heed_model_params(model), run->config, 0, error);
    heed_model_listen(model, heed_gradsync_await, run->trainer.sync);
    return status;
}

/* The most that one rank keeps (first: rank 0, which has room for the maps of all probes). */
static size_t bytes_of_maps(const heedi_run *run, bool first) {
    const size_t probes = run->look.probes.rows.n_sequences;
    const size_t most = probes - heedi_first_probe(run, run->comm->size - 1); /* the last rank's */
    return heed_attention_maps_bytes(run->config, first ? probes : most);
}

static heed_status say_what_runs(heedi_run *run, heed_error *error) {
    (void)error;
    const heed_comm *comm = run->comm;
    const heed_params *params = heed_model_params(run->trainer.model);
    const heed_gradsync_memory memory = heed_gradsync_bytes(run->trainer.sync);
    heed_say(
        HEED_INFO,
        "model: %.3g million parameters; MB a rank: parameters %.3g, gradients %.3g, moments %.3g, activations %.3g, "
        "exchange %.3g, attention maps %.3g (%.3g on rank 0), snapshot for checkpoints %.3g (rank 0)",
        1e-6 * (double)params->n_parameters, 1e-6 * (double)(params->n_elements * sizeof(real)),
        1e-6 * (double)memory.gradients, 1e-6 * (double)memory.moments,
        1e-6 * (double)heed_model_activation_bytes(run->trainer.model), 1e-6 * (double)memory.buffers,
        1e-6 * (double)bytes_of_maps(run, false), 1e-6 * (double)bytes_of_maps(run, true),
        1e-6 * (double)run->snapshot_arena.capacity_bytes);
    char peak[32] = "";
    if (isfinite(run->speed.peak))
        snprintf(peak, sizeof peak, ", %.0f GF/s", 1e-9 * run->speed.peak);
    heed_say(HEED_INFO, "%d rank%s x %d thread%s on %d node%s, BLIS kernel %s%s", comm->size,
             comm->size == 1 ? "" : "s", run->n_threads, run->n_threads == 1 ? "" : "s", comm->n_nodes,
             comm->n_nodes == 1 ? "" : "s", heed_gemm_kernel(), peak);
    return HEED_OK;
}

typedef heed_status part(heedi_run *run, heed_error *error);

static part *const opening[] = {
    heedi_threads_choose, start_watchdog,      start_engine,          heedi_folder_open, heedi_resume_find,
    heedi_resume_share,   heedi_data_prepare,  heedi_data_open,       heedi_data_match,  heedi_probes_open,
    heedi_probes_share,   create_model,        create_sync,           heedi_look_open,   heedi_save_open,
    heedi_resume_load,    heedi_resume_spread, heedi_folder_describe, heedi_speed_open,  heedi_stop_open,
    heedi_pace_open,      say_what_runs,
};

static bool has_all_steps(const heedi_run *run) {
    return run->trainer.step >= (uint64_t)run->config->train.steps && !run->state.unfinished;
}

static heed_status open_run(heedi_run *run, heed_error *error) {
    heed_status status = HEED_OK;
    for (size_t i = 0; i < sizeof opening / sizeof *opening && status == HEED_OK && !has_all_steps(run); i++) {
        opening[i](run, error);
        status = heed_comm_agree(run->comm, error);
    }
    return status;
}

static void close_run(heedi_run *run) {
    heed_watchdog_stop(run->comm);
    heedi_save_close(run); /* waits for a checkpoint under way */
    heedi_look_close(run);
    heed_gradsync_destroy(run->trainer.sync);
    heed_model_destroy(run->trainer.model);
    heed_batcher_destroy(run->trainer.batcher);
    heed_corpus_close(run->corpus);
    free(run->state.config_text);
    heedi_folder_close(run);
    heed_gemm_close();
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

/* Is something due that happens every so many steps, and at the end? */
static bool is_due(const heedi_run *run, int64_t every) {
    return has_all_steps(run) || (every > 0 && run->trainer.step % (uint64_t)every == 0);
}

static heed_status evaluate(heedi_run *run, heed_error *error) {
    heed_checkpoint_state *state = &run->state;
    heed_trainer *trainer = &run->trainer;
    heed_evaluation found;
    heedi_breakoff breakoff = {heedi_stop_wanted, run, false};
    const heed_status status = heedi_evaluate(run->comm, run->config, trainer->model, trainer->batcher,
                                              (size_t)run->config->eval.batches, &breakoff, &found, error);
    state->unfinished = breakoff.happened;
    if (status != HEED_OK || state->unfinished)
        return status;
    state->valid_loss = found.loss;
    run->valid_accuracy = found.accuracy;
    if (!(state->best_loss <= state->valid_loss)) {
        state->best_loss = state->valid_loss;
        state->best_step = trainer->step;
    }
    return HEED_OK;
}

static void record(heedi_run *run, const heed_step_result *result, double seconds, bool evaluated) {
    heed_progress progress = heedi_speed_progress(run, result, seconds);
    progress.evaluated = evaluated;
    const heedi_pace pace = heedi_pace_look(run);
    if (evaluated || is_due(run, run->config->log.metrics_every)) {
        const heed_step_record line = {.step = progress.step,
                                       .epoch = progress.epoch,
                                       .tokens = result->tokens,
                                       .loss = result->loss,
                                       .gradient_norm = result->gradient_norm,
                                       .learning_rate = result->learning_rate,
                                       .left_out = result->left_out,
                                       .valid_loss = evaluated ? run->state.valid_loss : NAN,
                                       .valid_accuracy = run->valid_accuracy,
                                       .seconds = seconds,
                                       .waited = pace.waited,
                                       .slowest = pace.slowest,
                                       .share_of_peak =
                                           result->tokens / seconds * run->speed.flops_per_token / run->speed.peak};
        heed_metrics_add(run->metrics, &line, &run->trainer.failed);
    }
    if (run->watch)
        run->watch->on_step(run->watch->context, &progress);
}

/* What belongs to a step that was taken: figures, evaluation, and a checkpoint where one is due. When the run is to
 * stop, the evaluation is broken off, and made by the run that goes on from the checkpoint. */
static heed_status finish_step(heedi_run *run, const heed_step_result *result, double seconds, heed_error *error) {
    heed_trainer *trainer = &run->trainer;
    const bool evaluates = is_due(run, run->config->eval.every);
    heed_status status = HEED_OK;
    if (has_all_steps(run))
        status = heedi_look_at_end(run, error);
    if (status == HEED_OK && evaluates)
        status = evaluate(run, error);
    trainer->stop = trainer->stop || run->state.unfinished;
    const double figures[] = {result->loss, result->gradient_norm, result->learning_rate, result->tokens};
    memcpy(run->state.figures, figures, sizeof figures);
    if (status == HEED_OK && run->comm->rank == 0 && !run->state.unfinished)
        record(run, result, seconds, evaluates);
    const bool due = is_due(run, run->config->checkpoint.every) || is_due(run, run->config->checkpoint.phase_every);
    if (status == HEED_OK && (trainer->stop || due))
        status = heedi_save(run, error); /* last: what the step has written is made durable before the checkpoint */
    return status;
}

static heed_status finish_earlier_step(heedi_run *run, heed_error *error) {
    const double *figures = run->state.figures;
    const heed_step_result result = {figures[0], figures[1], figures[2], figures[3],
                                     heed_guard_skips(&run->trainer.guard, run->trainer.step)};
    if (!run->state.unfinished)
        return HEED_OK;
    run->state.unfinished = false;
    return finish_step(run, &result, NAN, error);
}

static heed_status step_and_finish(heedi_run *run, heed_error *error) {
    heed_trainer *trainer = &run->trainer;
    heed_step_result result;
    heedi_save_poll(run);
    const bool looks = heedi_look_begin(run);
    const double start = heed_seconds();
    heed_watchdog_mark(run->comm, trainer->step + 1);
    trainer->stop = heedi_stop_wanted(run);
    heed_status status = heed_step(trainer, &result, error);
    const double seconds = heed_seconds() - start;
    if (status == HEED_NUMERIC && heedi_guard_wants_rollback(trainer))
        return heedi_roll_back(run, error);
    if (status == HEED_CORRUPT)
        return heedi_heal(run, error); /* and the step is tried again */

    const uint64_t step = trainer->step;
    if (status == HEED_OK && looks)
        status = heedi_look_end(run, step - 1, error);
    if (status == HEED_OK)
        status = heedi_seal(run, error);
    if (status == HEED_OK && trainer->step == step) /* else it was rolled back */
        status = finish_step(run, &result, seconds, error);
    return status;
}

static heed_status run_steps(heedi_run *run, heed_error *error) {
    const unsigned long long steps = (unsigned long long)run->config->train.steps;
    heed_status status = finish_earlier_step(run, error);
    while (status == HEED_OK && !has_all_steps(run) && !run->trainer.stop)
        status = step_and_finish(run, error);
    if (status != HEED_OK)
        return status;
    heedi_save_finish(run, &run->trainer.failed);
    status = heed_comm_agree(run->comm, &run->trainer.failed);
    if (status != HEED_OK) {
        *error = run->trainer.failed;
    } else if (!has_all_steps(run)) {
        status = heed_fail(error, HEED_STOPPED, "stopped %s after step %llu of %llu",
                           run->stop.in_time ? "in time (train.walltime)" : "on request",
                           (unsigned long long)run->trainer.step, steps);
        heed_hint(error, "run the same command again to go on");
    } else {
        heed_say(HEED_INFO, "done: %llu steps, validation loss %.4f, everything in %s", steps, run->state.valid_loss,
                 run->config->run.dir);
    }
    return status;
}

heed_status heed_train(heed_comm *comm, const heed_config *config, const heed_watch *watch, heed_error *error) {
    heedi_run *run = calloc(1, sizeof *run);
    heed_error failed = HEED_ERROR_INIT;
    if (!run)
        heed_fail(&failed, HEED_MEMORY, "out of memory");
    heed_status status = heed_comm_agree(comm, &failed);
    if (status != HEED_OK) {
        *error = failed;
        free(run);
        return status;
    }
    run->comm = comm;
    run->config = config;
    run->watch = watch;
    run->trainer.comm = comm;
    run->trainer.config = config;
    status = open_run(run, error);
    if (status == HEED_OK && has_all_steps(run))
        heed_say(HEED_INFO, "%s has its %lld steps already (train.steps=N trains on)", config->run.dir,
                 (long long)config->train.steps);
    else if (status == HEED_OK)
        status = run_steps(run, error);
    close_run(run);
    free(run);
    heedi_stop_forget();
    return status;
}
