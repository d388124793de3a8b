/* Bytes: token t is byte t. Takes any file. */
#include "tokenizer_rules.h"

static heed_status begin(heed_tokenizer *tokenizer, heed_error *error) {
    (void)tokenizer, (void)error;
    return HEED_OK;
}

static heed_status meet(heed_tokenizer *tokenizer, const heedi_spot *place, const char *text, size_t bytes,
                        uint64_t *n_tokens, heed_error *error) {
    (void)tokenizer, (void)place, (void)text, (void)error;
    *n_tokens = bytes;
    return HEED_OK;
}

static heed_status settle(heed_tokenizer *tokenizer, heed_error *error) {
    const heed_status status = heedi_tokenizer_table(tokenizer, 256, 256, error);
    if (status != HEED_OK)
        return status;
    for (int token = 0; token < 256; token++) {
        tokenizer->first[token] = token;
        tokenizer->bytes[token] = (char)token;
    }
    return HEED_OK;
}

static heed_status adopt(heed_tokenizer *tokenizer, size_t *token, const char **fault, heed_error *error) {
    (void)error;
    for (size_t t = 0; t < tokenizer->n_text && !*fault; t++) {
        *token = t;
        if (tokenizer->first[t + 1] - tokenizer->first[t] != 1 || (unsigned char)tokenizer->bytes[t] != t)
            *fault = "does not stand for the byte of that number";
    }
    if (!*fault && tokenizer->n_text != 256)
        *fault = "is the last one: a byte tokenizer has 256 tokens";
    return HEED_OK;
}

static heed_status encode(const heed_tokenizer *tokenizer, const heedi_spot *place, const char *text, size_t bytes,
                          int32_t *tokens, size_t *n_tokens, heed_error *error) {
    (void)tokenizer, (void)place, (void)error;
    for (size_t i = 0; i < bytes; i++)
        tokens[i] = (unsigned char)text[i];
    *n_tokens = bytes;
    return HEED_OK;
}

const heedi_tokenizer_rules heedi_byte_rules = {
    .name = "byte",
    .max_vocab = 256,
    .max_piece = 1,
    .begin = begin,
    .meet = meet,
    .settle = settle,
    .adopt = adopt,
    .encode = encode,
};
