/* Text becomes tokens and the same text again; what is not text is refused, with its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/text.h"
#include "data/tokenizer_rules.h"
#include "heed/tokenizer.h"

static char *read_whole(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *bytes = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(*bytes);
    assert_int_equal(fread(text, 1, *bytes, file), *bytes);
    fclose(file);
    return text;
}

static void expect_round_trip(heed_tokenizer_kind kind, const char *text, size_t bytes, size_t vocab,
                              size_t n_expected) {
    heed_error error = HEED_ERROR_INIT;
    heed_tokenizer *tokenizer;
    int32_t *tokens;
    size_t n_tokens;
    assert_int_equal(heed_tokenizer_learn(&tokenizer, kind, "text", text, bytes, &error), HEED_OK);
    assert_int_equal(heed_tokenizer_vocab(tokenizer), vocab);
    assert_int_equal(heed_tokenizer_what(tokenizer), kind);
    assert_int_equal(heed_tokenizer_encode(tokenizer, "text", text, bytes, &tokens, &n_tokens, &error), HEED_OK);
    assert_int_equal(n_tokens, n_expected);
    size_t at = 0;
    for (size_t i = 0; i < n_tokens; i++) {
        size_t length;
        const char *piece = heed_tokenizer_piece(tokenizer, tokens[i], &length);
        assert_non_null(piece);
        assert_true(length <= bytes - at);
        assert_memory_equal(piece, text + at, length);
        at += length;
    }
    assert_int_equal(at, bytes);
    free(tokens);
    heed_tokenizer_destroy(tokenizer);
}

static void moby_dick_has_83_characters(void **state) {
    (void)state;
    size_t bytes;
    char *text = read_whole(HEED_SOURCE_DIR "/data/moby-dick.txt", &bytes);
    expect_round_trip(HEED_TOKENIZER_CHAR, text, bytes, 83, 1190317);
    expect_round_trip(HEED_TOKENIZER_BYTE, text, bytes, 256, bytes);
    free(text);
}

static void extreme_code_points_are_characters(void **state) {
    (void)state;
    static const char text[] = "\0\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\xF0\x90\x80\x80"
                               "\xF4\x8F\xBF\xBF\n\r\n";
    expect_round_trip(HEED_TOKENIZER_CHAR, text, sizeof text - 1, 12, 13);
}

static void numbers_follow_code_points(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    heed_tokenizer *tokenizer;
    static const char text[] = "z\xE2\x80\x94"
                               "aaz\xC3\xA9";
    assert_int_equal(heed_tokenizer_learn(&tokenizer, HEED_TOKENIZER_CHAR, "t", text, sizeof text - 1, &error),
                     HEED_OK);
    static const char *const expected[] = {"a", "z", "\xC3\xA9", "\xE2\x80\x94"};
    assert_int_equal(heed_tokenizer_vocab(tokenizer), 4);
    for (int32_t t = 0; t < 4; t++) {
        size_t length;
        const char *piece = heed_tokenizer_piece(tokenizer, t, &length);
        assert_int_equal(length, strlen(expected[t]));
        assert_memory_equal(piece, expected[t], length);
    }
    size_t length = 9;
    assert_null(heed_tokenizer_piece(tokenizer, 4, &length));
    assert_int_equal(length, 0);
    assert_null(heed_tokenizer_piece(tokenizer, -1, &length));
    heed_tokenizer_destroy(tokenizer);
}

/* One case a kind of fault; the fault lies behind "ab\ncd" (line 2, byte 5), at the end or with "z" behind it. */
static const struct {
    const char *bytes, *message;
} ill_formed[] = {
    {"\x80z", "t:2: byte 5 = 0x80: invalid UTF-8: a continuation byte without a first byte"},
    {"\xBFz", "t:2: byte 5 = 0xBF: invalid UTF-8: a continuation byte without a first byte"},
    {"\xC0\xAFz", "t:2: byte 5 = 0xC0: invalid UTF-8: an overlong form"},
    {"\xC1\xBFz", "t:2: byte 5 = 0xC1: invalid UTF-8: an overlong form"},
    {"\xE0\x9F\xBFz", "t:2: byte 5 = 0xE0 0x9F: invalid UTF-8: an overlong form"},
    {"\xF0\x8F\xBF\xBFz", "t:2: byte 5 = 0xF0 0x8F: invalid UTF-8: an overlong form"},
    {"\xED\xA0\x80z", "t:2: byte 5 = 0xED 0xA0: invalid UTF-8: a surrogate"},
    {"\xED\xBF\xBFz", "t:2: byte 5 = 0xED 0xBF: invalid UTF-8: a surrogate"},
    {"\xF4\x90\x80\x80z", "t:2: byte 5 = 0xF4 0x90: invalid UTF-8: a code point beyond U+10FFFF"},
    {"\xF5\x80\x80\x80z", "t:2: byte 5 = 0xF5: invalid UTF-8: a code point beyond U+10FFFF"},
    {"\xF7\xBF\xBF\xBFz", "t:2: byte 5 = 0xF7: invalid UTF-8: a code point beyond U+10FFFF"},
    {"\xF8\x88\x80\x80z", "t:2: byte 5 = 0xF8: invalid UTF-8: a byte that never occurs in UTF-8"},
    {"\xFEz", "t:2: byte 5 = 0xFE: invalid UTF-8: a byte that never occurs in UTF-8"},
    {"\xFFz", "t:2: byte 5 = 0xFF: invalid UTF-8: a byte that never occurs in UTF-8"},
    {"\xC3z", "t:2: byte 5 = 0xC3: invalid UTF-8: a character whose last bytes are missing"},
    {"\xE2\x80z", "t:2: byte 5 = 0xE2 0x80: invalid UTF-8: a character whose last bytes are missing"},
    {"\xF0\x9F\x90z", "t:2: byte 5 = 0xF0 0x9F 0x90: invalid UTF-8: a character whose last bytes are missing"},
    {"\xC3", "t:2: byte 5 = 0xC3: invalid UTF-8: a character that the end of the text cuts off"},
    {"\xE2\x80", "t:2: byte 5 = 0xE2 0x80: invalid UTF-8: a character that the end of the text cuts off"},
    {"\xF0\x9F\x90", "t:2: byte 5 = 0xF0 0x9F 0x90: invalid UTF-8: a character that the end of the text cuts off"},
};

static void invalid_text_is_named_with_its_place(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    heed_tokenizer *all;
    assert_int_equal(heed_tokenizer_learn(&all, HEED_TOKENIZER_CHAR, "t", "ab\ncdz", 6, &error), HEED_OK);
    for (size_t i = 0; i < sizeof ill_formed / sizeof *ill_formed; i++) {
        char text[16] = "ab\ncd";
        strcat(text, ill_formed[i].bytes);
        heed_tokenizer *tokenizer;
        error = (heed_error)HEED_ERROR_INIT;
        assert_int_equal(heed_tokenizer_learn(&tokenizer, HEED_TOKENIZER_CHAR, "t", text, strlen(text), &error),
                         HEED_DATA);
        assert_string_equal(error.message, ill_formed[i].message);
        assert_true(error.hint[0]);
        assert_null(tokenizer);
        int32_t *tokens;
        size_t n_tokens;
        error = (heed_error)HEED_ERROR_INIT;
        assert_int_equal(heed_tokenizer_encode(all, "t", text, strlen(text), &tokens, &n_tokens, &error), HEED_DATA);
        assert_string_equal(error.message, ill_formed[i].message);
        assert_null(tokens);
        assert_int_equal(heed_tokenizer_learn(&tokenizer, HEED_TOKENIZER_BYTE, "t", text, strlen(text), NULL), HEED_OK);
        heed_tokenizer_destroy(tokenizer);
    }
    heed_tokenizer_destroy(all);
}

/* Every sequence of up to four bytes out of those at which a rule of UTF-8 changes, against the definition. */
static int32_t decode_by_definition(const unsigned char *b, size_t n, size_t *length) {
    static const struct {
        unsigned char mask, mark;
        int32_t least;
    } form[] = {{0x80, 0x00, 0}, {0xE0, 0xC0, 0x80}, {0xF0, 0xE0, 0x800}, {0xF8, 0xF0, 0x10000}};
    for (size_t k = 0; k < 4 && k < n; k++) {
        if ((b[0] & form[k].mask) != form[k].mark)
            continue;
        int32_t code = b[0] & (unsigned char)~form[k].mask;
        for (size_t i = 1; i <= k; i++) {
            if ((b[i] & 0xC0) != 0x80)
                return -1;
            code = code << 6 | (b[i] & 0x3F);
        }
        *length = k + 1;
        return code >= form[k].least && code < 0x110000 && (code < 0xD800 || code > 0xDFFF) ? code : -1;
    }
    return -1;
}

static void decoding_agrees_with_the_definition(void **state) {
    (void)state;
    static const unsigned char edge[] = {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF,
                                         0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF8, 0xFF};
    const size_t n = sizeof edge;
    size_t n_valid = 0;
    for (size_t bytes = 1; bytes <= 4; bytes++)
        for (size_t i = 0; i < n * n * n * n; i++) {
            const unsigned char text[4] = {edge[i % n], edge[i / n % n], edge[i / n / n % n], edge[i / n / n / n]};
            size_t expected_length = 0;
            int32_t code = -1;
            const int32_t expected = decode_by_definition(text, bytes, &expected_length);
            const size_t length = heedi_utf8_next((const char *)text, bytes, &code);
            if (expected < 0 ? length != 0 : length != expected_length || code != expected)
                fail_msg("%02x %02x %02x %02x: %zu bytes give %d in %zu", text[0], text[1], text[2], text[3], bytes,
                         code, length);
            n_valid += expected >= 0;
        }
    assert_true(n_valid > 1000);
}

static void no_text_gives_no_characters(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    heed_tokenizer *tokenizer;
    assert_int_equal(heed_tokenizer_learn(&tokenizer, HEED_TOKENIZER_CHAR, "t", "", 0, &error), HEED_DATA);
    assert_null(tokenizer);
    expect_round_trip(HEED_TOKENIZER_BYTE, "", 0, 256, 0); /* bytes need not be learned */
}

static void unknown_characters_are_named(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"ab\nb\xC3\xA9"
         "a",
         "prompt:2: byte 4 = U+00E9 '\xC3\xA9': not among the 3 characters of the vocabulary"},
        {"\xF0\x9F\x90\xB3",
         "prompt:1: byte 0 = U+1F433 '\xF0\x9F\x90\xB3': not among the 3 characters of the vocabulary"},
        {"a\tb", "prompt:1: byte 1 = U+0009: not among the 3 characters of the vocabulary"},
        {"\xE2\x80\x8B", "prompt:1: byte 0 = U+200B: not among the 3 characters of the vocabulary"},
    };
    heed_error error = HEED_ERROR_INIT;
    heed_tokenizer *tokenizer;
    assert_int_equal(heed_tokenizer_learn(&tokenizer, HEED_TOKENIZER_CHAR, "t", "ab\n", 3, &error), HEED_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t *tokens;
        size_t n_tokens;
        error = (heed_error)HEED_ERROR_INIT;
        assert_int_equal(heed_tokenizer_encode(tokenizer, "prompt", cases[i].text, strlen(cases[i].text), &tokens,
                                               &n_tokens, &error),
                         HEED_DATA);
        assert_string_equal(error.message, cases[i].message);
        assert_null(tokens);
    }
    int32_t *none;
    size_t n_none = 1;
    assert_int_equal(heed_tokenizer_encode(tokenizer, "prompt", "", 0, &none, &n_none, &error), HEED_OK);
    assert_int_equal(n_none, 0);
    free(none);
    heed_tokenizer_destroy(tokenizer);
}

/* A file of several pieces whose borders fall on every byte of a four-byte character: the pieces join to the file, none
 * ends inside a character, and line and byte of a late fault are counted from the file's start. */
static void pieces_join_to_the_file(void **state) {
    (void)state;
    for (size_t shift = 0; shift < 4; shift++) {
        const size_t bytes = 2 * HEEDI_PIECE_BYTES + 4 * 1000 + shift;
        char *whole = malloc(bytes);
        memset(whole, 'x', shift);
        for (size_t at = shift; at < bytes; at += 4)
            memcpy(whole + at, at % 100 == 0 ? "\n123" : "\xF0\x9F\x90\xB3", 4);
        FILE *file = fopen("whole.txt", "wb");
        assert_int_equal(fwrite(whole, 1, bytes, file), bytes);
        fclose(file);
        heed_error error = HEED_ERROR_INIT;
        heedi_text text;
        assert_int_equal(heedi_text_open(&text, "whole.txt", &error), HEED_OK);
        size_t at = 0, n = 1, n_pieces = 0;
        for (const char *piece; n > 0; at += n, n_pieces += n > 0) {
            assert_int_equal(heedi_text_next(&text, &piece, &n, &error), HEED_OK);
            const heedi_spot expected = heedi_spot_of(&(heedi_spot){"whole.txt", 1, 0}, whole, at);
            assert_int_equal(text.spot.byte, expected.byte);
            assert_int_equal(text.spot.line, expected.line);
            assert_true(n <= bytes - at);
            assert_memory_equal(piece, whole + at, n);
            assert_true(n == 0 || (at + n - shift) % 4 == 0);
        }
        assert_int_equal(at, bytes);
        assert_true(n_pieces >= 3);
        char digest[HEEDI_DIGEST_TEXT], expected_digest[HEEDI_DIGEST_TEXT];
        uint64_t n_read;
        heedi_text_digest(&text, digest, &n_read);
        heedi_digest_text(XXH3_128bits(whole, bytes), expected_digest);
        assert_int_equal(n_read, bytes);
        assert_string_equal(digest, expected_digest);
        heedi_text_close(&text);
        free(whole);
    }
    remove("whole.txt");
}

static void unreadable_texts_are_named(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    heedi_text text;
    assert_int_equal(heedi_text_open(&text, "no such file", &error), HEED_NOT_FOUND);
    assert_string_equal(error.message, "no such file: cannot read the text: No such file or directory");
    heedi_text_close(&text);
    error = (heed_error)HEED_ERROR_INIT;
    assert_int_equal(heedi_text_open(&text, ".", &error), HEED_NOT_FOUND);
    assert_string_equal(error.message, ".: cannot read the text: not a regular file");
    heedi_text_close(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moby_dick_has_83_characters),         cmocka_unit_test(extreme_code_points_are_characters),
        cmocka_unit_test(numbers_follow_code_points),          cmocka_unit_test(invalid_text_is_named_with_its_place),
        cmocka_unit_test(decoding_agrees_with_the_definition), cmocka_unit_test(no_text_gives_no_characters),
        cmocka_unit_test(unknown_characters_are_named),        cmocka_unit_test(pieces_join_to_the_file),
        cmocka_unit_test(unreadable_texts_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
