/* A token store under a right digest. What opens can be read from end to end, and every token has a piece. */
#include "fuzz.h"
#include "heed/corpus.h"

static void read_split(heed_corpus *corpus, heed_split split) {
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fuzz_write_sealed("tokens.h5", data, bytes);
    heed_error error = HEED_ERROR_INIT;
    heed_corpus *corpus = NULL;
    const heed_status status = heed_corpus_open_verified(&corpus, "tokens.h5", &error);
    fuzz_expect_form(status, &error);
    if (status == HEED_OK) {
        read_split(corpus, HEED_TRAIN);
        read_split(corpus, HEED_VALID);
        heed_corpus_close(corpus);
    }
    return 0;
}
