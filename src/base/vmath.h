/* Functions of one number that the hot kernels call in loops: exp, the logistic function, the normal distribution.
 *
 * In single precision they are our own polynomials, for two reasons. A loop over them vectorises, which a loop over
 * expf does not; and vector body and scalar tail are the same code, so a value does not depend on its place in the
 * array, and neither does it depend on the instruction set: every operation is a correctly rounded one, fused
 * multiply-adds are spelled out, the compiler contracts nothing.
 * In double precision, which only tests use, they are the C library's: the float kernels are measured against them.
 *
 * Error bounds in units of the last place, over all floats (tests/nn/vmath_test.c holds them): exp 1.02, logistic
 * 3 and its density 5, the normal distribution 7 and its density 3. Where a result is subnormal its last place is
 * 2^-149. NaN gives NaN, but for the density of the normal distribution. */
#ifndef HEEDI_VMATH_H
#define HEEDI_VMATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "heed/real.h"

#define HEEDI_INLINE static inline __attribute__((always_inline))

/* The normal distribution at x: its distribution function, the derivative of that, and x itself, but held where the
 * density is 0 all the same, so that no product of infinity and zero comes up. Of a NaN cdf is one. */
typedef struct heedi_normal {
    real cdf, density, x;
} heedi_normal;

#ifdef HEED_DOUBLE

HEEDI_INLINE real heedi_fma(real a, real b, real c) {
    return __builtin_fma(a, b, c);
}

HEEDI_INLINE real heedi_exp(real x) {
    return exp(x);
}

HEEDI_INLINE real heedi_exp_falling(real x) {
    return exp(x);
}

HEEDI_INLINE real heedi_logistic(real *density, real x) {
    const real e = exp(-fabs(x));
    *density = e / ((1 + e) * (1 + e));
    return (x < 0 ? e : 1) / (1 + e);
}

HEEDI_INLINE heedi_normal heedi_normal_at(real x) {
    const real held = x > 32 ? 32 : x < -32 ? -32 : x;
    return (heedi_normal){0.5 * erfc(-0.70710678118654752440 * x), 0.39894228040143267794 * exp(-0.5 * x * x), held};
}

#else

/* a b + c, rounded once */
HEEDI_INLINE real heedi_fma(real a, real b, real c) {
    return __builtin_fmaf(a, b, c);
}

HEEDI_INLINE uint32_t heedi_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

HEEDI_INLINE float heedi_of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The number whose bits are lower, as unsigned integers: of positive numbers the smaller, of negative ones the larger.
 * A comparison of floats would be one instruction as well, but gcc 12 takes it for a branch, on whose constant side it
 * computes ahead, and pays for that with blends. */
HEEDI_INLINE float heedi_lower_bits(float x, float y) {
    const uint32_t a = heedi_bits(x), b = heedi_bits(y);
    return heedi_of_bits(a < b ? a : b);
}

HEEDI_INLINE float heedi_power_of_two(int32_t n) {
    const uint32_t bits = ((uint32_t)n + 127u) << 23; /* unsigned: a NaN brings any n */
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* x = n log 2 + r, |r| <= log(2)/2;  e^x = 2^n (1 + r + r^2 P(r)), P of degree 4 (relative error 3.1e-9). Returns
 * e^r. Adding magic, 1.5 2^23 and an even number more, rounds to an integer and leaves n plus that number in the low
 * bits of *shifted. */
HEEDI_INLINE float heedi_exp_rest(float x, float magic, uint32_t *shifted) {
    const float sum = heedi_fma(x, 0x1.715476p0f, magic);
    const float n = sum - magic;
    memcpy(shifted, &sum, sizeof sum);
    float r = heedi_fma(n, -0x1.62e430p-1f, x);
    r = heedi_fma(n, 0x1.05c610p-29f, r);
    float p = 1.38145399187e-3f;
    p = heedi_fma(p, r, 8.36874509934e-3f);
    p = heedi_fma(p, r, 4.16683907873e-2f);
    p = heedi_fma(p, r, 1.66665203991e-1f);
    p = heedi_fma(p, r, 4.99999934321e-1f);
    return 1.0f + heedi_fma(r * r, p, r);
}

/* 2^n is applied in two halves, because 2^n alone may overflow or be subnormal. */
HEEDI_INLINE float heedi_exp(float x) {
    const float magic = 0x1.8p23f;
    x = x > 89.0f ? 89.0f : x;
    x = x < -105.0f ? -105.0f : x;
    uint32_t shifted, magic_bits;
    const float y = heedi_exp_rest(x, magic, &shifted);
    memcpy(&magic_bits, &magic, sizeof magic_bits);
    const int32_t exponent = (int32_t)(shifted - magic_bits);
    const int32_t half = exponent >> 1;
    return y * heedi_power_of_two(half) * heedi_power_of_two(exponent - half);
}

/* 2^64 e^x for -106 <= x <= 43: 2^(n + 64) goes straight into the exponent of e^r, where it fits. From a NaN anything
 * may come. */
HEEDI_INLINE float heedi_exp_raised(float x) {
    uint32_t shifted;
    const float y = heedi_exp_rest(x, 0x1.8p23f + 64.0f, &shifted);
    return heedi_of_bits(heedi_bits(y) + (shifted << 23));
}

/* heedi_exp(x), bit by bit, for x <= 43 and NaN: what softmax needs. Below -104 it is 0, and is not computed: keys that
 * a query may not see come here with -infinity, and a product whose result is that small costs some processors 150
 * clocks. */
HEEDI_INLINE float heedi_exp_falling(float x) {
    const float held = x < -104.0f ? 0.0f : x;
    const float e =
        heedi_fma(0.0f, held, 0x1p-64f * heedi_exp_raised(held)); /* the product rounds, once; NaN stays NaN */
    return x < -104.0f ? 0.0f : e;
}

/* The logistic function 1 / (1 + e^-x); density gets its derivative. The exponential is that of -|x|, so that both
 * tails keep their digits. */
HEEDI_INLINE float heedi_logistic(float *density, float x) {
    const float e = heedi_exp_falling(-__builtin_fabsf(x));
    const float inverse = 1.0f / (1.0f + e);
    *density = e * inverse * inverse;
    return x < 0.0f ? e * inverse : inverse;
}

/* With t = |x|: 1 - cdf(t) = e^(-t^2/2) M(t), where M(t) = z Q(z), z = 1 / (1 + 11/32 t), Q of degree 8 (relative error
 * 2.6e-8 up to t = 14.5, beyond which the result is 0). The rounding error of -t^2/2 is put back into the exponential,
 * which is kept 2^64 times as large; Q and the constant of the density make up for that. */
HEEDI_INLINE heedi_normal heedi_normal_at(float x) {
    const float lower = 0x1p-64f, beside = __builtin_fabsf(x), t = heedi_lower_bits(beside, 14.5f), half = -0.5f * t;
    const float exponent = half * t, rest = heedi_fma(half, t, -exponent);
    float e = heedi_exp_raised(exponent);
    e = heedi_fma(e, rest, e);
    const float z = 1.0f / heedi_fma(beside, 0.34375f, 1.0f); /* not t, which is no NaN where x is one */
    float q = lower * -0.0275824335292f;
    q = heedi_fma(q, z, lower * 0.14280495842f);
    q = heedi_fma(q, z, lower * -0.269682353261f);
    q = heedi_fma(q, z, lower * 0.188745079155f);
    q = heedi_fma(q, z, lower * -0.037908863727f);
    q = heedi_fma(q, z, lower * 0.11210773246f);
    q = heedi_fma(q, z, lower * 0.11686952692f);
    q = heedi_fma(q, z, lower * 0.13752582257f);
    q = heedi_fma(q, z, lower * 0.137120543258f);
    const float tail = e * (z * q);
    return (heedi_normal){x > 0.0f ? 1.0f - tail : tail, lower * 0.398942280401f * e, __builtin_copysignf(t, x)};
}

#endif

#endif
