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
    case HEED_TOKENIZER_WORD:
        return &heedi_word_rules;
    case HEED_TOKENIZER_BPE:
        return &heedi_bpe_rules;
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
                                 uint64_t *n_tokens, heed_error *error) {
    return heedi_rules_of(tokenizer->kind)->meet(tokenizer, place, text, bytes, n_tokens, error);
}

heed_status heedi_tokenizer_settle(heed_tokenizer *tokenizer, heed_error *error) {
    return heedi_rules_of(tokenizer->kind)->settle(tokenizer, error);
}

heed_status heedi_tokenizer_table(heed_tokenizer *tokenizer, size_t n_vocab, size_t n_bytes, heed_error *error) {
    if (n_bytes > INT32_MAX || n_vocab >= INT32_MAX)
        return heed_fail(error, HEED_DATA, "tokenizer: a vocabulary of %zu tokens with %zu bytes is too large", n_vocab,
                         n_bytes);
    tokenizer->first = malloc((n_vocab + 1) * sizeof *tokenizer->first);
    tokenizer->bytes = malloc(n_bytes ? n_bytes : 1);
    if (!tokenizer->first || !tokenizer->bytes)
        return heed_fail(error, HEED_MEMORY, "tokenizer: no memory for a vocabulary of %zu tokens", n_vocab);
    tokenizer->n_text = tokenizer->n_vocab = n_vocab;
    tokenizer->first[n_vocab] = (int32_t)n_bytes;
    return HEED_OK;
}

heed_status heedi_tokenizer_table_of(heed_tokenizer *tokenizer, const heedi_words *words, heed_error *error) {
    const heed_status status = heedi_tokenizer_table(tokenizer, words->n, words->first[words->n], error);
    if (status != HEED_OK)
        return status;
    for (size_t w = 0; w < words->n; w++)
        tokenizer->first[w] = (int32_t)words->first[w];
    memcpy(tokenizer->bytes, words->bytes, words->first[words->n]);
    return HEED_OK;
}

heed_status heedi_tokenizer_of_words(heed_tokenizer **tokenizer, const heedi_words *words, heed_error *error) {
    size_t token = 0;
    const char *fault = NULL;
    heed_status status = heedi_tokenizer_begin(tokenizer, HEED_TOKENIZER_WORD, error);
    if (status == HEED_OK)
        status = heedi_tokenizer_table_of(*tokenizer, words, error);
    if (status == HEED_OK)
        status = heedi_word_rules.adopt(*tokenizer, &token, &fault, error);
    HEED_CHECK(!fault);
    return status;
}

heed_status heedi_tokenizer_add_mark(heed_tokenizer *tokenizer, const char *mark, heed_error *error) {
    const size_t n = tokenizer->n_vocab, n_bytes = (size_t)tokenizer->first[n], length = strlen(mark);
    int32_t *first = realloc(tokenizer->first, (n + 2) * sizeof *first);
    if (first)
        tokenizer->first = first;
    char *bytes = realloc(tokenizer->bytes, n_bytes + length);
    if (bytes)
        tokenizer->bytes = bytes;
    if (!first || !bytes || n_bytes + length > INT32_MAX)
        return heed_fail(error, HEED_MEMORY, "tokenizer: no memory for the mark %s", mark);
    memcpy(bytes + n_bytes, mark, length);
    first[n + 1] = (int32_t)(n_bytes + length);
    tokenizer->n_vocab++;
    return HEED_OK;
}

heed_status heed_tokenizer_learn(heed_tokenizer **tokenizer, heed_tokenizer_kind kind, const char *name,
                                 const char *text, size_t text_bytes, heed_error *error) {
    return heed_tokenizer_learn_vocab(tokenizer, kind, HEEDI_BPE_USUAL_VOCAB, name, text, text_bytes, error);
}

heed_status heed_tokenizer_learn_vocab(heed_tokenizer **tokenizer, heed_tokenizer_kind kind, size_t vocab,
                                       const char *name, const char *text, size_t text_bytes, heed_error *error) {
    const heedi_spot start = {name, 1, 0};
    uint64_t n_characters = 0;
    heed_status status = heedi_tokenizer_begin(tokenizer, kind, error);
    if (status == HEED_OK && (*tokenizer)->bpe)
        (*tokenizer)->bpe->n_wanted = vocab;
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
    heedi_words_reset(&tokenizer->words);
    heedi_bpe_destroy(tokenizer->bpe);
    free(tokenizer);
}

heed_tokenizer_kind heed_tokenizer_what(const heed_tokenizer *tokenizer) {
    return tokenizer->kind;
}

const char *heed_tokenizer_name(const heed_tokenizer *tokenizer) {
    return heedi_rules_of(tokenizer->kind)->name;
}

bool heed_tokenizer_same(const heed_tokenizer *a, const heed_tokenizer *b) {
    return a->kind == b->kind && a->n_vocab == b->n_vocab && a->n_text == b->n_text &&
           memcmp(a->first, b->first, (a->n_vocab + 1) * sizeof *a->first) == 0 &&
           memcmp(a->bytes, b->bytes, (size_t)a->first[a->n_vocab]) == 0 && (!a->bpe || heedi_bpe_same(a->bpe, b->bpe));
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

int32_t heed_tokenizer_mark(const heed_tokenizer *tokenizer, const char *mark) {
    for (size_t token = tokenizer->n_text; token < tokenizer->n_vocab; token++) {
        size_t bytes;
        const char *piece = heed_tokenizer_piece(tokenizer, (int32_t)token, &bytes);
        if (bytes == strlen(mark) && memcmp(piece, mark, bytes) == 0)
            return (int32_t)token;
    }
    return -1;
}

bool heed_tokenizer_is_mark(const heed_tokenizer *tokenizer, int32_t token) {
    return token >= 0 && (size_t)token >= tokenizer->n_text && (size_t)token < tokenizer->n_vocab;
}

const char *heed_tokenizer_separator(const heed_tokenizer *tokenizer) {
    const char *separator = heedi_rules_of(tokenizer->kind)->separator;
    return separator ? separator : "";
}

heed_status heed_tokenizer_decode(const heed_tokenizer *tokenizer, const int32_t *tokens, size_t n_tokens, char **text,
                                  size_t *text_bytes, heed_error *error) {
    const char *separator = heed_tokenizer_separator(tokenizer);
    const size_t gap = strlen(separator);
    size_t total = 0, bytes;
    for (size_t i = 0; i < n_tokens; i++) {
        if (!heed_tokenizer_piece(tokenizer, tokens[i], &bytes))
            return heed_fail(error, HEED_DATA, "token %d: outside the vocabulary of %zu tokens", tokens[i],
                             tokenizer->n_vocab);
        total += bytes + gap;
    }
    char *out = *text = malloc(total + 1);
    if (!out)
        return heed_fail(error, HEED_MEMORY, "no memory for the text of %zu tokens", n_tokens);
    for (size_t i = 0; i < n_tokens; i++) {
        const char *piece = heed_tokenizer_piece(tokenizer, tokens[i], &bytes);
        if (heed_tokenizer_is_mark(tokenizer, tokens[i]))
            continue;
        if (out > *text) {
            memcpy(out, separator, gap);
            out += gap;
        }
        memcpy(out, piece, bytes);
        out += bytes;
    }
    *out = 0;
    *text_bytes = (size_t)(out - *text);
    return HEED_OK;
}
