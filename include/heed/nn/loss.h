/* Classifier and cross-entropy, fused over blocks of rows, so that no (rows, vocab) array is held. */
#ifndef HEED_NN_LOSS_H
#define HEED_NN_LOSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/real.h"

#define HEED_LOSS_BLOCK 256 /* rows whose logits are held at once; a grain starts a new block */

/* Logits z = x weight^T and loss[r] = weight_of[r] * (log sum_v exp z[v] - sum_v q[v] z[v]), in nats, block by block:
 * the cross-entropy to q = onehot(target), or with label smoothing e to q = (1 - e) onehot(target) + e / vocab (Szegedy
 * et al. 2016, section 7; PyTorch's label_smoothing).
 * With d_z = weight_of[r] * (softmax(z) - q), also d_x = d_z weight unless d_x is NULL, and d_weight = d_z^T x, the
 * blocks added in order, unless d_weight is NULL; both are overwritten.
 * Shapes: x, d_x (rows, width); weight, d_weight (vocab, width); loss, target, weight_of (rows); logits: min(rows,
 * HEED_LOSS_BLOCK) * vocab reals, overwritten; afterwards it holds d_z of the last block, which is all of them when
 * rows <= HEED_LOSS_BLOCK. rows may be 0 (d_weight becomes 0). Not collective. Cannot fail. */
void heed_classifier_loss(real *loss, real *d_x, real *d_weight, real *logits, const real *x, const real *weight,
                          const int32_t *target, const real *weight_of, real smoothing, size_t rows, size_t width,
                          size_t vocab);

#endif
