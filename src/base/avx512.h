/* AVX-512 by its instructions' names, for the few kernels that compilers make slow: gcc 12 breaks a tile that should
 * stay in registers, loads a number once for each of its uses, and does not find products of 32-bit lanes. Each such
 * kernel stands beside another with the same bits, a plain one or BLIS's, and heedi_has_avx512 chooses. HEEDI_AVX512 is
 * not defined where the build is for other processors. */
#ifndef HEEDI_AVX512_H
#define HEEDI_AVX512_H

#include <stdbool.h>

#if defined(__AVX512F__) || (defined(__x86_64__) && !defined(HEED_NATIVE))

#include <immintrin.h>

#define HEEDI_AVX512 __attribute__((target("avx512f")))
#define HEEDI_AVX512_INLINE HEEDI_AVX512 __attribute__((always_inline)) static inline

static inline bool heedi_has_avx512(void) {
    return __builtin_cpu_supports("avx512f");
}

/* sum += x y, rounded once */
HEEDI_AVX512_INLINE void heedi_add_product(__m512 *sum, __m512 x, __m512 y) {
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(y));
}

#else

static inline bool heedi_has_avx512(void) {
    return false;
}

#endif

#endif
