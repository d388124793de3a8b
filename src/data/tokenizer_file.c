/* A tokenizer in a file: attribute `kind` of the group, and its table as two arrays, `first` (int32, vocab + 1) and
 * `bytes` (uint8): token t stands for bytes[first[t]:first[t + 1]], whatever the kind. Where the last tokens are marks,
 * `marks` (int32) has their numbers. Byte pairs have `merges` (int32, merges x 2): tokens that are joined, earliest
 * first. A file may be hostile: sizes are checked before memory is asked for, and every token before it is used. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer_rules.h"

#define NAME_MAX_BYTES 256

enum { MAX_MARKS = HEEDI_MAX_MARKS, MAX_MARK_BYTES = 64 };

static void join(char name[NAME_MAX_BYTES], const char *group, const char *array) {
    const int length = snprintf(name, NAME_MAX_BYTES, "%s/%s", group, array);
    HEED_CHECK(length > 0 && length < NAME_MAX_BYTES);
}

static heed_status write_marks(const heed_tokenizer *tokenizer, heed_store *store, const char *group,
                               heed_error *error) {
    char name[NAME_MAX_BYTES];
    int32_t marks[MAX_MARKS];
    const size_t n = tokenizer->n_vocab - tokenizer->n_text;
    HEED_CHECK(n <= MAX_MARKS);
    for (size_t i = 0; i < n; i++)
        marks[i] = (int32_t)(tokenizer->n_text + i);
    join(name, group, "marks");
    return heed_store_write(store, name, HEED_TYPE_INT32, 1, &n, marks, false, error);
}

static heed_status write_merges(const heedi_bpe *bpe, heed_store *store, const char *group, heed_error *error) {
    char name[NAME_MAX_BYTES];
    const size_t dims[] = {bpe->n_merges, 2};
    join(name, group, "merges");
    return heed_store_write(store, name, HEED_TYPE_INT32, 2, dims, bpe->pair, false, error);
}

heed_status heed_tokenizer_write(const heed_tokenizer *tokenizer, heed_store *store, const char *group,
                                 heed_error *error) {
    char first[NAME_MAX_BYTES], bytes[NAME_MAX_BYTES];
    join(first, group, "first");
    join(bytes, group, "bytes");
    const size_t n_first = tokenizer->n_vocab + 1, n_bytes = (size_t)tokenizer->first[tokenizer->n_vocab];
    heed_status status = heed_store_write(store, first, HEED_TYPE_INT32, 1, &n_first, tokenizer->first, false, error);
    if (status == HEED_OK)
        status = heed_store_write(store, bytes, HEED_TYPE_UINT8, 1, &n_bytes, tokenizer->bytes, false, error);
    if (status == HEED_OK)
        status = heed_store_write_text(store, group, "kind", heedi_rules_of(tokenizer->kind)->name, error);
    if (status == HEED_OK && tokenizer->n_text < tokenizer->n_vocab)
        status = write_marks(tokenizer, store, group, error);
    if (status == HEED_OK && tokenizer->bpe)
        status = write_merges(tokenizer->bpe, store, group, error);
    return status;
}

static heed_status read_kind(heed_tokenizer_kind *kind, heed_store *store, const char *group, heed_error *error) {
    static const heed_tokenizer_kind kinds[] = {HEED_TOKENIZER_CHAR, HEED_TOKENIZER_BYTE, HEED_TOKENIZER_WORD,
                                                HEED_TOKENIZER_BPE};
    char *name;
    const heed_status status = heed_store_read_text(store, group, "kind", 32, &name, error);
    if (status != HEED_OK)
        return status;
    bool known = false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !known; i++) {
        *kind = kinds[i];
        known = strcmp(name, heedi_rules_of(kinds[i])->name) == 0;
    }
    free(name); /* not shown: a hostile one could hold anything */
    if (known)
        return HEED_OK;
    char names[64] = "";
    for (size_t i = 0, used = 0; i < sizeof kinds / sizeof *kinds; i++)
        used +=
            (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", heedi_rules_of(kinds[i])->name);
    return heed_fail(error, HEED_DATA, "%s: %s: its kind is not one that this version knows (%s)",
                     heed_store_path(store), group, names);
}

/* The length of a 1-d array of the given type that has from `least` to `most` elements. */
static heed_status read_length(size_t *length, heed_store *store, const char *name, heed_type type, size_t least,
                               size_t most, heed_error *error) {
    heed_array array;
    const heed_status status = heed_store_describe(store, name, &array, error);
    if (status != HEED_OK)
        return status;
    if (array.type != type || array.n_dims != 1)
        return heed_fail(error, HEED_DATA, "%s: %s: expected %s in 1 dimension, found %s in %d", heed_store_path(store),
                         name, heed_type_name(type), heed_type_name(array.type), array.n_dims);
    if (array.dims[0] < least || array.dims[0] > most)
        return heed_fail(error, HEED_DATA, "%s: %s has %zu elements: expected %zu to %zu", heed_store_path(store), name,
                         array.dims[0], least, most);
    *length = array.dims[0];
    return HEED_OK;
}

/* first[] starts at 0, does not step back, and ends at n_bytes. */
static heed_status check_bounds(const heed_tokenizer *tokenizer, size_t n_bytes, const char *path, const char *name,
                                heed_error *error) {
    for (size_t t = 0; t <= tokenizer->n_vocab; t++) {
        const int32_t begin = t ? tokenizer->first[t - 1] : 0, end = tokenizer->first[t];
        if (end < begin || (size_t)end > n_bytes || (t == 0 && end != 0) ||
            (t == tokenizer->n_vocab && (size_t)end != n_bytes))
            return heed_fail(error, HEED_DATA, "%s: %s[%zu] = %d: does not cut %zu bytes into pieces", path, name, t,
                             end, n_bytes);
    }
    return HEED_OK;
}

/* Numbers of the marks, if there are any. */
static heed_status read_marks(int32_t marks[MAX_MARKS], size_t *n_marks, heed_store *store, const char *group,
                              heed_error *error) {
    char name[NAME_MAX_BYTES];
    *n_marks = 0;
    join(name, group, "marks");
    if (!heed_store_has(store, name))
        return HEED_OK;
    const heed_status status = read_length(n_marks, store, name, HEED_TYPE_INT32, 1, MAX_MARKS, error);
    return status == HEED_OK ? heed_store_read(store, name, HEED_TYPE_INT32, 1, n_marks, marks, error) : status;
}

/* Marks are the last tokens. */
static heed_status check_marks(heed_tokenizer *tokenizer, const int32_t *marks, size_t n_marks, const char *path,
                               const char *group, heed_error *error) {
    for (size_t i = 0; i < n_marks; i++)
        if (marks[i] < 0 || (size_t)marks[i] != tokenizer->n_vocab - n_marks + i)
            return heed_fail(error, HEED_DATA, "%s: %s/marks[%zu] = %d: the %zu marks are not the last of %zu tokens",
                             path, group, i, marks[i], n_marks, tokenizer->n_vocab);
    tokenizer->n_text = tokenizer->n_vocab - n_marks;
    return HEED_OK;
}

/* Pairs of tokens that there are. */
static heed_status read_merges(heed_tokenizer *tokenizer, heed_store *store, const char *group, heed_error *error) {
    char name[NAME_MAX_BYTES];
    heed_array array;
    heedi_bpe *bpe = tokenizer->bpe;
    join(name, group, "merges");
    heed_status status = heed_store_describe(store, name, &array, error);
    if (status != HEED_OK)
        return status;
    if (array.type != HEED_TYPE_INT32 || array.n_dims != 2 || array.dims[1] != 2 ||
        array.dims[0] > heedi_bpe_rules.max_vocab)
        return heed_fail(error, HEED_DATA, "%s: %s: expected int32 in 2 dimensions, at most %zu pairs",
                         heed_store_path(store), name, heedi_bpe_rules.max_vocab);
    int32_t *pairs = malloc((2 * array.dims[0] + 1) * sizeof *pairs);
    if (!pairs)
        return heed_fail(error, HEED_MEMORY, "%s: no memory for %zu merges", heed_store_path(store), array.dims[0]);
    status = heed_store_read(store, name, HEED_TYPE_INT32, 2, array.dims, pairs, error);
    for (size_t m = 0; m < array.dims[0] && status == HEED_OK; m++)
        for (size_t side = 0; side < 2 && status == HEED_OK; side++)
            if (pairs[2 * m + side] < 0 || (size_t)pairs[2 * m + side] >= tokenizer->n_text)
                status = heed_fail(error, HEED_DATA, "%s: %s[%zu][%zu] = %d: expected a token below %zu",
                                   heed_store_path(store), name, m, side, pairs[2 * m + side], tokenizer->n_text);
    for (size_t m = 0; m < array.dims[0] && status == HEED_OK; m++)
        status = heedi_bpe_add(bpe, pairs[2 * m], pairs[2 * m + 1], 0, error);
    free(pairs);
    return status;
}

/* Bytes that n_text tokens of text and n_marks may have. */
static size_t most_bytes(const heedi_tokenizer_rules *rules, size_t n_text, size_t n_marks) {
    const size_t most = n_text * rules->max_piece + n_marks * MAX_MARK_BYTES;
    return most < INT32_MAX ? most : INT32_MAX;
}

static heed_status read_table(heed_tokenizer *tokenizer, heed_store *store, const char *group, heed_error *error) {
    const heedi_tokenizer_rules *rules = heedi_rules_of(tokenizer->kind);
    const char *path = heed_store_path(store);
    char first[NAME_MAX_BYTES], bytes[NAME_MAX_BYTES];
    size_t n_first = 0, n_bytes = 0, n_marks, token = 0;
    int32_t marks[MAX_MARKS];
    join(first, group, "first");
    join(bytes, group, "bytes");
    heed_status status = read_marks(marks, &n_marks, store, group, error);
    if (status == HEED_OK)
        status =
            read_length(&n_first, store, first, HEED_TYPE_INT32, n_marks + 2, rules->max_vocab + n_marks + 1, error);
    const size_t most = status == HEED_OK ? most_bytes(rules, n_first - 1 - n_marks, n_marks) : 0;
    if (status == HEED_OK)
        status = read_length(&n_bytes, store, bytes, HEED_TYPE_UINT8, 1, most, error);
    if (status == HEED_OK)
        status = heedi_tokenizer_table(tokenizer, n_first - 1, n_bytes, error);
    if (status == HEED_OK)
        status = heed_store_read(store, first, HEED_TYPE_INT32, 1, &n_first, tokenizer->first, error);
    if (status == HEED_OK)
        status = heed_store_read(store, bytes, HEED_TYPE_UINT8, 1, &n_bytes, tokenizer->bytes, error);
    if (status == HEED_OK)
        status = check_bounds(tokenizer, n_bytes, path, first, error);
    if (status != HEED_OK)
        return status;
    const char *fault = NULL;
    status = check_marks(tokenizer, marks, n_marks, path, group, error);
    if (status == HEED_OK && tokenizer->bpe)
        status = read_merges(tokenizer, store, group, error);
    if (status == HEED_OK)
        status = rules->adopt(tokenizer, &token, &fault, error);
    if (fault)
        status = heed_fail(error, HEED_DATA, "%s: %s: token %zu %s", path, group, token, fault);
    return status;
}

heed_status heed_tokenizer_read(heed_tokenizer **tokenizer, heed_store *store, const char *group, heed_error *error) {
    *tokenizer = NULL;
    heed_tokenizer_kind kind;
    heed_status status = read_kind(&kind, store, group, error);
    if (status == HEED_OK)
        status = heedi_tokenizer_begin(tokenizer, kind, error);
    if (status == HEED_OK)
        status = read_table(*tokenizer, store, group, error);
    if (status != HEED_OK) {
        heed_tokenizer_destroy(*tokenizer);
        *tokenizer = NULL;
    }
    return status;
}
