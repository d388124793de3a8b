/* Learning-rate schedules, all with linear warm-up: step counts from 0; the rate of warm-up step t is peak (t + 1) /
 * warmup. */
#ifndef HEED_SCHEDULE_H
#define HEED_SCHEDULE_H

#include <stdint.h>

#include "heed/config.h"

/* Rate of step t of config->train.steps, s = t - warmup, S = steps - warmup:
 *   constant      peak
 *   linear        peak + (final - peak) s / S
 *   cosine        final + (peak - final) (1 + cos(pi s / S)) / 2                       (Loshchilov and Hutter 2017)
 *   inverse_sqrt  peak sqrt(max(warmup, 1) / (t + 1))                                  (Vaswani et al. 2017, eq. 3,
 * scaled to its peak) wsd           peak, then linear to final over the last `decay` steps               (Hu et al.
 * 2024) Not collective. Cannot fail. */
double heed_learning_rate(const heed_config *config, uint64_t step);

#endif
