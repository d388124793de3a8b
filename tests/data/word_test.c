/* Words between white space: learned, looked up, put together again, cut at the borders of pieces. */
#include "make_corpus.h"

#include "data/text.h"
#include "data/tokenizer_rules.h"
#include "heed/store.h"

static heed_tokenizer *learned(const char *text) {
    heed_error error = HEED_ERROR_INIT;
    heed_tokenizer *tokenizer;
    ok(heed_tokenizer_learn(&tokenizer, HEED_TOKENIZER_WORD, "t", text, strlen(text), &error), &error);
    return tokenizer;
}

static void words_are_numbered_by_their_bytes(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    heed_tokenizer *tokenizer = learned(" the whale,\tthe\r\n\n\vwhale \f\xC3\xA9t\xC3\xA9 Whale a\n");
    static const char *const expected[] = {"Whale", "a", "the", "whale", "whale,", "\xC3\xA9t\xC3\xA9"};
    assert_int_equal(heed_tokenizer_vocab(tokenizer), 6);
    for (int32_t t = 0; t < 6; t++)
        expect_piece(tokenizer, t, expected[t]);
    int32_t *tokens;
    size_t n, bytes;
    char *text;
    ok(heed_tokenizer_encode(tokenizer, "t", "a  whale, \n\xC3\xA9t\xC3\xA9", 16, &tokens, &n, &error), &error);
    assert_int_equal(n, 3);
    assert_true(tokens[0] == 1 && tokens[1] == 4 && tokens[2] == 5);
    ok(heed_tokenizer_decode(tokenizer, tokens, n, &text, &bytes, &error), &error);
    assert_string_equal(text, "a whale, \xC3\xA9t\xC3\xA9");
    assert_int_equal(bytes, strlen(text));
    free(text);
    free(tokens);
    heed_tokenizer_destroy(tokenizer);
}

static void faults_are_named(void **state) {
    (void)state;
    heed_tokenizer *tokenizer = learned("a b"), *none;
    int32_t *tokens;
    size_t n;
    heed_error error = HEED_ERROR_INIT;
    assert_int_equal(heed_tokenizer_encode(tokenizer, "t", "a\nb ab", 6, &tokens, &n, &error), HEED_DATA);
    assert_string_equal(error.message, "t:2: byte 4 = ab: not among the 2 words of the vocabulary");
    error = (heed_error)HEED_ERROR_INIT;
    char longer[200];
    memset(longer, 'z', sizeof longer);
    assert_int_equal(heed_tokenizer_encode(tokenizer, "t", longer, sizeof longer, &tokens, &n, &error), HEED_DATA);
    assert_non_null(strstr(error.message, "zzz...: not among"));
    assert_true(strlen(error.message) < 120);
    error = (heed_error)HEED_ERROR_INIT;
    assert_int_equal(heed_tokenizer_learn(&none, HEED_TOKENIZER_WORD, "t", "a \xFFz", 4, &error), HEED_DATA);
    assert_string_equal(error.message, "t:1: byte 2 = 0xFF: invalid UTF-8: a byte that never occurs in UTF-8");
    error = (heed_error)HEED_ERROR_INIT;
    assert_int_equal(heed_tokenizer_learn(&none, HEED_TOKENIZER_WORD, "t", " \n\t", 3, &error), HEED_DATA);
    assert_string_equal(error.message, "tokenizer: there is no word in the text to learn from");
    assert_null(none);
    error = (heed_error)HEED_ERROR_INIT;
    char *text;
    size_t bytes;
    assert_int_equal(heed_tokenizer_decode(tokenizer, (int32_t[]){0, 2}, 2, &text, &bytes, &error), HEED_DATA);
    heed_tokenizer_destroy(tokenizer);
}

/* --- a whole book, against sorting its words ---------------------------------------------------------------------- */

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void moby_dick_by_sorting(void **state) {
    (void)state;
    size_t n_bytes, n_words = 0, n_distinct = 0, n;
    heed_error error = HEED_ERROR_INIT;
    char *book = read_bytes(HEED_SOURCE_DIR "/data/moby-dick.txt", &n_bytes);
    heed_tokenizer *tokenizer = learned(book);
    int32_t *tokens;
    ok(heed_tokenizer_encode(tokenizer, "t", book, n_bytes, &tokens, &n, &error), &error);
    char **words = malloc(n_bytes * sizeof *words), **sorted = malloc(n_bytes * sizeof *words), *rest;
    for (char *w = strtok_r(book, " \t\n\v\f\r", &rest); w; w = strtok_r(NULL, " \t\n\v\f\r", &rest))
        words[n_words++] = w;
    memcpy(sorted, words, n_words * sizeof *words);
    qsort(sorted, n_words, sizeof *sorted, by_text);
    for (size_t i = 0; i < n_words; i++)
        if (i == 0 || strcmp(sorted[i], sorted[i - 1]) != 0) {
            expect_piece(tokenizer, (int32_t)n_distinct, sorted[i]);
            n_distinct++;
        }
    assert_int_equal(heed_tokenizer_vocab(tokenizer), n_distinct);
    assert_true(n_distinct > 20000);
    assert_int_equal(n, n_words);
    for (size_t i = 0; i < n; i++)
        expect_piece(tokenizer, tokens[i], words[i]);
    free(words);
    free(sorted);
    free(tokens);
    free(book);
    heed_tokenizer_destroy(tokenizer);
}

/* The borders of pieces fall into words of every length; none is cut. */
static void pieces_do_not_cut_words(void **state) {
    (void)state;
    const size_t bytes = 2 * HEEDI_PIECE_BYTES + 12345;
    char *text = malloc(bytes + 1);
    for (size_t lead = 0; lead < 12; lead++) {
        memset(text, ' ', bytes);
        for (size_t at = lead; at + 12 <= bytes; at += 12)
            memcpy(text + at, at / 12 % 2 ? "leviathan11" : "\xF0\x9F\x90\xB3\xF0\x9F\x90\xB3whl", 11);
        heed_corpus *corpus = corpus_of("words", text, bytes, HEED_TOKENIZER_WORD, 0.25);
        size_t n_train, n_valid;
        int32_t *train = tokens_of(corpus, HEED_TRAIN, &n_train), *valid = tokens_of(corpus, HEED_VALID, &n_valid);
        assert_int_equal(heed_tokenizer_vocab(heed_corpus_tokenizer(corpus)), 2);
        assert_int_equal(n_train + n_valid, (bytes - lead) / 12);
        for (size_t i = 0; i < n_train + n_valid; i++)
            assert_int_equal(i < n_train ? train[i] : valid[i - n_train], i % 2 ? 0 : 1);
        free(train);
        free(valid);
        heed_corpus_close(corpus);
    }
    free(text);
}

static void a_word_beyond_a_piece_is_cut_the_same_way_twice(void **state) {
    (void)state;
    const size_t bytes = 2 * HEEDI_PIECE_BYTES + 10;
    char *text = malloc(bytes);
    memset(text, 'x', bytes);
    heed_corpus *corpus = corpus_of("long word", text, bytes, HEED_TOKENIZER_WORD, 0);
    assert_int_equal(heed_corpus_tokens(corpus, HEED_TRAIN), 3);
    heed_corpus_close(corpus);
    free(text);
}

/* --- marks ------------------------------------------------------------------------------------------------------ */

static void marks_stand_behind_the_vocabulary(void **state) {
    (void)state;
    static const struct {
        heed_tokenizer_kind kind;
        size_t n_text;
    } cases[] = {{HEED_TOKENIZER_WORD, 3}, {HEED_TOKENIZER_CHAR, 6}, {HEED_TOKENIZER_BYTE, 256}};
    for (size_t k = 0; k < 3; k++) {
        heed_error error = HEED_ERROR_INIT;
        heed_tokenizer *tokenizer, *plain, *again;
        heed_store *store;
        const char *text = "a b <s>";
        ok(heed_tokenizer_learn(&tokenizer, cases[k].kind, "t", text, strlen(text), &error), &error);
        ok(heed_tokenizer_learn(&plain, cases[k].kind, "t", text, strlen(text), &error), &error);
        assert_int_equal(heed_tokenizer_mark(tokenizer, HEED_MARK_BEGIN), -1);
        ok(heedi_tokenizer_add_mark(tokenizer, HEED_MARK_BEGIN, &error), &error);
        ok(heedi_tokenizer_add_mark(tokenizer, HEED_MARK_END, &error), &error);
        const int32_t n = (int32_t)cases[k].n_text;
        assert_int_equal(heed_tokenizer_mark(tokenizer, HEED_MARK_BEGIN), n);
        assert_int_equal(heed_tokenizer_mark(tokenizer, HEED_MARK_END), n + 1);
        assert_int_equal(heed_tokenizer_mark(tokenizer, "a"), -1);
        assert_int_equal(heed_tokenizer_vocab(tokenizer), n + 2);
        assert_true(heed_tokenizer_is_mark(tokenizer, n) && heed_tokenizer_is_mark(tokenizer, n + 1));
        assert_false(heed_tokenizer_is_mark(tokenizer, n - 1) || heed_tokenizer_is_mark(tokenizer, n + 2));
        expect_piece(tokenizer, n, "<s>");
        assert_false(heed_tokenizer_same(tokenizer, plain));

        ok(heed_store_create(&store, "marks.h5", &error), &error);
        ok(heed_tokenizer_write(tokenizer, store, "/tokenizer", &error), &error);
        ok(heed_store_seal(store, &error), &error);
        ok(heed_store_open(&store, "marks.h5", true, &error), &error);
        ok(heed_tokenizer_read(&again, store, "/tokenizer", &error), &error);
        heed_store_close(store);
        assert_true(heed_tokenizer_same(tokenizer, again));

        int32_t *tokens, *plain_tokens; /* text never becomes a mark */
        size_t n_tokens, n_plain, bytes;
        char *decoded;
        ok(heed_tokenizer_encode(again, "t", text, strlen(text), &tokens, &n_tokens, &error), &error);
        ok(heed_tokenizer_encode(plain, "t", text, strlen(text), &plain_tokens, &n_plain, &error), &error);
        assert_int_equal(n_tokens, n_plain);
        assert_memory_equal(tokens, plain_tokens, n_plain * sizeof *tokens);
        const int32_t marked[] = {n, tokens[0], tokens[n_tokens - 1], n + 1};
        ok(heed_tokenizer_decode(again, marked, 4, &decoded, &bytes, &error), &error);
        assert_string_equal(decoded, k == 0 ? "a <s>" : "a>");
        free(decoded);
        free(tokens);
        free(plain_tokens);
        heed_tokenizer_destroy(tokenizer);
        heed_tokenizer_destroy(plain);
        heed_tokenizer_destroy(again);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_numbered_by_their_bytes),
        cmocka_unit_test(faults_are_named),
        cmocka_unit_test(moby_dick_by_sorting),
        cmocka_unit_test(pieces_do_not_cut_words),
        cmocka_unit_test(a_word_beyond_a_piece_is_cut_the_same_way_twice),
        cmocka_unit_test(marks_stand_behind_the_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
