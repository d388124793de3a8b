/* Batches of pairs: an epoch is a permutation, a grain a function of seed, step and lengths, and grains are equally
 * much work. */
#include "make_pairs.h"

#include "heed/batch.h"

#define N 103

static heed_corpus *corpus_of_pairs(const char *name) {
    char *text = many_pairs(N);
    heed_pairs_settings settings = usual_pairs;
    settings.target = HEED_TOKENIZER_WORD;
    heed_corpus *corpus = pairs_of(name, text, &settings);
    free(text);
    return corpus;
}

static heed_batcher *batcher_of(heed_corpus *corpus, const heed_batch_shape *shape) {
    heed_error error = HEED_ERROR_INIT;
    heed_batcher *batcher;
    ok(heed_batcher_create(&batcher, corpus, shape, &error), &error);
    return batcher;
}

/* Sequence s of the batch: the number i of its source "word i </s>", and that its rows are that pair's. */
static int check_pair(heed_corpus *corpus, const heed_batch *b, size_t s) {
    const heed_tokenizer *source = heed_corpus_source_tokenizer(corpus), *target = heed_corpus_tokenizer(corpus);
    const size_t row = b->rows.first_row[s], n = heed_length(&b->rows, s);
    const size_t first = b->source.first_row[s], n_source = heed_length(&b->source, s);
    heed_error error = HEED_ERROR_INIT;
    char *text, expected[32];
    size_t n_bytes;
    int number = -1;
    ok(heed_tokenizer_decode(source, b->source_token + first, n_source, &text, &n_bytes, &error), &error);
    assert_int_equal(sscanf(text, "word %d", &number), 1);
    free(text);
    assert_int_equal(b->source_token[first + n_source - 1], heed_tokenizer_mark(source, "</s>"));
    assert_int_equal(b->token[row], heed_tokenizer_mark(target, "<s>"));
    assert_int_equal(b->target[row + n - 1], heed_tokenizer_mark(target, "</s>"));
    for (size_t i = 0; i + 1 < n; i++)
        assert_int_equal(b->target[row + i], b->token[row + i + 1]);
    for (size_t i = 0; i < n; i++)
        assert_true(b->weight[row + i] == 1);
    snprintf(expected, sizeof expected, "end%d", number);
    expect_piece(target, b->target[row + n - 2], expected);
    return number;
}

static void an_epoch_is_a_permutation(void **state) {
    (void)state;
    heed_corpus *corpus = corpus_of_pairs("epoch");
    const heed_batch_shape shape = {.time = 64, .batch = 12, .grain = 3, .size = 1, .seed = 5};
    const size_t n_train = heed_corpus_pairs(corpus, HEED_TRAIN);
    assert_true(n_train % shape.batch % shape.grain != 0); /* the last batch ends within a grain */
    heed_batcher *batcher = batcher_of(corpus, &shape);
    int order[2][N];
    for (uint64_t epoch = 0; epoch < 2; epoch++) {
        bool met[N] = {false};
        size_t n_met = 0;
        uint64_t found, steps;
        heed_batcher_epoch(batcher, 0, &found, &steps);
        assert_int_equal(steps, (n_train + 11) / 12);
        for (uint64_t step = epoch * steps; step < (epoch + 1) * steps; step++) {
            heed_error error = HEED_ERROR_INIT;
            heed_batch b;
            ok(heed_batcher_train(batcher, step, &b, &error), &error);
            assert_int_equal(b.rows.n_sequences, b.n_global);
            assert_true(b.weight_total == (double)b.rows.n_rows);
            assert_null(b.truth);
            for (size_t s = 0; s < b.rows.n_sequences; s++) {
                const int number = check_pair(corpus, &b, s);
                assert_false(met[number]);
                met[number] = true;
                order[epoch][n_met++] = number;
            }
        }
        assert_int_equal(n_met, n_train);
    }
    assert_true(memcmp(order[0], order[1], n_train * sizeof order[0][0]) != 0);
    heed_batcher_destroy(batcher);
    heed_corpus_close(corpus);
}

/* The grains of all ranks, one behind the other, are those of one rank, whatever was asked for before. */
static void grains_do_not_depend_on_ranks(void **state) {
    (void)state;
    heed_corpus *corpus = corpus_of_pairs("ranks");
    heed_batch_shape shape = {.time = 64, .batch = 16, .grain = 2, .size = 1, .seed = 7};
    heed_batcher *alone = batcher_of(corpus, &shape);
    for (shape.size = 2; shape.size <= 8; shape.size += 3)
        for (shape.rank = 0; shape.rank < shape.size; shape.rank++) {
            heed_batcher *one = batcher_of(corpus, &shape);
            for (int k = 0; k < 10; k++) {
                const uint64_t step = (uint64_t)k * 7 % 11; /* past an epoch, and not in order */
                heed_error error = HEED_ERROR_INIT;
                heed_batch whole, part;
                ok(heed_batcher_train(alone, step, &whole, &error), &error);
                ok(heed_batcher_train(one, step, &part, &error), &error);
                assert_true(part.weight_total == whole.weight_total);
                assert_int_equal(part.n_global, whole.n_global);
                for (size_t g = 0; g < part.rows.n_grains; g++) {
                    const size_t of_all = part.rows.first_grain + g, row = heed_grain_row(&part.rows, g);
                    const size_t n = heed_grain_row(&part.rows, g + 1) - row;
                    assert_int_equal(n, heed_grain_row(&whole.rows, of_all + 1) - heed_grain_row(&whole.rows, of_all));
                    assert_memory_equal(part.token + row, whole.token + heed_grain_row(&whole.rows, of_all),
                                        n * sizeof *part.token);
                }
            }
            heed_batcher_destroy(one);
        }
    heed_batcher_destroy(alone);
    heed_corpus_close(corpus);
}

/* Rows of target and source in a grain. */
static size_t work(const heed_batch *b, size_t g) {
    return heed_grain_row(&b->rows, g + 1) - heed_grain_row(&b->rows, g) + heed_grain_row(&b->source, g + 1) -
           heed_grain_row(&b->source, g);
}

/* No two grains differ by more than the longest pair; dealt as they come, they would. */
static void grains_are_equally_much_work(void **state) {
    (void)state;
    heed_corpus *corpus = corpus_of_pairs("work");
    const heed_batch_shape shape = {.time = 64, .batch = 32, .grain = 8, .size = 1, .seed = 3};
    heed_batcher *batcher = batcher_of(corpus, &shape);
    for (uint64_t step = 0; step < 6; step++) {
        heed_error error = HEED_ERROR_INIT;
        heed_batch b;
        size_t least = SIZE_MAX, most = 0;
        ok(heed_batcher_train(batcher, step, &b, &error), &error);
        if (b.n_global < 32)
            continue;
        for (size_t g = 0; g < 4; g++) {
            least = work(&b, g) < least ? work(&b, g) : least;
            most = work(&b, g) > most ? work(&b, g) : most;
        }
        assert_true(most - least <= 6); /* of some 160 rows; 20 to 60 when dealt as they come */
    }
    heed_batcher_destroy(batcher);
    heed_corpus_close(corpus);
}

static void validation_has_every_pair_once_and_probes_are_of_them(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    heed_corpus *corpus = corpus_of_pairs("valid");
    const heed_batch_shape shape = {.time = 64, .batch = 8, .grain = 2, .size = 1, .seed = 3};
    heed_batcher *batcher = batcher_of(corpus, &shape);
    bool met[N] = {false};
    size_t n_met = 0;
    heed_batch b;
    for (size_t i = 0; i < heed_batcher_eval_count(batcher); i++) {
        ok(heed_batcher_eval(batcher, i, &b, &error), &error);
        for (size_t s = 0; s < b.rows.n_sequences; s++, n_met++) {
            const int number = check_pair(corpus, &b, s);
            assert_false(met[number]);
            met[number] = true;
        }
    }
    assert_int_equal(n_met, heed_corpus_pairs(corpus, HEED_VALID));
    ok(heed_batcher_probes(batcher, 3, &b, &error), &error);
    assert_int_equal(b.rows.n_sequences, 3);
    for (size_t s = 0; s < 3; s++)
        assert_true(met[check_pair(corpus, &b, s)]);
    assert_int_equal(heed_batcher_probes(batcher, n_met + 1, &b, &error), HEED_CONFIG);
    heed_batcher_destroy(batcher);
    heed_corpus_close(corpus);
}

/* Every run of a batch's sequences is a batch of its own: places are counted anew, numbers and the whole's sums are
 * not. */
static void a_slice_has_its_rows_and_its_sources(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    heed_corpus *corpus = corpus_of_pairs("slice");
    const heed_batch_shape shape = {.time = 64, .batch = 8, .grain = 2, .size = 1, .seed = 3};
    heed_batcher *batcher = batcher_of(corpus, &shape);
    enum { N_PROBES = 7 };
    heed_batch all;
    size_t room[2 * (N_PROBES + 1) + 2];
    assert_int_equal(heed_batch_slice_room(N_PROBES), sizeof room / sizeof *room);
    ok(heed_batcher_probes(batcher, N_PROBES, &all, &error), &error);
    for (size_t first = 0; first <= N_PROBES; first++)
        for (size_t n = 0; n <= N_PROBES - first; n++) {
            const heed_batch b = heed_batch_slice(&all, first, n, room);
            size_t longest = 0, longest_source = 0;
            assert_int_equal(b.rows.n_sequences, n);
            assert_int_equal(b.source.n_sequences, n);
            assert_int_equal(b.rows.first_row[0], 0);
            assert_int_equal(b.source.first_row[0], 0);
            assert_int_equal(b.rows.first_row[n], b.rows.n_rows);
            assert_int_equal(b.source.first_row[n], b.source.n_rows);
            assert_int_equal(b.rows.n_grains, 1);
            assert_int_equal(heed_grain_row(&b.rows, 1), b.rows.n_rows);
            assert_int_equal(heed_grain_row(&b.source, 1), b.source.n_rows);
            for (size_t s = 0; s < n; s++) {
                assert_int_equal(b.rows.sequence[s], first + s);
                assert_int_equal(b.source.sequence[s], first + s);
                assert_int_equal(check_pair(corpus, &b, s), check_pair(corpus, &all, first + s));
                longest = heed_length(&b.rows, s) > longest ? heed_length(&b.rows, s) : longest;
                longest_source =
                    heed_length(&b.source, s) > longest_source ? heed_length(&b.source, s) : longest_source;
            }
            assert_int_equal(b.rows.max_length, longest);
            assert_int_equal(b.source.max_length, longest_source);
            assert_int_equal(b.n_global, N_PROBES);
            assert_true(b.weight_total == all.weight_total);
        }
    heed_batcher_destroy(batcher);
    heed_corpus_close(corpus);
}

static void long_pairs_are_left_out_and_counted(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    heed_corpus *corpus = corpus_of_pairs("long");
    heed_batch_shape shape = {.time = 12, .batch = 8, .grain = 2, .size = 1, .seed = 3};
    heed_batcher *batcher = batcher_of(corpus, &shape);
    size_t n_kept[2] = {0, 0}, longest = 0;
    for (heed_split split = HEED_TRAIN; split <= HEED_VALID; split++) {
        for (size_t i = 0; i < heed_corpus_pairs(corpus, split); i++) {
            const size_t n = heed_corpus_pair_length(corpus, split, HEED_TARGET, i) + 1;
            n_kept[split] += n <= 12; /* sources have at most 9 */
            longest = n <= 12 && n > longest ? n : longest;
        }
        assert_true(n_kept[split] > 0 && n_kept[split] < heed_corpus_pairs(corpus, split));
        assert_int_equal(heed_batcher_left_out(batcher, split), heed_corpus_pairs(corpus, split) - n_kept[split]);
    }
    assert_int_equal(heed_batcher_time(batcher), longest);
    assert_int_equal(heed_batcher_eval_count(batcher), (n_kept[HEED_VALID] - 1) / 8 + 1);
    uint64_t epoch, steps;
    heed_batcher_epoch(batcher, 0, &epoch, &steps);
    assert_int_equal(steps, (n_kept[HEED_TRAIN] - 1) / 8 + 1);
    for (uint64_t step = 0; step < steps; step++) {
        heed_batch b;
        ok(heed_batcher_train(batcher, step, &b, &error), &error);
        assert_true(b.rows.max_length <= 12 && b.source.max_length <= 12);
    }
    heed_batcher_destroy(batcher);
    shape.time = 8; /* sources of a number with two digits have 8 rows, those with three have 9 */
    batcher = batcher_of(corpus, &shape);
    assert_true(heed_batcher_source_time(batcher) <= 8);
    heed_batcher_destroy(batcher);
    shape.time = 2;
    assert_int_equal(heed_batcher_create(&batcher, corpus, &shape, &error), HEED_CONFIG);
    assert_string_equal(error.message, "model.time = 2: each of the 77 pairs to train on is longer");
    heed_corpus_close(corpus);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_epoch_is_a_permutation),
        cmocka_unit_test(grains_do_not_depend_on_ranks),
        cmocka_unit_test(grains_are_equally_much_work),
        cmocka_unit_test(validation_has_every_pair_once_and_probes_are_of_them),
        cmocka_unit_test(a_slice_has_its_rows_and_its_sources),
        cmocka_unit_test(long_pairs_are_left_out_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
