/* The arithmetic behind the order of samples, for many sizes and seeds: no file is read here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/sequences.h"
#include "data/windows.h"

static void every_window_once_an_epoch(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++)
        for (size_t time = 1; time <= 33; time += 4)
            for (uint64_t n_tokens = time + 1; n_tokens < 40 * time; n_tokens += time * seed / 2 + 1) {
                const uint64_t batch = 1 + n_tokens % 7;
                const heedi_windows w = heedi_windows_plan(n_tokens, time, seed);
                assert_true(w.n_windows > 0);
                const uint64_t n_steps = heedi_steps_an_epoch(w.n_windows, batch);
                unsigned char *met = calloc(n_tokens, 1);
                uint64_t n_met = 0, offset = UINT64_MAX;
                for (uint64_t step = 3 * n_steps; step < 4 * n_steps; step++) {
                    uint64_t epoch, first;
                    const uint64_t count = heedi_step_place(w.n_windows, batch, step, &epoch, &first);
                    assert_int_equal(epoch, 3);
                    assert_int_equal(first, (step - 3 * n_steps) * batch);
                    assert_true(count > 0 && count <= batch && (count == batch || step == 4 * n_steps - 1));
                    for (uint64_t i = first; i < first + count; i++) {
                        const uint64_t start = heedi_windows_start(&w, epoch, i);
                        assert_true(start + time < n_tokens); /* the last target is inside */
                        assert_false(met[start]++);
                        if (offset == UINT64_MAX)
                            offset = start % time;
                        assert_int_equal(start % time, offset); /* one cut: windows do not overlap */
                        n_met++;
                    }
                }
                assert_int_equal(n_met, w.n_windows);
                assert_true(n_tokens - n_met * time < 2 * time);
                free(met);
            }
}

static void too_short_a_text_has_no_window(void **state) {
    (void)state;
    assert_int_equal(heedi_windows_plan(0, 8, 1).n_windows, 0);
    assert_int_equal(heedi_windows_plan(8, 8, 1).n_windows, 0);
    assert_int_equal(heedi_windows_plan(9, 8, 1).n_windows, 1);
    assert_int_equal(heedi_windows_plan(9, 8, 1).n_offsets, 1);
    assert_int_equal(heedi_windows_plan(15, 8, 1).n_offsets, 7);
    assert_int_equal(heedi_windows_plan(16, 8, 1).n_windows, 1);
    assert_int_equal(heedi_windows_plan(16, 8, 1).n_offsets, 8);
    assert_int_equal(heedi_windows_plan(23, 8, 1).n_windows, 1);
    assert_int_equal(heedi_windows_plan(23, 8, 1).n_offsets, 15);
    assert_int_equal(heedi_windows_plan(24, 8, 1).n_windows, 2);
    assert_int_equal(heedi_windows_plan(24, 8, 1).n_offsets, 8);
}

/* Orders and offsets of epochs differ, every offset comes up, and every token is met in some epoch. */
static void epochs_differ(void **state) {
    (void)state;
    const size_t time = 16, n_tokens = 1000;
    unsigned char met[1000] = {0}, offset_met[16] = {0};
    for (uint64_t seed = 1; seed <= 3; seed++) {
        const heedi_windows w = heedi_windows_plan(n_tokens, time, seed);
        uint64_t n_same = 0;
        for (uint64_t epoch = 0; epoch < 100; epoch++) {
            for (uint64_t i = 0; i < w.n_windows; i++) {
                const uint64_t start = heedi_windows_start(&w, epoch, i);
                n_same += start / time == heedi_windows_start(&w, epoch + 1, i) / time;
                memset(met + start, 1, time);
                offset_met[start % time] = 1;
            }
        }
        assert_true(n_same < 100 * w.n_windows / 20); /* by chance one in n_windows = 61 */
    }
    assert_null(memchr(offset_met, 0, sizeof offset_met));
    assert_null(memchr(met, 0, sizeof met - 1)); /* the last token is only ever a target */
}

static void seeds_differ_and_repeat(void **state) {
    (void)state;
    const heedi_windows a = heedi_windows_plan(100000, 10, 1), again = heedi_windows_plan(100000, 10, 1),
                        b = heedi_windows_plan(100000, 10, 2);
    uint64_t n_same = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(heedi_windows_start(&a, 0, i), heedi_windows_start(&again, 0, i));
        n_same += heedi_windows_start(&a, 0, i) == heedi_windows_start(&b, 0, i);
    }
    assert_true(n_same < 10);
}

/* These numbers may never change, or old runs can no longer be resumed. They were computed by a second implementation
 * of Philox and of the permutation, written in Python. */
static void order_is_part_of_a_run(void **state) {
    (void)state;
    const heedi_windows w = heedi_windows_plan(1071285, 64, 1337);
    assert_int_equal(w.n_windows, 16737);
    assert_int_equal(heedi_steps_an_epoch(w.n_windows, 12), 1395);
    assert_int_equal(heedi_windows_start(&w, 0, 0), 84693);
    assert_int_equal(heedi_windows_start(&w, 0, 1), 154325);
    assert_int_equal(heedi_windows_start(&w, 7, 16736), 119321);
}

static void grains_are_dealt_in_runs(void **state) {
    (void)state;
    for (uint64_t n_grains = 1; n_grains <= 24; n_grains++)
        for (int size = 1; size <= (int)n_grains; size++) {
            uint64_t next = 0, least = UINT64_MAX, most = 0;
            for (int rank = 0; rank < size; rank++) {
                uint64_t first, end;
                heedi_grains_of(n_grains, rank, size, &first, &end);
                assert_int_equal(first, next);
                assert_true(end > first);
                next = end;
                least = end - first < least ? end - first : least;
                most = end - first > most ? end - first : most;
            }
            assert_int_equal(next, n_grains);
            assert_true(most - least <= 1);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_window_once_an_epoch),
        cmocka_unit_test(too_short_a_text_has_no_window),
        cmocka_unit_test(epochs_differ),
        cmocka_unit_test(seeds_differ_and_repeat),
        cmocka_unit_test(order_is_part_of_a_run),
        cmocka_unit_test(grains_are_dealt_in_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
