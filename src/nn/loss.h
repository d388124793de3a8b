/* The loss of rows of logits, without the products around it. */
#ifndef HEEDI_NN_LOSS_H
#define HEEDI_NN_LOSS_H

#include <stddef.h>
#include <stdint.h>

#include "heed/real.h"

/* The cross-entropy of heed_classifier_loss (heed/nn/loss.h). Shapes: loss, target, weight_of (rows); logits (rows,
 * vocab), which become their own gradient. */
void heedi_cross_entropy(real *loss, real *logits, const int32_t *target, const real *weight_of, real smoothing,
                         size_t rows, size_t vocab);

#endif
