/* Errors are filled once; random numbers are functions of their key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heed/arena.h"
#include "heed/rng.h"
#include "heed/status.h"

static void error_keeps_its_origin(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    assert_int_equal(heed_fail(&error, HEED_CONFIG, "first %d", 1), HEED_CONFIG);
    assert_int_equal(heed_fail(&error, HEED_IO, "second"), HEED_IO);
    assert_int_equal(error.status, HEED_CONFIG);
    assert_string_equal(error.message, "first 1");
    assert_int_equal(heed_status_exit(HEED_STOPPED), 75);
    error = (heed_error)HEED_ERROR_INIT;
    heed_fail(&error, HEED_DATA, "kind %s", "two\nlines\x1b[2J");
    assert_string_equal(error.message, "kind two lines [2J");
}

static void permutation_meets_every_index_once(void **state) {
    (void)state;
    const heed_rng rng = {.seed = 7, .purpose = HEED_PURPOSE_SHUFFLE, .step = 3};
    for (uint64_t n = 1; n < 200; n += 13) {
        unsigned char *met = calloc(n, 1);
        for (uint64_t i = 0; i < n; i++) {
            const uint64_t image = heed_rng_permute(&rng, i, n);
            assert_true(image < n);
            assert_false(met[image]++);
        }
        free(met);
    }
}

/* Philox4x32-10 known answer, counter 0 and key 0 (Random123's kat_vectors). */
static void philox_gives_the_published_words(void **state) {
    (void)state;
    uint32_t words[4];
    heed_rng_block(words, &(heed_rng){0}, 0);
    const uint32_t expected[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    assert_memory_equal(words, expected, sizeof words);
}

static void arena_aligns_and_refuses_absurd_sizes(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    heed_arena arena;
    assert_int_equal(heed_arena_init(&arena, heed_bytes(SIZE_MAX / 4, 8), "test", &error), HEED_MEMORY);
    error = (heed_error)HEED_ERROR_INIT;
    assert_int_equal(heed_arena_init(&arena, 256, "test", &error), HEED_OK);
    heed_arena_take(&arena, 1);
    assert_int_equal((uintptr_t)heed_arena_take(&arena, 1) % HEED_ALIGNMENT, 0);
    heed_arena_reset(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_keeps_its_origin),
        cmocka_unit_test(permutation_meets_every_index_once),
        cmocka_unit_test(philox_gives_the_published_words),
        cmocka_unit_test(arena_aligns_and_refuses_absurd_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
