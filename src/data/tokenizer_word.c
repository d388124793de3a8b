/* Words: what stands between white space (ASCII: blank, tab, line feed, carriage return, and the rare two). Learned
 * from a text they are numbered in the order of their bytes, so that the numbers do not depend on the order of files; a
 * vocabulary that is given (the symbols of a generated task) keeps its own order. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer_rules.h"

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static heed_status begin(heed_tokenizer *tokenizer, heed_error *error) {
    (void)tokenizer, (void)error;
    return HEED_OK;
}

/* The next word of text at or behind *at: where it begins, and its bytes; 0 at the end. */
static size_t next_word(const char *text, size_t bytes, size_t *at) {
    while (*at < bytes && is_space(text[*at]))
        ++*at;
    size_t end = *at;
    while (end < bytes && !is_space(text[end]))
        end++;
    return end - *at;
}

static heed_status meet(heed_tokenizer *tokenizer, const heedi_spot *place, const char *text, size_t bytes,
                        uint64_t *n_tokens, heed_error *error) {
    heed_status status = heedi_utf8_check(place, text, bytes, error);
    *n_tokens = 0;
    for (size_t at = 0, length; status == HEED_OK && (length = next_word(text, bytes, &at)) > 0; at += length) {
        size_t number;
        status = heedi_words_add(&tokenizer->words, text + at, length, &number, error);
        ++*n_tokens;
    }
    return status;
}

static heed_status settle(heed_tokenizer *tokenizer, heed_error *error) {
    heedi_words *met = &tokenizer->words, sorted = {0};
    if (met->n == 0)
        return heed_fail(error, HEED_DATA, "tokenizer: there is no word in the text to learn from");
    size_t *order = malloc(met->n * sizeof *order), number;
    heed_status status = order ? HEED_OK : heed_fail(error, HEED_MEMORY, "tokenizer: out of memory");
    if (status == HEED_OK)
        heedi_words_sort(met, order);
    for (size_t w = 0; w < met->n && status == HEED_OK; w++) {
        size_t bytes;
        const char *word = heedi_words_at(met, order[w], &bytes);
        status = heedi_words_add(&sorted, word, bytes, &number, error);
    }
    free(order);
    heedi_words_reset(met);
    *met = sorted;
    if (status == HEED_OK)
        status = heedi_tokenizer_table_of(tokenizer, met, error);
    return status;
}

static heed_status adopt(heed_tokenizer *tokenizer, size_t *token, const char **fault, heed_error *error) {
    for (size_t t = 0; t < tokenizer->n_text; t++) {
        const char *piece = tokenizer->bytes + tokenizer->first[t];
        const size_t length = (size_t)(tokenizer->first[t + 1] - tokenizer->first[t]);
        size_t at = 0, number;
        *token = t;
        if (length == 0 || next_word(piece, length, &at) != length)
            *fault = "is not one word";
        else if (heedi_utf8_ill_formed(piece, length) < length)
            *fault = "is not text in UTF-8";
        else if (heedi_words_add(&tokenizer->words, piece, length, &number, error) != HEED_OK)
            return HEED_MEMORY;
        else if (number != t)
            *fault = "is the same word as one before it";
        if (*fault)
            return HEED_OK;
    }
    return HEED_OK;
}

static heed_status encode(const heed_tokenizer *tokenizer, const heedi_spot *place, const char *text, size_t bytes,
                          int32_t *tokens, size_t *n_tokens, heed_error *error) {
    const heed_status status = heedi_utf8_check(place, text, bytes, error);
    if (status != HEED_OK)
        return status;
    size_t n = 0;
    for (size_t at = 0, length; (length = next_word(text, bytes, &at)) > 0; at += length) {
        const size_t number = heedi_words_find(&tokenizer->words, text + at, length);
        if (number == HEEDI_NO_WORD) {
            const heedi_spot here = heedi_spot_of(place, text, at);
            const size_t shown = length > 60 ? heedi_utf8_whole(text + at, 60) : length;
            heed_fail(error, HEED_DATA,
                      "%s:%" PRIu64 ": byte %" PRIu64 " = %.*s%s: not among the %zu words of the vocabulary", here.name,
                      here.line, here.byte, (int)shown, text + at, shown < length ? "..." : "", tokenizer->n_text);
            return heed_hint(error, "use words that the training text has");
        }
        tokens[n++] = (int32_t)number;
    }
    *n_tokens = n;
    return HEED_OK;
}

/* Behind the last white space no word is cut. */
static size_t whole(const char *text, size_t bytes) {
    while (bytes > 0 && !is_space(text[bytes - 1]))
        bytes--;
    return bytes;
}

const heedi_tokenizer_rules heedi_word_rules = {
    .name = "word",
    .separator = " ",
    .max_vocab = (size_t)1 << 24,
    .max_piece = (size_t)1 << 20,
    .begin = begin,
    .meet = meet,
    .settle = settle,
    .adopt = adopt,
    .encode = encode,
    .whole = whole,
};
