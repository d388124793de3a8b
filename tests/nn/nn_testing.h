/* What the tests of the layers share: fixed random numbers, ragged batches, five-point differences. */
#ifndef HEED_TESTS_NN_TESTING_H
#define HEED_TESTS_NN_TESTING_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heed/ragged.h"
#include "heed/real.h"
#include "heed/rng.h"

/* n numbers uniform in [-1, 1), fixed by seed, exact in float: both precisions see the same inputs. A quarter of the
 * memory behind them is set to NaN, so that reading past the end does not pass unseen. The caller frees them. */
static inline real *random_reals(size_t n, uint64_t seed) {
    const size_t behind = 16;
    real *x = aligned_alloc(64, ((n + behind) * sizeof *x + 63) / 64 * 64);
    const heed_rng rng = {.seed = seed, .purpose = HEED_PURPOSE_TEST};
    for (size_t i = 0; i < n; i++) {
        uint32_t words[4];
        heed_rng_block(words, &rng, (uint32_t)i);
        x[i] = (real)(2 * heed_uniform(words[0]) - 1);
    }
    for (size_t i = n; i < n + behind; i++)
        x[i] = (real)NAN;
    return x;
}

/* n NaNs: every function that says "overwrites" is given these. */
static inline real *unset_reals(size_t n) {
    real *x = random_reals(n, 0);
    for (size_t i = 0; i < n; i++)
        x[i] = (real)NAN;
    return x;
}

#define MAX_SEQUENCES 32

/* A ragged batch of n sequences, in grains of `grain`; its memory is in the struct itself. */
typedef struct ragged_memory {
    heed_ragged rows;
    size_t first_row[MAX_SEQUENCES + 1], first_of[MAX_SEQUENCES + 1];
    uint32_t sequence[MAX_SEQUENCES];
} ragged_memory;

static inline const heed_ragged *make_ragged(ragged_memory *memory, size_t n, const size_t *lengths, size_t grain) {
    assert_true(n <= MAX_SEQUENCES);
    heed_ragged *rows = &memory->rows;
    *rows = (heed_ragged){.n_sequences = n,
                          .first_row = memory->first_row,
                          .sequence = memory->sequence,
                          .n_grains = (n + grain - 1) / grain,
                          .first_of = memory->first_of};
    memory->first_row[0] = 0;
    for (size_t s = 0; s < n; s++) {
        memory->sequence[s] = (uint32_t)(100 + 3 * s);
        memory->first_row[s + 1] = memory->first_row[s] + lengths[s];
        rows->max_length = lengths[s] > rows->max_length ? lengths[s] : rows->max_length;
    }
    for (size_t g = 0; g <= rows->n_grains; g++)
        memory->first_of[g] = g * grain < n ? g * grain : n;
    rows->n_rows = memory->first_row[n];
    return rows;
}

static inline real dot(const real *a, const real *b, size_t n) {
    real sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* A scalar function of everything that context points to. */
typedef real scalar_function(void *context);

/* Compares an analytic gradient with five-point differences,
 *   f'(x) = (f(x - 2h) - 8 f(x - h) + 8 f(x + h) - f(x + 2h)) / 12 h,  h = 3e-3,
 * at every stride-th element of x: the error's norm must be within 1e-7 of the gradient's norm, floor 1e-8. */
static inline void check_gradient(const char *what, real *x, size_t n, size_t stride, const real *analytic,
                                  scalar_function *f, void *context) {
    const real h = (real)3e-3;
    double error = 0, norm = 0;
    for (size_t i = 0; i < n; i += stride) {
        const real at = x[i];
        real value[4];
        const real step[4] = {-2 * h, -h, h, 2 * h};
        for (int k = 0; k < 4; k++) {
            x[i] = at + step[k];
            value[k] = f(context);
        }
        x[i] = at;
        const double numeric = (double)(value[0] - 8 * value[1] + 8 * value[2] - value[3]) / (12 * (double)h);
        error += (numeric - (double)analytic[i]) * (numeric - (double)analytic[i]);
        norm += numeric * numeric;
    }
    if (!(sqrt(error) <= 1e-7 * sqrt(norm) + 1e-8))
        fail_msg("%s: gradient is off by %.3g, its norm is %.3g", what, sqrt(error), sqrt(norm));
}

#endif
