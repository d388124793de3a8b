/* The rounds are products of 32 by 32 bits of which both halves are needed. AVX-512 has one instruction for eight of
 * them, which takes the lower halves of 64-bit lanes and does not mind what is in the upper ones; compilers do not find
 * it, so it is named here. Elsewhere the plain rounds are vectorised as the compiler can. */
#include "nn/philox.h"

#include <stdbool.h>
#include <string.h>

#include "base/avx512.h"
#include "heed/multiversion.h"

enum { LANES = 16, ROUNDS = 10 };
#define LEFT 0xD2511F53u /* the factors, and what is added to the keys in each round */
#define RIGHT 0xCD9E8D57u
#define KEY_0 0x9E3779B9u
#define KEY_1 0xBB67AE85u

HEED_MULTIVERSION static void plain(uint32_t *words, const heed_rng *rng, uint32_t first, uint32_t lane_step,
                                    uint32_t group_step, size_t n_groups) {
    for (size_t g = 0; g < n_groups; g++, words += HEEDI_WORDS) {
        uint32_t a[LANES], b[LANES], c[LANES], d[LANES];
        uint32_t key_0 = (uint32_t)rng->seed, key_1 = (uint32_t)(rng->seed >> 32);
#pragma omp simd
        for (uint32_t l = 0; l < LANES; l++) {
            a[l] = rng->purpose << 24 | rng->site;
            b[l] = rng->step;
            c[l] = rng->sequence;
            d[l] = first + l * lane_step + (uint32_t)g * group_step;
        }
#pragma GCC unroll 10
        for (int round = 0; round < ROUNDS; round++, key_0 += KEY_0, key_1 += KEY_1)
#pragma omp simd
            for (size_t l = 0; l < LANES; l++) {
                const uint64_t left = (uint64_t)a[l] * LEFT, right = (uint64_t)c[l] * RIGHT;
                a[l] = (uint32_t)(right >> 32) ^ b[l] ^ key_0;
                c[l] = (uint32_t)(left >> 32) ^ d[l] ^ key_1;
                b[l] = (uint32_t)right;
                d[l] = (uint32_t)left;
            }
#pragma omp simd
        for (size_t l = 0; l < LANES; l++) {
            words[l] = a[l];
            words[LANES + l] = b[l];
            words[2 * LANES + l] = c[l];
            words[3 * LANES + l] = d[l];
        }
    }
}

#ifdef HEEDI_AVX512

/* Even lanes in [0], odd ones in [1]; only the lower 32 bits of each 64 count. */
typedef struct halves {
    __m512i at[2];
} halves;

HEEDI_AVX512_INLINE halves both(uint32_t value) {
    const __m512i all = _mm512_set1_epi32((int)value);
    return (halves){{all, all}};
}

HEEDI_AVX512_INLINE void put(uint32_t *words, halves x) {
    _mm512_storeu_si512(words, _mm512_mask_blend_epi32(0xAAAA, x.at[0], _mm512_slli_epi64(x.at[1], 32)));
}

/* A round's results wait for two products, so PAIR groups take turns. */
enum { PAIR = 2 };

HEEDI_AVX512_INLINE void rounds(uint32_t *words, const heed_rng *rng, const __m512i index[PAIR]) {
    const __m512i factor_a = _mm512_set1_epi64(LEFT), factor_c = _mm512_set1_epi64(RIGHT);
    uint32_t key_0 = (uint32_t)rng->seed, key_1 = (uint32_t)(rng->seed >> 32);
    halves a[PAIR], b[PAIR], c[PAIR], d[PAIR];
#pragma GCC unroll 2
    for (int g = 0; g < PAIR; g++) {
        a[g] = both(rng->purpose << 24 | rng->site), b[g] = both(rng->step), c[g] = both(rng->sequence);
        d[g] = (halves){{index[g], _mm512_srli_epi64(index[g], 32)}};
    }
#pragma GCC unroll 10
    for (int round = 0; round < ROUNDS; round++, key_0 += KEY_0, key_1 += KEY_1)
#pragma GCC unroll 2
        for (int g = 0; g < PAIR; g++)
#pragma GCC unroll 2
            for (int h = 0; h < 2; h++) {
                const __m512i left = _mm512_mul_epu32(a[g].at[h], factor_a);
                const __m512i right = _mm512_mul_epu32(c[g].at[h], factor_c);
                a[g].at[h] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(right, 32), b[g].at[h],
                                                       _mm512_set1_epi32((int)key_0), 0x96); /* 0x96: x ^ y ^ z */
                c[g].at[h] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(left, 32), d[g].at[h],
                                                       _mm512_set1_epi32((int)key_1), 0x96);
                b[g].at[h] = right;
                d[g].at[h] = left;
            }
#pragma GCC unroll 2
    for (int g = 0; g < PAIR; g++, words += HEEDI_WORDS) {
        put(words, a[g]);
        put(words + LANES, b[g]);
        put(words + 2 * LANES, c[g]);
        put(words + 3 * LANES, d[g]);
    }
}

HEEDI_AVX512 static void by_avx512(uint32_t *words, const heed_rng *rng, uint32_t first, uint32_t lane_step,
                                   uint32_t group_step, size_t n_groups) {
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i step = _mm512_set1_epi32((int)group_step);
    __m512i index[PAIR];
    index[0] =
        _mm512_add_epi32(_mm512_set1_epi32((int)first), _mm512_mullo_epi32(lane, _mm512_set1_epi32((int)lane_step)));
    for (size_t g = 0; g < n_groups; g += PAIR, index[0] = _mm512_add_epi32(index[1], step)) {
        index[1] = _mm512_add_epi32(index[0], step);
        uint32_t last[PAIR * HEEDI_WORDS];
        const bool whole = g + PAIR <= n_groups;
        rounds(whole ? words + g * HEEDI_WORDS : last, rng, index);
        if (!whole)
            memcpy(words + g * HEEDI_WORDS, last, HEEDI_WORDS * sizeof *words);
    }
}

#endif

void heedi_philox(uint32_t *words, const heed_rng *rng, uint32_t first, uint32_t lane_step, uint32_t group_step,
                  size_t n_groups) {
#ifdef HEEDI_AVX512
    if (heedi_has_avx512()) {
        by_avx512(words, rng, first, lane_step, group_step, n_groups);
        return;
    }
#endif
    plain(words, rng, first, lane_step, group_step, n_groups);
}
