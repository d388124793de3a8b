/* Stores of pairs that are well sealed but wrong: one case a structural check. Whoever opens one gets one sentence. */
#include "make_pairs.h"

#include "hostile.h"

enum { SOURCE, SOURCE_FIRST, TARGET, TARGET_FIRST, VALID, VALID_FIRST = VALID + 2, MARKS = 8, N_ARRAYS };
typedef struct content {
    const char *kind, *source_kind;
    int64_t format, joint;
    array_of array[N_ARRAYS];
} content;

/* Words "a" "b" with marks; two pairs to train on, one to validate. */
static content whole(void) {
    return (content){.kind = "store of pairs",
                     .source_kind = "word",
                     .format = 1,
                     .array = {{"/train/source", HEED_TYPE_UINT8, 1, {3}, {0, 1, 0}},
                               {"/train/source_first", HEED_TYPE_UINT64, 1, {3}, {0, 2, 3}},
                               {"/train/target", HEED_TYPE_UINT8, 1, {4}, {1, 0, 1, 1}},
                               {"/train/target_first", HEED_TYPE_UINT64, 1, {3}, {0, 1, 4}},
                               {"/valid/source", HEED_TYPE_UINT8, 1, {1}, {1}},
                               {"/valid/source_first", HEED_TYPE_UINT64, 1, {2}, {0, 1}},
                               {"/valid/target", HEED_TYPE_UINT8, 1, {1}, {0}},
                               {"/valid/target_first", HEED_TYPE_UINT64, 1, {2}, {0, 1}},
                               {"marks", HEED_TYPE_INT32, 1, {2}, {2, 3}}}};
}

static void write_tokenizer(heed_store *store, const char *group, const char *kind, const array_of *marks) {
    static const array_of first = {"first", HEED_TYPE_INT32, 1, {5}, {0, 1, 2, 5, 9}};
    static const array_of bytes = {"bytes", HEED_TYPE_UINT8, 1, {9}, {'a', 'b', '<', 's', '>', '<', '/', 's', '>'}};
    heed_error error = HEED_ERROR_INIT;
    char name[64];
    snprintf(name, sizeof name, "%s/first", group);
    write_array_as(store, name, &first);
    snprintf(name, sizeof name, "%s/bytes", group);
    write_array_as(store, name, &bytes);
    snprintf(name, sizeof name, "%s/marks", group);
    write_array_as(store, name, marks);
    ok(heed_store_write_text(store, group, "kind", kind, &error), &error);
}

static void seal(const content *c, const char *path) {
    heed_error error = HEED_ERROR_INIT;
    heed_store *store;
    remove(path);
    ok(heed_store_create(&store, path, &error), &error);
    for (int i = 0; i < MARKS; i++)
        write_array(store, &c->array[i]);
    write_tokenizer(store, "/tokenizer", "word", &whole().array[MARKS]);
    if (c->source_kind)
        write_tokenizer(store, "/source_tokenizer", c->source_kind, &c->array[MARKS]);
    ok(heed_store_write_kind(store, c->kind, c->format, &error), &error);
    ok(heed_store_write_int(store, "/tokenizer", "learned", 1, &error), &error);
    ok(heed_store_write_int(store, "/", "joint", c->joint, &error), &error);
    ok(heed_store_write_text(store, "/", "digest", "0123456789abcdef0123456789abcdef", &error), &error);
    ok(heed_store_seal(store, &error), &error);
}

static heed_status read_all(const char *path, heed_error *error) {
    heed_corpus *corpus;
    int32_t tokens[16];
    heed_status status = heed_corpus_open(&corpus, path, error);
    if (status != HEED_OK) {
        assert_null(corpus);
        return status;
    }
    for (heed_split split = HEED_TRAIN; split <= HEED_VALID; split++)
        for (size_t i = 0; i < heed_corpus_pairs(corpus, split); i++)
            for (heed_side side = HEED_SOURCE; side <= HEED_TARGET && status == HEED_OK; side++) {
                const size_t n = heed_corpus_pair_length(corpus, split, side, i);
                assert_true(n > 0 && n < 16);
                status = heed_corpus_read_pair(corpus, split, side, i, tokens, error);
                for (size_t t = 0; t < n && status == HEED_OK; t++)
                    assert_true(tokens[t] >= 0 && tokens[t] < 4);
            }
    heed_corpus_close(corpus);
    return status;
}

#define A(which) c->array[which]
#define CASES(X)                                                                                                       \
    X(c->kind = "checkpoint", "not a token store")                                                                     \
    X(c->format = 2, "is a store of pairs of format 2")                                                                \
    X(c->joint = 2, "attribute joint = 2: expected 0 or 1")                                                            \
    X(c->joint = -1, "attribute joint = -1: expected 0 or 1")                                                          \
    X(c->source_kind = NULL, "/source_tokenizer")                                                                      \
    X(c->source_kind = "none", "/source_tokenizer: its kind is not one")                                               \
    X(A(MARKS).n_dims = -1, "a vocabulary without the marks <s> and </s>")                                             \
    X(A(MARKS) = ((array_of){"marks", HEED_TYPE_INT32, 1, {1}, {3}}), "a vocabulary without the marks")                \
    X(A(SOURCE).n_dims = -1, "/train/source")                                                                          \
    X(A(TARGET_FIRST).n_dims = -1, "/train/target_first")                                                              \
    X(A(VALID).n_dims = -1, "/valid/source")                                                                           \
    X(A(SOURCE).type = HEED_TYPE_UINT16, "/train/source is of type uint16: expected uint8")                            \
    X((A(SOURCE).n_dims = 2, A(SOURCE).dims[1] = 1), "/train/source has 2 dimensions: expected 1")                     \
    X(A(SOURCE_FIRST).type = HEED_TYPE_INT64, "/train/source_first: expected uint64 in 1 dimension")                   \
    X((A(SOURCE_FIRST).n_dims = 2, A(SOURCE_FIRST).dims[1] = 1), "/train/source_first: expected uint64 in 1")          \
    X(A(SOURCE_FIRST).dims[0] = 0, "/train/source_first: expected uint64 in 1 dimension, at least one")                \
    X(A(SOURCE_FIRST).dims[0] = 5, "/train/source_first: 4 pairs cannot be made of 3 tokens")                          \
    X(A(TARGET_FIRST).dims[0] = 2, "/train/target_first: 1 targets for 2 sources")                                     \
    X(A(TARGET_FIRST).dims[0] = 4, "/train/target_first: 3 targets for 2 sources")                                     \
    X(A(SOURCE_FIRST).value[0] = 1, "/train/source_first[0] = 1: does not cut 3 tokens into 2 pairs")                  \
    X(A(SOURCE_FIRST).value[1] = 0, "/train/source_first[1] = 0: does not cut 3 tokens into 2 pairs")                  \
    X(A(SOURCE_FIRST).value[1] = 3, "/train/source_first[2] = 3: does not cut 3 tokens into 2 pairs")                  \
    X(A(SOURCE_FIRST).value[1] = -1, "/train/source_first[1] = 18446744073709551615: does not cut")                    \
    X(A(SOURCE_FIRST).value[2] = 4, "/train/source_first[2] = 4: does not cut 3 tokens")                               \
    X(A(TARGET_FIRST).value[2] = 3, "/train/target_first[2] = 3: does not cut 4 tokens")                               \
    X(A(VALID_FIRST - 1).value[1] = 0, "/valid/source_first[1] = 0: does not cut 1 tokens into 1 pairs")               \
    X(A(SOURCE).value[1] = 4, "/train/source[1] = 4: outside the vocabulary of 4 tokens")                              \
    X(A(TARGET).value[3] = 255, "/train/target[3] = 255: outside the vocabulary of 4 tokens")

static void each_check_refuses_its_fault(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    content good = whole();
    seal(&good, "hostile.h5");
    ok(read_all("hostile.h5", &error), &error);
    good.source_kind = NULL;
    good.joint = 1;
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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_check_refuses_its_fault)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
