#include "heed/rng.h"

#include <Random123/philox.h>
#include <math.h>

void heed_rng_block(uint32_t out[4], const heed_rng *rng, uint32_t index) {
    const philox4x32_key_t key = {{(uint32_t)rng->seed, (uint32_t)(rng->seed >> 32)}};
    const philox4x32_ctr_t counter = {{rng->purpose << 24 | rng->site, rng->step, rng->sequence, index}};
    const philox4x32_ctr_t words = philox4x32(counter, key);
    for (int i = 0; i < 4; i++)
        out[i] = words.v[i];
}

uint64_t heed_rng_below(const heed_rng *rng, uint32_t index, uint64_t bound) {
    uint32_t words[4];
    heed_rng_block(words, rng, index);
    const uint64_t word = (uint64_t)words[0] << 32 | words[1];
    return (uint64_t)((unsigned __int128)word * bound >> 64);
}

void heed_rng_normal(double out[2], const heed_rng *rng, uint32_t index) {
    uint32_t words[4];
    heed_rng_block(words, rng, index);
    const double u = ((double)words[0] + (double)words[1] * 0x1p-32 + 0x1p-33) * 0x1p-32; /* (0, 1) */
    const double angle = 6.283185307179586477 * ((double)words[2] * 0x1p-32 + (double)words[3] * 0x1p-64);
    const double radius = sqrt(-2.0 * log(u));
    out[0] = radius * cos(angle);
    out[1] = radius * sin(angle);
}

static uint64_t feistel(const heed_rng *rng, uint64_t i, unsigned half_bits) {
    const uint64_t mask = ((uint64_t)1 << half_bits) - 1;
    uint64_t left = i >> half_bits, right = i & mask;
    for (uint32_t round = 0; round < 4; round++) {
        heed_rng keyed = *rng;
        keyed.sequence = (uint32_t)right;
        uint32_t words[4];
        heed_rng_block(words, &keyed, round);
        const uint64_t next = left ^ (words[0] & mask);
        left = right;
        right = next;
    }
    return left << half_bits | right;
}

uint64_t heed_rng_permute(const heed_rng *rng, uint64_t i, uint64_t n) {
    unsigned half_bits = 1;
    while (half_bits < 32 && (uint64_t)1 << 2 * half_bits < n)
        half_bits++;
    do
        i = feistel(rng, i, half_bits);
    while (i >= n);
    return i;
}
