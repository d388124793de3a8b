/* 24 of 32 registers hold the tile, two a line of the left operand; each number of the right one is broadcast and
 * serves two multiply-adds. Twelve strips of the right operand are reached through four pointers, three strips each, as
 * far as an address can be scaled. Lines that will be needed are asked for one by one between the multiply-adds: many
 * at once would take all of the core's places for lines that are under way, and the left panel would have to wait. */
#include "engine/gemm_tile.h"

#include "base/avx512.h"
#include "heed/status.h"

#if defined(HEEDI_AVX512) && !defined(HEED_DOUBLE)

enum { LEFT = HEEDI_TILE_LEFT, RIGHT = HEEDI_TILE_RIGHT, GROUP = 3, LINE = 16, STEP = 8, LEFT_AHEAD = 16 };

typedef struct sums {
    __m512 at[RIGHT][2];
} sums;

/* One element of k: that many elements behind the pointers. */
HEEDI_AVX512_INLINE void multiply_add(sums *sum, const real *left, const real *const right[RIGHT / GROUP], size_t step,
                                      size_t at) {
    const __m512 low = _mm512_load_ps(left), high = _mm512_load_ps(left + LINE);
#pragma GCC unroll 12
    for (size_t j = 0; j < RIGHT; j++) {
        const __m512 x = _mm512_set1_ps(right[j / GROUP][j % GROUP * step + at]);
        heedi_add_product(&sum->at[j][0], x, low);
        heedi_add_product(&sum->at[j][1], x, high);
    }
}

/* The next of the lines; none, once there are no more, costs as much as one that is there already. */
HEEDI_AVX512_INLINE void ask_for(heedi_ahead *ahead) {
    _mm_prefetch((const char *)ahead->at, _MM_HINT_T1);
    ahead->at += ahead->n > 0 ? LINE : 0;
    ahead->n -= ahead->n > 0;
}

/* With the steps that a compiler knows it needs no registers for them: k runs along memory, or strips lie side by side.
 */
HEEDI_AVX512_INLINE void tile(real *c, size_t c_step, size_t k, real alpha, const real *left, const real *right,
                              size_t step, size_t k_step, bool add, heedi_ahead ahead) {
    sums sum;
    const real *strips[RIGHT / GROUP];
#pragma GCC unroll 12
    for (size_t j = 0; j < RIGHT; j++)
        sum.at[j][0] = sum.at[j][1] = _mm512_setzero_ps();
#pragma GCC unroll 4
    for (size_t g = 0; g < RIGHT / GROUP; g++)
        strips[g] = right + g * GROUP * step;
    const char *c_line = (const char *)c, *c_end = (const char *)(c + RIGHT * c_step);
    ahead.at = ahead.n > 0 ? ahead.at : left;
    size_t p = 0;
    for (; p + STEP <= k; p += STEP) {
        if (c_line < c_end) {
            _mm_prefetch(c_line, _MM_HINT_T0);
            _mm_prefetch(c_line + 64, _MM_HINT_T0);
            c_line += c_step * sizeof *c;
        }
        ask_for(&ahead);
        ask_for(&ahead);
#pragma GCC unroll 8
        for (size_t q = 0; q < STEP; q++) {
            _mm_prefetch((const char *)(left + (q + LEFT_AHEAD) * LEFT), _MM_HINT_T0);
            _mm_prefetch((const char *)(left + (q + LEFT_AHEAD) * LEFT + LINE), _MM_HINT_T0);
            multiply_add(&sum, left + q * LEFT, strips, step, k_step == 1 ? q : 0);
            if (k_step != 1) {
#pragma GCC unroll 4
                for (size_t g = 0; g < RIGHT / GROUP; g++)
                    strips[g] += k_step;
            }
        }
        left += STEP * LEFT;
        if (k_step == 1) {
#pragma GCC unroll 4
            for (size_t g = 0; g < RIGHT / GROUP; g++)
                strips[g] += STEP;
        }
#pragma GCC unroll 4
        for (size_t g = 0; g < RIGHT / GROUP; g++)
            __asm__("" : "+r"(strips[g]));
        __asm__("" : "+r"(left));
    }
    for (; p < k; p++) {
        multiply_add(&sum, left, strips, step, 0);
        left += LEFT;
#pragma GCC unroll 4
        for (size_t g = 0; g < RIGHT / GROUP; g++)
            strips[g] += k_step;
    }
    if (alpha != 1) {
#pragma GCC unroll 12
        for (size_t j = 0; j < RIGHT; j++) {
            sum.at[j][0] = _mm512_mul_ps(_mm512_set1_ps(alpha), sum.at[j][0]);
            sum.at[j][1] = _mm512_mul_ps(_mm512_set1_ps(alpha), sum.at[j][1]);
        }
    }
#pragma GCC unroll 12
    for (size_t j = 0; j < RIGHT; j++) {
        real *out = c + j * c_step;
        __m512 low = sum.at[j][0], high = sum.at[j][1];
        if (add) {
            low = _mm512_add_ps(_mm512_loadu_ps(out), low);
            high = _mm512_add_ps(_mm512_loadu_ps(out + LINE), high);
        }
        _mm512_storeu_ps(out, low);
        _mm512_storeu_ps(out + LINE, high);
    }
}

HEEDI_AVX512 void heedi_tile(real *c, size_t c_step, size_t k, real alpha, const real *left, const heedi_strips *right,
                             bool add, const heedi_ahead *ahead) {
    if (right->k_step == 1)
        tile(c, c_step, k, alpha, left, right->at, right->step, 1, add, *ahead);
    else
        tile(c, c_step, k, alpha, left, right->at, 1, right->k_step, add, *ahead);
}

bool heedi_tile_usable(void) {
    return heedi_has_avx512();
}

#else

bool heedi_tile_usable(void) {
    return false;
}

void heedi_tile(real *c, size_t c_step, size_t k, real alpha, const real *left, const heedi_strips *right, bool add,
                const heedi_ahead *ahead) {
    (void)c, (void)c_step, (void)k, (void)alpha, (void)left, (void)right, (void)add, (void)ahead;
    heed_bug(__FILE__, __LINE__, "this processor has no registers for the tile");
}

#endif
