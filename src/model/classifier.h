/* The classifier over the vocabulary, its losses and their gradients. It stands between forward and backward: its
 * logits are large, so they live for a block of rows only, and the loss, the gradient of the hidden state and that of
 * the classifier are computed while they are there. Internal to src/model. */
#ifndef HEEDI_CLASSIFIER_H
#define HEEDI_CLASSIFIER_H

#include "layer.h"

typedef struct heedi_classifier {
    size_t vocab, tensor;
    const real *weight;             /* (vocab, width) */
    real *logits;                   /* (at least HEED_LOSS_BLOCK rows or all, vocab) */
    real *loss;                     /* (rows) */
    size_t block_first, classified; /* the first row whose logits lie there; rows whose losses are known */
} heedi_classifier;

/* n_logits: rows whose logits are wanted at once, at least. */
void heedi_classifier_place(heedi_classifier *classifier, heedi_placer *placer, size_t rows, size_t n_logits);
void heedi_classifier_bind(heedi_classifier *classifier, const heed_params *params, const real *weights);

/* Losses of the rows whose hidden states are y, into classifier->loss; but for an EVAL pass the gradient of y too, into
 * pass->branch, and with a gradient that of the classifier. */
void heedi_classifier_losses(heedi_classifier *classifier, const heedi_pass *pass, const real *y,
                             heed_gradient *gradient);

/* The token with the largest logit of every row. */
void heedi_classifier_predict(const heedi_classifier *classifier, const heedi_pass *pass, const real *y, int32_t *best);

/* Logits of n rows, at most as many as were placed. */
const real *heedi_classifier_logits(const heedi_classifier *classifier, const heedi_pass *pass, const real *y,
                                    size_t n);

#endif
