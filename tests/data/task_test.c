/* Generated tasks: what is asked, what is true and what is best, each against a second way to find it. */
#include "make_corpus.h"

#include <math.h>

#include "heed/batch.h"
#include "heed/task.h"

#define N_TASKS 11

static heed_config config_of(heed_task_kind kind, uint64_t seed) {
    heed_config config;
    heed_config_defaults(&config);
    config.data.task = kind;
    config.run.seed = (int64_t)seed;
    config.data.task_valid = 300;
    return config;
}

static heed_corpus *task_corpus(const heed_config *config) {
    heed_error error = HEED_ERROR_INIT;
    heed_corpus *corpus;
    const heed_task_settings settings = heed_task_settings_of(config);
    ok(heed_corpus_of_task(&corpus, &settings, &error), &error);
    return corpus;
}

static heed_batcher *batcher_of(heed_corpus *corpus, size_t batch, size_t grain, int rank, int size) {
    heed_error error = HEED_ERROR_INIT;
    heed_batcher *batcher;
    const heed_batch_shape shape = {.time = 128, .batch = batch, .grain = grain, .rank = rank, .size = size};
    ok(heed_batcher_create(&batcher, corpus, &shape, &error), &error);
    return batcher;
}

static heed_batch train(heed_batcher *batcher, uint64_t step) {
    heed_error error = HEED_ERROR_INIT;
    heed_batch batch;
    ok(heed_batcher_train(batcher, step, &batch, &error), &error);
    return batch;
}

static heed_batch valid(heed_batcher *batcher, size_t index) {
    heed_error error = HEED_ERROR_INIT;
    heed_batch batch;
    ok(heed_batcher_eval(batcher, index, &batch, &error), &error);
    return batch;
}

/* One sequence of a batch. */
typedef struct sample {
    const int32_t *token, *target, *truth;
    const real *weight;
    size_t length, n_truth;
} sample;

static sample sample_of(const heed_batch *b, size_t s) {
    const size_t first = b->rows.first_row[s];
    return (sample){b->token + first,  b->target + first,        b->truth ? b->truth + first * b->n_truth : NULL,
                    b->weight + first, heed_length(&b->rows, s), b->n_truth};
}

static bool is_true(const sample *x, size_t row, size_t place) {
    for (size_t k = 0; k < x->n_truth; k++)
        if (x->truth[row * x->n_truth + k] == (int32_t)place)
            return true;
    return false;
}

/* Calls check with every sequence of three training batches and the validation set. */
static void each_sample_of(heed_config config, void (*check)(const heed_task *task, const sample *x)) {
    for (config.run.seed = 1; config.run.seed <= 3; config.run.seed++) {
        heed_corpus *corpus = task_corpus(&config);
        heed_batcher *batcher = batcher_of(corpus, 100, 10, 0, 1);
        for (size_t i = 0; i < 6; i++) {
            const heed_batch b = i < 3 ? train(batcher, i * 1000000) : valid(batcher, i - 3);
            assert_int_equal(b.rows.n_sequences, 100);
            for (size_t s = 0; s < 100; s++) {
                const sample x = sample_of(&b, s);
                check(heed_corpus_task(corpus), &x);
            }
        }
        heed_batcher_destroy(batcher);
        heed_corpus_close(corpus);
    }
}

static void each_sample(heed_task_kind kind, void (*check)(const heed_task *task, const sample *x)) {
    each_sample_of(config_of(kind, 1), check);
}

/* --- what holds for all ----------------------------------------------------------------------------------------- */

static void every_task_is_well_formed(void **state) {
    (void)state;
    for (heed_task_kind kind = 1; kind <= N_TASKS; kind++) {
        const heed_config config = config_of(kind, 7);
        heed_corpus *corpus = task_corpus(&config);
        const heed_task *task = heed_corpus_task(corpus);
        heed_batcher *batcher = batcher_of(corpus, 12, 4, 0, 1);
        const int32_t vocab = (int32_t)heed_tokenizer_vocab(heed_corpus_tokenizer(corpus));
        uint64_t epoch, steps;
        heed_batcher_epoch(batcher, 999999999, &epoch, &steps);
        assert_int_equal(epoch, 0);
        assert_int_equal(heed_batcher_eval_count(batcher), 25);
        assert_int_equal(heed_batcher_time(batcher), heed_task_time(task));
        assert_int_equal(heed_corpus_tokens(corpus, HEED_TRAIN), 0);
        assert_int_equal(strlen(heed_corpus_digest(corpus)), 32);
        for (uint64_t step = 0; step < 20; step++) {
            const heed_batch b = train(batcher, step);
            double total = 0;
            assert_true((b.truth == NULL) == (kind == HEED_TASK_NOISE));
            assert_null(b.source_token);
            for (size_t r = 0; r < b.rows.n_rows; r++) {
                const size_t row = r % heed_task_time(task);
                assert_true(b.token[r] >= 0 && b.token[r] < vocab && b.target[r] >= 0 && b.target[r] < vocab);
                assert_true(b.weight[r] == 0 || b.weight[r] == 1);
                total += (double)b.weight[r];
                size_t n_true = 0;
                for (size_t k = 0; k < b.n_truth; k++) {
                    const int32_t place = b.truth[r * b.n_truth + k];
                    assert_true(place >= -1 && place <= (int32_t)row);
                    assert_true(k == 0 || place == -1 || place > b.truth[r * b.n_truth + k - 1]);
                    assert_true(k == 0 || place == -1 || b.truth[r * b.n_truth + k - 1] >= 0);
                    n_true += place >= 0;
                }
                if (b.weight[r] > 0 && b.truth)
                    assert_true(n_true <= heed_task_candidates(task, row));
                if (b.weight[r] > 0) { /* a distribution */
                    double sum = 0;
                    for (int32_t t = 0; t < vocab; t++)
                        sum += heed_task_probability(task, &b, r / heed_task_time(task), row, t);
                    assert_true(fabs(sum - 1) < 1e-12);
                }
            }
            assert_true(total == b.weight_total && total > 0);
        }
        heed_batcher_destroy(batcher);
        heed_corpus_close(corpus);
    }
}

static void expect_same_rows(const heed_batch *a, size_t row_a, const heed_batch *b, size_t row_b, size_t n) {
    assert_memory_equal(a->token + row_a, b->token + row_b, n * sizeof *a->token);
    assert_memory_equal(a->target + row_a, b->target + row_b, n * sizeof *a->target);
    assert_memory_equal(a->weight + row_a, b->weight + row_b, n * sizeof *a->weight);
    if (a->truth)
        assert_memory_equal(a->truth + row_a * a->n_truth, b->truth + row_b * b->n_truth,
                            n * a->n_truth * sizeof *a->truth);
}

static void ranks_share_the_same_sequences(void **state) {
    (void)state;
    for (heed_task_kind kind = 1; kind <= N_TASKS; kind++) {
        const heed_config config = config_of(kind, 3);
        for (int size = 1; size <= 6; size += 1 + size / 3) {
            heed_corpus *corpus = task_corpus(&config), *other = task_corpus(&config);
            heed_batcher *single = batcher_of(corpus, 12, 2, 0, 1), *larger = batcher_of(corpus, 24, 2, 0, 1);
            const uint64_t steps[] = {0, 1, 12345, 4000000000u};
            for (size_t k = 0; k < 5; k++) {
                const heed_batch whole = k < 4 ? train(single, steps[k]) : valid(single, 24);
                size_t row = 0;
                for (int rank = 0; rank < size; rank++) {
                    heed_batcher *batcher = batcher_of(other, 12, 2, rank, size);
                    const heed_batch part = k < 4 ? train(batcher, steps[k]) : valid(batcher, 24);
                    assert_true(part.weight_total == whole.weight_total);
                    expect_same_rows(&part, 0, &whole, row, part.rows.n_rows);
                    row += part.rows.n_rows;
                    heed_batcher_destroy(batcher);
                }
                assert_int_equal(row, whole.rows.n_rows);
                if (k < 4) { /* sequence number 12 k is the same in batches of another size */
                    const heed_batch b = train(larger, steps[k] / 2);
                    expect_same_rows(&whole, 0, &b, steps[k] % 2 * whole.rows.n_rows, whole.rows.n_rows);
                }
            }
            heed_batcher_destroy(single);
            heed_batcher_destroy(larger);
            heed_corpus_close(corpus);
            heed_corpus_close(other);
        }
    }
}

static void a_slice_knows_its_truth(void **state) {
    (void)state;
    for (heed_task_kind kind = 1; kind <= N_TASKS; kind++) {
        const heed_config config = config_of(kind, 3);
        heed_corpus *corpus = task_corpus(&config);
        heed_batcher *batcher = batcher_of(corpus, 12, 2, 0, 1);
        const heed_batch whole = train(batcher, 7);
        size_t room[2 * (5 + 1) + 2];
        const heed_batch slice = heed_batch_slice(&whole, 4, 5, room);
        expect_same_rows(&slice, 0, &whole, whole.rows.first_row[4], slice.rows.n_rows);
        assert_int_equal(slice.rows.n_rows, whole.rows.first_row[9] - whole.rows.first_row[4]);
        assert_int_equal(slice.step, 7);
        assert_true((slice.truth == NULL) == (kind == HEED_TASK_NOISE));
        assert_null(slice.source_token);
        heed_batcher_destroy(batcher);
        heed_corpus_close(corpus);
    }
}

static int by_tokens(const void *a, const void *b) {
    return memcmp(*(int32_t *const *)a, *(int32_t *const *)b, 40 * sizeof(int32_t));
}

/* In a task whose sequences do not repeat by chance: all training and validation sequences are different ones, in both
 * seeds, and probes are validation sequences. */
static void no_sequence_comes_twice(void **state) {
    (void)state;
    enum { N = 2 * (2000 + 300) };
    int32_t **all = malloc(N * sizeof *all);
    size_t n = 0;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        const heed_config config = config_of(HEED_TASK_RECALL, seed);
        heed_corpus *corpus = task_corpus(&config);
        heed_batcher *batcher = batcher_of(corpus, 100, 10, 0, 1);
        for (uint64_t i = 0; i < 23; i++) {
            const heed_batch b = i < 20 ? train(batcher, i) : valid(batcher, i - 20);
            for (size_t s = 0; s < 100; s++) {
                all[n] = malloc(64 * sizeof **all);
                memcpy(all[n++], b.token + b.rows.first_row[s], 64 * sizeof **all);
            }
        }
        heed_error error = HEED_ERROR_INIT;
        heed_batch probes;
        ok(heed_batcher_probes(batcher, 7, &probes, &error), &error);
        for (size_t p = 0; p < 7; p++)
            assert_memory_equal(probes.token + 64 * p, all[n - 300 + 300 * (2 * p + 1) / 14], 64 * sizeof **all);
        assert_int_equal(heed_batcher_probes(batcher, 301, &probes, &error), HEED_CONFIG);
        assert_string_equal(error.message, "log.probes = 301: the task has only 300 validation sequences");
        heed_batcher_destroy(batcher);
        heed_corpus_close(corpus);
    }
    assert_int_equal(n, N);
    qsort(all, n, sizeof *all, by_tokens);
    for (size_t i = 1; i < n; i++)
        assert_true(by_tokens(&all[i - 1], &all[i]) != 0);
    for (size_t i = 0; i < n; i++)
        free(all[i]);
    free(all);
}

/* --- lists ------------------------------------------------------------------------------------------------------ */

static int by_number(const void *a, const void *b) {
    return *(const int32_t *)a - *(const int32_t *)b;
}

static void check_list(const heed_task *task, const int32_t *x, const int32_t *y, const int32_t *truth) {
    const size_t n = heed_task_what(task)->length;
    const heed_task_kind kind = heed_task_what(task)->kind;
    int32_t sorted[64];
    memcpy(sorted, x, n * sizeof *x);
    qsort(sorted, n, sizeof *sorted, by_number);
    for (size_t i = 0; i < n; i++) {
        const int32_t expected = kind == HEED_TASK_REVERSE ? x[n - 1 - i]
                                 : kind == HEED_TASK_SHIFT ? x[i + 1 < n ? i + 1 : 0]
                                 : kind == HEED_TASK_SORT  ? sorted[i]
                                                           : x[i];
        assert_int_equal(y[i], expected);
        assert_true(truth[i] >= 0 && (size_t)truth[i] < n);
        assert_int_equal(x[truth[i]], y[i]);
        if (kind == HEED_TASK_REVERSE)
            assert_int_equal(truth[i], n - 1 - i);
        if (kind == HEED_TASK_SHIFT)
            assert_int_equal(truth[i], (i + 1) % n);
        if (kind == HEED_TASK_COPY)
            assert_int_equal(truth[i], i);
        assert_true(x[i] >= 0 && (size_t)x[i] < heed_task_what(task)->symbols);
        if (kind != HEED_TASK_COPY && kind != HEED_TASK_REVERSE && kind != HEED_TASK_SHIFT)
            assert_true(i == 0 || sorted[i] != sorted[i - 1]);
    }
}

static void check_list_sequence(const heed_task *task, const sample *x) {
    const size_t n = heed_task_what(task)->length;
    assert_int_equal(x->length, 2 * n);
    assert_int_equal(x->token[n], heed_tokenizer_vocab(heed_task_tokenizer(task)) - 1);
    for (size_t r = 0; r < x->length; r++) {
        assert_true(x->weight[r] == (r >= n));
        assert_int_equal(x->truth[r] >= 0, r >= n);
        if (r + 1 < x->length)
            assert_int_equal(x->target[r], x->token[r + 1]);
    }
    check_list(task, x->token, x->target + n, x->truth + n);
}

static void lists_are_answered_in_sequence(void **state) {
    (void)state;
    static const heed_task_kind kinds[] = {HEED_TASK_COPY, HEED_TASK_REVERSE,       HEED_TASK_SHIFT,
                                           HEED_TASK_SORT, HEED_TASK_PERMUTATION40, HEED_TASK_PERMUTATION40OF60};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        each_sample(kinds[k], check_list_sequence);
}

/* --- recall ----------------------------------------------------------------------------------------------------- */

static size_t n_answers, n_at_pair[8], n_at_rank[8], n_asked_before, n_next_queries, n_pair_at[32];
static size_t n_of_filler[16], n_fillers, n_like_the_last, n_next_fillers;

/* Which fillers there are, and whether one behind another is the same. */
static void count_fillers(const sample *x, size_t n_expected) {
    for (size_t r = 0; r < 64; r++) {
        if (x->token[r] < 64)
            continue;
        const size_t f = (size_t)x->token[r] - 64;
        assert_true(f < n_expected);
        n_of_filler[f]++;
        n_fillers++;
        if (r > 0 && x->token[r - 1] >= 64) {
            n_next_fillers++;
            n_like_the_last += x->token[r - 1] == x->token[r];
        }
    }
}

static void check_recall(const heed_task *task, const sample *x) {
    const size_t n_expected = heed_task_what(task)->queries;
    size_t n_pairs = 0, n_queries = 0;
    int32_t key[8], value[8], asked[32], rank_of[8];
    for (size_t r = 0; r < 32; r++) {
        assert_true(x->weight[r] == 0 && x->truth[r] == -1);
        if (x->token[r] < 32) { /* a key, and its value behind it */
            assert_true(n_pairs < 8 && r + 1 < 32 && x->token[r + 1] >= 32 && x->token[r + 1] < 64);
            n_pair_at[r]++;
            key[n_pairs] = x->token[r];
            value[n_pairs++] = x->token[r + 1];
        } else {
            assert_true(x->token[r] >= 64 || (r > 0 && x->token[r - 1] < 32));
        }
    }
    assert_int_equal(n_pairs, 8);
    for (size_t a = 0; a < 8; a++) {
        rank_of[a] = 0;
        for (size_t b = 0; b < 8; b++) {
            assert_true(a == b || (key[a] != key[b] && value[a] != value[b]));
            rank_of[a] += value[b] < value[a];
        }
    }
    for (size_t r = 32; r < 64; r++) {
        assert_int_equal(x->weight[r] > 0, x->token[r] < 64);
        assert_int_equal(x->truth[r] >= 0, x->token[r] < 64);
        if (x->token[r] >= 64)
            continue;
        if (n_expected <= 16)
            assert_true(r == 63 || x->token[r + 1] >= 64); /* filler behind a query: no pair arises that is none */
        size_t p = 0;
        while (p < 8 && key[p] != x->token[r])
            p++;
        assert_true(p < 8);
        assert_int_equal(x->target[r], value[p]);
        assert_int_equal(x->token[x->truth[r]], value[p]);
        assert_int_equal(x->token[x->truth[r] - 1], key[p]);
        n_answers++;
        n_at_pair[p]++;
        n_at_rank[rank_of[p]]++;
        if (n_queries > 0) {
            n_next_queries++;
            n_asked_before += asked[n_queries - 1] == key[p];
        }
        asked[n_queries++] = key[p];
    }
    assert_int_equal(n_queries, n_expected);
    count_fillers(x, heed_task_what(task)->fillers);
}

/* How far a count of n trials lies from its share, in standard deviations. */
static double deviation(size_t count, size_t n, double share) {
    return fabs((double)count - (double)n * share) / sqrt((double)n * share * (1 - share));
}

/* Each pair, by place and by the rank of its value, is asked for equally often, also after it was asked for: whoever
 * knows places and the set of values, but not which belongs to the key, is right one time in eight at best. */
static void recall_cannot_be_answered_without_the_key(void **state) {
    (void)state;
    static const size_t n_queries[] = {0, 16, 17, 32}; /* with filler behind each, without, and nothing but queries */
    for (size_t k = 0; k < 4; k++) {
        memset(n_at_pair, 0, sizeof n_at_pair);
        memset(n_at_rank, 0, sizeof n_at_rank);
        memset(n_pair_at, 0, sizeof n_pair_at);
        n_answers = n_next_queries = n_asked_before = 0;
        heed_config config = config_of(HEED_TASK_RECALL, 1);
        config.data.task_queries = (int64_t)n_queries[k];
        each_sample_of(config, check_recall);
        assert_int_equal(n_answers, 3 * 600 * (k == 0 ? 8 : n_queries[k]));
        for (size_t p = 0; p < 8; p++) {
            assert_true(deviation(n_at_pair[p], n_answers, 0.125) < 4);
            assert_true(deviation(n_at_rank[p], n_answers, 0.125) < 4);
        }
        assert_true(deviation(n_asked_before, n_next_queries, 0.125) < 4);
        /* A pair begins at cell 0 with probability 8 / 24: the pairs, shrunk to a cell each, are 8 of 24 cells. */
        assert_true(deviation(n_pair_at[0], 1800, 8.0 / 24) < 4 && deviation(n_pair_at[30], 1800, 8.0 / 24) < 4);
    }
    assert_int_equal(n_pair_at[31], 0);
}

/* Fillers of several symbols are drawn evenly, one independent of the other; all else is as with one. */
static void recall_fills_with_random_symbols(void **state) {
    (void)state;
    memset(n_of_filler, 0, sizeof n_of_filler);
    n_fillers = n_next_fillers = n_like_the_last = 0;
    heed_config config = config_of(HEED_TASK_RECALL, 1);
    config.data.task_fillers = 16;
    each_sample_of(config, check_recall);
    assert_int_equal(n_fillers, 3 * 600 * (64 - 3 * 8));
    for (size_t f = 0; f < 16; f++)
        assert_true(deviation(n_of_filler[f], n_fillers, 1.0 / 16) < 4);
    assert_true(deviation(n_like_the_last, n_next_fillers, 1.0 / 16) < 4);
    heed_corpus *many = task_corpus(&config);
    config.data.task_fillers = 1;
    heed_corpus *one = task_corpus(&config);
    config.data.task_fillers = 0;
    heed_corpus *usual = task_corpus(&config);
    assert_string_equal(heed_corpus_digest(one), heed_corpus_digest(usual));
    assert_string_not_equal(heed_corpus_digest(one), heed_corpus_digest(many));
    assert_int_equal(heed_tokenizer_vocab(heed_corpus_tokenizer(one)), 65);
    assert_int_equal(heed_tokenizer_vocab(heed_corpus_tokenizer(many)), 80);
    heed_corpus_close(many);
    heed_corpus_close(one);
    heed_corpus_close(usual);
}

/* --- induction -------------------------------------------------------------------------------------------------- */

static size_t n_with_period[65], n_segments;

static void check_induction(const heed_task *task, const sample *x) {
    (void)task;
    size_t period = 1;
    while (x->token[period] != x->token[0])
        period++;
    assert_true(period >= 16 && period <= 32);
    n_with_period[period]++;
    n_segments++;
    for (size_t r = 0; r < 64; r++) {
        assert_int_equal(x->weight[r] > 0, r >= period);
        assert_int_equal(x->target[r], r + 1 < 64 ? x->token[r + 1] : x->token[64 - period]);
        if (r >= period)
            assert_int_equal(x->token[r], x->token[r - period]);
        for (size_t j = 0; j < r && r < period; j++)
            assert_int_not_equal(x->token[j], x->token[r]);
        for (size_t j = 0; j < 64; j++) {
            const bool expected = j > 0 && j <= r && (r + 1 - j) % period == 0;
            assert_int_equal(is_true(x, r, j), expected);
        }
    }
}

static void induction_repeats_with_a_random_period(void **state) {
    (void)state;
    each_sample(HEED_TASK_INDUCTION, check_induction);
    for (size_t period = 16; period <= 32; period++)
        assert_true(deviation(n_with_period[period], n_segments, 1.0 / 17) < 4);
}

/* --- chains ----------------------------------------------------------------------------------------------------- */

/* log of the probability of so many transitions from one token, the row of the matrix integrated out over the flat
 * Dirichlet: (S - 1)! prod_b c_b! / (sum_b c_b + S - 1)!. */
static double log_evidence(const size_t *count, size_t n_symbols) {
    double log_p = lgamma((double)n_symbols);
    size_t n = 0;
    for (size_t b = 0; b < n_symbols; b++) {
        log_p += lgamma((double)count[b] + 1);
        n += count[b];
    }
    return log_p - lgamma((double)(n + n_symbols));
}

/* The same by numeric integration over a row of two symbols, in steps of 1/1000 (Simpson): p(next = 1). */
static double integrated(size_t n_zero, size_t n_one) {
    double above = 0, below = 0;
    for (int i = 0; i <= 1000; i++) {
        const double theta = i / 1000.0, simpson = i == 0 || i == 1000 ? 1 : i % 2 ? 4 : 2;
        const double likelihood = pow(theta, (double)n_one) * pow(1 - theta, (double)n_zero);
        above += simpson * theta * likelihood;
        below += simpson * likelihood;
    }
    return above / below;
}

/* Transitions seen by the last row: those of the sequence (markov), or along the tree. */
static size_t transitions(const heed_task *task, const int32_t *token, size_t row, int32_t from, size_t *count,
                          size_t n_symbols) {
    const int32_t *parent = heed_task_parents(task);
    size_t n = 0;
    memset(count, 0, n_symbols * sizeof *count);
    for (size_t j = 1; j <= row; j++) {
        if (parent && parent[j] < 0)
            continue;
        if (token[parent ? (size_t)parent[j] : j - 1] == from) {
            count[token[j]]++;
            n++;
        }
    }
    return n;
}

/* Oracle against two other derivations; and it is the best there is: over many sequences its loss is the entropy that
 * it tells, which holds only for the distribution that the data come from. */
static void check_chain(heed_task_kind kind, size_t n_symbols, size_t n_sequences) {
    heed_config config = config_of(kind, 11);
    config.data.task_symbols = (int64_t)n_symbols;
    heed_corpus *corpus = task_corpus(&config);
    const heed_task *task = heed_corpus_task(corpus);
    heed_batcher *batcher = batcher_of(corpus, 50, 50, 0, 1);
    double sum = 0, sum_of_squares = 0, unigram_above = 0;
    size_t n_rows = 0;
    for (size_t i = 0; i < n_sequences / 50; i++) {
        const heed_batch b = train(batcher, i);
        for (size_t s = 0; s < 50; s++) {
            const sample x = sample_of(&b, s);
            double excess = 0;
            for (size_t r = 0; r < x.length; r++) {
                if (x.weight[r] == 0)
                    continue;
                size_t count[16], seen[16] = {0};
                transitions(task, x.token, r, x.token[r], count, n_symbols);
                for (size_t j = 0; j <= r; j++)
                    seen[x.token[j]]++;
                double entropy = 0;
                for (size_t t = 0; t < n_symbols; t++) {
                    const double p = heed_task_probability(task, &b, s, r, (int32_t)t);
                    const double before = log_evidence(count, n_symbols);
                    count[t]++;
                    assert_true(fabs(p - exp(log_evidence(count, n_symbols) - before)) < 1e-9);
                    count[t]--;
                    entropy -= p * log(p);
                    if ((size_t)x.target[r] == t) {
                        excess -= log(p);
                        unigram_above += log(p) - log((double)(seen[t] + 1) / (double)(r + 1 + n_symbols));
                    }
                }
                excess -= entropy;
                if (n_symbols == 2 && i == 0 && count[0] + count[1] < 40)
                    assert_true(fabs(heed_task_probability(task, &b, s, r, 1) - integrated(count[0], count[1])) < 1e-6);
                for (size_t j = 0; j < x.length; j++) {
                    const int32_t *parent = heed_task_parents(task);
                    const bool is_child = j > 0 && (!parent || parent[j] >= 0);
                    const bool expected =
                        is_child && j <= r && x.token[parent ? (size_t)parent[j] : j - 1] == x.token[r];
                    assert_int_equal(is_true(&x, r, j), expected);
                }
                n_rows++;
            }
            sum += excess;
            sum_of_squares += excess * excess;
        }
    }
    const double n = (double)n_sequences, mean = sum / n, error = sqrt((sum_of_squares / n - mean * mean) / n);
    assert_true(fabs(mean) < 4 * error);
    assert_true(unigram_above / (double)n_rows > 0.02); /* knowing the token matters */
    heed_batcher_destroy(batcher);
    heed_corpus_close(corpus);
}

static void markov_optimum_is_the_posterior(void **state) {
    (void)state;
    check_chain(HEED_TASK_MARKOV, 2, 500);
    check_chain(HEED_TASK_MARKOV, 3, 1000);
    check_chain(HEED_TASK_MARKOV, 8, 500);
}

static void tree_optimum_is_the_posterior(void **state) {
    (void)state;
    check_chain(HEED_TASK_TREE, 2, 10000);
    check_chain(HEED_TASK_TREE, 4, 20000);
    const heed_config config = config_of(HEED_TASK_TREE, 5), other = config_of(HEED_TASK_TREE, 6);
    heed_corpus *a = task_corpus(&config), *again = task_corpus(&config), *b = task_corpus(&other);
    const int32_t *parents = heed_task_parents(heed_corpus_task(a));
    for (int32_t j = 0; j < 20; j++)
        assert_true(j == 0 || j == 19 ? parents[j] == -1 : parents[j] >= 0 && parents[j] < j);
    assert_memory_equal(parents, heed_task_parents(heed_corpus_task(again)), 20 * sizeof *parents);
    assert_memory_not_equal(parents, heed_task_parents(heed_corpus_task(b)), 20 * sizeof *parents);
    assert_string_equal(heed_corpus_digest(a), heed_corpus_digest(again));
    assert_string_not_equal(heed_corpus_digest(a), heed_corpus_digest(b));
    heed_corpus_close(a);
    heed_corpus_close(again);
    heed_corpus_close(b);
}

/* --- noise, optimum, names, faults -------------------------------------------------------------------------------- */

static size_t n_symbol[32], n_pair[32 * 32];

static void check_noise(const heed_task *task, const sample *x) {
    (void)task;
    for (size_t r = 0; r < x->length; r++) {
        n_symbol[x->target[r]]++;
        n_pair[32 * x->token[r] + x->target[r]]++;
    }
}

static void noise_says_nothing(void **state) {
    (void)state;
    each_sample(HEED_TASK_NOISE, check_noise);
    const size_t n = 3 * 600 * 64;
    for (size_t a = 0; a < 32; a++)
        assert_true(deviation(n_symbol[a], n, 1.0 / 32) < 4.5);
    for (size_t a = 0; a < 32 * 32; a++)
        assert_true(deviation(n_pair[a], n, 1.0 / 1024) < 5.5);
}

static void the_optimum_of_validation_is_known(void **state) {
    (void)state;
    for (heed_task_kind kind = 1; kind <= N_TASKS; kind++) {
        const heed_config config = config_of(kind, 2);
        heed_corpus *corpus = task_corpus(&config);
        heed_task *task = heed_corpus_task(corpus);
        heed_batcher *batcher = batcher_of(corpus, 64, 8, 0, 1);
        heed_error error = HEED_ERROR_INIT;
        double whole, sum = 0, weight = 0, nats[64 * 128];
        ok(heed_task_valid_optimum(task, &whole, &error), &error);
        for (size_t i = 0; i < heed_batcher_eval_count(batcher); i++) {
            const heed_batch b = valid(batcher, i);
            double by_rows = 0;
            const double optimum = heed_task_optimum(task, &b, nats);
            for (size_t r = 0; r < b.rows.n_rows; r++)
                by_rows += nats[r];
            assert_true(fabs(by_rows - optimum) < 1e-9);
            sum += optimum;
            weight += b.weight_total;
        }
        assert_true(fabs(whole - sum / weight) < 1e-12);
        if (kind == HEED_TASK_NOISE)
            assert_true(fabs(whole - log(32)) < 1e-12);
        else if (kind == HEED_TASK_MARKOV)
            assert_true(whole > 0.7 && whole < log(3)); /* E H of a flat row of 3 is 1/2 + 1/3 */
        else if (kind == HEED_TASK_TREE)
            assert_true(whole > 1.8 && whole < log(10));
        else
            assert_true(whole == 0);
        heed_batcher_destroy(batcher);
        heed_corpus_close(corpus);
    }
}

static void symbols_have_names(void **state) {
    (void)state;
    static const struct {
        heed_task_kind kind;
        const char *first, *last;
        int32_t n;
    } cases[] = {{HEED_TASK_COPY, "s0", "=", 33},       {HEED_TASK_SORT, "0", "=", 65},
                 {HEED_TASK_RECALL, "k0", ".", 65},     {HEED_TASK_MARKOV, "s0", "s2", 3},
                 {HEED_TASK_NOISE, "s0", "s31", 32},    {HEED_TASK_TREE, "s0", "s9", 10},
                 {HEED_TASK_INDUCTION, "s0", "s63", 64}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const heed_config config = config_of(cases[k].kind, 1);
        heed_corpus *corpus = task_corpus(&config);
        const heed_tokenizer *tokenizer = heed_corpus_tokenizer(corpus);
        heed_error error = HEED_ERROR_INIT;
        size_t bytes, n;
        char *text;
        int32_t *tokens;
        const int32_t ends[] = {0, cases[k].n - 1};
        assert_int_equal(heed_tokenizer_vocab(tokenizer), cases[k].n);
        ok(heed_tokenizer_decode(tokenizer, ends, 2, &text, &bytes, &error), &error);
        char expected[32];
        snprintf(expected, sizeof expected, "%s %s", cases[k].first, cases[k].last);
        assert_string_equal(text, expected);
        ok(heed_tokenizer_encode(tokenizer, "t", text, bytes, &tokens, &n, &error), &error);
        assert_memory_equal(tokens, ends, sizeof ends);
        free(text);
        free(tokens);
        heed_corpus_close(corpus);
    }
}

static void impossible_tasks_are_named(void **state) {
    (void)state;
    static const struct {
        heed_task_kind kind;
        int64_t length, symbols, pairs, queries;
        const char *message;
    } cases[] = {
        {HEED_TASK_SORT, 65, 0, 0, 0, "data.task_length = 65: sort cannot draw so many different symbols out of 64"},
        {HEED_TASK_COPY, 1025, 0, 0, 0, "data.task_length = 1025: copy has lists of at most 1024 symbols"},
        {HEED_TASK_COPY, 0, 0, 4, 0, "data.task_pairs = 4: copy has no pairs"},
        {HEED_TASK_PERMUTATION40, 30, 0, 0, 0, "data.task_length = 30: permutation40 has lists of 40"},
        {HEED_TASK_PERMUTATION40OF60, 0, 50, 0, 0, "data.task_symbols = 50: permutation40of60 has 60 symbols"},
        {HEED_TASK_RECALL, 0, 0, 17, 0,
         "data.task_pairs = 17: recall has room for at most a quarter of its length of 64"},
        {HEED_TASK_RECALL, 0, 7, 0, 0, "data.task_symbols = 7: recall needs as many different keys as its 8 pairs"},
        {HEED_TASK_RECALL, 0, 0, 0, 33,
         "data.task_queries = 33: recall has room for 32 in the second half of its length"},
        {HEED_TASK_NOISE, 0, 0, 0, 5, "data.task_queries = 5: noise has no queries"},
        {HEED_TASK_INDUCTION, 7, 0, 0, 0, "data.task_length = 7: induction needs 8 tokens or more"},
        {HEED_TASK_INDUCTION, 130, 0, 0, 0,
         "data.task_symbols = 64: induction needs 65 different symbols, half its length"},
        {HEED_TASK_MARKOV, 0, 1, 0, 0, "data.task_symbols = 1: markov has 2 to 256 symbols"},
        {HEED_TASK_MARKOV, 5000, 0, 0, 0, "data.task_length = 5000: markov has at most 4096 tokens"},
        {HEED_TASK_TREE, 2, 0, 0, 0, "data.task_length = 2: tree needs 3 tokens or more"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        heed_config config = config_of(cases[k].kind, 1);
        config.data.task_length = cases[k].length;
        config.data.task_symbols = cases[k].symbols;
        config.data.task_pairs = cases[k].pairs;
        config.data.task_queries = cases[k].queries;
        heed_error error = HEED_ERROR_INIT;
        heed_corpus *corpus;
        const heed_task_settings settings = heed_task_settings_of(&config);
        assert_int_equal(heed_corpus_of_task(&corpus, &settings, &error), HEED_CONFIG);
        assert_string_equal(error.message, cases[k].message);
        assert_null(corpus);
    }
    heed_config filled = config_of(HEED_TASK_INDUCTION, 1);
    filled.data.task_fillers = 5;
    const heed_task_settings without = heed_task_settings_of(&filled);
    heed_error error = HEED_ERROR_INIT;
    heed_corpus *corpus;
    assert_int_equal(heed_corpus_of_task(&corpus, &without, &error), HEED_CONFIG);
    assert_string_equal(error.message, "data.task_fillers = 5: induction has no filler");
    const heed_config config = config_of(HEED_TASK_COPY, 1);
    corpus = task_corpus(&config);
    error = (heed_error)HEED_ERROR_INIT;
    heed_batcher *batcher;
    const heed_batch_shape shape = {.time = 39, .batch = 4, .grain = 4, .size = 1};
    assert_int_equal(heed_batcher_create(&batcher, corpus, &shape, &error), HEED_CONFIG);
    assert_string_equal(error.message, "model.time = 39: a sequence of data.task = copy has 40 tokens");
    assert_null(batcher);
    heed_corpus_close(corpus);
}

/* --- with a source ---------------------------------------------------------------------------------------------- */

static void lists_come_as_pairs_too(void **state) {
    (void)state;
    for (heed_task_kind kind = 1; kind <= N_TASKS; kind++) {
        const heed_task_settings settings = {.kind = kind, .n_valid = 10, .seed = 4, .with_source = true};
        heed_error error = HEED_ERROR_INIT;
        heed_corpus *corpus;
        const bool is_list =
            kind <= HEED_TASK_SORT || kind == HEED_TASK_PERMUTATION40 || kind == HEED_TASK_PERMUTATION40OF60;
        if (!is_list) {
            assert_int_equal(heed_corpus_of_task(&corpus, &settings, &error), HEED_CONFIG);
            assert_non_null(strstr(error.message, "has no form with a source"));
            continue;
        }
        ok(heed_corpus_of_task(&corpus, &settings, &error), &error);
        const heed_task *task = heed_corpus_task(corpus);
        const size_t n = heed_task_what(task)->length;
        const heed_batch_shape shape = {.time = 64, .batch = 8, .grain = 4, .rank = 1, .size = 2};
        heed_batcher *batcher;
        ok(heed_batcher_create(&batcher, corpus, &shape, &error), &error);
        const heed_batch b = train(batcher, 3);
        const int32_t begin = heed_tokenizer_mark(heed_task_tokenizer(task), HEED_MARK_BEGIN);
        const int32_t end = heed_tokenizer_mark(heed_task_tokenizer(task), HEED_MARK_END);
        assert_true(b.truth_in_source && b.n_truth == 1);
        assert_int_equal(b.rows.n_sequences, 4);
        assert_int_equal(b.source.n_sequences, 4);
        assert_int_equal(b.source.max_length, n + 1);
        assert_ptr_equal(b.source.first_of, b.rows.first_of);
        assert_true(b.weight_total == 8.0 * (double)(n + 1));
        for (size_t s = 0; s < 4; s++) {
            const sample y = sample_of(&b, s);
            const int32_t *x = b.source_token + b.source.first_row[s];
            assert_int_equal(heed_length(&b.source, s), n + 1);
            assert_int_equal(y.length, n + 1);
            assert_int_equal(x[n], end);
            assert_int_equal(y.token[0], begin);
            assert_int_equal(y.target[n], end);
            assert_int_equal(y.truth[n], -1);
            assert_memory_equal(y.token + 1, y.target, n * sizeof *y.token);
            check_list(task, x, y.target, y.truth);
            for (size_t r = 0; r <= n; r++)
                assert_true(y.weight[r] == 1 && heed_task_probability(task, &b, s, r, y.target[r]) == 1);
        }
        assert_true(heed_task_optimum(task, &b, NULL) == 0);
        heed_batcher_destroy(batcher);
        heed_corpus_close(corpus);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_is_well_formed),
        cmocka_unit_test(ranks_share_the_same_sequences),
        cmocka_unit_test(a_slice_knows_its_truth),
        cmocka_unit_test(no_sequence_comes_twice),
        cmocka_unit_test(lists_are_answered_in_sequence),
        cmocka_unit_test(recall_cannot_be_answered_without_the_key),
        cmocka_unit_test(recall_fills_with_random_symbols),
        cmocka_unit_test(induction_repeats_with_a_random_period),
        cmocka_unit_test(markov_optimum_is_the_posterior),
        cmocka_unit_test(tree_optimum_is_the_posterior),
        cmocka_unit_test(noise_says_nothing),
        cmocka_unit_test(the_optimum_of_validation_is_known),
        cmocka_unit_test(symbols_have_names),
        cmocka_unit_test(impossible_tasks_are_named),
        cmocka_unit_test(lists_come_as_pairs_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
