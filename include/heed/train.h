/* Training: one step, and the loop around it. */
#ifndef HEED_TRAIN_H
#define HEED_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "heed/batch.h"
#include "heed/comm.h"
#include "heed/config.h"
#include "heed/gradsync.h"
#include "heed/guard.h"
#include "heed/model.h"
#include "heed/search.h"
#include "heed/status.h"

/* Everything that one training step works on. */
typedef struct heed_trainer {
    heed_comm *comm;
    const heed_config *config;
    heed_batcher *batcher;
    heed_model *model;
    heed_gradsync *sync;
    double *tally;     /* (heed_tally_size) scratch: losses and counts that are summed over ranks */
    heed_guard guard;  /* of steps that went wrong */
    double together;   /* heed_seconds when all ranks were last in step; 0: not yet */
    uint64_t step;     /* the next step to do */
    bool stop;         /* this rank wants to stop; after a step: some rank does */
    heed_error failed; /* what went wrong on this rank since the last step: agreed on in the next */
} heed_trainer;

/* Doubles that the one reduction of a step carries: a loss for every sequence of the global batch, two counts of
 * ranks, and the time that each rank took. */
size_t heed_tally_size(const heed_config *config);

typedef struct heed_step_result {
    double loss;          /* mean over the tokens of the global batch, nats */
    double gradient_norm; /* of that mean, before clipping */
    double learning_rate;
    double tokens; /* of the global batch (the sum of their weights) */
    bool left_out; /* nothing was changed: see train.on_nonfinite and train.spike_z */
} heed_step_result;

/* One training step: batch -> forward -> loss -> backward -> reduce -> clip -> optimizer. Advances trainer->step.
 * Errors: HEED_NUMERIC when loss or gradient norm is not finite and the step is not left out; any rank's failure;
 * parameters are then unchanged. HEED_PEER. Allocates nothing. Collective. */
heed_status heed_step(heed_trainer *trainer, heed_step_result *result, heed_error *error);

/* The operations that training takes a token, by the usual count: 6 N for the products with the N weights (all but a
 * table of positions), forward and twice backward, and 12 layers width time for those of attention. */
double heed_flops_per_token(const heed_config *config, const heed_params *params);

typedef struct heed_evaluation {
    double loss;     /* mean, nats a token */
    double tokens;   /* predicted (the sum of their weights) */
    double accuracy; /* share of the rows with a weight whose likeliest token is the target */
} heed_evaluation;

/* Evaluates on the validation text: all of it, or its first max_batches batches (0 = all). Same bits for any number of
 * ranks. config is the one that model and batcher were created with. Errors: HEED_MEMORY, HEED_IO, HEED_PEER.
 * Collective. */
heed_status heed_evaluate(heed_comm *comm, const heed_config *config, heed_model *model, heed_batcher *batcher,
                          size_t max_batches, heed_evaluation *found, heed_error *error);

typedef struct heed_answers {          /* of the validation set's sources */
    double n, exact;                   /* how many, and those that are what was wanted, token for token */
    double reference_tokens, distance; /* tokens of what was wanted, and edits that lead there from the answers */
    double characters;                 /* of the texts that were wanted, without white space */
    double chrf;                       /* of the texts, 0 to 100 (heed/similarity.h) */
} heed_answers;

/* Answers every source of the validation set (or of its first max_batches batches) by search, and compares with the
 * target. The model is not for training and was created for rule->beam hypotheses; tokenizer: the targets'. Everything
 * is counted in whole numbers: the same figures for any number of ranks. Errors: HEED_MEMORY, HEED_IO, HEED_NUMERIC,
 * HEED_PEER. Collective. */
heed_status heed_evaluate_answers(heed_comm *comm, heed_model *model, heed_batcher *batcher,
                                  const heed_tokenizer *tokenizer, const heed_search_rule *rule, size_t max_batches,
                                  heed_answers *found, heed_error *error);

/* The same with shuffled context: the prediction of every scored row r is made once more by itself, from rows 0 .. r -
 * 1 in a random order and the row r at its place, so that the model sees which tokens there are, and the present one,
 * but not their order. The permutation is a function of (run.seed, sequence, r). A decoder's data alone. As many rows
 * are computed as there are in all prefixes of scored rows. */
heed_status heed_evaluate_shuffled(heed_comm *comm, const heed_config *config, heed_model *model, heed_batcher *batcher,
                                   size_t max_batches, heed_evaluation *found, heed_error *error);

/* How a run stands, for people who watch it. */
typedef struct heed_progress {
    uint64_t step, steps, epoch; /* steps done and to do; epoch counts from 0 */
    double loss, gradient_norm, learning_rate;
    double valid_loss;        /* the last one measured, NaN when there is none yet */
    bool evaluated;           /* valid_loss was measured after this very step */
    double tokens_per_second; /* over the last steps */
    double share_of_peak;     /* of the gemm peak of all ranks, by 6 N + 12 layers width time operations a token; NaN =
                                 unknown */
    double seconds_left;      /* by the mean of the steps done so far; NaN = unknown */
} heed_progress;

/* Told of every step on rank 0, after its metrics line was written. Must not allocate if the run is not to. */
typedef struct heed_watch {
    void (*on_step)(void *context, const heed_progress *progress);
    void *context;
} heed_watch;

/* The whole of `heed train`: prepares data, creates or resumes config->run.dir, trains to config->train.steps.
 * config is resolved. watch may be NULL; when it is on all ranks, the gemm peak is not measured, which saves 0.2 s. A
 * run that has its steps already says so and succeeds. Errors: HEED_STOPPED after a checkpoint when
 * heed_train_request_stop was called on any rank; and every other kind. Collective. */
heed_status heed_train(heed_comm *comm, const heed_config *config, const heed_watch *watch, heed_error *error);

/* Asks the running heed_train to end after the step under way: all ranks agree, a checkpoint is written. May be called
 * from a signal handler (it sets a flag) and on any rank; the command line does so for SIGUSR1 and SIGTERM. */
void heed_train_request_stop(void);

#endif
