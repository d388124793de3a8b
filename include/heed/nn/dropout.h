/* Dropout by counter (Srivastava et al. 2014, inverted form): element (sequence, position, channel) is kept with
 * probability 1 - p and then divided by it. The mask is a function of (seed, site, step, global sequence, position,
 * channel), so backward draws it anew. */
#ifndef HEED_NN_DROPOUT_H
#define HEED_NN_DROPOUT_H

#include <stdint.h>

#include "heed/ragged.h"
#include "heed/real.h"

/* x = mask * x / (1 - p), in place; forward and backward alike. site: which place of the model. p = 0 does nothing.
 * Shapes: x (rows, width). Not collective. Cannot fail. */
void heed_dropout(real *x, const heed_ragged *rows, size_t width, real p, uint64_t seed, uint32_t site, uint32_t step);

#endif
