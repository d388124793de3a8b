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

enum {
    SKIPPED = 77,
    MOST_K = 400,
    MOST_LEFT_STEP = 39,
    LEFT = HEEDI_TILE_LEFT,
    RIGHT = HEEDI_TILE_RIGHT,
    C_STEP = LEFT + 7
};

static void fill(real *x, size_t n, uint32_t site) {
    const heed_rng rng = {.seed = 5, .purpose = HEED_PURPOSE_TEST, .site = site};
    for (size_t i = 0; i < n; i++) {
        double pair[2];
        heed_rng_normal(pair, &rng, (uint32_t)(i / 2));
        x[i] = (real)pair[i % 2];
    }
}

static real expected(real c, real alpha, const heedi_tile_operands *o, const real *first, bool add, size_t i,
                     size_t j) {
    real sum = 0;
    for (size_t p = 0; p < o->k; p++)
        sum = fmaf(o->right.at[j * o->right.step + p * o->right.k_step], o->left[p * o->left_step + i], sum);
    sum *= alpha;
    sum = first ? first[j * LEFT + i] + sum : sum;
    return add ? c + sum : sum;
}

static void check(size_t columns, size_t k, real alpha, size_t left_step, bool along, bool joins, bool add) {
    static real left[MOST_K * MOST_LEFT_STEP + 1] __attribute__((aligned(HEED_ALIGNMENT))), right[RIGHT * (MOST_K + 3)];
    static real before[RIGHT * C_STEP], c[RIGHT * C_STEP], waiting[RIGHT * LEFT];
    fill(left, sizeof left / sizeof *left, 1);
    fill(right, RIGHT * (MOST_K + 3), 2);
    fill(before, RIGHT * C_STEP, 3);
    fill(waiting, RIGHT * LEFT, 4);
    memcpy(c, before, sizeof c);
    const heedi_tile_operands o = {left + (left_step != LEFT), left_step,
                                   along ? (heedi_strips){right, k + 3, 1} : (heedi_strips){right, 1, RIGHT}, k};
    const heedi_ahead ahead = {right, add ? 3 : 0, 2 * RIGHT};
    const real *first = joins ? waiting : NULL;
    const heedi_tile_terms terms = {first, add ? c : NULL, LEFT, C_STEP};
    heedi_tile(c, C_STEP, columns, alpha, &o, &terms, &ahead);
    for (size_t j = 0; j < RIGHT; j++)
        for (size_t i = 0; i < C_STEP; i++) {
            const size_t at = j * C_STEP + i;
            const real should =
                i < LEFT && j < columns ? expected(before[at], alpha, &o, first, add, i, j) : before[at];
            if (memcmp(&c[at], &should, sizeof(real)) != 0)
                fail_msg("%zu columns, k %zu, alpha %g, left step %zu, along %d, joins %d, add %d: (%zu, %zu) is %.9g, "
                         "not %.9g",
                         columns, k, (double)alpha, left_step, along, joins, add, j, i, (double)c[at], (double)should);
        }
}

static void it_is_one_chain(void **state) {
    (void)state;
    static const size_t ks[] = {1, 7, 8, 9, 64, 100, 256, 384, MOST_K};
    for (size_t n = 0; n < sizeof ks / sizeof *ks; n++)
        for (int flags = 0; flags < 8; flags++) {
            const real alpha = flags & 1 ? (real)-0.3 : 1;
            const bool add = flags & 2, joins = flags & 4;
            check(RIGHT, ks[n], alpha, LEFT, false, joins, add);
            for (size_t columns = HEEDI_TILE_REST; columns <= RIGHT; columns += RIGHT - HEEDI_TILE_REST) {
                check(columns, ks[n], alpha, LEFT, true, joins, add);
                check(columns, ks[n], alpha, MOST_LEFT_STEP, true, joins, add);
            }
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(it_is_one_chain)};
    return heedi_tile_usable() ? cmocka_run_group_tests(tests, NULL, NULL) : SKIPPED;
}
