/* One training step, from top to bottom. If you read one file of heed, read this one.
 *
 * The global batch is G grains of sequences; this rank computes a contiguous run of them. Up to `backward` every rank
 * works for itself. From `reduce` on all ranks hold the same bits, however many ranks there are: gradients are summed
 * along one fixed tree over the grains (heed/gradient.h), losses in the order of sequences. */
#include "heed/schedule.h"
#include "heed/train.h"
#include "train/guard.h"
#include "train/pace.h"
#include "train/tally.h"

/* Pascanu, Mikolov and Bengio 2013: a gradient longer than `longest` is shortened to that length. */
static double clipping(double norm, double longest) {
    const double coefficient = longest / (norm + 1e-6);
    return longest > 0.0 && coefficient < 1.0 ? coefficient : 1.0;
}

heed_status heed_step(heed_trainer *trainer, heed_step_result *result, heed_error *error) {
    const heed_config *config = trainer->config;
    heed_model *model = trainer->model;
    heed_gradsync *sync = trainer->sync;
    heed_gradient *gradient = heed_gradsync_gradient(sync);
    heed_error *failed = &trainer->failed; /* of this rank alone, until all agree */
    double loss, norm;

    /* batch: this rank's grains, a function of (seed, step) alone */
    heed_batch batch = {.weight_total = 1.0};
    heed_batcher_train(trainer->batcher, trainer->step, &batch, failed);
    double *sequence_loss = heedi_tally_begin(trainer->tally, config, &batch);

    heed_gradsync_begin(sync);
    if (failed->status == HEED_OK) {
        /* forward: tokens -> hidden state */
        heed_model_forward(model, &batch, HEED_PASS_TRAIN);

        /* loss: hidden state -> -log p(next token), summed over each sequence */
        heed_model_loss(model, &batch, gradient, sequence_loss, NULL);

        /* backward: gradients of the summed loss; those of finished layers are on their way meanwhile */
        heed_model_backward(model, &batch, gradient);
    }

    /* verify: a gradient is worth something only if no parameter changed by itself meanwhile (train.verify_every) */
    heed_gradsync_verify(sync, heed_model_weights(model), failed);

    /* pace: what this rank took for its part; the others wait for the slowest */
    heedi_pace_part_done(trainer);

    /* reduce: each rank completes the sums of its shard; a rank that failed says so here, before anything is changed */
    heed_status status = heed_gradsync_finish(sync, batch.weight_total, &norm, error);
    if (status == HEED_OK)
        status = heedi_tally_sum(trainer->tally, config, trainer->comm, failed, &trainer->stop, &loss, error);
    if (status != HEED_OK)
        return status;
    loss /= batch.weight_total;
    const double rate = heed_learning_rate(config, trainer->step);
    *result = (heed_step_result){loss, norm, rate, batch.weight_total, false};

    /* guard: from the same bits all ranks decide alike whether this step is taken, left out, or the last */
    status = heedi_guard_judge(trainer, loss, norm, &result->left_out, error);
    if (status != HEED_OK)
        return status;

    /* clip, and turn sums over the batch's tokens into means */
    const double scale = clipping(norm, config->train.clip) / batch.weight_total;

    /* optimizer: each rank updates its shard and gives it to all */
    if (!result->left_out)
        status = heed_gradsync_update(sync, heed_model_weights(model), scale, rate, trainer->step, error);
    heedi_pace_together(trainer);
    if (status == HEED_OK)
        trainer->step++;
    return status;
}
