/* What the comparisons with PyTorch share: a model of the stored case, its loss and gradients against the stored ones,
 * and 200 steps through the parts of a training step. The weights are those of the script (vectors.h). */
#ifndef HEED_TESTS_MODEL_PARITY_H
#define HEED_TESTS_MODEL_PARITY_H

#include "heed/comm.h"
#include "heed/gemm.h"
#include "heed/gradsync.h"
#include "heed/schedule.h"
#include "vectors.h"

#ifdef HEED_DOUBLE
#define LOSS_TOLERANCE 1e-13
#define GRADIENT_TOLERANCE 1e-13
#else
#define LOSS_TOLERANCE 1e-6
#define GRADIENT_TOLERANCE 5e-6
#endif

#define STEPS 200
#define SEQUENCES 6
#define MOST_SEQUENCES 16
#define MOST_ROWS 512

static heed_comm *parity_comm;

static inline int parity_start(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    return heed_comm_open(&parity_comm, &error) || heed_gemm_open(heed_gemm_best(), 1, &error);
}

static inline int parity_stop(void **state) {
    (void)state;
    heed_comm_close(parity_comm);
    return 0;
}

/* What a case says of the model, whichever kind it is. */
static inline heed_config parity_config(const vectors *c) {
    heed_config config = small_config();
    config.model.layers = integer(c, "layers");
    config.model.heads = integer(c, "heads");
    config.model.width = integer(c, "width");
    config.model.hidden = integer(c, "hidden");
    config.model.time = integer(c, "time");
    config.model.tied = integer(c, "tied");
    config.model.positions =
        (heed_positions)choice(c, "positions", (const char *[]){"learned", "sinusoidal", "rotary", "none", NULL});
    config.model.activation =
        (heed_activation)choice(c, "activation", (const char *[]){"gelu", "gelu_tanh", "relu", NULL});
    return config;
}

/* AdamW as the scripts set it. */
static inline void parity_optimizer(heed_config *config) {
    config->train.steps = STEPS;
    config->train.batch = SEQUENCES;
    config->train.grain = 1;
    config->train.optimizer = HEED_ADAMW;
    config->train.beta1 = 0.9;
    config->train.beta2 = 0.99;
    config->train.eps = 1e-8;
    config->train.weight_decay = 0.1;
    config->train.peak_lr = 2e-3;
    config->train.warmup = 20;
    config->train.clip = 1;
}

static inline heed_model *parity_model(const vectors *c, const heed_config *config, size_t source_vocab) {
    heed_error error = HEED_ERROR_INIT;
    heed_model *model;
    assert_int_equal(heed_model_create(&model, config,
                                       &(heed_model_shape){.vocab = (size_t)integer(c, "vocab"),
                                                           .source_vocab = source_vocab,
                                                           .max_rows = MOST_ROWS,
                                                           .max_source_rows = MOST_ROWS,
                                                           .max_sequences = MOST_SEQUENCES,
                                                           .training = true},
                                       &error),
                     HEED_OK);
    fill_weights(model);
    return model;
}

/* Lengths of sequences, up to a zero. */
static inline void parity_lengths(size_t length[MOST_SEQUENCES], const vectors *c, const char *key) {
    const line *lengths = find_line(c, key);
    memset(length, 0, MOST_SEQUENCES * sizeof *length);
    for (size_t i = 0; i < lengths->n; i++)
        length[i] = (size_t)lengths->values[i];
}

/* Tokens, targets and weights of the case's batch, whose rows are laid out already. */
static inline void parity_tokens(test_batch *made, const vectors *c) {
    const line *token = find_line(c, "tokens"), *target = find_line(c, "targets");
    made->batch.weight_total = 0;
    for (size_t r = 0; r < token->n; r++) {
        made->token[r] = (int32_t)token->values[r];
        made->target[r] = (int32_t)target->values[r];
        made->weight[r] = (real)find_line(c, "weights")->values[r];
        made->batch.weight_total += (double)made->weight[r];
    }
}

static inline void parity_compare(const vectors *c, const char *name, heed_model *model, const test_batch *made) {
    heed_error error = HEED_ERROR_INIT;
    const heed_params *params = heed_model_params(model);
    heed_gradient *gradient;
    double sequence_loss[MOST_SEQUENCES], loss = 0;
    assert_int_equal(heed_gradient_create(&gradient, params, 0, made->n_grains, made->n_grains, &error), HEED_OK);
    heed_model_forward(model, &made->batch, HEED_PASS_TRAIN);
    heed_model_loss(model, &made->batch, gradient, sequence_loss, NULL);
    heed_model_backward(model, &made->batch, gradient);
    for (size_t s = 0; s < made->n_sequences; s++)
        loss += sequence_loss[s];
    const double expected = find_line(c, "loss")->values[0];
    if (!(fabs(loss - expected) / made->batch.weight_total <= LOSS_TOLERANCE))
        fail_msg("%s: loss %.17g, PyTorch %.17g", name, loss, expected);
    compare_gradients(c, params, gradient, GRADIENT_TOLERANCE);
    heed_gradient_destroy(gradient);
}

/* The loss of every step; fill lays out and fills the batch of one step. */
static inline void parity_train(double loss[STEPS], const vectors *c, const heed_config *config, heed_model *model,
                                void (*fill)(test_batch *made, const vectors *c, size_t step)) {
    heed_error error = HEED_ERROR_INIT;
    static test_batch made;
    heed_gradsync *sync;
    assert_int_equal(heed_gradsync_create(&sync, parity_comm, heed_model_params(model), config, 0, &error), HEED_OK);
    for (size_t step = 0; step < STEPS; step++) {
        double sequence_loss[SEQUENCES], norm;
        fill(&made, c, step);
        heed_gradsync_begin(sync);
        heed_model_forward(model, &made.batch, HEED_PASS_TRAIN);
        heed_model_loss(model, &made.batch, heed_gradsync_gradient(sync), sequence_loss, NULL);
        heed_model_backward(model, &made.batch, heed_gradsync_gradient(sync));
        loss[step] = 0;
        for (size_t s = 0; s < SEQUENCES; s++)
            loss[step] += sequence_loss[s] / made.batch.weight_total;
        assert_int_equal(heed_gradsync_finish(sync, made.batch.weight_total, &norm, &error), HEED_OK);
        const double clipping = fmin(1, config->train.clip / (norm + 1e-6));
        assert_int_equal(heed_gradsync_update(sync, heed_model_weights(model), clipping / made.batch.weight_total,
                                              heed_learning_rate(config, step), step, &error),
                         HEED_OK);
    }
    heed_gradsync_destroy(sync);
    heed_model_destroy(model);
}

/* early: over the first 20 steps. */
static inline void parity_compare_curve(const vectors *c, const char *name, const double loss[STEPS], double early,
                                        double rest) {
    const double *expected = find_line(c, "losses")->values;
    for (size_t step = 0; step < STEPS; step++)
        if (!(fabs(loss[step] - expected[step]) <= (step < 20 ? early : rest)))
            fail_msg("%s: step %zu: loss %.17g, PyTorch %.17g", name, step, loss[step], expected[step]);
}

#endif
