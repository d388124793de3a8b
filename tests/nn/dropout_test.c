/* Dropout's masks: which word of which block decides an element, how many are kept, and what the mask does not depend
 * on. */
#include "nn_testing.h"

#include "heed/nn/attention.h"
#include "heed/nn/dropout.h"
#include "nn/dropout.h"
#include "nn/parallel.h"

static heed_rng key_of(uint64_t seed, uint32_t site, uint32_t step, uint32_t sequence) {
    return (heed_rng){.seed = seed, .purpose = HEED_PURPOSE_DROPOUT, .site = site, .step = step, .sequence = sequence};
}

/* Element (position, channel) as documented in src/nn/dropout.c, by one call of heed_rng_block each. */
static bool kept(const heed_rng *rng, size_t position, size_t width, size_t channel, double p) {
    uint32_t words[4];
    const size_t blocks = (width + 63) / 64 * 16;
    heed_rng_block(words, rng, (uint32_t)(position * blocks + channel / 64 * 16 + channel % 16));
    return (double)heed_uniform(words[channel / 16 % 4]) >= p;
}

static void layer_draws_the_documented_words(void **state) {
    (void)state;
    const size_t lengths[] = {3, 0, 5, 1}, widths[] = {1, 17, 64, 130};
    for (size_t k = 0; k < 4; k++) {
        ragged_memory memory;
        const heed_ragged *rows = make_ragged(&memory, 4, lengths, 2);
        const size_t width = widths[k], n = rows->n_rows * width;
        real *x = random_reals(n, 1), *y = random_reals(n, 1);
        const uint64_t seed = 0x123456789abcdefu;
        heed_dropout(y, rows, width, (real)0.375, seed, 77, 1000);
        for (size_t s = 0; s < 4; s++) {
            const heed_rng rng = key_of(seed, 77, 1000, rows->sequence[s]);
            for (size_t p = 0; p < lengths[s]; p++)
                for (size_t c = 0; c < width; c++) {
                    const size_t at = (rows->first_row[s] + p) * width + c;
                    assert_true(y[at] == (kept(&rng, p, width, c, 0.375) ? x[at] * (real)1.6 : 0));
                }
        }
        heed_dropout(x, rows, width, 0, seed, 77, 1000); /* p = 0 changes nothing */
        real *same = random_reals(n, 1);
        assert_memory_equal(x, same, n * sizeof *x);
        free(x);
        free(y);
        free(same);
    }
}

static void attention_masks_draw_the_documented_words(void **state) {
    (void)state;
    const size_t key_lengths[] = {1, 6, 33};
    heedi_dropout dropout;
    heedi_dropout_init(&dropout, (real)0.5, 99, 12, 7);
    for (size_t k = 0; k < 3; k++) {
        const size_t keys = key_lengths[k], first_row = 40;
        real *mask = unset_reals(keys * HEEDI_LANES);
        heedi_dropout_mask(mask, &dropout, 5, first_row, keys, keys);
        const heed_rng rng = key_of(99, 12, 7, 5);
        for (size_t j = 0; j < keys; j++)
            for (size_t l = 0; l < HEEDI_LANES; l++) {
                uint32_t words[4];
                heed_rng_block(words, &rng, (uint32_t)((first_row + l) * ((keys + 3) / 4) + j / 4));
                assert_true(mask[j * HEEDI_LANES + l] == (heed_uniform(words[j % 4]) >= 0.5f ? 2 : 0));
            }
        free(mask);
    }
}

/* The share of elements that are kept is 1 - p within five standard deviations, for neighbouring steps and sites that
 * have nothing in common. */
static void share_kept_is_one_minus_p(void **state) {
    (void)state;
    const size_t lengths[] = {500}, width = 128, n = 500 * 128;
    ragged_memory memory;
    const heed_ragged *rows = make_ragged(&memory, 1, lengths, 1);
    const double p = 0.1;
    real *x[3];
    for (uint32_t k = 0; k < 3; k++) {
        x[k] = unset_reals(n);
        for (size_t i = 0; i < n; i++)
            x[k][i] = 1;
        heed_dropout(x[k], rows, width, (real)p, 3, 1 + (k == 1), 1 + (k == 2));
        double dropped = 0;
        for (size_t i = 0; i < n; i++)
            dropped += x[k][i] == 0;
        assert_true(fabs(dropped - p * (double)n) < 5 * sqrt(p * (1 - p) * (double)n));
    }
    for (uint32_t k = 1; k < 3; k++) { /* independent: both dropped with probability p^2 */
        double both = 0;
        for (size_t i = 0; i < n; i++)
            both += x[0][i] == 0 && x[k][i] == 0;
        assert_true(fabs(both - p * p * (double)n) < 5 * sqrt(p * p * (1 - p * p) * (double)n));
    }
    for (uint32_t k = 0; k < 3; k++)
        free(x[k]);
}

/* A sequence's masks are the same whatever shares its batch: in the layer and in attention. */
static void mask_depends_on_the_sequence_alone(void **state) {
    (void)state;
    const size_t lengths[] = {9, 21, 40}, heads = 2, head_width = 5, width = heads * head_width;
    ragged_memory memory, alone_memory;
    const heed_ragged *rows = make_ragged(&memory, 3, lengths, 1);
    const heed_ragged *alone = make_ragged(&alone_memory, 1, &lengths[1], 1);
    alone_memory.sequence[0] = memory.sequence[1];
    const size_t at = rows->first_row[1] * width, n = lengths[1] * width;
    real *x = random_reals(rows->n_rows * width, 1), *query = random_reals(rows->n_rows * width, 2);
    real *all = unset_reals(rows->n_rows * width), *one = unset_reals(n), *log_sum = unset_reals(rows->n_rows * heads);
    heed_attention attention = {.heads = heads,
                                .head_width = head_width,
                                .causal = true,
                                .scale = 1,
                                .query_stride = width,
                                .key_stride = width,
                                .dropout = (real)0.3,
                                .seed = 4,
                                .scratch = unset_reals(heed_attention_scratch(40, head_width))};
    heed_attention_forward(&attention, all, log_sum, query, x, x, rows, rows);
    heed_attention_forward(&attention, one, log_sum, query + at, x + at, x + at, alone, alone);
    assert_memory_equal(all + at, one, n * sizeof *one);
    memcpy(one, x + at, n * sizeof *one);
    heed_dropout(x, rows, width, (real)0.3, 4, 1, 1);
    heed_dropout(one, alone, width, (real)0.3, 4, 1, 1);
    assert_memory_equal(x + at, one, n * sizeof *one);
    real *owned[] = {x, query, all, one, log_sum, attention.scratch};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layer_draws_the_documented_words),
        cmocka_unit_test(attention_masks_draw_the_documented_words),
        cmocka_unit_test(share_kept_is_one_minus_p),
        cmocka_unit_test(mask_depends_on_the_sequence_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
