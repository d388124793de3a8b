/* Training: one step, and the loop around it. */
#ifndef HEED_TRAIN_H
#define HEED_TRAIN_H

#include <stdint.h>

#include "heed/comm.h"
#include "heed/config.h"
#include "heed/corpus.h"
#include "heed/gradsync.h"
#include "heed/model.h"
#include "heed/status.h"

/* Everything that one training step works on. */
typedef struct heed_trainer {
    heed_comm *comm;
    const heed_config *config;
    heed_batcher *batcher;
    heed_model *model;
    heed_gradsync *sync;
    double *sequence_loss;  /* (train.batch + 1): losses of the global batch, and the failure count */
    uint64_t step;          /* the next step to do */
} heed_trainer;

typedef struct heed_step_result {
    double loss, gradient_norm, learning_rate, tokens;
} heed_step_result;

/* One training step: batch -> forward -> loss -> backward -> reduce -> clip -> update. Advances trainer->step.
 * Errors: HEED_NUMERIC when loss or gradient norm is not finite (parameters are then unchanged), any rank's failure. Collective. */
heed_status heed_step(heed_trainer *trainer, heed_step_result *result, heed_error *error);

/* The whole of `heed train`: prepares data, creates or resumes config->run.dir, trains to config->train.steps. Collective. */
heed_status heed_train(heed_comm *comm, const heed_config *config, heed_error *error);

/* Mean loss (nats a token) over all of the validation text (at most max_batches batches; 0 = all). Same bits for any number of ranks. Collective. */
heed_status heed_evaluate(heed_comm *comm, heed_model *model, heed_batcher *batcher, size_t max_batches,
                          double *mean_loss, double *tokens, heed_error *error);

#endif
