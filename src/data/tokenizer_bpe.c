/* Byte pairs as a kind of tokenizer. Takes any text in UTF-8 and gives it back exactly. */
#include <stdlib.h>
#include <string.h>

#include "tokenizer_rules.h"

static heed_status begin(heed_tokenizer *tokenizer, heed_error *error) {
    return heedi_bpe_create(&tokenizer->bpe, error);
}

/* --- learning --------------------------------------------------------------------------------------------------- */

static heed_status count(heedi_bpe *bpe, size_t word, size_t n_words, heed_error *error) {
    if (n_words > bpe->count_capacity) {
        const size_t capacity = 2 * n_words;
        uint64_t *counts = realloc(bpe->count, capacity * sizeof *counts);
        if (!counts)
            return heed_fail(error, HEED_MEMORY, "tokenizer: no memory to count %zu words", n_words);
        memset(counts + bpe->count_capacity, 0, (capacity - bpe->count_capacity) * sizeof *counts);
        bpe->count = counts;
        bpe->count_capacity = capacity;
    }
    bpe->count[word]++;
    return HEED_OK;
}

/* How many tokens there will be is not known before all is learned. */
static heed_status meet(heed_tokenizer *tokenizer, const heedi_spot *place, const char *text, size_t bytes,
                        uint64_t *n_tokens, heed_error *error) {
    heed_status status = heedi_utf8_check(place, text, bytes, error);
    for (size_t at = 0, length, word; at < bytes && status == HEED_OK; at += length) {
        length = heedi_pretokens_next(tokenizer->bpe->pretokens, text, bytes, at);
        status = heedi_words_add(&tokenizer->words, text + at, length, &word, error);
        if (status == HEED_OK)
            status = count(tokenizer->bpe, word, tokenizer->words.n, error);
    }
    *n_tokens = 0;
    return status;
}

static heed_status index_all(heed_tokenizer *tokenizer, size_t *token, const char **fault, heed_error *error);

static heed_status settle(heed_tokenizer *tokenizer, heed_error *error) {
    heedi_words pieces = {0};
    size_t token;
    const char *fault = NULL;
    heed_status status = heedi_bpe_learn(tokenizer->bpe, &tokenizer->words, &pieces, error);
    if (status == HEED_OK)
        status = heedi_tokenizer_table_of(tokenizer, &pieces, error);
    heedi_words_reset(&tokenizer->words);
    heedi_words_reset(&pieces);
    if (status == HEED_OK)
        status = index_all(tokenizer, &token, &fault, error);
    HEED_CHECK(!fault);
    return status;
}

/* --- a table that is given -------------------------------------------------------------------------------------- */

/* Pieces by their bytes, the 256 bytes, and merges by their pairs. */
static heed_status index_all(heed_tokenizer *tokenizer, size_t *token, const char **fault, heed_error *error) {
    heedi_bpe *bpe = tokenizer->bpe;
    for (int byte = 0; byte < 256; byte++)
        bpe->of_byte[byte] = -1;
    for (size_t t = 0; t < tokenizer->n_text; t++) {
        size_t bytes, number;
        const char *piece = heed_tokenizer_piece(tokenizer, (int32_t)t, &bytes);
        *token = t;
        if (heedi_words_add(&tokenizer->words, piece, bytes, &number, error) != HEED_OK)
            return HEED_MEMORY;
        if (bytes == 0 || number != t) {
            *fault = bytes ? "is the same piece as one before it" : "is empty";
            return HEED_OK;
        }
        if (bytes == 1)
            bpe->of_byte[(unsigned char)*piece] = (int32_t)t;
    }
    for (int byte = 0; byte < 256 && !*fault; byte++)
        if (bpe->of_byte[byte] < 0)
            *fault = "is the last one: a byte has no token";
    bool different = true;
    if (!*fault && heedi_bpe_index(bpe, &different, error) != HEED_OK)
        return HEED_MEMORY;
    if (!different)
        *fault = "is the last one: two merges join the same pair";
    return HEED_OK;
}

/* Merges came as pairs alone: what they make is looked up by its bytes. */
static heed_status adopt(heed_tokenizer *tokenizer, size_t *token, const char **fault, heed_error *error) {
    heedi_bpe *bpe = tokenizer->bpe;
    heed_status status = index_all(tokenizer, token, fault, error);
    if (status != HEED_OK || *fault)
        return status;
    size_t longest = 0, bytes;
    for (size_t t = 0; t < tokenizer->n_text; t++) {
        heed_tokenizer_piece(tokenizer, (int32_t)t, &bytes);
        longest = bytes > longest ? bytes : longest;
    }
    char *joined = malloc(2 * longest + 1);
    if (!joined)
        return heed_fail(error, HEED_MEMORY, "tokenizer: out of memory");
    for (size_t m = 0; m < bpe->n_merges && !*fault; m++) {
        size_t n_left, n_right;
        const char *left = heed_tokenizer_piece(tokenizer, bpe->pair[2 * m], &n_left);
        const char *right = heed_tokenizer_piece(tokenizer, bpe->pair[2 * m + 1], &n_right);
        memcpy(joined, left, n_left);
        memcpy(joined + n_left, right, n_right);
        const size_t made = heedi_words_find(&tokenizer->words, joined, n_left + n_right);
        *token = (size_t)bpe->pair[2 * m];
        if (made == HEEDI_NO_WORD)
            *fault = "is joined with another one to something that is no token";
        else
            bpe->result[m] = (int32_t)made;
    }
    free(joined);
    return HEED_OK;
}

/* --- encoding --------------------------------------------------------------------------------------------------- */

/* Neighbours that a merge joins, in a heap: earliest merge first, then leftmost. */
typedef struct joint {
    uint32_t merge, at; /* at: symbol that is the left one */
} joint;

typedef struct joining {
    const heedi_bpe *bpe;
    size_t capacity;           /* symbols */
    int32_t *symbol;           /* (capacity) -1: joined to one before it */
    uint32_t *next, *previous; /* (capacity) among those that are left; NONE at the ends */
    joint *heap, *later;       /* (3 capacity), (2 capacity) */
    size_t n_heap, n_later;
} joining;

#define NONE UINT32_MAX

static bool is_before(joint a, joint b) {
    return a.merge != b.merge ? a.merge < b.merge : a.at < b.at;
}

static void push(joining *j, joint x) {
    size_t i = j->n_heap++;
    for (; i > 0 && is_before(x, j->heap[(i - 1) / 2]); i = (i - 1) / 2)
        j->heap[i] = j->heap[(i - 1) / 2];
    j->heap[i] = x;
}

static joint pop(joining *j) {
    const joint top = j->heap[0], last = j->heap[--j->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < j->n_heap; i = child) {
        child += child + 1 < j->n_heap && is_before(j->heap[child + 1], j->heap[child]);
        if (!is_before(j->heap[child], last))
            break;
        j->heap[i] = j->heap[child];
    }
    j->heap[i] = last;
    return top;
}

/* Symbol `at` and its neighbour to the right: is there a merge for them? */
static bool find_joint(const joining *j, uint32_t at, joint *found) {
    if (at == NONE || j->next[at] == NONE)
        return false;
    const size_t merge = heedi_bpe_find(j->bpe, j->symbol[at], j->symbol[j->next[at]]);
    *found = (joint){(uint32_t)merge, at};
    return merge != SIZE_MAX;
}

/* Joins symbol `at` with its neighbour; what this makes possible waits until all pairs of this merge are joined. */
static void join(joining *j, joint x) {
    const uint32_t at = x.at, right = j->next[at], behind = j->next[right];
    joint found;
    j->symbol[at] = j->bpe->result[x.merge];
    j->symbol[right] = -1;
    j->next[at] = behind;
    if (behind != NONE)
        j->previous[behind] = at;
    if (find_joint(j, j->previous[at], &found))
        j->later[j->n_later++] = found;
    if (find_joint(j, at, &found))
        j->later[j->n_later++] = found;
}

/* Still the neighbours that the joint was found for? */
static bool holds(const joining *j, joint x) {
    joint found;
    return j->symbol[x.at] >= 0 && find_joint(j, x.at, &found) && found.merge == x.merge;
}

static size_t encode_pretoken(joining *j, const char *text, size_t bytes, int32_t *tokens) {
    joint found;
    j->n_heap = 0;
    for (size_t i = 0; i < bytes; i++) {
        j->symbol[i] = j->bpe->of_byte[(unsigned char)text[i]];
        j->previous[i] = i ? (uint32_t)i - 1 : NONE;
        j->next[i] = i + 1 < bytes ? (uint32_t)i + 1 : NONE;
    }
    for (size_t i = 0; i + 1 < bytes; i++)
        if (find_joint(j, (uint32_t)i, &found))
            push(j, found);
    while (j->n_heap > 0) {
        const uint32_t merge = j->heap[0].merge;
        j->n_later = 0;
        while (j->n_heap > 0 && j->heap[0].merge == merge) {
            const joint x = pop(j);
            if (holds(j, x))
                join(j, x);
        }
        for (size_t i = 0; i < j->n_later; i++)
            push(j, j->later[i]);
    }
    size_t n = 0;
    for (uint32_t i = 0; i != NONE; i = j->next[i])
        tokens[n++] = j->symbol[i];
    return n;
}

static void joining_reset(joining *j) {
    free(j->symbol);
    free(j->next);
    free(j->previous);
    free(j->heap);
    free(j->later);
    *j = (joining){.bpe = j->bpe};
}

static heed_status joining_grow(joining *j, size_t capacity, heed_error *error) {
    joining_reset(j);
    j->capacity = capacity;
    j->symbol = malloc(capacity * sizeof *j->symbol);
    j->next = malloc(capacity * sizeof *j->next);
    j->previous = malloc(capacity * sizeof *j->previous);
    j->heap = malloc(3 * capacity * sizeof *j->heap);
    j->later = malloc(2 * capacity * sizeof *j->later);
    return j->symbol && j->next && j->previous && j->heap && j->later
               ? HEED_OK
               : heed_fail(error, HEED_MEMORY, "tokenizer: no memory to encode a word of %zu bytes", capacity);
}

static heed_status encode(const heed_tokenizer *tokenizer, const heedi_spot *place, const char *text, size_t bytes,
                          int32_t *tokens, size_t *n_tokens, heed_error *error) {
    joining j = {.bpe = tokenizer->bpe};
    size_t n = 0;
    heed_status status = heedi_utf8_check(place, text, bytes, error);
    for (size_t at = 0, length; at < bytes && status == HEED_OK; at += length) {
        length = heedi_pretokens_next(tokenizer->bpe->pretokens, text, bytes, at);
        if (length > j.capacity)
            status = joining_grow(&j, length < 256 ? 256 : 2 * length, error);
        if (status == HEED_OK)
            n += encode_pretoken(&j, text + at, length, tokens + n);
    }
    joining_reset(&j);
    *n_tokens = n;
    return status;
}

const heedi_tokenizer_rules heedi_bpe_rules = {
    .name = "bpe",
    .max_vocab = (size_t)1 << 24,
    .max_piece = (size_t)1 << 20,
    .learns_first = true,
    .begin = begin,
    .meet = meet,
    .settle = settle,
    .adopt = adopt,
    .encode = encode,
    .whole = heedi_pretokens_whole,
};
