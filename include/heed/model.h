/* One interface over all models: a table of tensors, a forward pass, a loss, and a backward pass that ends in
 * gradients. A step reads
 *
 *     heed_model_forward(model, batch, HEED_PASS_TRAIN);
 *     heed_model_loss(model, batch, gradient, sequence_loss, NULL);      the classifier's gradient is part of the loss
 *     heed_model_backward(model, batch, gradient);
 *
 * A model owns its parameter arena and its activations; layers own nothing. */
#ifndef HEED_MODEL_H
#define HEED_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/batch.h"
#include "heed/config.h"
#include "heed/gradient.h"
#include "heed/nn/attention.h"
#include "heed/params.h"
#include "heed/status.h"

typedef struct heed_model heed_model;

/* What an attention layer did, shown to an observer. All arrays are (rows, width) with heads side by side:
 * head h of row r starts at r * stride + h * head_width, the strides being those of `how`. */
typedef enum heed_attention_kind {
    HEED_SELF_ATTENTION,    /* of the decoder: queries and keys from the batch's rows, causal */
    HEED_ENCODER_ATTENTION, /* queries and keys from its sources: every token sees all of its source */
    HEED_CROSS_ATTENTION,   /* queries from its rows, keys and values from their sources */
    HEED_N_ATTENTION_KINDS
} heed_attention_kind;
typedef struct heed_attention_view {
    heed_attention_kind kind;
    size_t layer, heads, head_width;
    bool causal;
    const heed_ragged *query_rows, *key_rows;
    const real *query, *key, *value; /* after rotary positions, if any */
    const heed_attention *how;       /* how weights come of them, and the strides; without dropout */
    const heed_batch *batch;         /* whose rows these are */
    real *output;         /* (rows, width): in an EVAL pass what the observer writes here is what the rest of the
                             model gets, which makes it an intervention; in others it only looks */
    const real *d_output; /* gradient of the summed (not averaged) loss; NULL in an EVAL pass */
} heed_attention_view;
typedef void heed_attention_observer(void *context, const heed_attention_view *view);

/* What a model is made for: batches of at most so many rows, rows of sources, and sequences, none of them longer than
 * model.time; and to decode so many hypotheses side by side. */
typedef struct heed_model_shape {
    size_t vocab;
    size_t source_vocab; /* of an encoder-decoder whose sources have a vocabulary of their own; 0: they share vocab */
    size_t max_rows, max_source_rows, max_sequences;
    size_t max_hypotheses; /* 0: 1; not for training */
    bool training; /* false leaves out what only a backward pass needs, and makes room for decoding step by step */
} heed_model_shape;

/* Memory for parameters and activations. Uses as many threads as OpenMP offers now: no more may be offered later.
 * Parameters are zero until heed_params_init or a checkpoint fills them.
 * Errors: HEED_MEMORY, HEED_CONFIG. Ownership: heed_model_destroy. Not collective. */
heed_status heed_model_create(heed_model **model, const heed_config *config, const heed_model_shape *shape,
                              heed_error *error);
void heed_model_destroy(heed_model *model);

const heed_params *heed_model_params(const heed_model *model);
real *heed_model_weights(heed_model *model); /* the parameter arena */
size_t heed_model_vocab(const heed_model *model);
size_t heed_model_activation_bytes(const heed_model *model);

/* What heed_model_activation_bytes would be for that shape, without a model. Errors: HEED_MEMORY. */
heed_status heed_model_activations(const heed_config *config, const heed_model_shape *shape, size_t *bytes,
                                   heed_error *error);

/* Calls observer for every attention layer: in backward, or in forward when the pass is HEED_PASS_EVAL. NULL: off. */
void heed_model_observe(heed_model *model, heed_attention_observer *observer, void *context);

/* Forward calls it before it reads weights: those before element `end` of their arena must be there when it returns. It
 * is called often, with ends that grow, the last time with SIZE_MAX. NULL: all are always there. */
typedef void heed_weights_needed(void *context, size_t end);
void heed_model_listen(heed_model *model, heed_weights_needed *needed, void *context);

typedef enum heed_pass {
    HEED_PASS_EVAL,  /* forward and loss; no dropout, nothing is kept */
    HEED_PASS_PROBE, /* no dropout, but a backward pass follows: for looking at attention */
    HEED_PASS_TRAIN  /* dropout, keyed by (seed, batch->step, global sequence, position); a backward pass follows */
} heed_pass;

/* From the batch's tokens to the hidden state that the classifier reads. PROBE and TRAIN need a model created with
 * training = true. Weights and batch must stay as they are until the pass ends (with loss in EVAL, else with backward).
 * Allocates nothing. Not collective. Cannot fail. */
void heed_model_forward(heed_model *model, const heed_batch *batch, heed_pass pass);

/* Ends the pass in losses: sequence_loss[s], s local, is the sum in double over its rows of weight * -log p(target), in
 * nats (but for an EVAL pass with train.label_smoothing, see heed/nn/loss.h); token_loss (rows) gets the weighted loss
 * of each row, or is NULL. A non-finite loss is for the caller to see. After a PROBE or TRAIN pass it also computes the
 * gradient of the hidden state; with a gradient (else NULL) that of the classifier too: it is the first tensor that
 * becomes ready. */
void heed_model_loss(heed_model *model, const heed_batch *batch, heed_gradient *gradient, double *sequence_loss,
                     real *token_loss);

/* best[r] = the token with the largest logit in row r (the lowest number among equals), after the forward part of an
 * EVAL pass, before or behind its loss. Shapes: best (rows). Allocates nothing. Not collective. Cannot fail. */
void heed_model_predict(heed_model *model, const heed_batch *batch, int32_t *best);

/* Gradients of the sum (not the mean) of the weighted token losses, after forward and loss of the same batch, once:
 * it uses up what they kept. gradient
 * NULL leaves out those of the parameters; the observer sees attention all the same. */
void heed_model_backward(heed_model *model, const heed_batch *batch, heed_gradient *gradient);

/* Decoding token by token with key/value caches, by a model created with training = false. Several hypotheses for one
 * sequence may be decoded side by side, as beam search does.
 *
 * decode_begin starts a sequence: caches are emptied, and an encoder-decoder encodes `source` (n_source > 0 tokens),
 * once for all that follows; without an encoder source is NULL and n_source 0. There is then one hypothesis, without
 * tokens.
 *
 * decode appends one token to every hypothesis, at most model.time times: hypothesis i becomes hypothesis parent[i] of
 * the call before with token[i] behind it. A parent may be followed by several hypotheses, or by none; parent NULL:
 * each by itself (the first call: hypothesis 0). Returns the logits (n_hypotheses, vocab) of the token that comes next,
 * the bits of which do not depend on the other hypotheses; they belong to the model and hold until its next call. Both
 * allocate nothing, cannot fail, and are not collective. */
void heed_model_decode_begin(heed_model *model, const int32_t *source, size_t n_source);
const real *heed_model_decode(heed_model *model, const int32_t *token, const size_t *parent, size_t n_hypotheses);

#endif
