/* Texts and token stores for the tests of this folder. */
#ifndef HEED_TESTS_MAKE_CORPUS_H
#define HEED_TESTS_MAKE_CORPUS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heed/corpus.h"
#include "heed/tokenizer.h"

static inline void write_bytes(const char *path, const void *bytes, size_t n) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static inline void write_text(const char *path, const char *text) {
    write_bytes(path, text, strlen(text));
}

static inline char *read_bytes(const char *path, size_t *n) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *n = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*n + 1);
    assert_int_equal(fread(bytes, 1, *n, file), *n);
    bytes[*n] = 0;
    fclose(file);
    return bytes;
}

/* Succeeds, or shows the message. */
static inline void ok(heed_status status, const heed_error *error) {
    if (status != HEED_OK)
        fail_msg("%s: %s", heed_status_name(status), error->message);
}

/* A token store of one text, opened. */
static inline heed_corpus *corpus_of(const char *name, const void *text, size_t n, heed_tokenizer_kind kind,
                                     double valid_share) {
    heed_error error = HEED_ERROR_INIT;
    char text_path[64], store_path[64];
    snprintf(text_path, sizeof text_path, "%s.txt", name);
    snprintf(store_path, sizeof store_path, "%s.h5", name);
    write_bytes(text_path, text, n);
    ok(heed_corpus_prepare(store_path, (const char *[]){text_path}, 1, kind, valid_share, &error), &error);
    heed_corpus *corpus;
    ok(heed_corpus_open(&corpus, store_path, &error), &error);
    return corpus;
}

/* All tokens of a split; the caller frees them. */
static inline int32_t *tokens_of(heed_corpus *corpus, heed_split split, size_t *n) {
    heed_error error = HEED_ERROR_INIT;
    *n = heed_corpus_tokens(corpus, split);
    int32_t *tokens = malloc((*n + 1) * sizeof *tokens);
    ok(heed_corpus_read(corpus, split, 0, *n, tokens, &error), &error);
    return tokens;
}

/* The text that a split stands for, NUL-terminated; the caller frees it. */
static inline char *text_of(heed_corpus *corpus, heed_split split, size_t *n_bytes) {
    size_t n, used = 0;
    int32_t *tokens = tokens_of(corpus, split, &n);
    char *text = malloc(4 * n + 1);
    for (size_t i = 0; i < n; i++) {
        size_t bytes;
        const char *piece = heed_tokenizer_piece(heed_corpus_tokenizer(corpus), tokens[i], &bytes);
        memcpy(text + used, piece, bytes);
        used += bytes;
    }
    text[used] = 0;
    *n_bytes = used;
    free(tokens);
    return text;
}

static inline void expect_piece(const heed_tokenizer *tokenizer, int32_t token, const char *expected) {
    size_t bytes;
    const char *piece = heed_tokenizer_piece(tokenizer, token, &bytes);
    assert_non_null(piece);
    assert_int_equal(bytes, strlen(expected));
    assert_memory_equal(piece, expected, bytes);
}

#endif
