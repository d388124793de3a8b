/* A text file of pairs: `heed prepare --pairs` makes a store of it or says why not, and the store holds as many pairs
 * as the file has lines. The first byte chooses the tokenizers, one vocabulary or two, and the share for validation. */
#include <unistd.h>

#include "fuzz.h"
#include "heed/pairs.h"

static size_t count_lines(const uint8_t *data, size_t bytes) {
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++)
        n += data[i] == '\n' || i + 1 == bytes;
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const heed_tokenizer_kind kinds[] = {HEED_TOKENIZER_CHAR, HEED_TOKENIZER_BYTE, HEED_TOKENIZER_WORD,
                                                HEED_TOKENIZER_BPE};
    static const char *const paths[] = {"pairs.tsv"};
    if (bytes == 0)
        return 0;
    const heed_pairs_settings settings = {.source = kinds[data[0] % 4],
                                          .target = kinds[data[0] / 4 % 4],
                                          .joint = data[0] & 16,
                                          .vocab = 300,
                                          .valid_share = (data[0] >> 5) / 7.0};
    fuzz_write("pairs.tsv", data + 1, bytes - 1);
    unlink("tokens.h5");
    heed_error error = HEED_ERROR_INIT;
    fuzz_expect_form(heed_pairs_prepare("tokens.h5", paths, 1, &settings, &error), &error);
    heed_corpus *corpus = NULL;
    if (error.status != HEED_OK) {
        FUZZ_HOLDS(access("tokens.h5", F_OK) != 0);
        return 0;
    }
    FUZZ_HOLDS(heed_corpus_open_verified(&corpus, "tokens.h5", &error) == HEED_OK);
    FUZZ_HOLDS(heed_corpus_pairs(corpus, HEED_TRAIN) + heed_corpus_pairs(corpus, HEED_VALID) ==
               count_lines(data + 1, bytes - 1));
    heed_corpus_close(corpus);
    bool matches = false;
    FUZZ_HOLDS(heed_pairs_match("tokens.h5", paths, 1, &settings, &matches, &error) == HEED_OK && matches);
    return 0;
}
