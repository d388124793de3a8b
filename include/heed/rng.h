/* Random numbers by counter (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): Philox4x32-10 from
 * Random123. A number is a pure function of what it is for: (seed, purpose, site, step, sequence, index). It does not
 * depend on which rank or thread asks, nor on what was drawn before. */
#ifndef HEED_RNG_H
#define HEED_RNG_H

#include <stdint.h>

/* What a number is for. The values are part of a run's identity: append, never renumber. */
typedef enum heed_purpose {
    HEED_PURPOSE_INIT = 1,    /* parameters: site = tensor */
    HEED_PURPOSE_SHUFFLE = 2, /* order of samples: step = epoch */
    HEED_PURPOSE_DROPOUT = 3, /* site = place in the model */
    HEED_PURPOSE_GENERATE = 4,
    HEED_PURPOSE_TASK = 5,
    HEED_PURPOSE_TEST = 6,
    HEED_PURPOSE_CONTEXT = 7 /* permutations of a context: step = row */
} heed_purpose;

typedef struct heed_rng {
    uint64_t seed;
    uint32_t purpose; /* heed_purpose */
    uint32_t site;    /* below 2^24 */
    uint32_t step;
    uint32_t sequence;
} heed_rng;

/* Four random words at index (a block). Same arguments, same words, on every machine. Cannot fail. */
void heed_rng_block(uint32_t out[4], const heed_rng *rng, uint32_t index);

/* Uniform in [0, 1) with 24 bits, from one word. */
static inline float heed_uniform(uint32_t word) {
    return (float)(word >> 8) * 0x1p-24f;
}

/* Uniform integer in [0, bound) from the block at index, without modulo bias worth a name (64-bit multiply-shift). */
uint64_t heed_rng_below(const heed_rng *rng, uint32_t index, uint64_t bound);

/* Two standard normal numbers from the block at index (Box and Muller 1958), in double. */
void heed_rng_normal(double out[2], const heed_rng *rng, uint32_t index);

/* A permutation of [0, n) without storing it: the image of i. A four-round Feistel network over the next power of
 * four, walked until it falls inside [0, n) (Black and Rogaway 2002). Every i < n has a different image. */
uint64_t heed_rng_permute(const heed_rng *rng, uint64_t i, uint64_t n);

#endif
