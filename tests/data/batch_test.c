/* A step's batch is a function of seed and step: whoever shares it, and whenever it is made. */
#include "make_corpus.h"

#include "data/windows.h"
#include "heed/batch.h"

#define N_TEXT 5000

/* Counts what any library of this process allocates. A sanitizer has these functions to itself. */
#ifndef __SANITIZE_ADDRESS__
static size_t n_allocations;
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *malloc(size_t bytes) {
    n_allocations++;
    return __libc_malloc(bytes);
}
void *calloc(size_t n, size_t bytes) {
    n_allocations++;
    return __libc_calloc(n, bytes);
}
void *realloc(void *old, size_t bytes) {
    n_allocations++;
    return __libc_realloc(old, bytes);
}
#endif

/* A text in which any five bytes behind each other tell where they stand. */
static heed_corpus *corpus_of_length(const char *name, size_t n, double valid_share) {
    unsigned char *text = malloc(n + 1);
    uint32_t x = 12345;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        text[i] = (unsigned char)(x >> 24);
    }
    heed_corpus *corpus = corpus_of(name, text, n, HEED_TOKENIZER_BYTE, valid_share);
    free(text);
    return corpus;
}

static heed_batcher *batcher_of(heed_corpus *corpus, const heed_batch_shape *shape) {
    heed_error error = HEED_ERROR_INIT;
    heed_batcher *batcher;
    ok(heed_batcher_create(&batcher, corpus, shape, &error), &error);
    return batcher;
}

/* What holds for every batch: views fit together, targets follow tokens, weights are one. */
static void check_form(const heed_batch *b, const heed_batch_shape *shape) {
    const heed_ragged *r = &b->rows;
    size_t max_length = 0;
    assert_int_equal(r->first_row[0], 0);
    assert_int_equal(r->first_row[r->n_sequences], r->n_rows);
    assert_int_equal(r->first_of[0], 0);
    assert_int_equal(r->first_of[r->n_grains], r->n_sequences);
    for (size_t g = 0; g < r->n_grains; g++) {
        assert_true(r->first_of[g] <= r->first_of[g + 1]);
        for (size_t s = r->first_of[g]; s < r->first_of[g + 1]; s++)
            assert_int_equal(r->sequence[s] / shape->grain, r->first_grain + g);
    }
    for (size_t s = 0; s < r->n_sequences; s++) {
        const size_t length = heed_length(r, s);
        assert_true(length > 0 && length <= shape->time);
        max_length = length > max_length ? length : max_length;
        assert_true(r->sequence[s] < b->n_global);
        for (size_t i = r->first_row[s]; i + 1 < r->first_row[s + 1]; i++)
            assert_int_equal(b->target[i], b->token[i + 1]);
    }
    for (size_t i = 0; i < r->n_rows; i++)
        assert_true(b->weight[i] == 1);
    assert_int_equal(r->max_length, max_length);
}

/* Sequence s of the batch lies at tokens + start. */
static void check_content(const heed_batch *b, size_t s, const int32_t *tokens, size_t start) {
    const size_t row = b->rows.first_row[s], length = heed_length(&b->rows, s);
    assert_memory_equal(b->token + row, tokens + start, length * sizeof *tokens);
    assert_memory_equal(b->target + row, tokens + start + 1, length * sizeof *tokens);
}

static void an_epoch_has_every_window_once(void **state) {
    (void)state;
    heed_corpus *corpus = corpus_of_length("epoch", N_TEXT, 0.1);
    size_t n_train;
    int32_t *tokens = tokens_of(corpus, HEED_TRAIN, &n_train);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        const heed_batch_shape shape = {
            .time = 8 + 4 * seed, .batch = 12, .grain = 4, .rank = 0, .size = 1, .seed = seed};
        const heedi_windows w = heedi_windows_plan(n_train, shape.time, seed);
        heed_batcher *batcher = batcher_of(corpus, &shape);
        unsigned char *met = calloc(n_train, 1);
        uint64_t epoch, steps, n_met = 0;
        heed_batcher_epoch(batcher, 0, &epoch, &steps);
        assert_int_equal(steps, (n_train / shape.time - 1 + 11) / 12);
        for (uint64_t step = steps; step < 2 * steps; step++) {
            heed_error error = HEED_ERROR_INIT;
            heed_batch b;
            heed_batcher_epoch(batcher, step, &epoch, &(uint64_t){0});
            assert_int_equal(epoch, 1);
            ok(heed_batcher_train(batcher, step, &b, &error), &error);
            check_form(&b, &shape);
            assert_int_equal(b.step, step);
            assert_int_equal(b.n_global, b.rows.n_sequences);
            assert_true(b.weight_total == (double)b.rows.n_rows);
            assert_int_equal(b.rows.n_rows, b.n_global * shape.time);
            assert_int_equal(b.rows.n_grains, 3); /* some may be empty */
            for (size_t s = 0; s < b.rows.n_sequences; s++) {
                const uint64_t start = heedi_windows_start(&w, 1, (step - steps) * shape.batch + s);
                check_content(&b, s, tokens, start);
                assert_false(met[start]++);
                n_met++;
            }
        }
        assert_int_equal(n_met, n_train / shape.time - 1);
        assert_true(w.n_windows % shape.batch != 0); /* the last batch was a partial one */
        free(met);
        heed_batcher_destroy(batcher);
    }
    free(tokens);
    heed_corpus_close(corpus);
}

/* The ranks' parts, one behind the other, are the batch of a single rank. */
static void expect_union(const heed_batch *whole, const heed_batch *part, size_t *grain, size_t *sequence,
                         size_t *row) {
    assert_int_equal(part->rows.first_grain, *grain);
    assert_int_equal(part->n_global, whole->n_global);
    assert_int_equal(part->step, whole->step);
    assert_true(part->weight_total == whole->weight_total);
    for (size_t g = 0; g < part->rows.n_grains; g++)
        assert_int_equal(*sequence + part->rows.first_of[g + 1], whole->rows.first_of[*grain + g + 1]);
    for (size_t s = 0; s < part->rows.n_sequences; s++) {
        assert_int_equal(part->rows.sequence[s], whole->rows.sequence[*sequence + s]);
        assert_int_equal(*row + part->rows.first_row[s + 1], whole->rows.first_row[*sequence + s + 1]);
    }
    assert_true(*row + part->rows.n_rows <= whole->rows.n_rows);
    assert_memory_equal(part->token, whole->token + *row, part->rows.n_rows * sizeof *part->token);
    assert_memory_equal(part->target, whole->target + *row, part->rows.n_rows * sizeof *part->target);
    *grain += part->rows.n_grains;
    *sequence += part->rows.n_sequences;
    *row += part->rows.n_rows;
}

static heed_status fetch(heed_batcher *batcher, bool train, uint64_t step, heed_batch *batch, heed_error *error) {
    return train ? heed_batcher_train(batcher, step, batch, error) : heed_batcher_eval(batcher, step, batch, error);
}

static void ranks_share_the_same_batch(void **state) {
    (void)state;
    heed_corpus *corpus = corpus_of_length("ranks", N_TEXT, 0.3);
    heed_error error = HEED_ERROR_INIT;
    for (size_t n_grains = 1; n_grains <= 12; n_grains += 1 + n_grains / 5)
        for (size_t grain = 1; grain <= 3; grain++) {
            heed_batch_shape shape = {
                .time = 21, .grain = grain, .batch = n_grains * grain, .size = 1, .seed = 40 + grain};
            heed_batcher *single = batcher_of(corpus, &shape);
            uint64_t epoch, steps;
            heed_batcher_epoch(single, 0, &epoch, &steps);
            const uint64_t n_eval = heed_batcher_eval_count(single);
            for (shape.size = 1; shape.size <= (int)n_grains; shape.size++) {
                heed_batcher *ranks[12];
                for (shape.rank = 0; shape.rank < shape.size; shape.rank++)
                    ranks[shape.rank] = batcher_of(corpus, &shape);
                const uint64_t train_steps[] = {0, 1, steps - 1, 5 * steps + 2},
                               eval_steps[] = {0, n_eval / 2, n_eval - 1};
                for (size_t k = 0; k < 7; k++) {
                    heed_batch whole, part;
                    size_t g = 0, s = 0, row = 0;
                    const uint64_t step = k < 4 ? train_steps[k] : eval_steps[k - 4];
                    ok(fetch(single, k < 4, step, &whole, &error), &error);
                    check_form(&whole, &shape);
                    for (int rank = 0; rank < shape.size; rank++) {
                        ok(fetch(ranks[rank], k < 4, step, &part, &error), &error);
                        check_form(&part, &shape);
                        expect_union(&whole, &part, &g, &s, &row);
                    }
                    assert_int_equal(g, n_grains);
                    assert_int_equal(s, whole.n_global);
                    assert_int_equal(row, whole.rows.n_rows);
                    assert_true(whole.weight_total == (double)row);
                }
                for (int rank = 0; rank < shape.size; rank++)
                    heed_batcher_destroy(ranks[rank]);
            }
            heed_batcher_destroy(single);
        }
    heed_corpus_close(corpus);
}

/* A resumed run makes a new batcher and asks for a late step first. */
static void a_step_does_not_depend_on_earlier_ones(void **state) {
    (void)state;
    heed_corpus *corpus = corpus_of_length("resume", N_TEXT, 0.1);
    const heed_batch_shape shape = {.time = 16, .batch = 8, .grain = 2, .rank = 1, .size = 3, .seed = 9};
    heed_batcher *running = batcher_of(corpus, &shape);
    heed_error error = HEED_ERROR_INIT;
    for (uint64_t step = 0; step < 150; step++) {
        heed_batch a, b;
        ok(heed_batcher_train(running, step, &a, &error), &error);
        if (step % 37 != 0)
            continue;
        heed_batcher *resumed = batcher_of(corpus, &shape);
        ok(heed_batcher_train(resumed, step, &b, &error), &error);
        assert_int_equal(a.rows.n_rows, b.rows.n_rows);
        assert_memory_equal(a.token, b.token, a.rows.n_rows * sizeof *a.token);
        assert_memory_equal(a.target, b.target, a.rows.n_rows * sizeof *a.target);
        heed_batcher_destroy(resumed);
    }
    heed_batcher_destroy(running);
    heed_corpus_close(corpus);
}

static void filling_a_batch_allocates_nothing(void **state) {
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip();
#else
    heed_corpus *corpus = corpus_of_length("memory", N_TEXT, 0.3);
    const heed_batch_shape shape = {.time = 50, .batch = 8, .grain = 2, .rank = 0, .size = 2, .seed = 9};
    heed_batcher *batcher = batcher_of(corpus, &shape);
    heed_error error = HEED_ERROR_INIT;
    heed_batch batch;
    const size_t before = n_allocations;
    assert_true(before > 0);
    heed_status status = HEED_OK;
    for (uint64_t step = 0; step < 100 && status == HEED_OK; step++)
        status = heed_batcher_train(batcher, step, &batch, &error);
    for (size_t i = 0; i < heed_batcher_eval_count(batcher) && status == HEED_OK; i++)
        status = heed_batcher_eval(batcher, i, &batch, &error);
    assert_int_equal(n_allocations - before, 0);
    ok(status, &error);
    heed_batcher_destroy(batcher);
    heed_corpus_close(corpus);
#endif
}

static void evaluation_has_every_target_once(void **state) {
    (void)state;
    for (size_t n_valid = 0; n_valid < 200; n_valid += 1 + n_valid / 4) {
        heed_corpus *corpus = corpus_of_length("eval", 400, (double)n_valid / 400);
        size_t n;
        int32_t *tokens = tokens_of(corpus, HEED_VALID, &n);
        for (size_t time = 1; time < 100; time += 1 + time / 2) {
            const heed_batch_shape shape = {.time = time, .batch = 6, .grain = 3, .rank = 0, .size = 1, .seed = 1};
            heed_batcher *batcher = batcher_of(corpus, &shape);
            const size_t count = heed_batcher_eval_count(batcher);
            size_t next = 0;
            for (size_t i = 0; i < count; i++) {
                heed_error error = HEED_ERROR_INIT;
                heed_batch b;
                ok(heed_batcher_eval(batcher, i, &b, &error), &error);
                check_form(&b, &shape);
                assert_true(b.n_global > 0);
                assert_true(b.weight_total == (double)b.rows.n_rows);
                for (size_t s = 0; s < b.rows.n_sequences; s++) {
                    check_content(&b, s, tokens, next);
                    next += heed_length(&b.rows, s);
                }
            }
            assert_int_equal(next, n ? n - 1 : 0);
            heed_batcher_destroy(batcher);
        }
        free(tokens);
        heed_corpus_close(corpus);
    }
}

/* Probes are the same windows on every rank, in order, apart from each other, inside the text. */
static void probes_are_spread_over_the_text(void **state) {
    (void)state;
    heed_corpus *corpus = corpus_of_length("probes", 1000, 0.3);
    size_t n_valid;
    int32_t *tokens = tokens_of(corpus, HEED_VALID, &n_valid);
    heed_error error = HEED_ERROR_INIT;
    heed_batch b, training;
    const heed_batch_shape shape = {.time = 20, .batch = 4, .grain = 2, .rank = 1, .size = 2, .seed = 3};
    heed_batcher *batcher = batcher_of(corpus, &shape);
    const size_t counts[] = {3, 1, 2, 14, 280, 5};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        const size_t n = counts[k];
        ok(heed_batcher_probes(batcher, n, &b, &error), &error);
        ok(heed_batcher_train(batcher, 0, &training, &error), &error); /* leaves the probes alone */
        check_form(&b, &shape);
        assert_int_equal(b.rows.first_grain, 0);
        assert_int_equal(b.rows.n_sequences, n);
        assert_int_equal(b.n_global, n);
        assert_true(b.weight_total == (double)(n * 20));
        size_t last = 0, least_gap = n_valid, most_gap = 0;
        for (size_t p = 0; p < n; p++) {
            size_t start = p ? last + 1 : 0;
            while (memcmp(tokens + start, b.token + 20 * p, 20 * sizeof *tokens) != 0)
                start++;
            assert_int_equal(b.rows.sequence[p], p);
            check_content(&b, p, tokens, start);
            const size_t gap = p ? start - last : 0;
            if (p && gap < least_gap)
                least_gap = gap;
            if (gap > most_gap)
                most_gap = gap;
            last = start;
        }
        assert_true(n < 2 || most_gap - least_gap <= 1);
        assert_true(n < 2 || most_gap >= 280 / n);
    }
    assert_int_equal(heed_batcher_probes(batcher, 281, &b, &error), HEED_CONFIG);
    assert_string_equal(error.message, "log.probes = 281: the validation text of 300 tokens has not that many");
    heed_batcher_destroy(batcher);
    free(tokens);
    heed_corpus_close(corpus);
}

static void probes_of_a_short_text_are_short(void **state) {
    (void)state;
    heed_corpus *corpus = corpus_of_length("short probes", 100, 0.1);
    const heed_batch_shape shape = {.time = 20, .batch = 4, .grain = 2, .rank = 0, .size = 1, .seed = 3};
    heed_batcher *batcher = batcher_of(corpus, &shape);
    heed_error error = HEED_ERROR_INIT;
    heed_batch b;
    ok(heed_batcher_probes(batcher, 1, &b, &error), &error);
    assert_int_equal(b.rows.n_rows, 9);
    assert_int_equal(heed_batcher_probes(batcher, 2, &b, &error), HEED_CONFIG);
    heed_batcher_destroy(batcher);
    heed_corpus_close(corpus);

    error = (heed_error)HEED_ERROR_INIT;
    corpus = corpus_of_length("short probes", 100, 0);
    batcher = batcher_of(corpus, &shape);
    assert_int_equal(heed_batcher_eval_count(batcher), 0);
    assert_int_equal(heed_batcher_probes(batcher, 1, &b, &error), HEED_CONFIG);
    heed_batcher_destroy(batcher);
    heed_corpus_close(corpus);
}

static void a_corpus_may_be_for_evaluation_only(void **state) {
    (void)state;
    heed_corpus *corpus = corpus_of_length("for evaluation", 100, 1);
    const heed_batch_shape shape = {.time = 20, .batch = 4, .grain = 2, .rank = 0, .size = 1, .seed = 3};
    heed_batcher *batcher = batcher_of(corpus, &shape);
    heed_error error = HEED_ERROR_INIT;
    heed_batch b;
    assert_int_equal(heed_batcher_eval_count(batcher), 2);
    ok(heed_batcher_eval(batcher, 1, &b, &error), &error);
    assert_int_equal(b.rows.n_rows, 19);
    uint64_t epoch, steps;
    heed_batcher_epoch(batcher, 7, &epoch, &steps);
    assert_int_equal(steps, 0);
    assert_int_equal(heed_batcher_train(batcher, 0, &b, &error), HEED_CONFIG);
    assert_string_equal(error.message, "model.time = 20: the training text has only 0 tokens");
    heed_batcher_destroy(batcher);
    heed_corpus_close(corpus);
}

static void impossible_shapes_are_named(void **state) {
    (void)state;
    static const struct {
        heed_batch_shape shape;
        const char *message;
    } cases[] = {
        {{.time = 8, .batch = 12, .grain = 3, .rank = 4, .size = 5},
         "train.batch = 12: its 4 grains of 3 cannot be shared by 5 ranks"},
        {{.time = 90, .batch = 1, .grain = 1, .rank = 0, .size = 1},
         "model.time = 90: the training text has only 90 tokens"},
        {{.time = 500, .batch = 1, .grain = 1, .rank = 0, .size = 1},
         "model.time = 500: the training text has only 90 tokens"},
    };
    heed_corpus *corpus = corpus_of_length("shapes", 100, 0.1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        heed_error error = HEED_ERROR_INIT;
        heed_batcher *batcher;
        assert_int_equal(heed_batcher_create(&batcher, corpus, &cases[i].shape, &error), HEED_CONFIG);
        assert_string_equal(error.message, cases[i].message);
        assert_true(error.hint[0]);
        assert_null(batcher);
    }
    const heed_batch_shape largest = {.time = 89, .batch = 1, .grain = 1, .rank = 0, .size = 1};
    heed_batcher *batcher = batcher_of(corpus, &largest);
    heed_error error = HEED_ERROR_INIT;
    heed_batch b;
    for (uint64_t step = 0; step < 5; step++) { /* one window an epoch */
        ok(heed_batcher_train(batcher, step, &b, &error), &error);
        assert_int_equal(b.rows.n_rows, 89);
    }
    heed_batcher_destroy(batcher);
    heed_corpus_close(corpus);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_epoch_has_every_window_once),
        cmocka_unit_test(ranks_share_the_same_batch),
        cmocka_unit_test(a_step_does_not_depend_on_earlier_ones),
        cmocka_unit_test(filling_a_batch_allocates_nothing),
        cmocka_unit_test(evaluation_has_every_target_once),
        cmocka_unit_test(probes_are_spread_over_the_text),
        cmocka_unit_test(probes_of_a_short_text_are_short),
        cmocka_unit_test(a_corpus_may_be_for_evaluation_only),
        cmocka_unit_test(impossible_shapes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
