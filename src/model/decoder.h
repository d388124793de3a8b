/* The decoder: embedding, blocks, final norm, classifier. Internal to src/model. */
#ifndef HEEDI_DECODER_H
#define HEEDI_DECODER_H

#include "block.h"
#include "content.h"

typedef struct heedi_decoder {
    size_t vocab, n_blocks;
    size_t token_tensor, position_tensor, output_tensor; /* rows of the table */
    const real *token, *output;                          /* (vocab, width) */
    const real *positions;                               /* (time, width): learned or sinusoidal, or NULL */
    real *sinusoids, *cosines, *sines;                   /* tables of fixed positions; NULL where not used */
    heedi_block *blocks;
    heedi_content content; /* of a variant whose queries and keys know no places */
    heedi_norm norm;
    real *norm_y, *norm_mean, *norm_rstd;
    real *d_x;                      /* (rows, width): gradient of the residual stream */
    real *logits;                   /* (HEED_LOSS_BLOCK rows, vocab) */
    size_t block_first, classified; /* the first row whose logits lie there; rows whose losses are known */
    real *loss;                     /* (rows) */
    int32_t *used, *use; /* tokens of the batch, ascending (at most rows); which of them each row has (rows) */
    int32_t *place;      /* (vocab) of a token in used */
    size_t n_used;
    heedi_pass pass;
    real *cache; /* (layers, time, 2 width): keys and values of the sequence being decoded */
    size_t n_cached;
} heedi_decoder;

/* Places all activations. blocks must hold config->model.layers blocks. With a placer that only counts, nothing else is
 * done. */
void heedi_decoder_place(heedi_decoder *decoder, heedi_placer *placer, const heed_config *config,
                         const heed_model_shape *shape);

/* Finds the parameters and fills the tables of fixed positions. */
void heedi_decoder_bind(heedi_decoder *decoder, const heed_params *params, const real *weights);

/* As heed_model_*. */
void heedi_decoder_forward(heedi_decoder *decoder, const heed_batch *batch, heed_pass kind);
void heedi_decoder_loss(heedi_decoder *decoder, heed_gradient *gradient);
void heedi_decoder_predict(heedi_decoder *decoder, int32_t *best);
void heedi_decoder_backward(heedi_decoder *decoder, heed_gradient *gradient);
const real *heedi_decoder_next_logits(heedi_decoder *decoder, int32_t token);

#endif
