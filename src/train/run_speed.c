#include <math.h>
#include <string.h>

#include "heed/gemm.h"
#include "heed/log.h"
#include "train/run.h"

double heed_flops_per_token(const heed_config *config, const heed_params *params) {
    const int position = heed_params_find(params, "position.weight");
    const double n_weights =
        (double)params->n_parameters - (position < 0 ? 0.0 : (double)params->tensors[position].size);
    return 6.0 * n_weights + 12.0 * (double)(config->model.layers * config->model.width * config->model.time);
}

heed_status heedi_speed_open(heedi_run *run, heed_error *error) {
    run->speed.flops_per_token = heed_flops_per_token(run->config, heed_model_params(run->trainer.model));
    run->speed.peak = NAN;
    double watched = run->watch != NULL; /* by any rank: they measure together, or not at all */
    heed_status status = heed_comm_max(run->comm, &watched, 1, error);
    if (status == HEED_OK && watched > 0) {
        run->speed.peak = 1e9 * heed_gemm_peak();
        status = heed_comm_sum(run->comm, &run->speed.peak, 1, error);
    }
    run->speed.started = heed_seconds();
    run->speed.first_step = run->trainer.step;
    return status;
}

heed_progress heedi_speed_progress(heedi_run *run, const heed_step_result *result, double seconds) {
    const uint64_t step = run->trainer.step, steps = (uint64_t)run->config->train.steps;
    uint64_t epoch, steps_per_epoch;
    heed_batcher_epoch(run->trainer.batcher, step - 1, &epoch, &steps_per_epoch);
    double *mean = &run->speed.seconds_per_step;
    *mean = step == run->speed.first_step + 1 ? seconds : 0.9 * *mean + 0.1 * seconds;
    const double tokens_per_second = result->tokens / *mean;
    const double so_far = heed_seconds() - run->speed.started;
    return (heed_progress){.step = step,
                           .steps = steps,
                           .epoch = epoch,
                           .loss = result->loss,
                           .gradient_norm = result->gradient_norm,
                           .learning_rate = result->learning_rate,
                           .valid_loss = run->state.valid_loss,
                           .tokens_per_second = tokens_per_second,
                           .share_of_peak = tokens_per_second * run->speed.flops_per_token / run->speed.peak,
                           .seconds_left = so_far / (double)(step - run->speed.first_step) * (double)(steps - step)};
}
