/* Cases made from the table itself: a new row is tested by being there. */
#include <float.h>
#include <inttypes.h>
#include <math.h>

#include "helpers.h"

/* field = value is refused with the message that the table implies, from a file and from the command line. */
static void assert_value_refused(const heedi_field *field, const char *value) {
    char text[4096], expected[HEEDI_EXPECTED_MAX], message[2048];
    heedi_field_expected(field, expected);
    heed_config config;
    heed_config_defaults(&config);
    const heed_config before = config;

    heed_error error = NO_ERROR;
    snprintf(text, sizeof text, "\n%s = %s\n", field->key, value);
    snprintf(message, sizeof message, "a.ini:2: %s = %s: expected %s", field->key, value, expected);
    assert_int_equal(heed_config_read_text(&config, "a.ini", text, &error), HEED_CONFIG);
    if (strlen(value) < 64)
        assert_string_equal(error.message, message);
    assert_one_line(&error);
    assert_memory_equal(&config, &before, offsetof(heed_config, origin));

    error = NO_ERROR;
    snprintf(text, sizeof text, "%s=%s", field->key, value);
    snprintf(message, sizeof message, "command line: %s = %s: expected %s", field->key, value, expected);
    assert_int_equal(heed_config_override(&config, text, &error), HEED_CONFIG);
    if (strlen(value) < 64)
        assert_string_equal(error.message, message);
}

/* field = value is taken, and its text gives the same value again. */
static void assert_value_taken(const heedi_field *field, const char *value) {
    char assignment[4096], back[HEEDI_VALUE_MAX];
    heed_error error = NO_ERROR;
    heed_config config, again;
    heed_config_defaults(&config);
    heed_config_defaults(&again);
    snprintf(assignment, sizeof assignment, "%s=%s", field->key, value);
    if (heed_config_override(&config, assignment, &error) != HEED_OK)
        fail_msg("%s", error.message);
    heedi_field_format(field, &config, back);
    assert_true(heedi_field_parse(field, &again, back));
    assert_memory_equal(&config, &again, offsetof(heed_config, origin));
}

static void int_cases(const heedi_field *field) {
    char text[64];
    static const char *const garbage[] = {"",
                                          "x",
                                          "1x",
                                          "1 2",
                                          "0x10",
                                          "1.0",
                                          "1e2",
                                          "1,0",
                                          "nan",
                                          "inf",
                                          "- 1",
                                          "--1",
                                          "1_000",
                                          "99999999999999999999",
                                          "-99999999999999999999",
                                          "\xE2\x82\xAC"};
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++)
        if (garbage[i][0])
            assert_value_refused(field, garbage[i]);
    for (int side = 0; side < 2; side++) {
        const int64_t bound = side ? field->max : field->min;
        snprintf(text, sizeof text, "%" PRId64, bound);
        assert_value_taken(field, text);
        if (bound == INT64_MAX)
            snprintf(text, sizeof text, "9223372036854775808");
        else
            snprintf(text, sizeof text, "%" PRId64, side ? bound + 1 : bound - 1);
        assert_value_refused(field, text);
    }
}

static void real_cases(const heedi_field *field) {
    char text[64];
    static const char *const garbage[] = {"x",    "1x",    "0x1p-3", "0.5 0.5", "nan", "NAN", "nan(1)", "inf",
                                          "-inf", "1e400", "-1e400", "1,5",     "1e",  ".",   "e5",     "--1"};
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++)
        assert_value_refused(field, garbage[i]);
    for (int side = 0; side < 2; side++) {
        const double bound = side ? field->high : field->low;
        const double in = nextafter(bound, side ? -DBL_MAX : DBL_MAX),
                     out = nextafter(bound, side ? DBL_MAX : -DBL_MAX);
        snprintf(text, sizeof text, "%.17g", in);
        assert_value_taken(field, text);
        snprintf(text, sizeof text, "%.17g", bound);
        if (side ? field->below_high : field->above_low)
            assert_value_refused(field, text);
        else
            assert_value_taken(field, text);
        snprintf(text, sizeof text, "%.17g", out);
        assert_value_refused(field, text);
    }
}

static void choice_cases(const heedi_field *field) {
    char name[64], wrong[80];
    size_t n = 0;
    for (; heedi_field_choice(field, n, name); n++) {
        assert_value_taken(field, name);
        snprintf(wrong, sizeof wrong, "%sx", name);
        assert_value_refused(field, wrong);
        name[0] = (char)(name[0] - 'a' + 'A');
        assert_value_refused(field, name);
    }
    assert_true(n > 0);
    assert_value_refused(field, field->choices[strcspn(field->choices, "|")] ? field->choices : "0");
}

static void text_cases(const heedi_field *field) {
    char text[HEED_PATH_MAX + 1];
    memset(text, 'a', sizeof text);
    text[HEED_PATH_MAX] = '\0';
    assert_value_refused(field, text);
    text[HEED_PATH_MAX - 1] = '\0';
    assert_value_taken(field, text);
    assert_value_taken(field, "a b;c#d=e [f] \xE2\x82\xAC");
    heed_config config;
    heed_config_defaults(&config);
    static const char *const unsafe[] = {";a", "#a", "a ;b", "a #b", " a", "a ", "a\nb", "a\x7F"};
    for (size_t i = 0; i < sizeof unsafe / sizeof *unsafe; i++)
        assert_false(heedi_field_parse(field, &config, unsafe[i]));
}

static void every_row_keeps_its_range(void **state) {
    (void)state;
    for (size_t i = 0; i < heedi_n_fields; i++) {
        const heedi_field *field = &heedi_fields[i];
        assert_value_taken(field, field->initial);
        switch (field->type) {
        case HEEDI_INT:
            int_cases(field);
            break;
        case HEEDI_REAL:
            real_cases(field);
            break;
        case HEEDI_BOOL:
            assert_value_refused(field, "maybe");
            assert_value_refused(field, "YES");
            assert_value_taken(field, "yes");
            assert_value_taken(field, "no");
            break;
        case HEEDI_CHOICE:
            choice_cases(field);
            break;
        case HEEDI_TEXT:
            text_cases(field);
        }
        if (field->type != HEEDI_TEXT) {
            heed_config config;
            assert_false(heedi_field_parse(field, &config, ""));
            assert_false(heedi_field_parse(field, &config, " 1"));
        }
    }
}

/* Rows are whole: a key of two parts, a meaning, sections in one piece; no two rows share storage. */
static void every_row_is_whole(void **state) {
    (void)state;
    heed_config config;
    for (size_t i = 0; i < heedi_n_fields; i++) {
        const heedi_field *field = &heedi_fields[i];
        const size_t section = strcspn(field->key, ".") + 1;
        assert_non_null(strchr(field->key, '.'));
        assert_true(strlen(field->meaning) > 10);
        assert_null(strchr(field->meaning, '|'));
        assert_int_equal(heedi_field_find(field->key), i);
        assert_ptr_equal(heedi_field_nearest(field->key, NULL), field);
        for (size_t j = 0; j < i; j++) {
            assert_true(heedi_fields[j].offset != field->offset);
            assert_true(strcmp(heedi_fields[j].key, field->key) != 0);
            if (strncmp(heedi_fields[j].key, field->key, section) == 0)
                assert_true(strncmp(heedi_fields[i - 1].key, field->key, section) == 0);
        }
    }
    heed_config_defaults(&config);
    heed_error error = NO_ERROR;
    assert_int_equal(heed_config_resolve(&config, &error), HEED_OK);
}

/* Every member of heed_config has a row: bytes that no row sets are padding, of less than 8 bytes a section. */
static void every_member_has_a_row(void **state) {
    (void)state;
    static const size_t bytes[] = {
        [HEEDI_INT] = 8, [HEEDI_REAL] = 8, [HEEDI_BOOL] = 1, [HEEDI_CHOICE] = 4, [HEEDI_TEXT] = HEED_PATH_MAX};
    static char set[offsetof(heed_config, origin)];
    for (size_t i = 0; i < heedi_n_fields; i++)
        memset(set + heedi_fields[i].offset, 1, bytes[heedi_fields[i].type]);
    size_t gap = 0;
    for (size_t i = 0; i < sizeof set; i++) {
        gap = set[i] ? 0 : gap + 1;
        assert_true(gap < 8);
    }
}

/* One letter missing, doubled, wrong or swapped in any key's name leads back to that key, or to one that is as near. */
static void slips_lead_back(void **state) {
    (void)state;
    for (size_t i = 0; i < heedi_n_fields; i++) {
        const char *key = heedi_fields[i].key;
        const size_t length = strlen(key);
        for (size_t at = strcspn(key, ".") + 1; at < length; at++) {
            char slip[4][80];
            snprintf(slip[0], sizeof slip[0], "%.*s%s", (int)at, key, key + at + 1);
            snprintf(slip[1], sizeof slip[1], "%.*s%c%s", (int)at, key, key[at], key + at);
            snprintf(slip[2], sizeof slip[2], "%.*sQ%s", (int)at, key, key + at + 1);
            snprintf(slip[3], sizeof slip[3], "%s", key);
            if (at + 1 < length)
                slip[3][at] = key[at + 1], slip[3][at + 1] = key[at];
            for (int kind = 0; kind < 4; kind++) {
                const heedi_field *nearest = heedi_field_nearest(slip[kind], NULL);
                assert_true(heedi_edit_distance(slip[kind], key) <= 1);
                if (nearest != &heedi_fields[i])
                    assert_true(heedi_edit_distance(slip[kind], nearest->key) <= 1);
            }
        }
    }
    assert_int_equal(heedi_edit_distance("", "abc"), 3);
    assert_int_equal(heedi_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(heedi_edit_distance("ab", "ba"), 1);
}

/* A random value of the field, as text, in its range. */
static void random_value(const heedi_field *field, char text[HEEDI_VALUE_MAX]) {
    char name[64];
    size_t n = 0;
    const double u = drand48();
    switch (field->type) {
    case HEEDI_INT:
        snprintf(text, HEEDI_VALUE_MAX, "%" PRId64,
                 field->min + (int64_t)(u * 0.999 * (double)(field->max - field->min)));
        return;
    case HEEDI_REAL:
        snprintf(text, HEEDI_VALUE_MAX, "%.17g", field->low + (u * 0.999 + 1e-6) * (field->high - field->low));
        return;
    case HEEDI_BOOL:
        snprintf(text, HEEDI_VALUE_MAX, "%s", u < 0.5 ? "yes" : "no");
        return;
    case HEEDI_CHOICE:
        while (heedi_field_choice(field, n, name))
            n++;
        heedi_field_choice(field, (size_t)(u * (double)n), text);
        return;
    case HEEDI_TEXT:
        snprintf(text, HEEDI_VALUE_MAX, "\xC3\xA9%.*s", (int)(u * 40), "runs/a=b; c [d] \"e\" 'f' #/0123456789/xyz");
    }
}

/* text -> config -> text is the identity, bit by bit, and text does not grow on the way. */
static void text_comes_back(void **state) {
    (void)state;
    srand48(1);
    for (int round = 0; round < 200; round++) {
        heed_config config, again;
        heed_error error = NO_ERROR;
        heed_config_defaults(&config);
        heed_config_defaults(&again);
        for (size_t i = 0; i < heedi_n_fields; i++) {
            char value[HEEDI_VALUE_MAX];
            do
                random_value(&heedi_fields[i], value);
            while (!heedi_field_parse(&heedi_fields[i], &config, value));
        }
        char *text = heed_config_text(&config);
        assert_non_null(text);
        if (heed_config_read_text(&again, "resolved", text, &error) != HEED_OK)
            fail_msg("%s", error.message);
        assert_memory_equal(&config, &again, offsetof(heed_config, origin));
        char *text_again = heed_config_text(&again);
        assert_string_equal(text, text_again);
        free(text);
        free(text_again);
    }
}

/* What `heed config` prints is a configuration, and holds what it was given. */
static void printed_table_is_a_config(void **state) {
    (void)state;
    heed_config config, again;
    heed_error error = NO_ERROR;
    heed_config_defaults(&config);
    heed_config_defaults(&again);
    config.model.heads = 64;
    snprintf(config.data.text, sizeof config.data.text, "a;b");
    char *text = NULL;
    size_t n_bytes;
    FILE *out = open_memstream(&text, &n_bytes);
    heed_config_print(out, &config, false);
    fclose(out);
    if (heed_config_read_text(&again, "printed", text, &error) != HEED_OK)
        fail_msg("%s", error.message);
    assert_memory_equal(&config, &again, offsetof(heed_config, origin));
    free(text);
}

static void docs_page_is_the_table(void **state) {
    (void)state;
    char *text = NULL, *page = NULL;
    size_t n_bytes, page_bytes = 0;
    FILE *out = open_memstream(&text, &n_bytes);
    heed_config_print(out, NULL, true);
    fclose(out);
    FILE *docs = fopen(HEED_SOURCE_DIR "/docs/config.md", "r");
    assert_non_null(docs);
    if (getdelim(&page, &page_bytes, '\0', docs) < 0 || strcmp(page, text) != 0)
        fail_msg("docs/config.md is not what the table says: run `heed config --markdown > docs/config.md`");
    fclose(docs);
    free(text);
    free(page);
}

int main(int n_arguments, char **arguments) {
    if (n_arguments > 1 && strcmp(arguments[1], "--markdown") == 0) {
        heed_config_print(stdout, NULL, true);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_keeps_its_range), cmocka_unit_test(every_row_is_whole),
        cmocka_unit_test(every_member_has_a_row),    cmocka_unit_test(slips_lead_back),
        cmocka_unit_test(text_comes_back),           cmocka_unit_test(printed_table_is_a_config),
        cmocka_unit_test(docs_page_is_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
