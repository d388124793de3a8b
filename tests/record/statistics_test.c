/* Head statistics against their definitions, and their bits against threads and ranks. */
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "heed/attention_log.h"
#include "heed/gemm.h"
#include "record/views.h"
#include "store/expect.h"

#define N_SEQUENCES 5
#define SLOT (HEED_N_STATISTICS + 1)
#define SLOTS (N_SEQUENCES * LAYERS * HEADS * SLOT)

static const size_t lengths[N_SEQUENCES] = {5, 1, 70, 0, 64};

/* Both layers of sequences [from, to), added to per_sequence. */
static void see(double *per_sequence, size_t from, size_t to, bool backward) {
    heed_head_statistics statistics = {.per_sequence = per_sequence, .layers = LAYERS, .heads = HEADS};
    statistics.scratch = malloc(heed_head_statistics_scratch(TIME) * sizeof(real));
    for (size_t layer = 0; layer < LAYERS; layer++) {
        sample_view s;
        view_create(&s, lengths, from, to, layer);
        view_point(&s);
        if (!backward)
            s.view.d_output = NULL;
        heed_head_statistics_see(&statistics, &s.view);
        free(s.values);
    }
    free(statistics.scratch);
}

static void follow_their_definitions(void **state) {
    (void)state;
    double found[SLOTS] = {0}, a[TIME], advantage[TIME];
    const double tolerance = sizeof(real) == 8 ? 1e-12 : 2e-5;
    see(found, 0, N_SEQUENCES, true);
    for (size_t layer = 0; layer < LAYERS; layer++) {
        sample_view s;
        view_create(&s, lengths, 0, N_SEQUENCES, layer);
        view_point(&s);
        for (size_t q = 0; q < N_SEQUENCES; q++)
            for (size_t head = 0; head < HEADS; head++) {
                double expected[SLOT] = {0};
                for (size_t row = s.first_row[q]; row < s.first_row[q + 1]; row++) {
                    const size_t i = row - s.first_row[q];
                    double top = 0;
                    true_weights(a, &s, row, s.first_row[q], head);
                    true_advantage(advantage, a, &s, row, s.first_row[q], head);
                    for (size_t j = 0; j <= i; j++) {
                        expected[HEED_ENTROPY] -= a[j] * log(a[j]);
                        expected[HEED_DISTANCE] += a[j] * (double)(i - j);
                        expected[HEED_CREDIT_SIZE] += fabs(a[j] * advantage[j]);
                        top = a[j] > top ? a[j] : top;
                    }
                    expected[HEED_TOP1] += top;
                    expected[HEED_PREVIOUS] += i > 0 ? a[i - 1] : 0;
                    expected[HEED_N_STATISTICS] += 1;
                }
                const double *slot = found + ((q * LAYERS + layer) * HEADS + head) * SLOT;
                for (int k = 0; k < SLOT; k++)
                    if (!(fabs(slot[k] - expected[k]) <= tolerance * (1 + fabs(expected[k]))))
                        fail_msg("sequence %zu layer %zu head %zu statistic %d: %.17g, expected %.17g", q, layer, head,
                                 k, slot[k], expected[k]);
            }
        free(s.values);
    }
}

static void same_bits_for_all_threads_and_ranks(void **state) {
    (void)state;
    double one[SLOTS] = {0}, two[SLOTS] = {0}, parts[SLOTS] = {0};
    omp_set_num_threads(1);
    see(one, 0, N_SEQUENCES, true);
    see(parts, 0, 2, true);
    see(parts, 2, 3, true);
    see(parts, 3, N_SEQUENCES, true);
    omp_set_num_threads(3);
    for (int again = 0; again < 200; again++) { /* threads that share what they should not do not always meet */
        memset(two, 0, sizeof two);
        see(two, 0, N_SEQUENCES, true);
        assert_memory_equal(one, two, sizeof one);
    }
    assert_memory_equal(one, parts, sizeof one);
}

static void mean_divides_by_queries(void **state) {
    (void)state;
    double sums[SLOTS] = {0}, mean[LAYERS * HEADS * HEED_N_STATISTICS];
    const double queries = 5 + 1 + 70 + 64, with_previous = 4 + 69 + 63;
    see(sums, 0, N_SEQUENCES, false);
    heed_head_statistics_mean(mean, sums, N_SEQUENCES, LAYERS, HEADS);
    for (size_t h = 0; h < LAYERS * HEADS; h++) {
        double top1 = 0, previous = 0;
        for (size_t q = 0; q < N_SEQUENCES; q++) {
            top1 += sums[(q * LAYERS * HEADS + h) * SLOT + HEED_TOP1];
            previous += sums[(q * LAYERS * HEADS + h) * SLOT + HEED_PREVIOUS];
        }
        assert_true(mean[h * HEED_N_STATISTICS + HEED_TOP1] == top1 / queries);
        assert_true(mean[h * HEED_N_STATISTICS + HEED_PREVIOUS] == previous / with_previous);
        assert_true(isnan(mean[h * HEED_N_STATISTICS + HEED_CREDIT_SIZE])); /* no backward pass, no credit */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follow_their_definitions),
        cmocka_unit_test(same_bits_for_all_threads_and_ranks),
        cmocka_unit_test(mean_divides_by_queries),
    };
    heed_error error = HEED_ERROR_INIT;
    if (heed_gemm_open(heed_gemm_best(), 1, &error) != HEED_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
