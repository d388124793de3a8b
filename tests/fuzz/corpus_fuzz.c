/* A token store, of text or of pairs, under a right digest. What opens can be read from end to end, and every token has
 * a piece. */
#include <stdlib.h>

#include "fuzz.h"
#include "heed/pairs.h"

static void read_text(heed_corpus *corpus, heed_split split) {
    const size_t n = heed_corpus_tokens(corpus, split);
    const heed_tokenizer *tokenizer = heed_corpus_tokenizer(corpus);
    for (size_t first = 0; first < n; first += 256) {
        int32_t tokens[256];
        const size_t count = n - first < 256 ? n - first : 256;
        heed_error error = HEED_ERROR_INIT;
        const heed_status status = heed_corpus_read(corpus, split, first, count, tokens, &error);
        fuzz_expect_form(status, &error);
        fuzz_expect_pieces(tokenizer, tokens, status == HEED_OK ? count : 0);
        if (status != HEED_OK)
            return;
    }
}

static void read_side(heed_corpus *corpus, heed_split split, heed_side side) {
    const heed_tokenizer *tokenizer =
        side == HEED_SOURCE ? heed_corpus_source_tokenizer(corpus) : heed_corpus_tokenizer(corpus);
    for (size_t i = 0; i < heed_corpus_pairs(corpus, split); i++) {
        const size_t n = heed_corpus_pair_length(corpus, split, side, i);
        int32_t *tokens = malloc((n + 1) * sizeof *tokens);
        FUZZ_HOLDS(tokens);
        heed_error error = HEED_ERROR_INIT;
        const heed_status status = heed_corpus_read_pair(corpus, split, side, i, tokens, &error);
        fuzz_expect_form(status, &error);
        fuzz_expect_pieces(tokenizer, tokens, status == HEED_OK ? n : 0);
        free(tokens);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fuzz_write_sealed("tokens.h5", data, bytes);
    heed_error error = HEED_ERROR_INIT;
    heed_corpus *corpus = NULL;
    const heed_status status = heed_corpus_open_verified(&corpus, "tokens.h5", &error);
    fuzz_expect_form(status, &error);
    if (status != HEED_OK)
        return 0;
    for (heed_split split = HEED_TRAIN; split <= HEED_VALID; split++) {
        if (!heed_corpus_has_pairs(corpus)) {
            read_text(corpus, split);
            continue;
        }
        read_side(corpus, split, HEED_SOURCE);
        read_side(corpus, split, HEED_TARGET);
    }
    heed_corpus_close(corpus);
    return 0;
}
