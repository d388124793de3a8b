/* What is written is read back; what is not ours is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <xxhash.h>

#include "heed/store.h"
#include "store/expect.h"

static const float table[2][3] = {{1, 2, 3}, {4, 5, 6.5f}};
static const size_t table_dims[] = {2, 3};

static void write_sample(const char *path) {
    heed_store *store;
    const int64_t step = 7;
    const char *const words[] = {"call", "me", "Ishmaël", ""};
    const uint16_t half[] = {0x3c00, 0xbc00, 0x7bff};
    OK(heed_store_create(&store, path, &error));
    OK(heed_store_write_kind(store, "sample", 1, &error));
    OK(heed_store_write(store, "/deep/down/table", HEED_TYPE_FLOAT32, 2, table_dims, table, false, &error));
    OK(heed_store_write(store, "/packed", HEED_TYPE_FLOAT32, 2, table_dims, table, true, &error));
    OK(heed_store_write(store, "/step", HEED_TYPE_INT64, 0, NULL, &step, false, &error));
    OK(heed_store_write(store, "/words", HEED_TYPE_STRING, 1, (size_t[]){4}, words, false, &error));
    OK(heed_store_write(store, "/half", HEED_TYPE_FLOAT16, 1, (size_t[]){3}, half, false, &error));
    OK(heed_store_write(store, "/nothing", HEED_TYPE_INT32, 2, (size_t[]){0, 3}, NULL, true, &error));
    OK(heed_store_write_text(store, "/", "title", "a sample", &error));
    OK(heed_store_write_text(store, "/packed", "units", "", &error));
    OK(heed_store_write_number(store, "/packed", "scale", 0.5, &error));
    OK(heed_store_seal(store, &error));
}

static void reads_back(void **state) {
    (void)state;
    heed_store *store;
    float found[2][3];
    double wide[2][3];
    int64_t step = 0;
    char *words[4], *text;
    uint16_t half[3];
    double scale = 0;
    write_sample("sample.h5");
    OK(heed_store_open(&store, "sample.h5", true, &error));
    OK(heed_store_check_kind(store, "sample", 1, &error));
    OK(heed_store_read(store, "/deep/down/table", HEED_TYPE_FLOAT32, 2, table_dims, found, &error));
    assert_memory_equal(found, table, sizeof table);
    OK(heed_store_read(store, "/packed", HEED_TYPE_FLOAT64, 2, table_dims, wide, &error));
    assert_true(wide[1][2] == 6.5);
    OK(heed_store_read(store, "/step", HEED_TYPE_INT64, 0, NULL, &step, &error));
    assert_int_equal(step, 7);
    OK(heed_store_read(store, "/words", HEED_TYPE_STRING, 1, (size_t[]){4}, words, &error));
    assert_string_equal(words[2], "Ishmaël");
    assert_string_equal(words[3], "");
    for (int i = 0; i < 4; i++)
        free(words[i]);
    OK(heed_store_read(store, "/half", HEED_TYPE_FLOAT16, 1, (size_t[]){3}, half, &error));
    assert_int_equal(half[2], 0x7bff);
    OK(heed_store_read_text(store, "/", "title", 100, &text, &error));
    assert_string_equal(text, "a sample");
    free(text);
    OK(heed_store_read_text(store, "/packed", "units", 100, &text, &error));
    assert_string_equal(text, "");
    free(text);
    OK(heed_store_read_number(store, "/packed", "scale", &scale, &error));
    assert_true(scale == 0.5);
    assert_true(heed_store_has(store, "/deep/down"));
    assert_false(heed_store_has(store, "/deep/up"));
    heed_store_close(store);
}

static heed_status list(void *context, const char *name, const heed_array *array, heed_error *error) {
    (void)error;
    char *text = context;
    sprintf(text + strlen(text), "%s:%s:%d ", name, heed_type_name(array->type), array->n_dims);
    return HEED_OK;
}

static void walks_in_name_order(void **state) {
    (void)state;
    heed_store *store;
    char text[500] = "";
    write_sample("sample.h5");
    OK(heed_store_open(&store, "sample.h5", true, &error));
    OK(heed_store_each(store, "/", list, text, &error));
    heed_store_close(store);
    assert_string_equal(text, "/deep/down/table:float32:2 /half:float16:1 /nothing:int32:2 /packed:float32:2 "
                              "/step:int64:0 /words:string:1 ");
}

/* More rows than one turn of the lock writes, so that slices must join; read back in odd pieces. */
static void rows_in_pieces(void **state) {
    (void)state;
    const size_t n = 3000001;
    int32_t *all = malloc(n * sizeof *all), piece[1000];
    for (size_t i = 0; i < n; i++)
        all[i] = (int32_t)(i * 2654435761u);
    heed_store *store;
    OK(heed_store_create(&store, "rows.h5", &error));
    OK(heed_store_write(store, "flat", HEED_TYPE_INT32, 1, &n, all, false, &error));
    OK(heed_store_write(store, "packed", HEED_TYPE_INT32, 1, &n, all, true, &error));
    OK(heed_store_reserve(store, "grown", HEED_TYPE_INT32, 1, &n, false, &error));
    OK(heed_store_write_rows(store, "grown", 1000, n - 1000, all + 1000, &error));
    OK(heed_store_write_rows(store, "grown", 0, 1000, all, &error));
    OK(heed_store_seal(store, &error));
    OK(heed_store_open(&store, "rows.h5", true, &error));
    static const char *const name[] = {"flat", "packed", "grown"};
    for (int a = 0; a < 3; a++)
        for (size_t first = 0; first + 1000 <= n; first += 99991) {
            OK(heed_store_read_rows(store, name[a], HEED_TYPE_INT32, first, 1000, piece, &error));
            assert_memory_equal(piece, all + first, sizeof piece);
        }
    FAILS(HEED_DATA, "flat: rows", heed_store_read_rows(store, "flat", HEED_TYPE_INT32, n - 1, 2, piece, &error));
    FAILS(HEED_DATA, "rows", heed_store_read_rows(store, "packed", HEED_TYPE_INT32, SIZE_MAX, 2, piece, &error));
    heed_store_close(store);
    free(all);
}

/* A file's memory had another file before; and the end of a file that is longer than its memory is not written. */
static void what_is_not_written_is_zero(void **state) {
    const size_t n = *(const size_t *)*state;
    unsigned char *ones = malloc(n), *found = malloc(n);
    heed_store *store;
    memset(ones, 0xff, n);
    OK(heed_store_create(&store, "ones.h5", &error));
    OK(heed_store_write(store, "/ones", HEED_TYPE_UINT8, 1, &n, ones, false, &error));
    OK(heed_store_seal(store, &error));
    OK(heed_store_create(&store, "gap.h5", &error));
    OK(heed_store_reserve(store, "/gap", HEED_TYPE_UINT8, 1, &n, false, &error));
    OK(heed_store_write_rows(store, "/gap", n / 2, 1, ones, &error));
    OK(heed_store_seal(store, &error));
    OK(heed_store_open(&store, "gap.h5", true, &error));
    OK(heed_store_read(store, "/gap", HEED_TYPE_UINT8, 1, &n, found, &error));
    heed_store_close(store);
    assert_int_equal(found[n / 2], 0xff);
    found[n / 2] = 0;
    memset(ones, 0, n);
    assert_memory_equal(found, ones, n);
    free(ones);
    free(found);
}

/* Noise does not shrink when it is deflated; it is stored as it is. */
static void chunks_that_do_not_shrink(void **state) {
    (void)state;
    const size_t n = (size_t)3 << 18, bytes = n * sizeof(int32_t);
    int32_t *noise = malloc(bytes), *found = malloc(bytes);
    uint64_t x = 88172645463325252u; /* Marsaglia's xorshift */
    for (size_t i = 0; i < n; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        noise[i] = (int32_t)(x >> 32);
    }
    heed_store *store;
    OK(heed_store_create(&store, "noise.h5", &error));
    OK(heed_store_write(store, "noise", HEED_TYPE_INT32, 1, &n, noise, true, &error));
    OK(heed_store_seal(store, &error));
    OK(heed_store_open(&store, "noise.h5", true, &error));
    OK(heed_store_read(store, "noise", HEED_TYPE_INT32, 1, &n, found, &error));
    assert_memory_equal(found, noise, bytes);
    assert_in_range(heed_store_bytes(store), bytes, bytes + bytes / 100);
    heed_store_close(store);
    free(found);
    free(noise);
}

/* Many more arrays than stay open while a file is written, in turns, each with an attribute. */
static void arrays_in_turns(void **state) {
    (void)state;
    enum { ARRAYS = 50, ROWS = 3, STAY_OPEN = 32 };
    const size_t n = ROWS;
    char name[32], key[32];
    heed_store *store;
    OK(heed_store_create(&store, "turns.h5", &error));
    for (int a = 0; a < ARRAYS; a++) {
        snprintf(name, sizeof name, "/group/array-%d", a);
        OK(heed_store_reserve(store, name, HEED_TYPE_INT32, 1, &n, a % 2 == 0, &error));
    }
    OK(heed_store_make_scale(store, "/group/array-0", true, &error)); /* closed long ago */
    snprintf(name, sizeof name, "/group/array-%d", ARRAYS - STAY_OPEN + 1);
    const heed_scaled_array scaled[] = {{name, {"/group/array-0"}}, {"/group/array-2", {"/group/array-0"}}};
    OK(heed_store_attach_scales(store, scaled, 2, &error));
    for (int row = 0; row < ROWS; row++)
        for (int a = 0; a < ARRAYS; a++) {
            const int32_t value = 1000 * row + a;
            snprintf(name, sizeof name, "/group/array-%d", a);
            snprintf(key, sizeof key, "row-%d", row);
            OK(heed_store_write_rows(store, name, (size_t)row, 1, &value, &error));
            OK(heed_store_write_int(store, name, key, value, &error));
        }
    OK(heed_store_seal(store, &error));
    OK(heed_store_open(&store, "turns.h5", true, &error));
    for (int a = 0; a < ARRAYS; a++) {
        int32_t value[ROWS];
        int64_t again = 0;
        snprintf(name, sizeof name, "/group/array-%d", a);
        OK(heed_store_read(store, name, HEED_TYPE_INT32, 1, &n, value, &error));
        OK(heed_store_read_int(store, name, "row-2", &again, &error));
        assert_int_equal(value[1], 1000 + a);
        assert_int_equal(again, 2000 + a);
    }
    heed_store_close(store);
}

/* Against XXH3's one-shot function, over the bytes as they lie on disk. */
static void trailer_is_as_documented(void **state) {
    (void)state;
    unsigned char bytes[1 << 16];
    char digest[33] = "";
    heed_store *store;
    write_sample("sample.h5");
    FILE *file = fopen("sample.h5", "rb");
    const size_t n = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    const unsigned char *trailer = bytes + n - 32;
    uint64_t length = 0;
    for (int i = 0; i < 8; i++)
        length |= (uint64_t)trailer[8 + i] << 8 * i;
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes, n - 32));
    assert_memory_equal(trailer, "HEEDEND1", 8);
    assert_int_equal(length, n - 32);
    assert_memory_equal(trailer + 16, canonical.digest, 16);
    for (int i = 0; i < 16; i++)
        sprintf(digest + 2 * i, "%02x", trailer[16 + i]);
    OK(heed_store_open(&store, "sample.h5", true, &error));
    assert_string_equal(heed_store_digest(store), digest);
    assert_int_equal(heed_store_bytes(store), n);
    heed_store_close(store);
}

/* Who began first fails, and leaves alone what the other one writes. */
static void two_writers_of_one_path(void **state) {
    (void)state;
    heed_store *first, *second;
    float found[2][3];
    for (int discards = 0; discards < 2; discards++) {
        unlink("both.h5");
        OK(heed_store_create(&first, "both.h5", &error));
        OK(heed_store_create(&second, "both.h5", &error));
        OK(heed_store_write(second, "/table", HEED_TYPE_FLOAT32, 2, table_dims, table, false, &error));
        if (discards) {
            heed_store_discard(first);
        } else {
            heed_error refused = HEED_ERROR_INIT;
            assert_int_equal(heed_store_seal(first, &refused), HEED_IO);
            assert_string_equal(refused.message, "both.h5: another process writes it, too, and has begun later");
        }
        assert_int_not_equal(access("both.h5", F_OK), 0);
        OK(heed_store_seal(second, &error));
        OK(heed_store_open(&second, "both.h5", true, &error));
        OK(heed_store_read(second, "/table", HEED_TYPE_FLOAT32, 2, table_dims, found, &error));
        assert_memory_equal(found, table, sizeof table);
        heed_store_close(second);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back),
        cmocka_unit_test(walks_in_name_order),
        cmocka_unit_test(rows_in_pieces),
        cmocka_unit_test_prestate(what_is_not_written_is_zero, &(size_t){100000}),
        cmocka_unit_test_prestate(what_is_not_written_is_zero, &(size_t){18 << 20}),
        cmocka_unit_test(chunks_that_do_not_shrink),
        cmocka_unit_test(arrays_in_turns),
        cmocka_unit_test(trailer_is_as_documented),
        cmocka_unit_test(two_writers_of_one_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
