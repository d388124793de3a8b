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
#define SLOT HEED_STATISTIC_SLOT
#define SLOTS (N_SEQUENCES * LAYERS * HEADS * SLOT)

static const size_t lengths[N_SEQUENCES] = {5, 1, 70, 0, 64};

/* Few different tokens, and up to two true positions for every other query: functions of the place in the global batch.
 */
#define N_TRUTH 2
static int32_t token_at(size_t sequence, size_t i) {
    return (int32_t)((31 * sequence + 7 * i * i) % 5);
}

static int32_t truth_at(size_t i, size_t t) {
    return i % 2 ? -1 : t == 0 ? (int32_t)(i / 3) : i > 6 ? (int32_t)i - 1 : -1;
}

/* Points the view at a batch of its rows. */
typedef struct sample_batch {
    heed_batch batch;
    int32_t token[256], truth[256 * N_TRUTH];
} sample_batch;

static void batch_fill(sample_batch *b, sample_view *s) {
    for (size_t q = 0; q < s->rows.n_sequences; q++)
        for (size_t r = s->first_row[q]; r < s->first_row[q + 1]; r++) {
            b->token[r] = token_at(s->sequence[q], r - s->first_row[q]);
            for (size_t t = 0; t < N_TRUTH; t++)
                b->truth[r * N_TRUTH + t] = truth_at(r - s->first_row[q], t);
        }
    b->batch = (heed_batch){.rows = s->rows, .token = b->token, .truth = b->truth, .n_truth = N_TRUTH};
    s->view.batch = &b->batch;
    s->view.query_rows = s->view.key_rows = &b->batch.rows;
}

/* Both layers of sequences [from, to), added to per_sequence. */
static void see(double *per_sequence, size_t from, size_t to, bool backward) {
    heed_head_statistics statistics = {.per_sequence = per_sequence, .layers = LAYERS, .heads = HEADS};
    statistics.scratch = malloc(heed_head_statistics_scratch(TIME) * sizeof(real));
    for (size_t layer = 0; layer < LAYERS; layer++) {
        sample_view s;
        view_create(&s, lengths, from, to, layer);
        static sample_batch b;
        view_point(&s);
        batch_fill(&b, &s);
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
                double expected[SLOT] = {0}, *weight = expected + HEED_N_STATISTICS;
                for (size_t row = s.first_row[q]; row < s.first_row[q + 1]; row++) {
                    const size_t i = row - s.first_row[q];
                    double top = 0, repeats = 0, positive = 0, there = 0, rest = 0, n_there = 0;
                    true_weights(a, &s, row, s.first_row[q], head);
                    true_advantage(advantage, a, &s, row, s.first_row[q], head);
                    for (size_t j = 0; j <= i; j++) {
                        const bool is_true = (int32_t)j == truth_at(i, 0) || (int32_t)j == truth_at(i, 1);
                        const bool repeats_here = j < i && token_at(q, j) == token_at(q, i);
                        const double credit = a[j] * advantage[j];
                        expected[HEED_ENTROPY] -= a[j] * log(a[j]);
                        expected[HEED_DISTANCE] += a[j] * (double)(i - j);
                        expected[HEED_CREDIT_SIZE] += fabs(credit);
                        expected[HEED_DUPLICATE] += repeats_here ? a[j] : 0;
                        expected[HEED_INDUCTION] += repeats_here ? a[j + 1] : 0;
                        top = a[j] > top ? a[j] : top;
                        repeats += repeats_here;
                        if (truth_at(i, 0) < 0)
                            continue;
                        expected[HEED_ON_TARGET] += is_true ? a[j] : 0;
                        expected[HEED_CREDIT_TARGET] += is_true ? credit : 0;
                        expected[HEED_CREDIT_SHARE] += is_true && credit > 0 ? credit : 0;
                        positive += credit > 0 ? credit : 0;
                        there += is_true ? advantage[j] : 0;
                        rest += is_true ? 0 : advantage[j];
                        n_there += is_true;
                    }
                    expected[HEED_TOP1] += top;
                    expected[HEED_PREVIOUS] += i > 0 ? a[i - 1] : 0;
                    weight[HEED_ENTROPY]++, weight[HEED_DISTANCE]++, weight[HEED_TOP1]++, weight[HEED_CREDIT_SIZE]++;
                    weight[HEED_PREVIOUS] += i > 0;
                    weight[HEED_DUPLICATE] += repeats > 0;
                    weight[HEED_INDUCTION] += repeats > 0;
                    if (truth_at(i, 0) < 0)
                        continue;
                    weight[HEED_ON_TARGET]++, weight[HEED_CREDIT_TARGET]++, weight[HEED_ADVANTAGE_TARGET]++;
                    weight[HEED_CREDIT_SHARE] += positive;
                    expected[HEED_ADVANTAGE_TARGET] += there / n_there;
                    expected[HEED_ADVANTAGE_REST] += i + 1 > n_there ? rest / ((double)i + 1 - n_there) : 0;
                    weight[HEED_ADVANTAGE_REST] += (double)i + 1 > n_there;
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

static void mean_divides_by_weights(void **state) {
    (void)state;
    double sums[SLOTS] = {0}, mean[LAYERS * HEADS * HEED_N_STATISTICS];
    see(sums, 0, N_SEQUENCES, false);
    heed_head_statistics_mean(mean, sums, N_SEQUENCES, LAYERS, HEADS);
    for (size_t h = 0; h < LAYERS * HEADS; h++)
        for (size_t k = 0; k < HEED_N_STATISTICS; k++) {
            double sum = 0, weight = 0;
            for (size_t q = 0; q < N_SEQUENCES; q++) {
                sum += sums[(q * LAYERS * HEADS + h) * SLOT + k];
                weight += sums[(q * LAYERS * HEADS + h) * SLOT + HEED_N_STATISTICS + k];
            }
            const bool needs_backward = k >= HEED_CREDIT_SIZE;
            assert_true(needs_backward == (weight == 0));
            assert_true(needs_backward ? isnan(mean[h * HEED_N_STATISTICS + k])
                                       : mean[h * HEED_N_STATISTICS + k] == sum / weight);
        }
    assert_true(HEED_CREDIT_SIZE == HEED_ON_TARGET + 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follow_their_definitions),
        cmocka_unit_test(same_bits_for_all_threads_and_ranks),
        cmocka_unit_test(mean_divides_by_weights),
    };
    heed_error error = HEED_ERROR_INIT;
    if (heed_gemm_open(heed_gemm_best(), 3, &error) != HEED_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
