/* The tile of our own against what it says: one chain of fused multiply-adds in the order of k, made here with fmaf. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "engine/gemm_tile.h"
#include "heed/arena.h"
#include "heed/rng.h"

enum { SKIPPED = 77, MOST_K = 400, LEFT = HEEDI_TILE_LEFT, RIGHT = HEEDI_TILE_RIGHT, C_STEP = LEFT + 7 };

static void fill(real *x, size_t n, uint32_t site) {
    const heed_rng rng = {.seed = 5, .purpose = HEED_PURPOSE_TEST, .site = site};
    for (size_t i = 0; i < n; i++) {
        double pair[2];
        heed_rng_normal(pair, &rng, (uint32_t)(i / 2));
        x[i] = (real)pair[i % 2];
    }
}

static real expected(real c, size_t k, real alpha, const real *left, const heedi_strips *right, bool add, size_t i,
                     size_t j) {
    real sum = 0;
    for (size_t p = 0; p < k; p++)
        sum = fmaf(right->at[j * right->step + p * right->k_step], left[p * LEFT + i], sum);
    sum *= alpha;
    return add ? c + sum : sum;
}

static void check(size_t k, real alpha, bool along, bool add) {
    static real left[MOST_K * LEFT] __attribute__((aligned(HEED_ALIGNMENT))), right[RIGHT * (MOST_K + 3)];
    static real before[RIGHT * C_STEP], c[RIGHT * C_STEP];
    fill(left, MOST_K * LEFT, 1);
    fill(right, RIGHT * (MOST_K + 3), 2);
    fill(before, RIGHT * C_STEP, 3);
    memcpy(c, before, sizeof c);
    const heedi_strips strips = along ? (heedi_strips){right, k + 3, 1} : (heedi_strips){right, 1, RIGHT};
    const heedi_ahead ahead = {right, add ? 3 : 0};
    heedi_tile(c, C_STEP, k, alpha, left, &strips, add, &ahead);
    for (size_t j = 0; j < RIGHT; j++)
        for (size_t i = 0; i < C_STEP; i++) {
            const size_t at = j * C_STEP + i;
            const real right_value = i < LEFT ? expected(before[at], k, alpha, left, &strips, add, i, j) : before[at];
            if (memcmp(&c[at], &right_value, sizeof(real)) != 0)
                fail_msg("k %zu, alpha %g, along %d, add %d: (%zu, %zu) is %.9g, not %.9g", k, (double)alpha, along,
                         add, j, i, (double)c[at], (double)right_value);
        }
}

static void it_is_one_chain(void **state) {
    (void)state;
    static const size_t ks[] = {1, 7, 8, 9, 64, 100, 256, 384, MOST_K};
    for (size_t n = 0; n < sizeof ks / sizeof *ks; n++)
        for (int flags = 0; flags < 8; flags++)
            check(ks[n], flags & 4 ? (real)-0.3 : 1, flags & 1, flags & 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_is_one_chain)};
    return heedi_tile_usable() ? cmocka_run_group_tests(tests, NULL, NULL) : SKIPPED;
}
