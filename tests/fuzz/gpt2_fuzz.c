/* GPT-2's two files, one behind the other with a byte 0xff between. What is accepted encodes any bytes, and gives them
 * back. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "heed/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const char text[] = "the cat's 42  hats, \xc3\xa9t\xc3\xa9\n";
    const uint8_t *end = bytes ? memchr(data, 0xff, bytes) : NULL;
    const size_t first = end ? (size_t)(end - data) : bytes, second = end ? bytes - first - 1 : 0;
    fuzz_write("encoder.json", data, first);
    fuzz_write("vocab.bpe", end ? end + 1 : data, second);
    heed_error error = HEED_ERROR_INIT;
    heed_tokenizer *tokenizer = NULL;
    const heed_status status = heed_tokenizer_of_gpt2(&tokenizer, "encoder.json", "vocab.bpe", &error);
    fuzz_expect_form(status, &error);
    int32_t *tokens;
    size_t n, n_back;
    char *back;
    if (status == HEED_OK) {
        FUZZ_HOLDS(heed_tokenizer_encode(tokenizer, "text", text, sizeof text - 1, &tokens, &n, &error) == HEED_OK);
        FUZZ_HOLDS(heed_tokenizer_decode(tokenizer, tokens, n, &back, &n_back, &error) == HEED_OK);
        FUZZ_HOLDS(n_back == sizeof text - 1 && memcmp(back, text, n_back) == 0);
        free(tokens);
        free(back);
    }
    heed_tokenizer_destroy(tokenizer);
    return 0;
}
