/* heed_rng_block (Philox4x32-10, Salmon et al. 2011) for many indices at once, in the order in which masks use them. */
#ifndef HEEDI_NN_PHILOX_H
#define HEEDI_NN_PHILOX_H

#include <stddef.h>
#include <stdint.h>

#include "heed/rng.h"

enum { HEEDI_WORDS = 64 }; /* that one group of sixteen blocks gives */

/* words (n_groups, 4, 16): word w of lane l in group g is word w of the block at first + l lane_step + g group_step
 * (modulo 2^32). */
void heedi_philox(uint32_t *words, const heed_rng *rng, uint32_t first, uint32_t lane_step, uint32_t group_step,
                  size_t n_groups);

#endif
