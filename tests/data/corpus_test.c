/* Texts become a token store that gives them back; a store knows what it was made of; a fault leaves no store. */
#include "make_corpus.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "heed/store.h"

/* The linker sends heed's calls of open here, so that a text can change between its two readings. */
static const char *changing_path, *changed_text;
static int n_opens;
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, mode_t mode);
int __wrap_open(const char *path, int flags, mode_t mode) {
    if (changing_path && strcmp(path, changing_path) == 0 && ++n_opens == 2) {
        const char *text = changed_text;
        changing_path = NULL;
        write_text(path, text);
    }
    return __real_open(path, flags, mode);
}

static void expect_split(heed_corpus *corpus, heed_split split, const char *expected, size_t n_expected) {
    size_t n;
    char *text = text_of(corpus, split, &n);
    assert_int_equal(n, n_expected);
    assert_memory_equal(text, expected, n);
    free(text);
}

static void moby_dick_comes_back(void **state) {
    (void)state;
    size_t n;
    char *text = read_bytes(HEED_SOURCE_DIR "/data/moby-dick.txt", &n);
    heed_corpus *corpus = corpus_of("moby", text, n, HEED_TOKENIZER_CHAR, 0.1);
    assert_int_equal(heed_tokenizer_vocab(heed_corpus_tokenizer(corpus)), 83);
    assert_int_equal(heed_corpus_tokens(corpus, HEED_TRAIN), 1071285);
    assert_int_equal(heed_corpus_tokens(corpus, HEED_VALID), 119032);
    size_t n_train, n_valid;
    char *train = text_of(corpus, HEED_TRAIN, &n_train);
    expect_split(corpus, HEED_TRAIN, text, n_train);
    char *valid = text_of(corpus, HEED_VALID, &n_valid);
    assert_int_equal(n_train + n_valid, n);
    expect_split(corpus, HEED_VALID, text + n_train, n_valid);
    free(train);
    free(valid);
    heed_corpus_close(corpus);
    free(text);
}

/* More than 256 and more than 65,536 characters, in a text of several pieces. */
static void tokens_have_the_smallest_type(void **state) {
    (void)state;
    static const struct {
        int32_t n_codes;
        heed_type type;
    } cases[] = {{256, HEED_TYPE_UINT8}, {257, HEED_TYPE_UINT16}, {65536, HEED_TYPE_UINT16}, {65537, HEED_TYPE_INT32}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const size_t n_characters = 400000;
        char *text = malloc(4 * n_characters);
        size_t n = 0;
        for (size_t i = 0; i < n_characters; i++) {
            const uint32_t code = 0x10000 + (uint32_t)(i * 7919 % (size_t)cases[c].n_codes);
            text[n++] = (char)(0xF0 | code >> 18);
            text[n++] = (char)(0x80 | (code >> 12 & 0x3F));
            text[n++] = (char)(0x80 | (code >> 6 & 0x3F));
            text[n++] = (char)(0x80 | (code & 0x3F));
        }
        heed_corpus *corpus = corpus_of("types", text, n, HEED_TOKENIZER_CHAR, 0.25);
        assert_int_equal(heed_tokenizer_vocab(heed_corpus_tokenizer(corpus)), cases[c].n_codes);
        expect_split(corpus, HEED_TRAIN, text, n / 4 * 3);
        expect_split(corpus, HEED_VALID, text + n / 4 * 3, n / 4);
        heed_corpus_close(corpus);
        heed_error error = HEED_ERROR_INIT;
        heed_store *store;
        heed_array array;
        ok(heed_store_open(&store, "types.h5", true, &error), &error);
        ok(heed_store_describe(store, "/train", &array, &error), &error);
        assert_int_equal(array.type, cases[c].type);
        heed_store_close(store);
        free(text);
    }
}

static void each_file_is_split(void **state) {
    (void)state;
    write_text("a.txt", "0123456789");
    write_text("b.txt", "");
    write_text("c.txt", "abc");
    write_text("d.txt", "\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9xyz!");
    const char *const texts[] = {"a.txt", "b.txt", "c.txt", "d.txt"};
    heed_error error = HEED_ERROR_INIT;
    heed_corpus *corpus;
    ok(heed_corpus_prepare("split.h5", texts, 4, HEED_TOKENIZER_CHAR, 0.25, &error), &error);
    ok(heed_corpus_open(&corpus, "split.h5", &error), &error);
    static const char train[] = "0123456"
                                "ab"
                                "\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9xy",
                      valid[] = "789"
                                "c"
                                "z!";
    expect_split(corpus, HEED_TRAIN, train, sizeof train - 1);
    expect_split(corpus, HEED_VALID, valid, sizeof valid - 1);
    heed_corpus_close(corpus);
    ok(heed_corpus_prepare("split.h5", texts, 4, HEED_TOKENIZER_BYTE, 0.25, &error), &error);
    ok(heed_corpus_open(&corpus, "split.h5", &error), &error);
    static const char bytes[] = "0123456"
                                "ab"
                                "\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9x";
    expect_split(corpus, HEED_TRAIN, bytes, sizeof bytes - 1);
    heed_corpus_close(corpus);
}

static void a_split_may_be_empty(void **state) {
    (void)state;
    heed_corpus *corpus = corpus_of("empty", "abc", 3, HEED_TOKENIZER_CHAR, 0);
    expect_split(corpus, HEED_TRAIN, "abc", 3);
    assert_int_equal(heed_corpus_tokens(corpus, HEED_VALID), 0);
    heed_corpus_close(corpus);
    corpus = corpus_of("empty", "a", 1, HEED_TOKENIZER_CHAR, 0.5);
    assert_int_equal(heed_corpus_tokens(corpus, HEED_TRAIN), 0);
    expect_split(corpus, HEED_VALID, "a", 1);
    heed_corpus_close(corpus);
}

static void any_run_of_tokens_can_be_read(void **state) {
    (void)state;
    unsigned char bytes[20000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * i % 251);
    heed_corpus *corpus = corpus_of("runs", bytes, sizeof bytes, HEED_TOKENIZER_BYTE, 0.5);
    int32_t tokens[10000];
    heed_error error = HEED_ERROR_INIT;
    for (size_t k = 0; k < 500; k++) {
        const size_t first = k * 7919 % 10000, count = k * k * 31 % (10000 - first + 1);
        const heed_split split = k % 2 ? HEED_TRAIN : HEED_VALID;
        ok(heed_corpus_read(corpus, split, first, count, tokens, &error), &error);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(tokens[i], bytes[(split == HEED_VALID ? 10000 : 0) + first + i]);
    }
    heed_corpus_close(corpus);
}

/* A file that shrinks under a run's feet: an error, not a signal. A file that is replaced: the old one stays open. */
static void a_store_that_changes_while_open(void **state) {
    (void)state;
    unsigned char bytes[50000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * i % 251);
    heed_error error = HEED_ERROR_INIT;
    heed_corpus *corpus = corpus_of("replaced", bytes, sizeof bytes, HEED_TOKENIZER_BYTE, 0.1);
    write_text("other.txt", "something else");
    ok(heed_corpus_prepare("replaced.h5", (const char *[]){"other.txt"}, 1, HEED_TOKENIZER_BYTE, 0.1, &error), &error);
    int32_t token = -1;
    ok(heed_corpus_read(corpus, HEED_TRAIN, 44999, 1, &token, &error), &error);
    assert_int_equal(token, bytes[44999]);
    heed_corpus_close(corpus);

    corpus = corpus_of("truncated", bytes, sizeof bytes, HEED_TOKENIZER_BYTE, 0.1);
    assert_int_equal(truncate("truncated.h5", 10000), 0);
    assert_int_equal(heed_corpus_read(corpus, HEED_TRAIN, 44999, 1, &token, &error), HEED_IO);
    assert_non_null(strstr(error.message, "truncated.h5: /train: "));
    heed_corpus_close(corpus);
}

/* --- identity --------------------------------------------------------------------------------------------------- */

static void make(const char *store, const char *text, heed_tokenizer_kind kind, double share, char digest[64]) {
    heed_error error = HEED_ERROR_INIT;
    heed_corpus *corpus;
    ok(heed_corpus_prepare(store, &text, 1, kind, share, &error), &error);
    ok(heed_corpus_open(&corpus, store, &error), &error);
    snprintf(digest, 64, "%s", heed_corpus_digest(corpus));
    heed_corpus_close(corpus);
}

static void digest_tells_corpora_apart(void **state) {
    (void)state;
    char reference[64], other[64];
    write_text("one.txt", "the same text in both files, 0123456789");
    write_text("two.txt", "the same text in both files, 0123456789");
    write_text("three.txt", "the same text in all  files, 0123456789");
    write_text("shifted.txt", "uif tbnf ufyu jo cpui gjmft, 123456789:");
    make("one.h5", "one.txt", HEED_TOKENIZER_CHAR, 0.1, reference);
    assert_int_equal(strlen(reference), 32);
    make("two.h5", "two.txt", HEED_TOKENIZER_CHAR, 0.1, other);
    assert_string_equal(other, reference);
    make("two.h5", "three.txt", HEED_TOKENIZER_CHAR, 0.1, other);
    assert_string_not_equal(other, reference);
    make("two.h5", "two.txt", HEED_TOKENIZER_BYTE, 0.1, other);
    assert_string_not_equal(other, reference);
    make("two.h5", "two.txt", HEED_TOKENIZER_CHAR, 0.2, other);
    assert_string_not_equal(other, reference);
    write_text("abab.txt", "abab");
    write_text("cdcd.txt", "cdcd"); /* the same numbers, but they stand for something else */
    make("two.h5", "abab.txt", HEED_TOKENIZER_CHAR, 0.5, reference);
    make("two.h5", "cdcd.txt", HEED_TOKENIZER_CHAR, 0.5, other);
    assert_string_not_equal(other, reference);
}

static bool matches(const char *store, const char *const *texts, size_t n, heed_tokenizer_kind kind, double share) {
    heed_error error = HEED_ERROR_INIT;
    bool answer = true;
    ok(heed_corpus_matches(store, texts, n, kind, share, &answer, &error), &error);
    return answer;
}

static void a_store_knows_its_texts(void **state) {
    (void)state;
    write_text("p.txt", "first text");
    write_text("q.txt", "second text");
    write_text("same as p.txt", "first text");
    write_text("pq.txt", "first textsecond text");
    heed_error error = HEED_ERROR_INIT;
    const char *const texts[] = {"p.txt", "q.txt"}, *const renamed[] = {"same as p.txt", "q.txt"},
                      *const swapped[] = {"q.txt", "p.txt"}, *const joined[] = {"pq.txt"},
                      *const first_differs[] = {"pq.txt", "q.txt"};
    remove("known.h5");
    assert_false(matches("known.h5", texts, 2, HEED_TOKENIZER_CHAR, 0.1));
    ok(heed_corpus_prepare("known.h5", texts, 2, HEED_TOKENIZER_CHAR, 0.1, &error), &error);
    assert_true(matches("known.h5", texts, 2, HEED_TOKENIZER_CHAR, 0.1));
    assert_true(matches("known.h5", renamed, 2, HEED_TOKENIZER_CHAR, 0.1));
    assert_false(matches("known.h5", swapped, 2, HEED_TOKENIZER_CHAR, 0.1));
    assert_false(matches("known.h5", texts, 1, HEED_TOKENIZER_CHAR, 0.1));
    assert_false(matches("known.h5", joined, 1, HEED_TOKENIZER_CHAR, 0.1));
    assert_false(matches("known.h5", first_differs, 2, HEED_TOKENIZER_CHAR, 0.1));
    assert_false(matches("known.h5", texts, 2, HEED_TOKENIZER_BYTE, 0.1));
    assert_false(matches("known.h5", texts, 2, HEED_TOKENIZER_CHAR, 0.2));
    write_text("q.txt", "second texT");
    assert_false(matches("known.h5", texts, 2, HEED_TOKENIZER_CHAR, 0.1));
    remove("q.txt");
    bool answer;
    assert_int_equal(heed_corpus_matches("known.h5", texts, 2, HEED_TOKENIZER_CHAR, 0.1, &answer, &error),
                     HEED_NOT_FOUND);
}

/* Text for a model that was trained on other text. */
static void a_tokenizer_can_be_given(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    heed_tokenizer *tokenizer, *other;
    ok(heed_tokenizer_learn(&tokenizer, HEED_TOKENIZER_CHAR, "t", "abcdxyz", 7, &error), &error);
    ok(heed_tokenizer_learn(&other, HEED_TOKENIZER_CHAR, "t", "abcdxyw", 7, &error), &error);
    const char *const texts[] = {"given.txt"};
    write_text("given.txt", "baddab");
    remove("given.h5");
    ok(heed_corpus_prepare_with("given.h5", texts, 1, tokenizer, 1, &error), &error);
    heed_corpus *corpus;
    ok(heed_corpus_open_verified(&corpus, "given.h5", &error), &error);
    assert_true(heed_tokenizer_same(heed_corpus_tokenizer(corpus), tokenizer));
    assert_false(heed_tokenizer_same(heed_corpus_tokenizer(corpus), other));
    assert_int_equal(heed_corpus_tokens(corpus, HEED_TRAIN), 0);
    expect_split(corpus, HEED_VALID, "baddab", 6);
    heed_corpus_close(corpus);
    assert_false(matches("given.h5", texts, 1, HEED_TOKENIZER_CHAR, 1)); /* training would learn four characters */
    ok(heed_corpus_prepare("given.h5", texts, 1, HEED_TOKENIZER_CHAR, 1, &error), &error);
    assert_true(matches("given.h5", texts, 1, HEED_TOKENIZER_CHAR, 1));
    write_text("given.txt", "bad\nday!");
    assert_int_equal(heed_corpus_prepare_with("given.h5", texts, 1, tokenizer, 1, &error), HEED_DATA);
    assert_string_equal(error.message, "given.txt:1: byte 3 = U+000A: not among the 7 characters of the vocabulary");
    heed_tokenizer_destroy(tokenizer);
    heed_tokenizer_destroy(other);
}

/* Two people who prepare the same texts have the same file, bit for bit. */
static void a_store_is_a_function_of_its_texts(void **state) {
    (void)state;
    char digest[64];
    write_text("one.txt", "the same text, twice");
    make("first.h5", "one.txt", HEED_TOKENIZER_CHAR, 0.1, digest);
    make("second.h5", "one.txt", HEED_TOKENIZER_CHAR, 0.1, digest);
    size_t n_first, n_second;
    char *first = read_bytes("first.h5", &n_first), *second = read_bytes("second.h5", &n_second);
    assert_int_equal(n_first, n_second);
    assert_memory_equal(first, second, n_first);
    free(first);
    free(second);
}

/* What is not ours to overwrite is an error. */
static void other_files_do_not_match(void **state) {
    (void)state;
    write_text("p.txt", "first text");
    write_text("precious.h5", "a diary");
    const char *const texts[] = {"p.txt"};
    heed_error error = HEED_ERROR_INIT;
    bool answer;
    assert_int_equal(heed_corpus_matches("precious.h5", texts, 1, HEED_TOKENIZER_CHAR, 0.1, &answer, &error),
                     HEED_DATA);
    assert_true(error.hint[0]);
    heed_store *store;
    error = (heed_error)HEED_ERROR_INIT;
    ok(heed_store_create(&store, "other.h5", &error), &error);
    ok(heed_store_write_kind(store, "checkpoint", 1, &error), &error);
    ok(heed_store_seal(store, &error), &error);
    assert_int_equal(heed_corpus_matches("other.h5", texts, 1, HEED_TOKENIZER_CHAR, 0.1, &answer, &error), HEED_DATA);
    error = (heed_error)HEED_ERROR_INIT;
    heed_corpus *corpus;
    assert_int_equal(heed_corpus_open(&corpus, "other.h5", &error), HEED_DATA);
    assert_null(corpus);
    error = (heed_error)HEED_ERROR_INIT;
    assert_int_equal(heed_corpus_open(&corpus, "no such store", &error), HEED_NOT_FOUND);
}

/* --- faults of texts -------------------------------------------------------------------------------------------- */

static void expect_failure(const char *store, const char *const *texts, size_t n, double share, heed_status status,
                           const char *message) {
    heed_error error = HEED_ERROR_INIT;
    assert_int_equal(heed_corpus_prepare(store, texts, n, HEED_TOKENIZER_CHAR, share, &error), status);
    assert_string_equal(error.message, message);
}

static void faults_are_named_and_leave_no_store(void **state) {
    (void)state;
    write_text("good.txt", "good text");
    write_text("empty.txt", "");
    char *long_text = malloc(3000000);
    memset(long_text, 'x', 3000000);
    for (size_t i = 99; i < 3000000; i += 100)
        long_text[i] = '\n';
    memcpy(long_text + 2500010, "\xED\xA0\x80", 3);
    write_bytes("bad.txt", long_text, 3000000);
    free(long_text);
    remove("fault.h5");
    expect_failure("fault.h5", (const char *[]){"good.txt", "bad.txt"}, 2, 0.1, HEED_DATA,
                   "bad.txt:25001: byte 2500010 = 0xED 0xA0: invalid UTF-8: a surrogate");
    expect_failure("fault.h5", (const char *[]){"good.txt", "none.txt"}, 2, 0.1, HEED_NOT_FOUND,
                   "none.txt: cannot read the text: No such file or directory");
    expect_failure("fault.h5", (const char *[]){"empty.txt", "empty.txt"}, 2, 0.1, HEED_DATA,
                   "empty.txt: no text to learn from: 2 empty files");
    expect_failure("fault.h5", (const char *[]){"good.txt"}, 1, 1.5, HEED_CONFIG,
                   "data.valid_share = 1.5: expected 0 to 1");
    expect_failure("fault.h5", (const char *[]){"good.txt"}, 1, (double)NAN, HEED_CONFIG,
                   "data.valid_share = nan: expected 0 to 1");
    assert_int_equal(access("fault.h5", F_OK), -1);
    assert_int_equal(access("fault.h5.tmp", F_OK), -1);
    heed_error error = HEED_ERROR_INIT;
    assert_int_equal(
        heed_corpus_prepare("no folder/s.h5", (const char *[]){"good.txt"}, 1, HEED_TOKENIZER_CHAR, 0.1, &error),
        HEED_CREATE);
}

static void a_text_that_changes_is_refused(void **state) {
    (void)state;
    static const char *const changes[] = {"abcabcabcabd", "abcabcabcabcabc", "abcabc", "", "abcabcabcabc\xFF"};
    heed_error error = HEED_ERROR_INIT;
    write_text("fine.txt", "abc");
    ok(heed_corpus_prepare("kept.h5", (const char *[]){"fine.txt"}, 1, HEED_TOKENIZER_CHAR, 0.1, &error), &error);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        write_text("changing.txt", "abcabcabcabc");
        changing_path = "changing.txt";
        changed_text = changes[i];
        n_opens = 0;
        error = (heed_error)HEED_ERROR_INIT;
        assert_int_equal(
            heed_corpus_prepare("kept.h5", (const char *[]){"changing.txt"}, 1, HEED_TOKENIZER_CHAR, 0.1, &error),
            HEED_DATA);
        assert_null(changing_path); /* it did change */
        assert_non_null(strstr(error.message, "changing.txt"));
        assert_true(matches("kept.h5", (const char *[]){"fine.txt"}, 1, HEED_TOKENIZER_CHAR, 0.1));
        assert_int_equal(access("kept.h5.tmp", F_OK), -1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moby_dick_comes_back),
        cmocka_unit_test(tokens_have_the_smallest_type),
        cmocka_unit_test(each_file_is_split),
        cmocka_unit_test(a_split_may_be_empty),
        cmocka_unit_test(any_run_of_tokens_can_be_read),
        cmocka_unit_test(a_store_that_changes_while_open),
        cmocka_unit_test(digest_tells_corpora_apart),
        cmocka_unit_test(a_store_knows_its_texts),
        cmocka_unit_test(a_tokenizer_can_be_given),
        cmocka_unit_test(a_store_is_a_function_of_its_texts),
        cmocka_unit_test(other_files_do_not_match),
        cmocka_unit_test(faults_are_named_and_leave_no_store),
        cmocka_unit_test(a_text_that_changes_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
