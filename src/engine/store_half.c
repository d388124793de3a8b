/* IEEE 754 binary16 in software: HDF5's own conversion takes some 60 ns an element. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "heed/multiversion.h"
#include "heed/store.h"

static inline uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float value_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Round to nearest even, without branches. Normal range: adding half of the last place that stays, less one if the
 * number is even so far, carries into the exponent where it must. Subnormal range: adding 0.5, whose last place is
 * worth 2^-24 like binary16's, makes the processor round. */
static inline uint16_t half_of(float x) {
    const uint32_t sign = bits_of(x) >> 16 & 0x8000u, magnitude = bits_of(x) & 0x7fffffffu;
    const uint32_t normal = (magnitude + 0xfffu + (magnitude >> 13 & 1u) - (112u << 23)) >> 13;
    const uint32_t subnormal = bits_of(value_of(magnitude) + 0.5f) - bits_of(0.5f);
    uint32_t half = magnitude < 113u << 23 ? subnormal : normal;
    half = magnitude >= 0x477ff000u ? 0x7c00u : half;                             /* 65520 and up: infinity */
    half = magnitude > 0x7f800000u ? 0x7e00u | (magnitude >> 13 & 0x1ffu) : half; /* not a number */
    return (uint16_t)(sign | half);
}

uint16_t heed_half_from(float x) {
    return half_of(x);
}

float heed_half_value(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16, magnitude = half & 0x7fffu;
    if (magnitude >= 0x7c00u) /* infinity, not a number */
        return value_of(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    const float value = magnitude < 0x400u ? (float)magnitude * 0x1p-24f : value_of((magnitude << 13) + (112u << 23));
    return value_of(sign | bits_of(value));
}

#define LANES 16

/* The largest finite |x|: the same in whatever order. */
HEED_MULTIVERSION static real largest(const real *x, size_t n) {
    real lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++) {
            const real size = x[i + l] < 0 ? -x[i + l] : x[i + l];
            lane[l] = size > lane[l] && size <= (real)FLT_MAX ? size : lane[l];
        }
    real most = 0;
    for (; i < n; i++) {
        const real size = x[i] < 0 ? -x[i] : x[i];
        most = size > most && size <= (real)FLT_MAX ? size : most;
    }
    for (size_t l = 0; l < LANES; l++)
        most = lane[l] > most ? lane[l] : most;
    return most;
}

HEED_MULTIVERSION static void pack(uint16_t *half, const real *x, size_t n, real scale) {
    for (size_t i = 0; i < n; i++)
        half[i] = half_of((float)(x[i] / scale));
}

float heed_half_pack(uint16_t *half, const real *x, size_t n) {
    const real most = largest(x, n);
    float scale = most > 0 ? (float)(most * (real)0x1p-14) : 1.0f;
    if (scale < FLT_MIN)
        scale = FLT_MIN; /* a subnormal scale would lose digits */
    pack(half, x, n, scale);
    return scale;
}

void heed_half_pack_as(uint16_t *half, const real *x, size_t n, float scale) {
    pack(half, x, n, scale);
}
