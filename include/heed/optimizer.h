/* Update rules, applied to a range of a shard. */
#ifndef HEED_OPTIMIZER_H
#define HEED_OPTIMIZER_H

#include <stddef.h>
#include <stdint.h>

#include "heed/config.h"
#include "heed/params.h"
#include "heed/real.h"

/* Number of moment arenas that the rule needs: AdamW 2 (m, v), SGD 1 (m; 0 without momentum). */
int heed_optimizer_moments(const heed_config *config);

/* Updates elements [first, first + count) of the parameter arena (a run of whole HEED_BLOCKs); g, m, v point at element
 * `first`. g is scaled first: g' = g * gradient_scale (1 / token count, times the clipping coefficient). adamw
 * (Loshchilov and Hutter 2019, algorithm 2; order of operations as in PyTorch) w -= lr * decay * w (matrices and tables
 * only);  m = b1 m + (1 - b1) g';  v = b2 v + (1 - b2) g'^2; w -= lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps),
 * t = step + 1 sgd   m = momentum m + g' (+ decay w on matrices and tables);  w -= lr m Gaps between tensors stay zero.
 * Same bits for any number of threads. Not collective. Cannot fail. */
void heed_optimizer_update(const heed_config *config, const heed_params *params, real *weights, size_t first,
                           size_t count, const real *g, real *m, real *v, double gradient_scale, double learning_rate,
                           uint64_t step);

#endif
