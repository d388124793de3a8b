/* One interface over all models: a table of tensors, a forward pass that ends in losses, a backward pass that ends in gradients.
 * A model owns its parameter arena and its activations; layers own nothing. */
#ifndef HEED_MODEL_H
#define HEED_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/batch.h"
#include "heed/config.h"
#include "heed/gradient.h"
#include "heed/params.h"
#include "heed/status.h"

typedef struct heed_model heed_model;

/* What an attention layer did, shown to an observer. All arrays are (rows, width) with heads side by side:
 * head h of row r starts at r * stride + h * head_width. */
typedef enum heed_attention_kind { HEED_SELF_ATTENTION } heed_attention_kind;
typedef struct heed_attention_view {
    heed_attention_kind kind;
    size_t layer, heads, head_width;
    bool causal;
    const heed_ragged *query_rows, *key_rows;
    const real *query, *key, *value; /* after rotary positions, if any */
    size_t stride;                   /* elements between rows of query, key, value */
    const real *output, *d_output;   /* (rows, width); d_output is the gradient of the summed (not averaged) loss, NULL in a forward pass */
} heed_attention_view;
typedef void heed_attention_observer(void *context, const heed_attention_view *view);

/* Memory for batches of at most max_rows rows and max_sequences sequences none longer than model.time. training = false leaves out what
 * only a backward pass needs. Parameters are zero until heed_params_init or a checkpoint fills them.
 * Errors: HEED_MEMORY, HEED_CONFIG. Ownership: heed_model_destroy. Not collective. */
heed_status heed_model_create(heed_model **model, const heed_config *config, size_t vocab, size_t max_rows,
                              size_t max_sequences, bool training, heed_error *error);
void heed_model_destroy(heed_model *model);

const heed_params *heed_model_params(const heed_model *model);
real *heed_model_weights(heed_model *model); /* the parameter arena */
size_t heed_model_vocab(const heed_model *model);
size_t heed_model_activation_bytes(const heed_model *model);

/* Calls observer for every attention layer: in backward, or in forward when no backward follows. NULL: off. */
void heed_model_observe(heed_model *model, heed_attention_observer *observer, void *context);

/* Weighted token losses (nats): sequence_loss[s], s local, is the sum over its rows of weight * -log p(target), in double.
 * token_loss (rows) may be NULL. train switches dropout on (keyed by seed, batch->step, global sequence, position) and keeps what backward needs.
 * Allocates nothing. Not collective. Cannot fail: a non-finite loss is for the caller to see. */
void heed_model_forward(heed_model *model, const heed_batch *batch, bool train, double *sequence_loss, real *token_loss);

/* Gradients of the sum (not the mean) of the weighted token losses of the batch last given to forward with train = true. */
void heed_model_backward(heed_model *model, const heed_batch *batch, heed_gradient *gradient);

/* Incremental decoding with a key/value cache for one sequence (n_sequences = 1): clear, then feed tokens one at a time; logits (vocab) belong to the model and
 * are those after the last token. At most model.time tokens. */
void heed_model_cache_clear(heed_model *model);
const real *heed_model_next_logits(heed_model *model, int32_t token);

#endif
