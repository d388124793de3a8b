/* 24 of 32 registers hold the tile, two a line of the left operand; each number of the right one is broadcast and
 * serves two multiply-adds. Lines that will be needed are asked for two by two between the multiply-adds: many at once
 * would take all of the core's places for lines that are under way, and the left panel would have to wait. */
#include "engine/gemm_tile.h"

#include "base/avx512.h"
#include "heed/status.h"

#if defined(HEEDI_AVX512) && !defined(HEED_DOUBLE)

enum { LEFT = HEEDI_TILE_LEFT, RIGHT = HEEDI_TILE_RIGHT, LINE = 16, STEP = 8, LEFT_AHEAD = 16 };

/* Strips reached through one pointer, as far as an address can be scaled. */
enum { GROUP = 3, GROUPS = (RIGHT + GROUP - 1) / GROUP };

typedef struct sums {
    __m512 at[RIGHT][2];
} sums;

/* One element of k: that many elements behind the pointers. */
HEEDI_AVX512_INLINE void multiply_add(sums *sum, const real *left, const real *const right[GROUPS], size_t columns,
                                      size_t step, size_t at) {
    const __m512 low = _mm512_loadu_ps(left), high = _mm512_loadu_ps(left + LINE);
#pragma GCC unroll 12
    for (size_t j = 0; j < columns; j++) {
        const __m512 x = _mm512_set1_ps(right[j / GROUP][j % GROUP * step + at]);
        heedi_add_product(&sum->at[j][0], x, low);
        heedi_add_product(&sum->at[j][1], x, high);
    }
}

/* The next pair of the lines; none, once there are no more, costs as much as one that is there already. */
HEEDI_AVX512_INLINE void ask_for(heedi_ahead *ahead) {
    _mm_prefetch((const char *)ahead->at, _MM_HINT_T1);
    _mm_prefetch((const char *)(ahead->at + LINE), _MM_HINT_T1);
    ahead->at += ahead->n > 0 ? ahead->step : 0;
    ahead->n -= ahead->n > 0;
}

HEEDI_AVX512_INLINE void move_on(const real *strips[GROUPS], size_t n) {
#pragma GCC unroll 4
    for (size_t g = 0; g < GROUPS; g++)
        strips[g] += n;
}

/* With the numbers that a compiler knows it needs no registers for them: columns, the step of a packed left panel, and
 * that k runs along memory or strips lie side by side. */
HEEDI_AVX512_INLINE void tile(real *c, size_t c_step, const size_t columns, size_t k, real alpha, const real *left,
                              size_t left_step, const real *right, size_t step, size_t k_step,
                              const heedi_tile_terms *terms, heedi_ahead ahead) {
    sums sum;
    const real *strips[GROUPS];
#pragma GCC unroll 12
    for (size_t j = 0; j < columns; j++)
        sum.at[j][0] = sum.at[j][1] = _mm512_setzero_ps();
#pragma GCC unroll 4
    for (size_t g = 0; g < GROUPS; g++)
        strips[g] = right + g * GROUP * step;
    const real *first = terms->first, *second = terms->second;
    const size_t first_step = terms->first_step, second_step = terms->second_step;
    const char *c_line = (const char *)c, *c_end = (const char *)(c + columns * c_step);
    const char *second_line = second ? (const char *)second : c_line;
    const bool packed = left_step == LEFT;
    const size_t left_ahead = LEFT_AHEAD * left_step;
    ahead.at = ahead.n > 0 ? ahead.at : left;
    size_t p = 0;
    for (; p + STEP <= k; p += STEP) {
        if (c_line < c_end) {
            _mm_prefetch(c_line, _MM_HINT_T0);
            _mm_prefetch(c_line + 64, _MM_HINT_T0);
            _mm_prefetch(second_line, _MM_HINT_T0);
            _mm_prefetch(second_line + 64, _MM_HINT_T0);
            c_line += c_step * sizeof *c;
            second_line += second_step * sizeof *c;
        }
        ask_for(&ahead);
#pragma GCC unroll 8
        for (size_t q = 0; q < STEP; q++) {
            const real *now = packed ? left + q * LEFT : left;
            _mm_prefetch((const char *)(now + left_ahead), _MM_HINT_T0);
            _mm_prefetch((const char *)(now + left_ahead + LINE), _MM_HINT_T0);
            multiply_add(&sum, now, strips, columns, step, k_step == 1 ? q : 0);
            if (!packed)
                left += left_step;
            if (k_step != 1)
                move_on(strips, k_step);
        }
        if (packed)
            left += STEP * LEFT;
        if (k_step == 1)
            move_on(strips, STEP);
#pragma GCC unroll 4
        for (size_t g = 0; g < GROUPS; g++)
            __asm__("" : "+r"(strips[g]));
        __asm__("" : "+r"(left));
    }
    for (; p < k; p++) {
        multiply_add(&sum, left, strips, columns, step, 0);
        left += left_step;
        move_on(strips, k_step);
    }
    if (alpha != 1) {
#pragma GCC unroll 12
        for (size_t j = 0; j < columns; j++) {
            sum.at[j][0] = _mm512_mul_ps(_mm512_set1_ps(alpha), sum.at[j][0]);
            sum.at[j][1] = _mm512_mul_ps(_mm512_set1_ps(alpha), sum.at[j][1]);
        }
    }
#pragma GCC unroll 12
    for (size_t j = 0; j < columns; j++) {
        real *out = c + j * c_step;
        __m512 low = sum.at[j][0], high = sum.at[j][1];
        if (first) {
            low = _mm512_add_ps(_mm512_loadu_ps(first + j * first_step), low);
            high = _mm512_add_ps(_mm512_loadu_ps(first + j * first_step + LINE), high);
        }
        if (second) {
            low = _mm512_add_ps(_mm512_loadu_ps(second + j * second_step), low);
            high = _mm512_add_ps(_mm512_loadu_ps(second + j * second_step + LINE), high);
        }
        _mm512_storeu_ps(out, low);
        _mm512_storeu_ps(out + LINE, high);
    }
}

HEEDI_AVX512_INLINE void tile_along(real *c, size_t c_step, size_t columns, real alpha, const heedi_tile_operands *o,
                                    size_t left_step, const heedi_tile_terms *terms, const heedi_ahead *ahead) {
    if (columns == RIGHT)
        tile(c, c_step, RIGHT, o->k, alpha, o->left, left_step, o->right.at, o->right.step, 1, terms, *ahead);
    else
        tile(c, c_step, HEEDI_TILE_REST, o->k, alpha, o->left, left_step, o->right.at, o->right.step, 1, terms, *ahead);
}

HEEDI_AVX512 void heedi_tile(real *c, size_t c_step, size_t columns, real alpha, const heedi_tile_operands *operands,
                             const heedi_tile_terms *terms, const heedi_ahead *ahead) {
    const heedi_tile_operands *o = operands;
    if (o->right.k_step != 1)
        tile(c, c_step, RIGHT, o->k, alpha, o->left, LEFT, o->right.at, 1, RIGHT, terms, *ahead);
    else if (o->left_step == LEFT)
        tile_along(c, c_step, columns, alpha, o, LEFT, terms, ahead);
    else
        tile_along(c, c_step, columns, alpha, o, o->left_step, terms, ahead);
}

bool heedi_tile_usable(void) {
    return heedi_has_avx512();
}

#else

bool heedi_tile_usable(void) {
    return false;
}

void heedi_tile(real *c, size_t c_step, size_t columns, real alpha, const heedi_tile_operands *operands,
                const heedi_tile_terms *terms, const heedi_ahead *ahead) {
    (void)c, (void)c_step, (void)columns, (void)alpha, (void)operands, (void)terms, (void)ahead;
    heed_bug(__FILE__, __LINE__, "this processor has no registers for the tile");
}

#endif
