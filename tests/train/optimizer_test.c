/* The update rules against PyTorch, in double to 1e-11 and in float to a few roundings; ranges, gaps and threads do not
 * matter. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <omp.h>

#include <cmocka.h>

#include "heed/optimizer.h"
#include "heed/rng.h"
#include "torch_fixture.h"

/* The fixture script's `number`. */
static double number(int64_t i, int64_t t) {
    return (double)((i * 7919 + t * 104729 + 12345) * 69069 % 1048576 - 524288) / 524288.0;
}

/* One matrix at element 64, one gain right behind it, then a gap to the end of the block. */
static heed_tensor tensors[3];
static heed_params two_tensors(size_t matrix_size, size_t gain_size) {
    tensors[0] = (heed_tensor){.role = HEED_ROLE_MATRIX, .size = matrix_size, .offset = 64, .tied_to = -1};
    tensors[1] = (heed_tensor){.role = HEED_ROLE_TABLE, .size = matrix_size, .offset = 64, .tied_to = 0};
    tensors[2] = (heed_tensor){
        .role = HEED_ROLE_GAIN, .size = gain_size, .offset = 64 + (matrix_size + 15) / 16 * 16, .tied_to = -1};
    const size_t end = tensors[2].offset + gain_size;
    return (heed_params){
        .n_tensors = 3, .tensors = tensors, .n_elements = (end + HEED_BLOCK - 1) / HEED_BLOCK * HEED_BLOCK};
}

static heed_config adamw(double decay) {
    heed_config config = {0};
    config.train.optimizer = HEED_ADAMW;
    config.train.beta1 = 0.9, config.train.beta2 = 0.99, config.train.eps = 1e-8, config.train.weight_decay = decay;
    return config;
}

static heed_config sgd(double momentum) {
    heed_config config = {0};
    config.train.optimizer = HEED_SGD;
    config.train.momentum = momentum, config.train.weight_decay = 0.1;
    return config;
}

/* Runs the fixture's 200 steps on the matrix (decays) or the gain (does not); gradients arrive times 8, scaled by 1/8.
 */
static void run_against(const heed_config *config, bool on_gain, const double shown[FIXTURE_SHOWN][FIXTURE_N]) {
    static real w[HEED_BLOCK], g[HEED_BLOCK], m[HEED_BLOCK], v[HEED_BLOCK];
    memset(w, 0, sizeof w), memset(m, 0, sizeof m), memset(v, 0, sizeof v), memset(g, 0, sizeof g);
    const heed_params params = two_tensors(FIXTURE_N, FIXTURE_N);
    const size_t at = tensors[on_gain ? 2 : 0].offset;
    const int moments = heed_optimizer_moments(config);
    for (int i = 0; i < FIXTURE_N; i++)
        w[at + (size_t)i] = (real)number(i, 0);
    for (int t = 0, row = 0; t < FIXTURE_STEPS; t++) {
        for (int i = 0; i < FIXTURE_N; i++)
            g[at + (size_t)i] = (real)(8.0 * number(i, t + 1) * pow(10.0, -(i % 3)));
        heed_optimizer_update(config, &params, w, 0, HEED_BLOCK, g, moments > 0 ? m : NULL, moments > 1 ? v : NULL,
                              0.125, 0.01 / (1.0 + t), (uint64_t)t);
        if (t + 1 != fixture_shown[row])
            continue;
        for (int i = 0; i < FIXTURE_N; i++) {
            const double difference = fabs((double)w[at + (size_t)i] - shown[row][i]);
            const double tolerance = sizeof(real) == 8 ? 1e-11 : t < 20 ? 3e-6 : 2e-5;
            if (!(difference <= tolerance))
                fail_msg("step %d, element %d: off by %.3g", t + 1, i, difference);
        }
        row++;
    }
    for (size_t i = 0; i < HEED_BLOCK; i++)
        if (i < at || i >= at + FIXTURE_N)
            assert_true(w[i] == 0 && m[i] == 0 && v[i] == 0);
}

static void adamw_is_pytorchs(void **state) {
    (void)state;
    const heed_config decaying = adamw(0.1), plain = adamw(0.0);
    run_against(&decaying, false, torch_adamw_decay);
    run_against(&plain, false, torch_adamw_plain);
}

static void gains_do_not_decay(void **state) {
    (void)state;
    const heed_config config = adamw(0.1);
    run_against(&config, true, torch_adamw_plain);
}

static void sgd_is_pytorchs(void **state) {
    (void)state;
    const heed_config with = sgd(0.9), without = sgd(0.0);
    assert_int_equal(heed_optimizer_moments(&with), 1);
    assert_int_equal(heed_optimizer_moments(&without), 0);
    run_against(&with, false, torch_sgd_momentum);
    run_against(&without, false, torch_sgd_plain);
}

static void fill(real *x, size_t count, uint32_t site, double scale) {
    const heed_rng rng = {.seed = 5, .purpose = HEED_PURPOSE_TEST, .site = site};
    for (size_t i = 0; i < count; i += 2) {
        double pair[2];
        heed_rng_normal(pair, &rng, (uint32_t)i);
        x[i] = (real)(pair[0] * scale), x[i + 1] = (real)(pair[1] * scale);
    }
}

/* The same elements in one go, with other threads, and block by block: the same bits. */
static void ranges_and_threads_change_nothing(void **state) {
    (void)state;
    const heed_params params = two_tensors(9 * HEED_BLOCK + 77, 2 * HEED_BLOCK - 5);
    const size_t n = params.n_elements;
    const heed_config configs[] = {adamw(0.1), sgd(0.9), sgd(0.0)};
    real *memory = malloc(7 * n * sizeof *memory);
    real *w[2] = {memory, memory + n}, *m[2] = {memory + 2 * n, memory + 3 * n},
         *v[2] = {memory + 4 * n, memory + 5 * n};
    real *g = memory + 6 * n;
    for (int c = 0; c < 3; c++)
        for (int threads = 1; threads <= 3; threads++) {
            for (int k = 0; k < 2; k++) {
                fill(w[k], n, 1, 1.0), fill(m[k], n, 2, 1e-2), fill(v[k], n, 3, 1e-2);
                for (size_t i = 0; i < n; i++)
                    v[k][i] = (real)fabs((double)v[k][i]);
            }
            fill(g, n, 4, 1.0);
            omp_set_num_threads(1);
            for (size_t first = 0; first < n; first += HEED_BLOCK)
                heed_optimizer_update(&configs[c], &params, w[0], first, HEED_BLOCK, g + first,
                                      c < 2 ? m[0] + first : NULL, c < 1 ? v[0] + first : NULL, 0.37, 1e-2, 7);
            omp_set_num_threads(threads);
            heed_optimizer_update(&configs[c], &params, w[1], 0, n, g, c < 2 ? m[1] : NULL, c < 1 ? v[1] : NULL, 0.37,
                                  1e-2, 7);
            assert_memory_equal(w[0], w[1], n * sizeof *g);
            assert_memory_equal(m[0], m[1], n * sizeof *g);
            assert_memory_equal(v[0], v[1], n * sizeof *g);
        }
    free(memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_is_pytorchs),
        cmocka_unit_test(gains_do_not_decay),
        cmocka_unit_test(sgd_is_pytorchs),
        cmocka_unit_test(ranges_and_threads_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
