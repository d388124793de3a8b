#include "engine/gemm_pack.h"

#include <stdbool.h>
#include <string.h>

#include "base/avx512.h"
#include "heed/multiversion.h"

/* Elements of a cache line; lines of a row, and rows, asked for ahead of their turn. Rows of a wide panel come from far
 * away: they are asked for into the second cache, which can wait for more lines at once than the nearest. Those of a
 * narrow one are in the second cache already, if tiles have asked for them. */
enum { LINE = 16, LINES_AHEAD = 8, FAR_ROWS_AHEAD = 32, ROWS_AHEAD = 8 };

/* Four by four: out[i * stride + j] = x[j * row + i]. */
static inline __attribute__((always_inline)) void transpose_4(real *out, size_t stride, const real *x, size_t row) {
    typedef real quad __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));
    const quad a = *(const quad *)x, b = *(const quad *)(x + row);
    const quad c = *(const quad *)(x + 2 * row), d = *(const quad *)(x + 3 * row);
    const quad ac_low = __builtin_shufflevector(a, c, 0, 4, 1, 5), ac_high = __builtin_shufflevector(a, c, 2, 6, 3, 7);
    const quad bd_low = __builtin_shufflevector(b, d, 0, 4, 1, 5), bd_high = __builtin_shufflevector(b, d, 2, 6, 3, 7);
    *(quad *)out = __builtin_shufflevector(ac_low, bd_low, 0, 4, 1, 5);
    *(quad *)(out + stride) = __builtin_shufflevector(ac_low, bd_low, 2, 6, 3, 7);
    *(quad *)(out + 2 * stride) = __builtin_shufflevector(ac_high, bd_high, 0, 4, 1, 5);
    *(quad *)(out + 3 * stride) = __builtin_shufflevector(ac_high, bd_high, 2, 6, 3, 7);
}

/* A whole panel whose k runs along memory: the strip is turned, a cache line of every row at a time. */
static inline __attribute__((always_inline)) void turn_panel(real *out, size_t stride, const real *x, size_t row,
                                                             size_t k, const size_t width) {
    size_t p = 0;
    for (; p + LINE <= k; p += LINE)
        for (size_t w = 0; w < width; w += 4) {
            for (size_t i = 0; i < 4; i++)
                __builtin_prefetch(x + (w + i) * row + p + LINES_AHEAD * LINE);
            for (size_t q = p; q < p + LINE; q += 4)
                transpose_4(out + q * stride + w, stride, x + w * row + q, row);
        }
    for (; p < k; p++)
        for (size_t w = 0; w < width; w++)
            out[p * stride + w] = x[w * row + p];
}

/* A whole panel that lies across memory. */
static inline __attribute__((always_inline)) void copy_panel(real *out, size_t stride, const real *x, size_t k_step,
                                                             size_t k, const size_t width) {
    for (size_t p = 0; p < k; p++) {
        if (width < LINE)
            __builtin_prefetch(x + (p + ROWS_AHEAD) * k_step);
        else
            for (size_t w = 0; w < width; w += LINE)
                __builtin_prefetch(x + (p + FAR_ROWS_AHEAD) * k_step + w, 0, 2);
#pragma omp simd
        for (size_t w = 0; w < width; w++)
            out[p * stride + w] = x[p * k_step + w];
    }
}

/* A panel at an edge, or of an unusual width; zeros fill up. */
static void pack_edge(real *out, size_t stride, const real *x, size_t step, size_t k_step, size_t k, size_t width) {
    for (size_t p = 0; p < k; p++) {
        for (size_t w = 0; w < width; w++)
            out[p * stride + w] = x[w * step + p * k_step];
        for (size_t w = width; w < stride; w++)
            out[p * stride + w] = 0;
    }
}

#if defined(HEEDI_AVX512) && !defined(HEED_DOUBLE)

/* Quarter q is x[q * step] to x[q * step + 3]. */
HEEDI_AVX512_INLINE __m512 four_quarters(const real *x, size_t step) {
    __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(x));
    v = _mm512_insertf32x4(v, _mm_loadu_ps(x + step), 1);
    v = _mm512_insertf32x4(v, _mm_loadu_ps(x + 2 * step), 2);
    return _mm512_insertf32x4(v, _mm_loadu_ps(x + 3 * step), 3);
}

/* Sixteen by four: out[i * stride + j] = x[j * row + i]. What is loaded into the quarters of a vector needs to be
 * turned within these alone, which takes half of the shuffles. */
HEEDI_AVX512_INLINE void turn_4_of_16(real *out, size_t stride, const real *x, size_t row) {
    const __m512 a = four_quarters(x, 4 * row), b = four_quarters(x + row, 4 * row);
    const __m512 c = four_quarters(x + 2 * row, 4 * row), d = four_quarters(x + 3 * row, 4 * row);
    const __m512d ab_low = _mm512_castps_pd(_mm512_unpacklo_ps(a, b)),
                  cd_low = _mm512_castps_pd(_mm512_unpacklo_ps(c, d));
    const __m512d ab_high = _mm512_castps_pd(_mm512_unpackhi_ps(a, b)),
                  cd_high = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
    _mm512_storeu_ps(out, _mm512_castpd_ps(_mm512_unpacklo_pd(ab_low, cd_low)));
    _mm512_storeu_ps(out + stride, _mm512_castpd_ps(_mm512_unpackhi_pd(ab_low, cd_low)));
    _mm512_storeu_ps(out + 2 * stride, _mm512_castpd_ps(_mm512_unpacklo_pd(ab_high, cd_high)));
    _mm512_storeu_ps(out + 3 * stride, _mm512_castpd_ps(_mm512_unpackhi_pd(ab_high, cd_high)));
}

/* As turn_panel, for the panels of our own tile: a weight matrix that meets a few hundred rows is turned in each
 * product that has it. */
HEEDI_AVX512 static void turn_wide_panel(real *out, const real *x, size_t row, size_t k) {
    enum { WIDTH = 2 * LINE };
    size_t p = 0;
    for (; p + LINE <= k; p += LINE)
        for (size_t w = 0; w < WIDTH; w += LINE)
            for (size_t q = 0; q < LINE; q += 4) {
                for (size_t i = q; i < q + 4; i++)
                    __builtin_prefetch(x + (w + i) * row + p + LINES_AHEAD * LINE);
                turn_4_of_16(out + (p + q) * WIDTH + w, WIDTH, x + w * row + p + q, row);
            }
    pack_edge(out + p * WIDTH, WIDTH, x + p, row, 1, k - p, WIDTH);
}

static bool is_wide(size_t width) {
    return width == 2 * LINE && heedi_has_avx512();
}

#else

static bool is_wide(size_t width) {
    (void)width;
    return false;
}

static void turn_wide_panel(real *out, const real *x, size_t row, size_t k) {
    (void)out, (void)x, (void)row, (void)k;
}

#endif

#define FOR_USUAL_WIDTHS(X) X(4) X(8) X(12) X(16) X(24) X(32)

HEED_MULTIVERSION void heedi_pack(real *out, size_t width, size_t stride, heedi_strips strips, size_t n, size_t k) {
    const size_t step = strips.step, k_step = strips.k_step;
    const bool wide = step != 1 && is_wide(width);
    for (size_t first = 0; first < n; first += width, out += stride * k) {
        const real *strip = strips.at + first * step;
        if (n - first < width || stride != width) {
            pack_edge(out, stride, strip, step, k_step, k, n - first < width ? n - first : width);
            continue;
        }
        if (wide) {
            turn_wide_panel(out, strip, step, k);
            continue;
        }
        switch (width) {
#define PACK(w)                                                                                                        \
    case w:                                                                                                            \
        if (step == 1)                                                                                                 \
            copy_panel(out, w, strip, k_step, k, w);                                                                   \
        else                                                                                                           \
            turn_panel(out, w, strip, step, k, w);                                                                     \
        break;
            FOR_USUAL_WIDTHS(PACK)
#undef PACK
        default:
            pack_edge(out, stride, strip, step, k_step, k, width);
        }
    }
}
