/* Small configurations and batches for the tests of the model. */
#ifndef TESTS_MODEL_FIXTURE_H
#define TESTS_MODEL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <omp.h>

#include <cmocka.h>

#include "heed/batch.h"
#include "heed/config.h"
#include "heed/gemm.h"
#include "heed/gradient.h"
#include "heed/model.h"
#include "heed/params.h"
#include "heed/rng.h"

static inline heed_config small_config(void) {
    heed_config config = {0};
    config.run.seed = 1234;
    config.model.layers = 2;
    config.model.heads = 3;
    config.model.width = 21;
    config.model.hidden = 35;
    config.model.time = 11;
    config.model.positions = HEED_LEARNED;
    config.model.norm_eps = 1e-5;
    config.model.activation = HEED_GELU;
    config.model.bias = true;
    config.model.init = HEED_INIT_GPT2;
    config.model.init_std = 0.02;
    return config;
}

/* For cmocka_run_group_tests. */
static inline int test_open_products(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    return heed_gemm_open(heed_gemm_best(), 1, &error);
}

/* Products are made ready for a number of threads: it may only change while they are closed. */
static inline void test_set_threads(int n_threads) {
    heed_error error = HEED_ERROR_INIT;
    heed_gemm_close();
    omp_set_num_threads(n_threads);
    assert_int_equal(heed_gemm_open(heed_gemm_best(), n_threads, &error), HEED_OK);
}

/* A number in [0, 1) for a place in a test. */
static inline double test_uniform(uint32_t site, uint32_t index) {
    const heed_rng rng = {.seed = 99, .purpose = HEED_PURPOSE_TEST, .site = site};
    uint32_t words[4];
    heed_rng_block(words, &rng, index);
    return (double)words[0] * 0x1p-32;
}

/* A batch of all sequences of a step, and views of it for ranks. */
typedef struct test_batch {
    size_t n_sequences, n_grains;
    size_t first_row[65], first_of[65];
    uint32_t sequence[64];
    int32_t token[2048], target[2048];
    real weight[2048];
    size_t first_source[65];
    int32_t source[2048];
    heed_batch batch;
} test_batch;

/* Sequences of the given lengths (0 ends the list), `grain` to a grain, random tokens and targets below vocab. Weights
 * are 1, or random with one row in four left out. */
static inline void test_batch_fill(test_batch *made, const size_t *lengths, size_t grain, size_t vocab, bool weighted,
                                   uint32_t site) {
    memset(made, 0, sizeof *made);
    while (lengths[made->n_sequences]) {
        const size_t s = made->n_sequences++;
        made->sequence[s] = (uint32_t)s;
        made->first_row[s + 1] = made->first_row[s] + lengths[s];
    }
    made->n_grains = (made->n_sequences + grain - 1) / grain;
    for (size_t g = 0; g <= made->n_grains; g++)
        made->first_of[g] = g * grain < made->n_sequences ? g * grain : made->n_sequences;
    const size_t n_rows = made->first_row[made->n_sequences];
    double total = 0;
    assert_true(n_rows <= 2048 && made->n_sequences <= 64);
    for (size_t r = 0; r < n_rows; r++) {
        made->token[r] = (int32_t)(test_uniform(site, (uint32_t)(4 * r)) * (double)vocab);
        made->target[r] = (int32_t)(test_uniform(site, (uint32_t)(4 * r + 1)) * (double)vocab);
        const double draw = test_uniform(site, (uint32_t)(4 * r + 2));
        made->weight[r] = (real)(!weighted ? 1 : draw < 0.25 ? 0 : draw);
        total += (double)made->weight[r];
    }
    size_t longest = 0;
    for (size_t s = 0; s < made->n_sequences; s++)
        longest = lengths[s] > longest ? lengths[s] : longest;
    made->batch = (heed_batch){.rows = {.n_rows = n_rows,
                                        .n_sequences = made->n_sequences,
                                        .max_length = longest,
                                        .first_row = made->first_row,
                                        .sequence = made->sequence,
                                        .n_grains = made->n_grains,
                                        .first_grain = 0,
                                        .first_of = made->first_of},
                               .token = made->token,
                               .target = made->target,
                               .weight = made->weight,
                               .n_global = made->n_sequences,
                               .weight_total = total,
                               .step = 7};
}

/* Gives every sequence of the batch a source of the given length (each > 0), of random tokens below vocab. */
static inline void test_batch_add_sources(test_batch *made, const size_t *lengths, size_t vocab, uint32_t site) {
    size_t longest = 0;
    for (size_t s = 0; s < made->n_sequences; s++) {
        made->first_source[s + 1] = made->first_source[s] + lengths[s];
        longest = lengths[s] > longest ? lengths[s] : longest;
    }
    const size_t n_rows = made->first_source[made->n_sequences];
    assert_true(n_rows <= 2048);
    for (size_t r = 0; r < n_rows; r++)
        made->source[r] = (int32_t)(test_uniform(site, (uint32_t)(4 * r + 3)) * (double)vocab);
    made->batch.source = made->batch.rows;
    made->batch.source.n_rows = n_rows;
    made->batch.source.max_length = longest;
    made->batch.source.first_row = made->first_source;
    made->batch.source_token = made->source;
}

/* Grains [first, first + count) of a batch, as the rank that holds them sees them. row and of are the view's storage
 * (65 each). */
static inline heed_batch test_batch_view(const test_batch *whole, size_t first, size_t count, size_t *row, size_t *of) {
    const size_t s0 = whole->first_of[first], s1 = whole->first_of[first + count];
    heed_batch view = whole->batch;
    view.rows.n_sequences = s1 - s0;
    view.rows.n_rows = whole->first_row[s1] - whole->first_row[s0];
    for (size_t s = s0; s <= s1; s++)
        row[s - s0] = whole->first_row[s] - whole->first_row[s0];
    for (size_t g = first; g <= first + count; g++)
        of[g - first] = whole->first_of[g] - s0;
    view.rows.first_row = row;
    view.rows.first_of = of;
    view.rows.sequence = whole->sequence + s0;
    view.rows.n_grains = count;
    view.rows.first_grain = first;
    view.token += whole->first_row[s0];
    view.target += whole->first_row[s0];
    view.weight += whole->first_row[s0];
    return view;
}

/* The sum over [lo, lo + n) of the tree from the partials of its ranks, as the owner of a shard completes it, written
 * from the definition: mid = lo + the largest power of two below n. */
typedef struct test_partial {
    heed_node node;
    const real *sum;
} test_partial;

static inline void test_complete(real *sum, const test_partial *partials, size_t n_partials, size_t lo, size_t n,
                                 size_t size) {
    for (size_t i = 0; i < n_partials; i++)
        if (partials[i].node.first == lo && partials[i].node.count == n) {
            memcpy(sum, partials[i].sum, size * sizeof(real));
            return;
        }
    assert_true(n > 1);
    size_t left = 1;
    while (2 * left < n)
        left *= 2;
    real *right = malloc(size * sizeof *right);
    test_complete(sum, partials, n_partials, lo, left, size);
    test_complete(right, partials, n_partials, lo + left, n - left, size);
    for (size_t i = 0; i < size; i++)
        sum[i] += right[i];
    free(right);
}

static inline double test_total_loss(heed_model *model, const heed_batch *batch) {
    double sequence_loss[64], sum = 0;
    heed_model_forward(model, batch, HEED_PASS_TRAIN);
    heed_model_loss(model, batch, NULL, sequence_loss, NULL);
    for (size_t s = 0; s < batch->rows.n_sequences; s++)
        sum += sequence_loss[s];
    return sum;
}

/* Of how many weights one is compared with its slope: under sanitizers, which look for something else and are slow,
 * every seventh passes through the same code. */
#ifdef HEED_SANITIZED
enum { TEST_ONE_WEIGHT_OF = 7 };
#else
enum { TEST_ONE_WEIGHT_OF = 1 };
#endif

/* The slope of the loss along one weight by five points: (f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / 12h */
static inline double test_slope(heed_model *model, const heed_batch *batch, size_t element, double h) {
    static const double place[4] = {-2, -1, 1, 2};
    real *weight = heed_model_weights(model) + element;
    const real keep = *weight;
    double loss[4];
    for (int i = 0; i < 4; i++) {
        *weight = (real)((double)keep + place[i] * h);
        loss[i] = test_total_loss(model, batch);
    }
    *weight = keep;
    return (8 * (loss[2] - loss[1]) - (loss[3] - loss[0])) / (12 * h);
}

#endif
