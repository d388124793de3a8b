/* A store of pairs under a right digest. What opens can be read pair by pair, and every token has a piece. */
#include <stdlib.h>

#include "fuzz.h"
#include "heed/pairs.h"

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
    if (heed_corpus_has_pairs(corpus))
        for (int i = 0; i < 4; i++)
            read_side(corpus, i % 2 ? HEED_VALID : HEED_TRAIN, i / 2 ? HEED_TARGET : HEED_SOURCE);
    heed_corpus_close(corpus);
    return 0;
}
