#include "heed/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "tokenizer_rules.h"

const heedi_tokenizer_rules *heedi_rules_of(heed_tokenizer_kind kind) {
    switch (kind) {
    case HEED_TOKENIZER_CHAR:
        return &heedi_char_rules;
    case HEED_TOKENIZER_BYTE:
        return &heedi_byte_rules;
    }
    heed_bug(__FILE__, __LINE__, "a tokenizer kind without rules");
}

heed_status heedi_tokenizer_begin(heed_tokenizer **tokenizer, heed_tokenizer_kind kind, heed_error *error) {
    *tokenizer = calloc(1, sizeof **tokenizer);
    if (!*tokenizer)
        return heed_fail(error, HEED_MEMORY, "tokenizer: out of memory");
    (*tokenizer)->kind = kind;
    const heed_status status = heedi_rules_of(kind)->begin(*tokenizer, error);
    if (status != HEED_OK) {
        heed_tokenizer_destroy(*tokenizer);
        *tokenizer = NULL;
    }
    return status;
}

heed_status heedi_tokenizer_meet(heed_tokenizer *tokenizer, const heedi_spot *place, const char *text, size_t bytes,
                                 uint64_t *n_characters, heed_error *error) {
    return heedi_rules_of(tokenizer->kind)->meet(tokenizer, place, text, bytes, n_characters, error);
}

heed_status heedi_tokenizer_settle(heed_tokenizer *tokenizer, heed_error *error) {
    return heedi_rules_of(tokenizer->kind)->settle(tokenizer, error);
}

heed_status heedi_tokenizer_table(heed_tokenizer *tokenizer, size_t n_vocab, size_t n_bytes, heed_error *error) {
    tokenizer->first = malloc((n_vocab + 1) * sizeof *tokenizer->first);
    tokenizer->bytes = malloc(n_bytes ? n_bytes : 1);
    if (!tokenizer->first || !tokenizer->bytes)
        return heed_fail(error, HEED_MEMORY, "tokenizer: no memory for a vocabulary of %zu tokens", n_vocab);
    tokenizer->n_vocab = n_vocab;
    tokenizer->first[n_vocab] = (int32_t)n_bytes;
    return HEED_OK;
}

heed_status heed_tokenizer_learn(heed_tokenizer **tokenizer, heed_tokenizer_kind kind, const char *name,
                                 const char *text, size_t text_bytes, heed_error *error) {
    const heedi_spot start = {name, 1, 0};
    uint64_t n_characters = 0;
    heed_status status = heedi_tokenizer_begin(tokenizer, kind, error);
    if (status == HEED_OK)
        status = heedi_tokenizer_meet(*tokenizer, &start, text, text_bytes, &n_characters, error);
    if (status == HEED_OK)
        status = heedi_tokenizer_settle(*tokenizer, error);
    if (status != HEED_OK) {
        heed_tokenizer_destroy(*tokenizer);
        *tokenizer = NULL;
    }
    return status;
}

void heed_tokenizer_destroy(heed_tokenizer *tokenizer) {
    if (!tokenizer)
        return;
    free(tokenizer->first);
    free(tokenizer->bytes);
    free(tokenizer->of_code);
    free(tokenizer);
}

heed_tokenizer_kind heed_tokenizer_what(const heed_tokenizer *tokenizer) {
    return tokenizer->kind;
}

const char *heed_tokenizer_name(const heed_tokenizer *tokenizer) {
    return heedi_rules_of(tokenizer->kind)->name;
}

bool heed_tokenizer_same(const heed_tokenizer *a, const heed_tokenizer *b) {
    return a->kind == b->kind && a->n_vocab == b->n_vocab &&
           memcmp(a->first, b->first, (a->n_vocab + 1) * sizeof *a->first) == 0 &&
           memcmp(a->bytes, b->bytes, (size_t)a->first[a->n_vocab]) == 0;
}

size_t heed_tokenizer_vocab(const heed_tokenizer *tokenizer) {
    return tokenizer->n_vocab;
}

heed_status heedi_tokenizer_encode(const heed_tokenizer *tokenizer, const heedi_spot *place, const char *text,
                                   size_t bytes, int32_t *tokens, size_t *n_tokens, heed_error *error) {
    *n_tokens = 0;
    return heedi_rules_of(tokenizer->kind)->encode(tokenizer, place, text, bytes, tokens, n_tokens, error);
}

heed_status heed_tokenizer_encode(const heed_tokenizer *tokenizer, const char *name, const char *text,
                                  size_t text_bytes, int32_t **tokens, size_t *n_tokens, heed_error *error) {
    const heedi_spot start = {name, 1, 0};
    *n_tokens = 0;
    *tokens = text_bytes > PTRDIFF_MAX / sizeof **tokens ? NULL : malloc((text_bytes + 1) * sizeof **tokens);
    if (!*tokens)
        return heed_fail(error, HEED_MEMORY, "%s: no memory for the tokens of %zu bytes", name, text_bytes);
    const heed_status status = heedi_tokenizer_encode(tokenizer, &start, text, text_bytes, *tokens, n_tokens, error);
    if (status != HEED_OK) {
        free(*tokens);
        *tokens = NULL;
    }
    return status;
}

const char *heed_tokenizer_piece(const heed_tokenizer *tokenizer, int32_t token, size_t *bytes) {
    if (token < 0 || (size_t)token >= tokenizer->n_vocab) {
        *bytes = 0;
        return NULL;
    }
    *bytes = (size_t)(tokenizer->first[token + 1] - tokenizer->first[token]);
    return tokenizer->bytes + tokenizer->first[token];
}
