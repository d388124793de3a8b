/* Token stores that are well sealed but wrong: one case a structural check, then many random ones. Whoever opens one
 * gets one sentence, and never a token that is none. */
#include "make_corpus.h"

#include <sys/resource.h>
#include <xxhash.h>

#include "heed/rng.h"
#include "hostile.h"

#define N_MUTATIONS 1500

typedef struct content { /* of a token store; NULL and n_dims -1 leave a part out */
    const char *kind, *tokenizer, *digest;
    int64_t format, learned;
    array_of first, bytes, marks, train, valid;
} content;

static content whole(void) { /* "e", "x", "é" */
    return (content){.kind = "token store",
                     .tokenizer = "char",
                     .digest = "0123456789abcdef0123456789abcdef",
                     .format = 1,
                     .learned = 1,
                     .first = {"/tokenizer/first", HEED_TYPE_INT32, 1, {4}, {0, 1, 2, 4}},
                     .bytes = {"/tokenizer/bytes", HEED_TYPE_UINT8, 1, {4}, {'e', 'x', 0xC3, 0xA9}},
                     .marks = {.n_dims = -1},
                     .train = {"/train", HEED_TYPE_UINT8, 1, {6}, {0, 1, 2, 0, 1, 2}},
                     .valid = {"/valid", HEED_TYPE_UINT8, 1, {3}, {2, 1, 0}}};
}

static content whole_bytes(void) {
    content c = whole();
    c.tokenizer = "byte";
    c.first.dims[0] = 257;
    c.bytes.dims[0] = 256;
    for (int i = 0; i < 256; i++)
        c.first.value[i] = c.bytes.value[i] = i;
    c.first.value[256] = 256;
    return c;
}

static content whole_words(void) { /* "ab", "a" and the mark "<s>" */
    content c = whole();
    c.tokenizer = "word";
    c.first = (array_of){"/tokenizer/first", HEED_TYPE_INT32, 1, {4}, {0, 2, 3, 6}};
    c.bytes = (array_of){"/tokenizer/bytes", HEED_TYPE_UINT8, 1, {6}, {'a', 'b', 'a', '<', 's', '>'}};
    c.marks = (array_of){"/tokenizer/marks", HEED_TYPE_INT32, 1, {1}, {2}};
    return c;
}

static void seal(const content *c, const char *path) {
    heed_error error = HEED_ERROR_INIT;
    heed_store *store;
    remove(path);
    ok(heed_store_create(&store, path, &error), &error);
    write_array(store, &c->first);
    write_array(store, &c->bytes);
    write_array(store, &c->marks);
    write_array(store, &c->train);
    write_array(store, &c->valid);
    if (c->kind)
        ok(heed_store_write_kind(store, c->kind, c->format, &error), &error);
    if (c->tokenizer)
        ok(heed_store_write_text(store, "/tokenizer", "kind", c->tokenizer, &error), &error);
    if (c->learned >= -1)
        ok(heed_store_write_int(store, "/tokenizer", "learned", c->learned, &error), &error);
    if (c->digest)
        ok(heed_store_write_text(store, "/", "digest", c->digest, &error), &error);
    ok(heed_store_seal(store, &error), &error);
}

/* Opens the store and reads all of it. */
static heed_status read_all(const char *path, heed_error *error) {
    heed_corpus *corpus;
    heed_status status = heed_corpus_open(&corpus, path, error);
    if (status != HEED_OK) {
        assert_null(corpus);
        return status;
    }
    int32_t tokens[100];
    const size_t vocab = heed_tokenizer_vocab(heed_corpus_tokenizer(corpus));
    for (heed_split split = HEED_TRAIN; split <= HEED_VALID && status == HEED_OK; split++) {
        const size_t n = heed_corpus_tokens(corpus, split);
        for (size_t at = 0; at < n && status == HEED_OK; at += 100) {
            const size_t count = n - at < 100 ? n - at : 100;
            status = heed_corpus_read(corpus, split, at, count, tokens, error);
            for (size_t i = 0; i < count && status == HEED_OK; i++)
                assert_true(tokens[i] >= 0 && (size_t)tokens[i] < vocab);
        }
    }
    heed_corpus_close(corpus);
    return status;
}

/* What is changed in a whole store, and the sentence behind "hostile.h5: " that must come of it. */
#define CASES(X)                                                                                                       \
    X(c->kind = NULL, "/: attribute heed_kind is missing")                                                             \
    X(c->format = 2, "is a token store of format 2")                                                                   \
    X(c->tokenizer = NULL, "/tokenizer: attribute kind is missing")                                                    \
    X(c->tokenizer = "bpe\n\033[2J", "/tokenizer: its kind is not one that this version knows (char, byte")            \
    X(c->tokenizer = "a kind with a name of more than 32 bytes", "attribute kind is longer than 32 bytes")             \
    X(c->learned = -2, "/tokenizer: attribute learned is missing")                                                     \
    X(c->learned = -1, "/tokenizer: attribute learned = -1: expected 0 or 1")                                          \
    X(c->learned = 2, "/tokenizer: attribute learned = 2: expected 0 or 1")                                            \
    X(c->digest = NULL, "/: attribute digest is missing")                                                              \
    X(c->digest = "0123456789abcdef0123456789abcde", "attribute digest: expected 32 hexadecimal digits")               \
    X(c->digest = "0123456789abcdef0123456789abcdeF", "attribute digest: expected 32 hexadecimal digits")              \
    X(c->digest = "0123456789abcdef0123456789abcdef00", "attribute digest is longer than 33 bytes")                    \
    X(c->first.n_dims = -1, "/tokenizer/first")                                                                        \
    X(c->first.type = HEED_TYPE_INT64, "/tokenizer/first: expected int32 in 1 dimension, found int64 in 1")            \
    X((c->first.n_dims = 2, c->first.dims[1] = 1),                                                                     \
      "/tokenizer/first: expected int32 in 1 dimension, found int32 in 2")                                             \
    X(c->first.dims[0] = 1, "/tokenizer/first has 1 elements: expected 2 to 1114113")                                  \
    X(c->first.value[0] = 1, "/tokenizer/first[0] = 1: does not cut 4 bytes into pieces")                              \
    X(c->first.value[1] = -1, "/tokenizer/first[1] = -1: does not cut 4 bytes into pieces")                            \
    X(c->first.value[1] = 5, "/tokenizer/first[1] = 5: does not cut 4 bytes into pieces")                              \
    X(c->first.value[2] = INT32_MAX, "/tokenizer/first[2] = 2147483647: does not cut 4 bytes into pieces")             \
    X(c->first.value[2] = 0, "/tokenizer/first[2] = 0: does not cut 4 bytes into pieces")                              \
    X(c->first.value[3] = 3, "/tokenizer/first[3] = 3: does not cut 4 bytes into pieces")                              \
    X(c->bytes.n_dims = -1, "/tokenizer/bytes")                                                                        \
    X(c->bytes.type = HEED_TYPE_UINT16, "/tokenizer/bytes: expected uint8 in 1 dimension")                             \
    X(c->bytes.dims[0] = 13, "/tokenizer/bytes has 13 elements: expected 1 to 12")                                     \
    X(c->bytes.value[1] = 'e', "/tokenizer: token 1 does not come after the one before it")                            \
    X(c->bytes.value[1] = 'a', "/tokenizer: token 1 does not come after the one before it")                            \
    X(c->bytes.value[1] = 0xC3, "/tokenizer: token 1 is not one character in UTF-8")                                   \
    X(c->bytes.value[2] = 'y', "/tokenizer: token 2 is not one character in UTF-8")                                    \
    X(c->bytes.value[2] = 0xC1, "/tokenizer: token 2 is not one character in UTF-8")                                   \
    X(c->first.value[1] = 0, "/tokenizer: token 0 is not one character in UTF-8")                                      \
    X(c->train.n_dims = -1, "/train")                                                                                  \
    X(c->valid.n_dims = -1, "/valid")                                                                                  \
    X((c->train.n_dims = 2, c->train.dims[1] = 1), "/train has 2 dimensions: expected 1")                              \
    X(c->train.n_dims = 0, "/train has 0 dimensions: expected 1")                                                      \
    X(c->train.type = HEED_TYPE_UINT16, "/train is of type uint16: expected uint8 for a vocabulary of 3 tokens")       \
    X(c->valid.type = HEED_TYPE_FLOAT32, "/valid is of type float32: expected uint8 for a vocabulary of 3 tokens")     \
    X(c->train.value[2] = 3, "/train[2] = 3: outside the vocabulary of 3 tokens")                                      \
    X(c->train.value[5] = 255, "/train[5] = 255: outside the vocabulary of 3 tokens")                                  \
    X(c->valid.value[1] = 3, "/valid[1] = 3: outside the vocabulary of 3 tokens")                                      \
    X((*c = whole_bytes(), c->bytes.value[7] = 8), "/tokenizer: token 7 does not stand for the byte of that number")   \
    X((*c = whole_bytes(), c->first.dims[0] = 256, c->bytes.dims[0] = 255),                                            \
      "/tokenizer: token 254 is the last one: a byte tokenizer has 256 tokens")                                        \
    X((*c = whole_bytes(), c->first.dims[0] = 258, c->first.value[257] = 256),                                         \
      "/tokenizer/first has 258 elements: expected 2 to 257")                                                          \
    X((*c = whole_bytes(), c->first.value[5] = 4), "/tokenizer: token 4 does not stand for the byte of that number")   \
    X((*c = whole_words(), c->bytes.value[1] = ' '), "/tokenizer: token 0 is not one word")                            \
    X((*c = whole_words(), c->first.value[1] = 0), "/tokenizer: token 0 is not one word")                              \
    X((*c = whole_words(), c->bytes.value[1] = 0xC3), "/tokenizer: token 0 is not text in UTF-8")                      \
    X((*c = whole_words(), c->first.value[1] = 1, c->bytes.value[1] = 'a', c->first.value[2] = 2),                     \
      "/tokenizer: token 1 is the same word as one before it")                                                         \
    X((*c = whole_words(), c->marks.value[0] = 1), "/tokenizer/marks[0] = 1: the 1 marks are not the last of 3")       \
    X((*c = whole_words(), c->marks.value[0] = -1), "/tokenizer/marks[0] = -1: the 1 marks are not the last")          \
    X((*c = whole_words(), c->marks.dims[0] = 3), "/tokenizer/first has 4 elements: expected 5 to")                    \
    X((*c = whole_words(), c->marks.dims[0] = 65), "/tokenizer/marks has 65 elements: expected 1 to 64")               \
    X((*c = whole_words(), c->marks.type = HEED_TYPE_UINT8), "/tokenizer/marks: expected int32 in 1 dimension")        \
    X((*c = whole_bytes(), c->marks = whole_words().marks), "/tokenizer/marks[0] = 2: the 1 marks are not")

static void each_check_refuses_its_fault(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    content good = whole();
    seal(&good, "hostile.h5");
    ok(read_all("hostile.h5", &error), &error);
    good = whole_bytes();
    seal(&good, "hostile.h5");
    ok(read_all("hostile.h5", &error), &error);
    good = whole_words();
    seal(&good, "hostile.h5");
    ok(read_all("hostile.h5", &error), &error);
    int n_wrong = 0;
#define TRY(change, sentence)                                                                                          \
    {                                                                                                                  \
        content changed = whole(), *const c = &changed;                                                                \
        (void)(change);                                                                                                \
        seal(c, "hostile.h5");                                                                                         \
        error = (heed_error)HEED_ERROR_INIT;                                                                           \
        const heed_status status = read_all("hostile.h5", &error);                                                     \
        n_wrong += wrongly_judged(status, &error, "hostile.h5", #change, sentence);                                    \
    }
    CASES(TRY)
    assert_int_equal(n_wrong, 0);
}

/* Files of a few kilobytes: whoever asks for a gigabyte on their account gets none, which is not the answer expected.
 */
static int limit_memory(void **state) {
    (void)state;
#ifndef __SANITIZE_ADDRESS__
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = (rlim_t)1 << 30;
    assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
#endif
    return 0;
}

/* --- random faults ---------------------------------------------------------------------------------------------- */

static const heed_rng dice = {.seed = 2024, .purpose = HEED_PURPOSE_TEST};
static uint32_t n_throws;
static uint64_t below(uint64_t bound) {
    return heed_rng_below(&dice, n_throws++, bound);
}

static void disturb(array_of *a) {
    static const heed_type types[] = {HEED_TYPE_UINT8, HEED_TYPE_UINT16, HEED_TYPE_INT32, HEED_TYPE_INT64,
                                      HEED_TYPE_FLOAT64};
    switch (below(6)) {
    case 0:
        a->type = types[below(5)];
        break;
    case 1:
        a->n_dims = (int)below(4) - 1;
        a->dims[1] = 1 + below(3);
        break;
    case 2:
        a->dims[0] = below(MAX / 3);
        break;
    default:
        a->value[below(a->dims[0] + 1)] += (int64_t)below(9) - 4;
    }
}

/* Sizes, types and values that do not fit together, all of them well-formed HDF5. */
static void random_contents_are_read_or_refused(void **state) {
    (void)state;
    int n_read = 0, n_refused = 0;
    for (int i = 0; i < 400; i++) {
        content c = below(2) ? whole() : below(3) ? whole_words() : whole_bytes();
        array_of *const arrays[] = {&c.first, &c.bytes, &c.train, &c.valid, &c.marks};
        const uint64_t n_arrays = c.marks.n_dims < 0 ? 4 : 5;
        for (uint64_t k = 1 + below(2); k > 0; k--)
            disturb(arrays[below(n_arrays)]);
        seal(&c, "random.h5");
        heed_error error = HEED_ERROR_INIT;
        const heed_status status = read_all("random.h5", &error);
        if (status != HEED_OK && status != HEED_DATA)
            fail_msg("%d: %s: %s", i, heed_status_name(status), error.message);
        n_read += status == HEED_OK;
        n_refused += status == HEED_DATA;
    }
    assert_true(n_read > 20 && n_refused > 200);
}

/* Writes bytes [0, n) with a trailer that fits them. */
static void seal_bytes(const unsigned char *bytes, size_t n, const char *path) {
    unsigned char trailer[32] = "HEEDEND1";
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes, n));
    for (int i = 0; i < 8; i++)
        trailer[8 + i] = (unsigned char)(n >> 8 * i);
    memcpy(trailer + 16, canonical.digest, 16);
    remove(path); /* a new file waits for no disk, one that is replaced may */
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fwrite(trailer, 1, 32, file), 32);
    fclose(file);
}

/* Any bytes at all changed, and the digest made to fit. */
static void random_bytes_are_read_or_refused(void **state) {
    (void)state;
    content c = whole();
    seal(&c, "bytes.h5");
    size_t n;
    unsigned char *good = (unsigned char *)read_bytes("bytes.h5", &n), *bad = malloc(n);
    n -= 32;
    int n_read = 0, n_refused = 0;
    for (int i = 0; i < N_MUTATIONS; i++) {
        memcpy(bad, good, n);
        for (uint64_t k = 1 + below(3); k > 0; k--) {
            static const unsigned char favourite[] = {0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF};
            bad[below(n)] = below(2) ? (unsigned char)below(256) : favourite[below(sizeof favourite)];
        }
        seal_bytes(bad, below(20) ? n : below(n) + 1, "bytes.h5");
        heed_error error = HEED_ERROR_INIT;
        const heed_status status = read_all("bytes.h5", &error);
        if (status != HEED_OK && status != HEED_DATA)
            fail_msg("%d: %s: %s", i, heed_status_name(status), error.message);
        n_read += status == HEED_OK;
        n_refused += status == HEED_DATA;
    }
    assert_true(n_read > 50 && n_refused > 1000);
    free(good);
    free(bad);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_check_refuses_its_fault),
        cmocka_unit_test(random_contents_are_read_or_refused),
        cmocka_unit_test(random_bytes_are_read_or_refused),
    };
    return cmocka_run_group_tests(tests, limit_memory, NULL);
}
