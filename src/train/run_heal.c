/* What becomes of a rank whose memory changed by itself (train.verify_every finds it, gradsync_verify.c). Every rank
 * holds a copy of all parameters, so any sound rank can give them back; moments have one owner and come back from the
 * last checkpoint. */
#include "heed/log.h"
#include "heed/stage.h"
#include "train/run.h"

/* From the lowest sound rank to all. */
static heed_status copy_parameters(heedi_run *run, int sound, heed_error *error) {
    heed_trainer *trainer = &run->trainer;
    real *weights = heed_model_weights(trainer->model);
    heed_model_observe(trainer->model, NULL, NULL);
    trainer->failed = (heed_error)HEED_ERROR_INIT;
    heed_say(HEED_WARNING, "%s: parameters are copied from rank %d, and training goes on", error->message, sound);
    *error = (heed_error)HEED_ERROR_INIT;
    const size_t bytes = heed_model_params(trainer->model)->n_elements * sizeof *weights;
    const heed_status status = heed_comm_broadcast(run->comm, weights, bytes, sound, error);
    return status == HEED_OK ? heed_gradsync_seal(trainer->sync, weights, &trainer->failed, error) : status;
}

heed_status heedi_heal(heedi_run *run, heed_error *error) {
    const heed_trainer *trainer = &run->trainer;
    const double size = run->comm->size;
    const bool changed = trainer->failed.status == HEED_CORRUPT;
    if (run->config->train.on_corruption == HEED_ON_CORRUPTION_STOP)
        return error->status;
    double facts[] = {changed ? -size : -(double)run->comm->rank,
                      changed && heed_gradsync_moments_changed(trainer->sync)};
    heed_error lost = HEED_ERROR_INIT;
    if (heed_comm_max(run->comm, facts, 2, &lost) != HEED_OK)
        return *error = lost, lost.status;
    if (facts[0] <= -size || facts[1] > 0.0)
        return heedi_roll_back(run, error);
    return copy_parameters(run, (int)-facts[0], error);
}

heed_status heedi_seal(heedi_run *run, heed_error *error) {
    heed_trainer *trainer = &run->trainer;
    const int64_t every = run->config->train.verify_every;
    if (every == 0 || trainer->step % (uint64_t)every != 0)
        return HEED_OK;
    const heed_status status =
        heed_gradsync_seal(trainer->sync, heed_model_weights(trainer->model), &trainer->failed, error);
    return status == HEED_CORRUPT ? heedi_heal(run, error) : status;
}

heed_status heedi_verify(heedi_run *run, heed_error *error) {
    heed_trainer *trainer = &run->trainer;
    if (run->config->train.verify_every == 0)
        return HEED_OK;
    heed_gradsync_verify(trainer->sync, heed_model_weights(trainer->model), &trainer->failed);
    heed_error agreed = trainer->failed;
    const heed_status status = heed_comm_agree(run->comm, &agreed);
    if (status != HEED_OK)
        *error = agreed;
    return status == HEED_CORRUPT ? heedi_heal(run, error) : status;
}
