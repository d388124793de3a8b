/* Text: strict UTF-8, GPT-2's cuts, then what each kind of tokenizer learns from it. What was cut comes back as it was.
 * The first byte chooses the kind. */
#include <stdlib.h>
#include <string.h>

#include "data/pretoken.h"
#include "data/utf8.h"
#include "fuzz.h"
#include "heed/tokenizer.h"

static void check_utf8(const char *text, size_t bytes) {
    const size_t good = heedi_utf8_ill_formed(text, bytes);
    size_t at = 0;
    for (size_t length; at < good; at += length) {
        int32_t code;
        length = heedi_utf8_next(text + at, bytes - at, &code);
        FUZZ_HOLDS(length >= 1 && length <= 4 && code >= 0 && code < HEEDI_N_CODES);
        FUZZ_HOLDS(code < 0xd800 || code > 0xdfff);
    }
    FUZZ_HOLDS(at == good);
    const heedi_spot start = {"text", 1, 0};
    heed_error error = HEED_ERROR_INIT;
    const heed_status status = heedi_utf8_check(&start, text, bytes, &error);
    fuzz_expect_form(status, &error);
    FUZZ_HOLDS((status == HEED_OK) == (good == bytes));
    FUZZ_HOLDS(bytes - heedi_utf8_whole(text, bytes) <= 3);
}

/* Every cut goes forward, and where a piece of a text may end, the cuts are those of the whole text. */
static void check_pretokens(const char *text, size_t bytes) {
    static heedi_pretokens *pretokens;
    heed_error error = HEED_ERROR_INIT;
    if (!pretokens)
        FUZZ_HOLDS(heedi_pretokens_create(&pretokens, &error) == HEED_OK);
    bytes = heedi_utf8_ill_formed(text, bytes);
    const size_t whole = heedi_pretokens_whole(text, bytes);
    FUZZ_HOLDS(whole <= bytes);
    bool met = whole == 0;
    for (size_t at = 0; at < bytes;) {
        const size_t length = heedi_pretokens_next(pretokens, text, bytes, at);
        FUZZ_HOLDS(length > 0 && length <= bytes - at);
        at += length;
        met = met || at == whole;
    }
    FUZZ_HOLDS(met);
}

static void check_round_trip(const heed_tokenizer *tokenizer, const char *text, size_t bytes) {
    heed_error error = HEED_ERROR_INIT;
    int32_t *tokens;
    size_t n, n_back;
    char *back;
    FUZZ_HOLDS(heed_tokenizer_encode(tokenizer, "text", text, bytes, &tokens, &n, &error) == HEED_OK);
    FUZZ_HOLDS(heed_tokenizer_decode(tokenizer, tokens, n, &back, &n_back, &error) == HEED_OK);
    if (heed_tokenizer_what(tokenizer) != HEED_TOKENIZER_WORD)
        FUZZ_HOLDS(n_back == bytes && memcmp(back, text, bytes) == 0);
    free(back);
    free(tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const heed_tokenizer_kind kinds[] = {HEED_TOKENIZER_CHAR, HEED_TOKENIZER_BYTE, HEED_TOKENIZER_WORD,
                                                HEED_TOKENIZER_BPE};
    if (bytes == 0)
        return 0;
    char *text = fuzz_text(data + 1, bytes - 1);
    bytes--;
    check_utf8(text, bytes);
    check_pretokens(text, bytes);
    heed_error error = HEED_ERROR_INIT;
    heed_tokenizer *tokenizer = NULL;
    const heed_status status =
        heed_tokenizer_learn_vocab(&tokenizer, kinds[data[0] % 4], 300, "text", text, bytes, &error);
    fuzz_expect_form(status, &error);
    if (status == HEED_OK)
        check_round_trip(tokenizer, text, bytes);
    heed_tokenizer_destroy(tokenizer);
    free(text);
    return 0;
}
