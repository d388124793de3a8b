/* Whatever bytes arrive, reading ends, with a config or with one line. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "heed/rng.h"
#include "helpers.h"

static void write_file(const char *path, const void *bytes, size_t n_bytes) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n_bytes, file), n_bytes);
    fclose(file);
}

static heed_error refused_file(const char *path, heed_status expected) {
    heed_config config;
    heed_error error = NO_ERROR;
    heed_config_defaults(&config);
    assert_int_equal(heed_config_read_file(&config, path, &error), expected);
    assert_one_line(&error);
    return error;
}

static void files_that_are_none(void **state) {
    (void)state;
    assert_string_equal(refused_file("no/such.ini", HEED_NOT_FOUND).message,
                        "no/such.ini: cannot be read: No such file or directory");
    assert_string_equal(refused_file(".", HEED_NOT_FOUND).message, ".: cannot be read: Is a directory");
    assert_string_equal(refused_file("", HEED_NOT_FOUND).message, ": cannot be read: No such file or directory");
    assert_string_equal(refused_file("a\nb", HEED_NOT_FOUND).message,
                        "a\\x0ab: cannot be read: No such file or directory");
    assert_string_equal(refused_file("/dev/zero", HEED_CONFIG).message,
                        "/dev/zero: longer than 1048576 bytes: not a configuration file");
    char long_name[5000];
    memset(long_name, 'x', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
    const heed_error error = refused_file(long_name, HEED_NOT_FOUND);
    assert_non_null(strstr(error.message, "...: cannot be read: File name too long"));
    if (geteuid() != 0) { /* nothing is unreadable for root */
        write_file("unreadable.ini", "", 0);
        assert_int_equal(chmod("unreadable.ini", 0), 0);
        assert_non_null(strstr(refused_file("unreadable.ini", HEED_NOT_FOUND).message, "Permission denied"));
    }
}

static void odd_contents(void **state) {
    (void)state;
    heed_config config, defaults;
    heed_error error = NO_ERROR;
    heed_config_defaults(&config);
    heed_config_defaults(&defaults);
    write_file("empty.ini", "", 0);
    assert_int_equal(heed_config_read_file(&config, "empty.ini", &error), HEED_OK);
    assert_memory_equal(&config, &defaults, offsetof(heed_config, origin));
    assert_int_equal(heed_config_resolve(&config, &error), HEED_CONFIG);
    assert_string_equal(error.message,
                        "empty.ini: data.text and data.store are both empty: there is nothing to learn from");

    write_file("nul.ini",
               "[run]\nseed = 1\0"
               "2\n",
               17);
    assert_string_equal(refused_file("nul.ini", HEED_CONFIG).message, "nul.ini:2: byte 9 is 0x00: a control character");
    write_file("mac.ini", "[run]\rseed = 1\r", 15);
    assert_string_equal(refused_file("mac.ini", HEED_CONFIG).message, "mac.ini:1: byte 6 is 0x0d: a control character");
    write_file("utf16.ini", "\xFF\xFE[\0", 4);
    assert_string_equal(refused_file("utf16.ini", HEED_CONFIG).message, "utf16.ini:1: byte 1 is 0xff: not UTF-8 text");
    write_file("surrogate.ini", "; \xED\xA0\x80\n", 6);
    assert_string_equal(refused_file("surrogate.ini", HEED_CONFIG).message,
                        "surrogate.ini:1: byte 3 is 0xed: not UTF-8 text");
}

/* Lines of every length around the limits: a comment may be long, a setting not. */
static void long_lines(void **state) {
    (void)state;
    const size_t ten_million = 10000000;
    char *text = malloc(ten_million + 32);
    heed_config config;
    for (size_t length = 100; length < 100000; length += length < 3000 ? 1 : 9973) {
        heed_error error = NO_ERROR;
        heed_config_defaults(&config);
        memset(text, 'a', length);
        memcpy(text, "\ndata.text=", 11);
        text[length] = '\0';
        const heed_status status = heed_config_read_text(&config, "a.ini", text, &error);
        assert_int_equal(status, length - 11 < HEED_PATH_MAX ? HEED_OK : HEED_CONFIG);
        if (status == HEED_OK)
            assert_int_equal(strlen(config.data.text), length - 11);
        else
            assert_memory_equal(error.message, "a.ini:2: ", 9);
        text[1] = ';';
        error = NO_ERROR;
        assert_int_equal(heed_config_read_text(&config, "a.ini", text, &error), HEED_OK);
    }
    assert_refused("run.seed=1\nrun.dir = x\n[model]\n                         heads                            =   z",
                   "a.ini:4: model.heads = z: expected a whole number from 1 to 1024", "");
    memset(text, 'a', ten_million);
    write_file("long.ini", text, ten_million);
    assert_string_equal(refused_file("long.ini", HEED_CONFIG).message,
                        "long.ini: longer than 1048576 bytes: not a configuration file");
    write_file("million.ini", text, 1000000);
    assert_memory_equal(refused_file("million.ini", HEED_CONFIG).message, "million.ini:1: aaaa", 19);
    memset(text, '\n', 1000000); /* a million lines, and all of them are read */
    memcpy(text + 1000000, "run.seed=x", 10);
    write_file("tall.ini", text, 1000010);
    assert_string_equal(refused_file("tall.ini", HEED_CONFIG).message,
                        "tall.ini:1000001: run.seed = x: expected a whole number from 0 to 9223372036854775807");
    free(text);
}

/* A mutated configuration: bytes replaced, cut, doubled, or taken from a dictionary of awkward pieces. */
static size_t mutate(char *text, size_t n_bytes, size_t capacity, heed_rng *rng) {
    static const char *const pieces[] = {"\n",
                                         "\r",
                                         "[",
                                         "]",
                                         "=",
                                         ";",
                                         "#",
                                         " ",
                                         "\t",
                                         ":",
                                         "model.",
                                         "[train]",
                                         "1e400",
                                         "-1",
                                         "nan",
                                         "\xFF",
                                         "\xC3",
                                         "\xF4\x90\x80\x80",
                                         "=\n",
                                         "\n\n[",
                                         "heads=4\n",
                                         "..",
                                         "99999999999999999999"};
    uint32_t words[4];
    heed_rng_block(words, rng, 0);
    rng->step++;
    for (uint32_t edits = 1 + words[3] % 3; edits > 0; edits--) {
        heed_rng_block(words, rng, edits);
        const size_t at = n_bytes ? words[0] % n_bytes : 0;
        const char *piece = pieces[words[1] % (sizeof pieces / sizeof *pieces)];
        const size_t length = strlen(piece), cut = words[1] % 9;
        switch (words[2] % 4) {
        case 0:
            if (n_bytes)
                text[at] = (char)(1 + words[1] % 255);
            break;
        case 1:
            if (at + cut <= n_bytes) {
                memmove(text + at, text + at + cut, n_bytes - at - cut);
                n_bytes -= cut;
            }
            break;
        default:
            if (n_bytes + length < capacity) {
                memmove(text + at + length, text + at, n_bytes - at);
                memcpy(text + at, piece, length);
                n_bytes += length;
            }
        }
    }
    text[n_bytes] = '\0';
    return n_bytes;
}

static void mutations_never_crash(void **state) {
    (void)state;
    heed_config config;
    heed_config_defaults(&config);
    char *seed = heed_config_text(&config);
    const size_t n_seed = strlen(seed), capacity = n_seed + 1024;
    heed_rng rng = {.seed = 20, .purpose = HEED_PURPOSE_TEST};
    size_t refused = 0, taken = 0;
    for (int round = 0; round < 4000; round++) {
        char *text = malloc(capacity + 1); /* exact, so that AddressSanitizer sees every byte too far */
        memcpy(text, seed, n_seed + 1);
        const size_t n_bytes = mutate(text, n_seed, capacity, &rng);
        text = realloc(text, n_bytes + 1);
        heed_error error = NO_ERROR;
        heed_config_defaults(&config);
        const heed_status status = heed_config_read_text(&config, "fuzz", text, &error);
        if (status == HEED_OK) {
            taken++;
            char *again = heed_config_text(&config); /* whatever was taken can be written */
            heed_config second;
            heed_config_defaults(&second);
            assert_int_equal(heed_config_read_text(&second, "again", again, &error), HEED_OK);
            assert_memory_equal(&config, &second, offsetof(heed_config, origin));
            free(again);
        } else {
            refused++;
            assert_int_equal(status, HEED_CONFIG);
            assert_one_line(&error);
            assert_memory_equal(error.message, "fuzz:", 5);
        }
        heed_config_resolve(&config, &error);
        heed_config_defaults(&config);
        heed_config_override(&config, text, &error);
        free(text);
    }
    free(seed);
    assert_true(refused > 1000 && taken > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_that_are_none),
        cmocka_unit_test(odd_contents),
        cmocka_unit_test(long_lines),
        cmocka_unit_test(mutations_never_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
