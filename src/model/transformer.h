/* The whole of a model: a decoder with its classifier, and the encoder whose output it attends to, if it has one
 * (Vaswani et al. 2017). A model of one kind is not a special case of the other: what a decoder does without sources is
 * all that a decoder-only model does. Internal to src/model. */
#ifndef HEEDI_TRANSFORMER_H
#define HEEDI_TRANSFORMER_H

#include "classifier.h"
#include "stack.h"

typedef struct heedi_transformer {
    bool has_encoder;
    heedi_stack encoder, decoder;
    heedi_classifier classifier;
    heedi_memory memory; /* what the encoder leaves to the decoder */
    heedi_block *blocks; /* of the encoder, then of the decoder */

    /* Decoding. */
    heedi_new_tokens new_tokens;
    size_t n_hypotheses, max_hypotheses;
    size_t *slot, *next_slot; /* (max_hypotheses) of the hypotheses, and of those that follow them */
    bool *is_taken;           /* (max_hypotheses) slots */
    size_t *first_row;        /* (max_hypotheses + 1) 0, 1, 2, ... */
    uint32_t *sequence;       /* (max_hypotheses) */
    heed_batch batch;         /* its tokens */
    size_t source_row[2];
} heedi_transformer;

/* Memory of the blocks; the rest is placed. Errors: HEED_MEMORY. Ownership: heedi_transformer_reset. */
heed_status heedi_transformer_init(heedi_transformer *model, const heed_config *config, const heed_model_shape *shape,
                                   heed_error *error);
void heedi_transformer_reset(heedi_transformer *model);

/* Places all activations. With a placer that only counts, nothing else is done. */
void heedi_transformer_place(heedi_transformer *model, heedi_placer *placer, const heed_config *config,
                             const heed_model_shape *shape);
void heedi_transformer_bind(heedi_transformer *model, const heed_params *params, const real *weights);

/* As heed_model_*. */
void heedi_transformer_forward(heedi_transformer *model, const heed_batch *batch, heed_pass kind);
void heedi_transformer_backward(heedi_transformer *model, heed_gradient *gradient);
void heedi_transformer_begin(heedi_transformer *model, const int32_t *source, size_t n_source);
const real *heedi_transformer_next(heedi_transformer *model, const int32_t *token, const size_t *parent, size_t n);

#endif
