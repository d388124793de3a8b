/* Stores of pairs for the tests of this folder. */
#ifndef HEED_TESTS_MAKE_PAIRS_H
#define HEED_TESTS_MAKE_PAIRS_H

#include "heed/pairs.h"
#include "make_corpus.h"

static const heed_pairs_settings usual_pairs = {
    .source = HEED_TOKENIZER_CHAR, .target = HEED_TOKENIZER_CHAR, .vocab = 300, .valid_share = 0.25};

/* A store of one file of pairs, opened. */
static inline heed_corpus *pairs_of(const char *name, const char *text, const heed_pairs_settings *settings) {
    heed_error error = HEED_ERROR_INIT;
    char text_path[64], store_path[64];
    snprintf(text_path, sizeof text_path, "%s.tsv", name);
    snprintf(store_path, sizeof store_path, "%s.h5", name);
    write_text(text_path, text);
    ok(heed_pairs_prepare(store_path, (const char *[]){text_path}, 1, settings, &error), &error);
    heed_corpus *corpus;
    ok(heed_corpus_open(&corpus, store_path, &error), &error);
    return corpus;
}

/* The text of a side, which the caller frees. */
static inline char *side_of(heed_corpus *corpus, heed_split split, heed_side side, size_t index) {
    heed_error error = HEED_ERROR_INIT;
    const size_t n = heed_corpus_pair_length(corpus, split, side, index);
    int32_t *tokens = malloc(n * sizeof *tokens);
    ok(heed_corpus_read_pair(corpus, split, side, index, tokens, &error), &error);
    char *text;
    size_t n_bytes;
    ok(heed_tokenizer_decode(side == HEED_SOURCE ? heed_corpus_source_tokenizer(corpus) : heed_corpus_tokenizer(corpus),
                             tokens, n, &text, &n_bytes, &error),
       &error);
    free(tokens);
    return text;
}

/* n pairs "word-i tab many-words-i" of different lengths; the caller frees them. */
static inline char *many_pairs(size_t n) {
    char *text = malloc(n * 200 + 1), *end = text;
    uint32_t x = 4711;
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        end += sprintf(end, "word %zu\t", i);
        for (uint32_t k = 0; k <= (x >> 24) % 20; k++)
            end += sprintf(end, "%zu ", i % 7 + k);
        end += sprintf(end, "end%zu\n", i);
    }
    return text;
}

#endif
