/* The attention log: maps of the probes against their definitions, files, merge and cut. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "heed/attention_log.h"
#include "heed/gemm.h"
#include "heed/store.h"
#include "record/views.h"
#include "store/expect.h"

#define N_PROBES 2

static const size_t lengths[N_PROBES] = {TIME, 7};
static heed_tokenizer *tokenizer;
static int32_t token[TIME + 7], target[TIME + 7];
static real weight[TIME + 7];
static bool in_background;

/* Maps of both layers; seed shifts the numbers, as a training step would. */
static heed_attention_maps *make_maps(size_t shift) {
    heed_attention_maps *maps;
    OK(heed_attention_maps_create(&maps, HEED_SELF_ATTENTION, N_PROBES, LAYERS, HEADS, TIME, &error));
    for (size_t layer = 0; layer < LAYERS; layer++) {
        sample_view s;
        view_create(&s, lengths, 0, N_PROBES, layer + 10 * shift);
        view_point(&s);
        view_fill_output(&s);
        s.view.layer = layer;
        heed_attention_maps_see(maps, &s.view);
        free(s.values);
    }
    return maps;
}

static void write_step(uint64_t step, size_t shift) {
    static const size_t first_row[] = {0, TIME, TIME + 7};
    const heed_batch probes = {.rows = {.n_rows = TIME + 7, .n_sequences = N_PROBES, .first_row = first_row},
                               .token = token,
                               .target = target,
                               .weight = weight};
    double statistics[LAYERS * HEADS * HEED_N_STATISTICS];
    for (size_t i = 0; i < LAYERS * HEADS * HEED_N_STATISTICS; i++)
        statistics[i] = (double)(step * 1000 + i);
    heed_attention_maps *maps = make_maps(shift);
    if (in_background) {
        OK(heed_attention_log_start(maps, ".", step, statistics, &probes, tokenizer, "[model]\n", &error));
        memset(statistics, 0, sizeof statistics); /* start made copies */
        OK(heed_attention_log_wait(maps, &error));
    } else {
        OK(heed_attention_log_write(".", step, maps, statistics, &probes, tokenizer, "[model]\n", &error));
    }
    heed_attention_maps_destroy(maps);
}

static const size_t map_dims[] = {1, N_PROBES, LAYERS, HEADS, TIME, TIME};
#define N_MAPS (N_PROBES * LAYERS * HEADS)
#define MAP (TIME * TIME)

static void read_maps(const char *path, const char *name, float *values) {
    heed_store *store;
    OK(heed_store_open(&store, path, true, &error));
    OK(heed_store_read(store, name, HEED_TYPE_FLOAT32, 6, map_dims, values, &error));
    heed_store_close(store);
}

/* The nearest of 11 significant bits to what float arithmetic gives, whose error is relative to the largest number. */
static void check_close(const char *what, float found, double expected, double largest) {
    uint32_t bits;
    int exponent;
    frexp(expected, &exponent);
    const double tolerance = ldexp(1, exponent - 12) + 2e-6 * largest; /* half of the last place */
    memcpy(&bits, &found, sizeof bits);
    if (!(fabs((double)found - expected) <= tolerance) || bits & 0x1fff)
        fail_msg("%s: %.9g, expected %.9g", what, (double)found, expected);
}

static void maps_follow_their_definitions(void **state) {
    (void)state;
    float *attention = malloc(N_MAPS * MAP * sizeof(float)), *advantage = malloc(N_MAPS * MAP * sizeof(float));
    float *credit = malloc(N_MAPS * MAP * sizeof(float));
    double a[TIME], gain[TIME];
    write_step(100, 0);
    read_maps("attention/step-00000100.h5", "attention", attention);
    read_maps("attention/step-00000100.h5", "advantage", advantage);
    read_maps("attention/step-00000100.h5", "credit", credit);
    for (size_t layer = 0; layer < LAYERS; layer++) {
        sample_view s;
        view_create(&s, lengths, 0, N_PROBES, layer);
        view_point(&s);
        for (size_t m = 0; m < N_PROBES * HEADS; m++) {
            const size_t probe = m / HEADS, head = m % HEADS, index = (probe * LAYERS + layer) * HEADS + head;
            for (size_t i = 0; i < TIME; i++) {
                const bool inside = i < lengths[probe];
                if (inside) {
                    true_weights(a, &s, s.first_row[probe] + i, s.first_row[probe], head);
                    true_advantage(gain, a, &s, s.first_row[probe] + i, s.first_row[probe], head);
                }
                for (size_t j = 0; j < TIME; j++) {
                    const bool seen = inside && j <= i;
                    const size_t at = index * MAP + i * TIME + j;
                    check_close("attention", attention[at], seen ? a[j] : 0, seen ? 1 : 0);
                    check_close("advantage", advantage[at], seen ? gain[j] : 0, seen ? 10 : 0);
                    check_close("credit", credit[at], seen ? a[j] * gain[j] : 0, seen ? 10 : 0);
                }
            }
        }
        free(s.values);
    }
    free(attention);
    free(advantage);
    free(credit);
}

static void statistics_and_tokens_are_stored(void **state) {
    (void)state;
    heed_store *store;
    double entropy[LAYERS * HEADS], size[LAYERS * HEADS];
    int64_t length[N_PROBES], step;
    int32_t stored[N_PROBES * TIME];
    char text[N_PROBES * TIME][4];
    write_step(100, 0);
    OK(heed_store_open(&store, "attention/step-00000100.h5", true, &error));
    OK(heed_store_read(store, "step", HEED_TYPE_INT64, 1, (size_t[]){1}, &step, &error));
    OK(heed_store_read(store, "entropy", HEED_TYPE_FLOAT64, 3, (size_t[]){1, LAYERS, HEADS}, entropy, &error));
    OK(heed_store_read(store, "credit_size", HEED_TYPE_FLOAT64, 3, (size_t[]){1, LAYERS, HEADS}, size, &error));
    OK(heed_store_read(store, "probe_length", HEED_TYPE_INT64, 1, (size_t[]){N_PROBES}, length, &error));
    OK(heed_store_read(store, "token", HEED_TYPE_INT32, 2, (size_t[]){N_PROBES, TIME}, stored, &error));
    OK(heed_store_read(store, "token_text", HEED_TYPE_CHAR, 3, (size_t[]){N_PROBES, TIME, 4}, text, &error));
    heed_store_close(store);
    assert_int_equal(step, 100);
    for (size_t h = 0; h < LAYERS * HEADS; h++) {
        assert_true(entropy[h] == 100000 + (double)(h * HEED_N_STATISTICS + HEED_ENTROPY));
        assert_true(size[h] == 100000 + (double)(h * HEED_N_STATISTICS + HEED_CREDIT_SIZE));
    }
    assert_int_equal(length[0], TIME);
    assert_int_equal(length[1], 7);
    assert_int_equal(stored[TIME + 6], token[TIME + 6]);
    assert_int_equal(stored[TIME + 7], -1);
    assert_memory_equal(text[0], "\\x00", 4); /* tokens are the bytes 0, 1, 2, ... */
    assert_memory_equal(text['C'], "C\0\0", 4);
    assert_memory_equal(text[TIME + 6], "\\xff", 4);
    assert_memory_equal(text[TIME + 7], "\0\0\0", 4);
}

static bool same_files(const char *a, const char *b) {
    FILE *x = fopen(a, "r"), *y = fopen(b, "r");
    int c, d;
    assert_true(x && y);
    do
        c = getc(x), d = getc(y);
    while (c == d && c != EOF);
    fclose(x);
    fclose(y);
    return c == d;
}

static void equal_contents_make_equal_files(void **state) {
    (void)state;
    write_step(100, 0);
    assert_int_equal(rename("attention/step-00000100.h5", "first.h5"), 0);
    sleep(1); /* were a time of day stored, it would differ now */
    in_background = true;
    write_step(100, 0);
    in_background = false;
    assert_true(same_files("first.h5", "attention/step-00000100.h5"));
}

static void failed_write_is_tried_again(void **state) {
    (void)state;
    static const size_t first_row[] = {0, TIME, TIME + 7};
    const heed_batch probes = {.rows = {.n_rows = TIME + 7, .n_sequences = N_PROBES, .first_row = first_row},
                               .token = token,
                               .target = target,
                               .weight = weight};
    const double statistics[LAYERS * HEADS * HEED_N_STATISTICS] = {0};
    heed_attention_maps *maps = make_maps(0);
    assert_int_equal(system("mkdir -p attention/step-00000007.h5"), 0); /* a folder cannot be replaced by a file */
    OK(heed_attention_log_start(maps, ".", 7, statistics, &probes, tokenizer, "", &error));
    FAILS(HEED_IO, "attention/step-00000007.h5: cannot be renamed", heed_attention_log_wait(maps, &error));
    FAILS(HEED_IO, "attention/step-00000007.h5: cannot be renamed", heed_attention_log_wait(maps, &error));
    assert_int_equal(rmdir("attention/step-00000007.h5"), 0);
    OK(heed_attention_log_wait(maps, &error));
    assert_int_equal(access("attention/step-00000007.h5", F_OK), 0);
    assert_int_equal(unlink("attention/step-00000007.h5"), 0);
    OK(heed_attention_log_wait(maps, &error)); /* once is enough */
    assert_int_not_equal(access("attention/step-00000007.h5", F_OK), 0);
    FAILS(HEED_CREATE, "no/where/attention: cannot be created",
          heed_attention_log_start(maps, "no/where", 7, statistics, &probes, tokenizer, "", &error));
    assert_int_not_equal(access("attention/step-00000007.h5.tmp", F_OK), 0);
    heed_attention_maps_destroy(maps);
}

static void merge_joins_all_steps(void **state) {
    (void)state;
    static const size_t all_dims[] = {3, N_PROBES, LAYERS, HEADS, TIME, TIME};
    heed_store *store;
    float *all = malloc(3 * N_MAPS * MAP * sizeof *all), *one = malloc(N_MAPS * MAP * sizeof *one);
    double top1[3 * LAYERS * HEADS];
    int64_t steps[3];
    write_step(100, 0);
    write_step(200, 1);
    write_step(1000, 2);
    OK(heed_attention_log_merge(".", HEED_SELF_ATTENTION, "merged.h5", &error));
    OK(heed_store_open(&store, "merged.h5", true, &error));
    OK(heed_store_read(store, "step", HEED_TYPE_INT64, 1, (size_t[]){3}, steps, &error));
    OK(heed_store_read(store, "credit", HEED_TYPE_FLOAT32, 6, all_dims, all, &error));
    OK(heed_store_read(store, "top1", HEED_TYPE_FLOAT64, 3, (size_t[]){3, LAYERS, HEADS}, top1, &error));
    heed_store_close(store);
    assert_int_equal(steps[2], 1000);
    assert_true(top1[2 * LAYERS * HEADS] == 1000000 + HEED_TOP1);
    OK(heed_store_open(&store, "attention/step-00000200.h5", true, &error));
    OK(heed_store_read(store, "credit", HEED_TYPE_FLOAT32, 6, map_dims, one, &error));
    heed_store_close(store);
    assert_memory_equal(one, all + N_MAPS * MAP, N_MAPS * MAP * sizeof *one);
    free(all);
    free(one);
}

static void merge_refuses_what_does_not_fit(void **state) {
    (void)state;
    FAILS(HEED_NOT_FOUND, "no/where/attention: holds no attention log",
          heed_attention_log_merge("no/where", HEED_SELF_ATTENTION, "x.h5", &error));
    write_step(100, 0);
    token[3] = 77;
    write_step(200, 0);
    token[3] = 3;
    FAILS(HEED_DATA, "step-00000200.h5: token differs",
          heed_attention_log_merge(".", HEED_SELF_ATTENTION, "x.h5", &error));
    write_step(200, 0);
    assert_int_equal(rename("attention/step-00000200.h5", "attention/step-00000300.h5"), 0);
    FAILS(HEED_DATA, "step-00000300.h5: step = 200",
          heed_attention_log_merge(".", HEED_SELF_ATTENTION, "x.h5", &error));
    assert_int_equal(truncate("attention/step-00000300.h5", 5000), 0);
    FAILS(HEED_DATA, "step-00000300.h5: has no trailer",
          heed_attention_log_merge(".", HEED_SELF_ATTENTION, "x.h5", &error));
    assert_int_not_equal(access("x.h5", F_OK), 0);
    assert_int_not_equal(access("x.h5.tmp", F_OK), 0);
    FAILS(HEED_CREATE, "no/x.h5.tmp", heed_attention_log_merge(".", HEED_SELF_ATTENTION, "no/x.h5", &error));
}

static void cut_removes_later_steps(void **state) {
    (void)state;
    write_step(100, 0);
    write_step(200, 0);
    write_step(300, 0);
    fclose(fopen("attention/step-00000050.h5.tmp", "w"));
    OK(heed_attention_log_cut(".", 200, &error));
    assert_int_equal(access("attention/step-00000200.h5", F_OK), 0);
    assert_int_not_equal(access("attention/step-00000300.h5", F_OK), 0);
    assert_int_not_equal(access("attention/step-00000050.h5.tmp", F_OK), 0);
    OK(heed_attention_log_cut("no/where", 0, &error));
}

static int clean(void **state) {
    (void)state;
    return system("rm -rf attention *.h5");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(maps_follow_their_definitions, clean),
        cmocka_unit_test_setup(statistics_and_tokens_are_stored, clean),
        cmocka_unit_test_setup(equal_contents_make_equal_files, clean),
        cmocka_unit_test_setup(failed_write_is_tried_again, clean),
        cmocka_unit_test_setup(merge_joins_all_steps, clean),
        cmocka_unit_test_setup(merge_refuses_what_does_not_fit, clean),
        cmocka_unit_test_setup(cut_removes_later_steps, clean),
    };
    heed_error error = HEED_ERROR_INIT;
    for (int i = 0; i < TIME + 7; i++) {
        token[i] = i < TIME + 6 ? i : 255;
        target[i] = i + 1;
    }
    if (heed_gemm_open(heed_gemm_best(), 1, &error) != HEED_OK ||
        heed_tokenizer_learn(&tokenizer, HEED_TOKENIZER_BYTE, "text", "x", 1, &error) != HEED_OK)
        return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    heed_tokenizer_destroy(tokenizer);
    return failed;
}
