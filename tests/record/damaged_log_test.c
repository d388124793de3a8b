/* Every damage to a file of the attention log, read by `heed merge`: one line that names the file, or a damage that
 * merging need not see. And rot: flipped bits and cuts of all files of a run. */
#include <fnmatch.h>
#include <malloc.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "bad_input/damage.h"
#include "heed/attention_log.h"
#include "heed/rng.h"
#include "heed/store.h"
#include "record/sample.h"
#include "record/views.h"

#define BAD "bad/attention/step-00000100.h5"
#define GOOD "good/attention/step-00000100.h5"

static const char *const tolerated[] = {
    "* long_name: *", /* for people; merge writes them anew */
    "* units: *",          "* coordinates: *",
    "* _Encoding: *",      "* CLASS: *",
    "* NAME: *",           "* REFERENCE_LIST: *",
    "* DIMENSION_LIST: *", "/ Conventions: *",
    "/ title: *",          "/ heed_version: *",
    "/ config: is as *",   "/[!s]*: begins badly", /* numbers are passed on as they are, but for the step */
    "/[!s]*: ends badly",  NULL,
};

int __wrap_fsync(int fd); /* a thousand merges need not reach the disk */
int __wrap_fsync(int fd) {
    (void)fd;
    return 0;
}

static size_t n_refused, n_passed, n_wrong;

static void try_merge(void *context, const char *what) {
    (void)context;
    heed_error error = HEED_ERROR_INIT;
    bool tolerable = false;
    const heed_status status = heed_attention_log_merge("bad", HEED_SELF_ATTENTION, "merged.h5", &error);
    for (size_t i = 0; tolerated[i]; i++)
        tolerable = tolerable || fnmatch(tolerated[i], what, 0) == 0;
    const bool absent = strstr(what, "does not exist") != NULL; /* then the log is empty, and its folder is named */
    const bool named = strncmp(error.message, BAD ":", strlen(BAD ":")) == 0 || absent;
    if ((status == HEED_OK) != tolerable || (status != HEED_OK && ((status != HEED_DATA && status != HEED_NOT_FOUND) ||
                                                                   !named || strchr(error.message, '\n')))) {
        print_error("%s: %s: %s\n", what, heed_status_name(status), error.message);
        n_wrong++;
    }
    *(status == HEED_OK ? &n_passed : &n_refused) += 1;
}

static void make_log(const char *run_dir) {
    static const size_t first_row[] = {0, 4, 7};
    static const int32_t token[7] = {1, 2, 3, 4, 5, 6, 7};
    static double statistics[HEADS * LAYERS * HEED_N_STATISTICS];
    const heed_batch probes = {
        .rows = {.n_rows = 7, .n_sequences = 2, .first_row = first_row}, .token = token, .target = token};
    heed_attention_maps *maps;
    sample s;
    sample_create(&s, false);
    assert_true(mkdir(run_dir, 0777) == 0);
    OK(heed_attention_maps_create(&maps, HEED_SELF_ATTENTION, 2, LAYERS, HEADS, 4, &error));
    OK(heed_attention_log_write(run_dir, 100, maps, statistics, &probes, s.tokenizer, "[model]\n", &error));
    heed_attention_maps_destroy(maps);
    sample_destroy(&s);
}

/* By this process; always 0 where the C library does not tell. */
static size_t memory_held(void) {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
    return mallinfo2().uordblks;
#else
    return 0;
#endif
}

static void every_damage_to_a_log_file(void **state) {
    (void)state;
    make_log("good");
    assert_int_equal(system("mkdir -p bad/attention"), 0);
    damage_each(GOOD, BAD, try_merge, NULL); /* once, for what HDF5 keeps for ever */
    const size_t before = memory_held();
    n_refused = n_passed = 0;
    const size_t n = damage_each(GOOD, BAD, try_merge, NULL);
    const size_t after = memory_held();
    print_message("%td bytes more are held than before\n", (ptrdiff_t)(after - before));
    assert_true(after < before + 50 * n); /* a handle that is left open takes more; HDF5 forgets a few bytes itself */
    print_message("%zu damages: %zu refused, %zu need not be seen, %zu wrong\n", n, n_refused, n_passed, n_wrong);
    assert_int_equal(n_wrong, 0);
    assert_true(n_refused > 200);
}

/* One flipped bit, at random places, and all lengths in steps of 1 %. */
static void rot(const char *path) {
    FILE *file = fopen(path, "r+");
    heed_store *store;
    heed_error why;
    struct stat whole;
    assert_true(file && stat(path, &whole) == 0);
    const heed_rng rng = {.seed = 3};
    for (uint32_t i = 0; i < 2000; i++) {
        const long at = (long)heed_rng_below(&rng, 2 * i, (uint64_t)whole.st_size);
        fseek(file, at, SEEK_SET);
        const int good = getc(file), bad = good ^ 1 << heed_rng_below(&rng, 2 * i + 1, 8);
        fseek(file, at, SEEK_SET);
        putc(bad, file);
        fflush(file);
        why = (heed_error)HEED_ERROR_INIT;
        if (heed_store_open(&store, path, true, &why) != HEED_DATA)
            fail_msg("%s: byte %ld: %02x for %02x is not noticed", path, at, (unsigned)bad, (unsigned)good);
        fseek(file, at, SEEK_SET);
        putc(good, file);
        fflush(file);
    }
    OK(heed_store_open(&store, path, true, &error));
    heed_store_close(store);
    for (int percent = 99; percent >= 0; percent--) {
        assert_int_equal(truncate(path, whole.st_size * percent / 100), 0);
        why = (heed_error)HEED_ERROR_INIT;
        if (heed_store_open(&store, path, true, &why) != HEED_DATA)
            fail_msg("%s: cut to %d %% is not noticed", path, percent);
    }
    fclose(file);
}

static void rot_is_noticed(void **state) {
    (void)state;
    sample s;
    sample_create(&s, false);
    OK(heed_checkpoint_write("rotten", &s.state, &s.arenas, s.tokenizer, &error));
    rot("rotten/step-00000001.h5");
    make_log("rotten_run");
    rot("rotten_run/attention/step-00000100.h5");
    sample_destroy(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_damage_to_a_log_file),
        cmocka_unit_test(rot_is_noticed),
    };
    if (system("rm -rf good bad rotten rotten_run merged.h5") != 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
