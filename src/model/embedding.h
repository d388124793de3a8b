/* Tokens and their places to the first stream of a stack, and the way back to the tables. Internal to src/model. */
#ifndef HEEDI_EMBEDDING_H
#define HEEDI_EMBEDDING_H

#include "layer.h"

typedef struct heedi_embedding {
    size_t vocab;
    size_t token_tensor, position_tensor; /* rows of the table of tensors */
    const real *token;                    /* (vocab, width) */
    size_t end;                           /* of both tables, in the arena of weights */
    real scale;                           /* of tokens: 1, or sqrt(width) */
    const real *positions;                /* (time, width): learned or sinusoidal, or NULL */
    real *sinusoids;                      /* or NULL */
    uint32_t site;                        /* keys dropout */
    int32_t *used, *use; /* tokens of the batch, ascending (at most rows); which of them each row has (rows) */
    int32_t *place;      /* (vocab) of a token in used */
    size_t n_used;
} heedi_embedding;

void heedi_embedding_place(heedi_embedding *embedding, heedi_placer *placer, const heed_config *config, size_t rows,
                           bool training);

/* Finds the tables, whose names begin with `prefix`, and fills that of fixed positions. */
void heedi_embedding_bind(heedi_embedding *embedding, const heed_params *params, const real *weights,
                          const heed_config *config, const char *prefix);

/* y (rows, width) = scale * token + position, with dropout. */
void heedi_embedding_forward(const heedi_pass *pass, const heedi_embedding *embedding, real *y);

/* The tables' gradients from that of y, which it uses up; nothing without pass->gradient. */
void heedi_embedding_backward(const heedi_pass *pass, heedi_embedding *embedding, real *d_x);

#endif
