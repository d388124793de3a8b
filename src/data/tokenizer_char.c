/* Characters: the code points of the text in ascending order, so that the numbers do not depend on the order of files.
 * of_code is a table over all code points (4.4 MB of which the system hands out the pages in use): one look-up a
 * character. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "tokenizer_rules.h"

static heed_status begin(heed_tokenizer *tokenizer, heed_error *error) {
    tokenizer->of_code = calloc(HEEDI_N_CODES, sizeof *tokenizer->of_code);
    return tokenizer->of_code ? HEED_OK : heed_fail(error, HEED_MEMORY, "tokenizer: out of memory");
}

static heed_status meet(heed_tokenizer *tokenizer, const heedi_spot *place, const char *text, size_t bytes,
                        uint64_t *n_tokens, heed_error *error) {
    uint64_t n = 0;
    for (size_t at = 0, length; at < bytes; at += length, n++) {
        int32_t code;
        length = heedi_utf8_next(text + at, bytes - at, &code);
        if (length == 0)
            return heedi_utf8_fail(place, text, bytes, at, error);
        tokenizer->of_code[code] = 1;
    }
    *n_tokens = n;
    return HEED_OK;
}

static heed_status settle(heed_tokenizer *tokenizer, heed_error *error) {
    size_t n_vocab = 0, n_bytes = 0;
    utf8proc_uint8_t encoded[4];
    for (int32_t code = 0; code < HEEDI_N_CODES; code++)
        if (tokenizer->of_code[code]) {
            n_vocab++;
            n_bytes += (size_t)utf8proc_encode_char(code, encoded);
        }
    if (n_vocab == 0)
        return heed_fail(error, HEED_DATA, "tokenizer: there is no character in the text to learn from");
    const heed_status status = heedi_tokenizer_table(tokenizer, n_vocab, n_bytes, error);
    if (status != HEED_OK)
        return status;
    int32_t token = 0, end = 0;
    for (int32_t code = 0; code < HEEDI_N_CODES; code++)
        if (tokenizer->of_code[code]) {
            const int32_t length = (int32_t)utf8proc_encode_char(code, encoded);
            memcpy(tokenizer->bytes + end, encoded, (size_t)length);
            tokenizer->first[token] = end;
            tokenizer->of_code[code] = ++token;
            end += length;
        }
    return HEED_OK;
}

static heed_status adopt(heed_tokenizer *tokenizer, size_t *token, const char **fault, heed_error *error) {
    (void)error;
    int32_t last = -1;
    for (size_t t = 0; t < tokenizer->n_text; t++) {
        int32_t code;
        const size_t length = (size_t)(tokenizer->first[t + 1] - tokenizer->first[t]);
        *token = t;
        if (length == 0 || heedi_utf8_next(tokenizer->bytes + tokenizer->first[t], length, &code) != length)
            *fault = "is not one character in UTF-8";
        else if (code <= last)
            *fault = "does not come after the one before it: characters ascend";
        if (*fault)
            return HEED_OK;
        tokenizer->of_code[code] = (int32_t)t + 1;
        last = code;
    }
    return HEED_OK;
}

static heed_status encode(const heed_tokenizer *tokenizer, const heedi_spot *place, const char *text, size_t bytes,
                          int32_t *tokens, size_t *n_tokens, heed_error *error) {
    size_t n = 0;
    for (size_t at = 0, length; at < bytes; at += length) {
        int32_t code;
        length = heedi_utf8_next(text + at, bytes - at, &code);
        if (length == 0)
            return heedi_utf8_fail(place, text, bytes, at, error);
        const int32_t token = tokenizer->of_code[code] - 1;
        if (token < 0) {
            char shown[HEEDI_CODE_TEXT];
            const heedi_spot here = heedi_spot_of(place, text, at);
            heed_fail(error, HEED_DATA,
                      "%s:%" PRIu64 ": byte %" PRIu64 " = %s: not among the %zu characters of the vocabulary",
                      here.name, here.line, here.byte, heedi_code_text(code, shown), tokenizer->n_text);
            return heed_hint(error, "use characters that the training text has");
        }
        tokens[n++] = token;
    }
    *n_tokens = n;
    return HEED_OK;
}

const heedi_tokenizer_rules heedi_char_rules = {
    .name = "char",
    .max_vocab = HEEDI_N_CODES,
    .max_piece = 4,
    .begin = begin,
    .meet = meet,
    .settle = settle,
    .adopt = adopt,
    .encode = encode,
};
