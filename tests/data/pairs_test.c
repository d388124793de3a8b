/* Files of pairs become a store that gives them back, split by their sources; a fault leaves no store and says where.
 */
#include "make_pairs.h"

#include <unistd.h>
#include <xxhash.h>

#include "heed/store.h"

/* --- what comes back -------------------------------------------------------------------------------------------- */

/* Every line of text is in one split, in the order of lines, as it was. */
static void expect_lines(heed_corpus *corpus, const char *text) {
    size_t at[2] = {0, 0};
    while (*text) {
        const size_t n_source = strcspn(text, "\t"), n_target = strcspn(text + n_source + 1, "\n");
        bool found = false;
        for (heed_split split = HEED_TRAIN; split <= HEED_VALID && !found; split++) {
            if (at[split] == heed_corpus_pairs(corpus, split))
                continue;
            char *source = side_of(corpus, split, HEED_SOURCE, at[split]);
            char *target = side_of(corpus, split, HEED_TARGET, at[split]);
            found = strlen(source) == n_source && memcmp(source, text, n_source) == 0 && strlen(target) == n_target &&
                    memcmp(target, text + n_source + 1, n_target) == 0;
            at[split] += found;
            free(source);
            free(target);
        }
        if (!found)
            fail_msg("not in the store: %.*s", (int)n_source, text);
        text += n_source + n_target + 2;
    }
    assert_int_equal(at[HEED_TRAIN], heed_corpus_pairs(corpus, HEED_TRAIN));
    assert_int_equal(at[HEED_VALID], heed_corpus_pairs(corpus, HEED_VALID));
}

static void pairs_come_back_whatever_the_tokenizers(void **state) {
    (void)state;
    static const heed_tokenizer_kind kinds[] = {HEED_TOKENIZER_CHAR, HEED_TOKENIZER_BYTE, HEED_TOKENIZER_WORD,
                                                HEED_TOKENIZER_BPE};
    char *text = many_pairs(40);
    for (int s = 0; s < 4; s++)
        for (int t = 0; t < 4; t++)
            for (int joint = 0; joint <= (s == t); joint++) {
                const heed_pairs_settings settings = {
                    .source = kinds[s], .target = kinds[t], .joint = joint, .vocab = 300, .valid_share = 0.25};
                heed_corpus *corpus = pairs_of("kinds", text, &settings);
                const heed_tokenizer *target = heed_corpus_tokenizer(corpus);
                const heed_tokenizer *source = heed_corpus_source_tokenizer(corpus);
                assert_true(heed_corpus_has_pairs(corpus));
                assert_true((source == target) == (joint == 1));
                assert_int_equal(heed_tokenizer_what(source), kinds[s]);
                assert_int_equal(heed_tokenizer_what(target), kinds[t]);
                assert_int_equal(heed_tokenizer_mark(target, "<s>"), heed_tokenizer_vocab(target) - 2);
                assert_int_equal(heed_tokenizer_mark(target, "</s>"), heed_tokenizer_vocab(target) - 1);
                assert_int_equal(heed_tokenizer_mark(source, "</s>"), heed_tokenizer_vocab(source) - 1);
                assert_int_equal(heed_corpus_pairs(corpus, HEED_VALID), 10);
                expect_lines(corpus, text);
                heed_corpus_close(corpus);
            }
    free(text);
}

static void a_joint_vocabulary_has_both_sides(void **state) {
    (void)state;
    heed_pairs_settings settings = usual_pairs;
    heed_corpus *corpus = pairs_of("joint", "abc\txy\nb\tyz\n", &settings);
    assert_int_equal(heed_tokenizer_vocab(heed_corpus_source_tokenizer(corpus)), 3 + 2);
    assert_int_equal(heed_tokenizer_vocab(heed_corpus_tokenizer(corpus)), 3 + 2);
    heed_corpus_close(corpus);
    settings.joint = true;
    corpus = pairs_of("joint", "abc\txy\nb\tyz\n", &settings);
    assert_int_equal(heed_tokenizer_vocab(heed_corpus_tokenizer(corpus)), 6 + 2);
    heed_corpus_close(corpus);
}

static void line_ends_of_other_systems_and_a_missing_one_are_no_part_of_a_pair(void **state) {
    (void)state;
    heed_pairs_settings settings = usual_pairs;
    settings.valid_share = 0;
    heed_corpus *corpus = pairs_of("ends", "a\tb\r\nc\td", &settings);
    assert_int_equal(heed_corpus_pairs(corpus, HEED_TRAIN), 2);
    assert_int_equal(heed_corpus_pairs(corpus, HEED_VALID), 0);
    char *target = side_of(corpus, HEED_TRAIN, HEED_TARGET, 0);
    assert_string_equal(target, "b");
    free(target);
    heed_corpus_close(corpus);
}

static void the_gospels_come_back(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    size_t n;
    char *text = read_bytes(HEED_SOURCE_DIR "/data/gospels.en-es.tsv", &n);
    const heed_pairs_settings settings = {
        .source = HEED_TOKENIZER_BPE, .target = HEED_TOKENIZER_BPE, .joint = true, .vocab = 1000, .valid_share = 0.1};
    const char *path = HEED_SOURCE_DIR "/data/gospels.en-es.tsv";
    ok(heed_pairs_prepare("gospels.h5", &path, 1, &settings, &error), &error);
    heed_corpus *corpus;
    ok(heed_corpus_open(&corpus, "gospels.h5", &error), &error);
    assert_int_equal(heed_corpus_pairs(corpus, HEED_TRAIN), 3400);
    assert_int_equal(heed_corpus_pairs(corpus, HEED_VALID), 378);
    expect_lines(corpus, text);
    heed_corpus_close(corpus);
    free(text);
}

/* --- the split -------------------------------------------------------------------------------------------------- */

static bool is_kept(heed_corpus *corpus, heed_split split, const char *wanted) {
    bool found = false;
    for (size_t i = 0; i < heed_corpus_pairs(corpus, split) && !found; i++) {
        char *source = side_of(corpus, split, HEED_SOURCE, i);
        found = strcmp(source, wanted) == 0;
        free(source);
    }
    return found;
}

/* By the rule in the header, worked out here anew. */
static void those_with_the_least_digests_are_kept(void **state) {
    (void)state;
    char *text = many_pairs(40);
    heed_corpus *corpus = pairs_of("split", text, &usual_pairs);
    uint64_t most = 0, least = UINT64_MAX;
    for (int i = 0; i < 40; i++) {
        char source[32];
        const int length = snprintf(source, sizeof source, "word %d", i);
        const uint64_t digest = XXH3_64bits(source, (size_t)length);
        if (is_kept(corpus, HEED_VALID, source))
            most = digest > most ? digest : most;
        else
            least = digest < least ? digest : least;
    }
    assert_true(most < least);
    heed_corpus_close(corpus);
    free(text);
}

static void the_order_of_lines_does_not_matter(void **state) {
    (void)state;
    char *text = many_pairs(30), reversed[6000], *end = reversed;
    const char *line[30];
    size_t n = 0;
    for (char *at = strtok(text, "\n"); at; at = strtok(NULL, "\n"))
        line[n++] = at;
    assert_int_equal(n, 30);
    while (n > 0)
        end += sprintf(end, "%s\n", line[--n]);
    heed_corpus *corpus = pairs_of("reversed", reversed, &usual_pairs);
    free(text);
    text = many_pairs(30);
    heed_corpus *other = pairs_of("forward", text, &usual_pairs);
    for (size_t i = 0; i < heed_corpus_pairs(corpus, HEED_VALID); i++) {
        char *source = side_of(corpus, HEED_VALID, HEED_SOURCE, i);
        assert_true(is_kept(other, HEED_VALID, source));
        free(source);
    }
    assert_int_equal(heed_corpus_pairs(corpus, HEED_VALID), heed_corpus_pairs(other, HEED_VALID));
    heed_corpus_close(corpus);
    heed_corpus_close(other);
    free(text);
}

static void no_source_is_in_both_splits(void **state) {
    (void)state;
    char text[4000], *end = text;
    for (int i = 0; i < 60; i++) /* ten sources, six targets each */
        end += sprintf(end, "source %d\ttarget %d\n", i % 10, i);
    heed_corpus *corpus = pairs_of("twice", text, &usual_pairs);
    for (int i = 0; i < 10; i++) {
        char source[32];
        snprintf(source, sizeof source, "source %d", i);
        assert_true(is_kept(corpus, HEED_TRAIN, source) != is_kept(corpus, HEED_VALID, source));
    }
    assert_int_equal(heed_corpus_pairs(corpus, HEED_VALID), 18); /* 15 and what shares a source with them */
    heed_corpus_close(corpus);
}

/* --- what a store knows ----------------------------------------------------------------------------------------- */

static bool match(const char *store, const char *path, const heed_pairs_settings *settings) {
    heed_error error = HEED_ERROR_INIT;
    bool matches;
    ok(heed_pairs_match(store, &path, 1, settings, &matches, &error), &error);
    return matches;
}

static void a_store_knows_what_it_was_made_of(void **state) {
    (void)state;
    const heed_pairs_settings bpe = {
        .source = HEED_TOKENIZER_BPE, .target = HEED_TOKENIZER_BPE, .joint = true, .vocab = 300, .valid_share = 0.25};
    char *text = many_pairs(20);
    heed_corpus_close(pairs_of("known", text, &bpe));
    assert_true(match("known.h5", "known.tsv", &bpe));
    assert_false(match("absent.h5", "known.tsv", &bpe));
    heed_pairs_settings other = bpe;
    other.vocab = 301;
    assert_false(match("known.h5", "known.tsv", &other));
    other = bpe;
    other.joint = false;
    assert_false(match("known.h5", "known.tsv", &other));
    other = bpe;
    other.valid_share = 0.5;
    assert_false(match("known.h5", "known.tsv", &other));
    other = bpe;
    other.source = other.target = HEED_TOKENIZER_BYTE;
    assert_false(match("known.h5", "known.tsv", &other));
    text[0] = 'W';
    write_text("other.tsv", text);
    assert_false(match("known.h5", "other.tsv", &bpe));
    other = usual_pairs;
    other.target = HEED_TOKENIZER_WORD;
    heed_corpus_close(pairs_of("known", text, &other));
    assert_true(match("known.h5", "other.tsv", &other));
    other.source = HEED_TOKENIZER_WORD;
    assert_false(match("known.h5", "other.tsv", &other));
    heed_error error = HEED_ERROR_INIT;
    bool matches;
    assert_int_equal(heed_pairs_match("known.tsv", (const char *[]){"known.tsv"}, 1, &bpe, &matches, &error),
                     HEED_DATA);
    free(text);
}

static void digests_tell_pairs_apart(void **state) {
    (void)state;
    static const char *const texts[] = {"ab\tcd\n", "ab\tce\n", "aa\tcd\n", "ab\tcd\nab\tcd\n"};
    char digest[4][40];
    heed_pairs_settings settings = usual_pairs;
    settings.valid_share = 0;
    for (int i = 0; i < 4; i++) {
        heed_corpus *corpus = pairs_of("digest", texts[i], &settings);
        snprintf(digest[i], sizeof digest[i], "%s", heed_corpus_digest(corpus));
        heed_corpus_close(corpus);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(digest[i], digest[j]);
    }
    settings.valid_share = 1; /* the same tokens, elsewhere */
    heed_corpus *corpus = pairs_of("digest", texts[0], &settings);
    assert_string_not_equal(heed_corpus_digest(corpus), digest[0]);
    heed_corpus_close(corpus);
}

static void pairs_in_memory_are_those_of_the_file(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    char *text = many_pairs(12);
    heed_corpus *corpus = pairs_of("stored", text, &usual_pairs), *memory;
    const heed_tokenizer *source = heed_corpus_source_tokenizer(corpus), *target = heed_corpus_tokenizer(corpus);
    ok(heed_corpus_of_pairs(&memory, source, target, "stored.tsv", &error), &error);
    assert_int_equal(heed_corpus_pairs(memory, HEED_TRAIN), 12);
    assert_int_equal(heed_corpus_pairs(memory, HEED_VALID), 12);
    char *last = side_of(memory, HEED_VALID, HEED_SOURCE, 11);
    assert_string_equal(last, "word 11");
    free(last);
    heed_corpus_close(memory);
    heed_tokenizer *unmarked;
    ok(heed_tokenizer_learn(&unmarked, HEED_TOKENIZER_BYTE, "bytes", "a", 1, &error), &error);
    assert_int_equal(heed_corpus_of_pairs(&memory, unmarked, unmarked, "stored.tsv", &error), HEED_DATA);
    assert_string_equal(error.message, "stored.tsv: a vocabulary without the marks <s> and </s>");
    heed_tokenizer_destroy(unmarked);
    error = (heed_error)HEED_ERROR_INIT;
    write_text("foreign.tsv", "word 1\t\xC3\xA9\n");
    assert_int_equal(heed_corpus_of_pairs(&memory, source, target, "foreign.tsv", &error), HEED_DATA);
    assert_null(memory);
    assert_string_equal(error.message,
                        "foreign.tsv:1: byte 7 = U+00E9 '\xC3\xA9': not among the 14 characters of the vocabulary");
    heed_corpus_close(corpus);
    free(text);
}

/* --- faults ----------------------------------------------------------------------------------------------------- */

static void bad_lines_are_named(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"a\tb\nc d\n", "bad.tsv:2: no tab"},
        {"a\tb\nc\td\te\n", "bad.tsv:2: more than one tab"},
        {"a\tb\n\tc\n", "bad.tsv:2: the source is empty"},
        {"a\tb\nc\t\n", "bad.tsv:2: the target is empty"},
        {"a\tb\n  \tc\n", "bad.tsv:2: the source is empty"},
        {"a\tb\nc\t \r\n", "bad.tsv:2: the target is empty"},
        {"a\tb\n\nc\td\n", "bad.tsv:2: an empty line"},
        {"a\tb\nc\t\xC3", "bad.tsv:2: byte 6 = 0xC3: invalid UTF-8"},
        {"\xFF\tb\n", "bad.tsv:1: byte 0 = 0xFF: invalid UTF-8"},
        {"", "bad.tsv: no pairs to learn from"},
        {"\n", "bad.tsv:1: an empty line"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        heed_error error = HEED_ERROR_INIT;
        write_text("bad.tsv", cases[i].text);
        remove("bad.h5");
        assert_int_equal(heed_pairs_prepare("bad.h5", (const char *[]){"bad.tsv"}, 1, &usual_pairs, &error), HEED_DATA);
        if (strncmp(error.message, cases[i].message, strlen(cases[i].message)) != 0)
            fail_msg("%s\nexpected: %s", error.message, cases[i].message);
        assert_int_equal(access("bad.h5", F_OK), -1);
        assert_int_equal(access("bad.h5.tmp", F_OK), -1);
    }
}

static void other_faults(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    assert_int_equal(heed_pairs_prepare("none.h5", (const char *[]){"none.tsv"}, 1, &usual_pairs, &error),
                     HEED_NOT_FOUND);
    heed_pairs_settings settings = usual_pairs;
    settings.valid_share = 1.5;
    error = (heed_error)HEED_ERROR_INIT;
    write_text("good.tsv", "a\tb\n");
    assert_int_equal(heed_pairs_prepare("none.h5", (const char *[]){"good.tsv"}, 1, &settings, &error), HEED_CONFIG);
    settings = usual_pairs;
    settings.joint = true;
    settings.source = HEED_TOKENIZER_WORD;
    error = (heed_error)HEED_ERROR_INIT;
    assert_int_equal(heed_pairs_prepare("none.h5", (const char *[]){"good.tsv"}, 1, &settings, &error), HEED_CONFIG);
}

/* The linker sends heed's calls of fsync here: these files need not reach the disk. */
int __wrap_fsync(int fd);
int __wrap_fsync(int fd) {
    (void)fd;
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_come_back_whatever_the_tokenizers),
        cmocka_unit_test(a_joint_vocabulary_has_both_sides),
        cmocka_unit_test(line_ends_of_other_systems_and_a_missing_one_are_no_part_of_a_pair),
        cmocka_unit_test(the_gospels_come_back),
        cmocka_unit_test(those_with_the_least_digests_are_kept),
        cmocka_unit_test(the_order_of_lines_does_not_matter),
        cmocka_unit_test(no_source_is_in_both_splits),
        cmocka_unit_test(a_store_knows_what_it_was_made_of),
        cmocka_unit_test(digests_tell_pairs_apart),
        cmocka_unit_test(pairs_in_memory_are_those_of_the_file),
        cmocka_unit_test(bad_lines_are_named),
        cmocka_unit_test(other_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
