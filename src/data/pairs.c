/* Reading pairs: from a store, token by token when asked for, or from memory. Where pairs begin is held in memory. */
#include "heed/pairs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pair_list.h"
#include "pairs_file.h"
#include "tokens.h"

struct heedi_pairs {
    heed_store *store; /* NULL: in memory */
    const heed_tokenizer *tokenizer[2];
    struct {
        size_t n;           /* pairs */
        uint64_t *first[2]; /* (n + 1) by heed_side */
    } split[2];
    int32_t *token[2]; /* (first[side][n]) in memory: both splits */
};

heed_status heedi_pairs_joint(heed_store *store, bool *joint, heed_error *error) {
    int64_t value = 0;
    heed_status status = heed_store_read_int(store, "/", "joint", &value, error);
    if (status == HEED_OK && value != 0 && value != 1)
        status = heed_fail(error, HEED_DATA, "%s: attribute joint = %" PRId64 ": expected 0 or 1",
                           heed_store_path(store), value);
    *joint = value == 1;
    return status;
}

static heed_status open_first(heedi_pairs *p, heed_split split, heed_side side, size_t n_tokens, heed_error *error) {
    const char *name = heedi_pairs_firsts(split, side), *path = heed_store_path(p->store);
    heed_array array;
    heed_status status = heed_store_describe(p->store, name, &array, error);
    if (status != HEED_OK)
        return status;
    if (array.type != HEED_TYPE_UINT64 || array.n_dims != 1 || array.dims[0] == 0)
        return heed_fail(error, HEED_DATA, "%s: %s: expected uint64 in 1 dimension, at least one", path, name);
    const size_t n = array.dims[0] - 1; /* a pair has a token on each side: so many tokens would have to be there */
    if (n > n_tokens || n > UINT32_MAX)
        return heed_fail(error, HEED_DATA, "%s: %s: %zu pairs cannot be made of %zu tokens", path, name, n, n_tokens);
    if (side == HEED_TARGET && n != p->split[split].n)
        return heed_fail(error, HEED_DATA, "%s: %s: %zu targets for %zu sources", path, name, n, p->split[split].n);
    uint64_t *first = p->split[split].first[side] = malloc((n + 1) * sizeof *first);
    if (!first)
        return heed_fail(error, HEED_MEMORY, "%s: no memory for %zu pairs", path, n);
    p->split[split].n = n;
    status = heed_store_read(p->store, name, HEED_TYPE_UINT64, 1, array.dims, first, error);
    for (size_t i = 0; i <= n && status == HEED_OK; i++)
        if ((i == 0 && first[i] != 0) || (i > 0 && (first[i] <= first[i - 1] || first[i] > n_tokens)) ||
            (i == n && first[i] != n_tokens))
            status = heed_fail(error, HEED_DATA, "%s: %s[%zu] = %" PRIu64 ": does not cut %zu tokens into %zu pairs",
                               path, name, i, first[i], n_tokens, n);
    return status;
}

static heed_status open_side(heedi_pairs *p, heed_split split, heed_side side, heed_error *error) {
    const char *name = heedi_pairs_tokens(split, side);
    const size_t vocab = heed_tokenizer_vocab(p->tokenizer[side]);
    size_t n_tokens;
    heed_status status = heedi_tokens_describe(p->store, name, vocab, &n_tokens, error);
    if (status == HEED_OK)
        status = open_first(p, split, side, n_tokens, error);
    int32_t last; /* the first reading of an array makes the later ones fast */
    if (status == HEED_OK && n_tokens > 0)
        status = heedi_tokens_read(p->store, name, vocab, n_tokens - 1, 1, &last, error);
    return status;
}

/* Without them no sequence begins and none ends. */
static heed_status check_marks(const heedi_pairs *p, const char *name, heed_error *error) {
    for (heed_side side = HEED_SOURCE; side <= HEED_TARGET; side++)
        if (heed_tokenizer_mark(p->tokenizer[side], HEED_MARK_BEGIN) < 0 ||
            heed_tokenizer_mark(p->tokenizer[side], HEED_MARK_END) < 0)
            return heed_fail(error, HEED_DATA,
                             "%s: a vocabulary without the marks " HEED_MARK_BEGIN " and " HEED_MARK_END, name);
    return HEED_OK;
}

heed_status heedi_pairs_open(heedi_pairs **pairs, heed_store *store, const heed_tokenizer *source_tokenizer,
                             const heed_tokenizer *target_tokenizer, heed_error *error) {
    heedi_pairs *p = *pairs = calloc(1, sizeof *p);
    if (!p)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", heed_store_path(store));
    *p = (heedi_pairs){.store = store, .tokenizer = {source_tokenizer, target_tokenizer}};
    heed_status status = check_marks(p, heed_store_path(store), error);
    for (heed_split split = HEED_TRAIN; split <= HEED_VALID; split++)
        for (heed_side side = HEED_SOURCE; side <= HEED_TARGET && status == HEED_OK; side++)
            status = open_side(p, split, side, error);
    return status;
}

static heed_status encode_side(heedi_pairs *p, const heedi_pair_list *list, heed_side side, heed_error *error) {
    size_t n_bytes = 0;
    for (size_t i = 0; i < list->n; i++)
        n_bytes += list->pair[i].bytes[side];
    uint64_t *first = p->split[HEED_TRAIN].first[side] = malloc((list->n + 1) * sizeof *first);
    p->token[side] = malloc(n_bytes * sizeof *p->token[side]);
    if (!first || !p->token[side])
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", list->file[0].path);
    heed_status status = HEED_OK;
    first[0] = 0;
    for (size_t i = 0; i < list->n && status == HEED_OK; i++) {
        size_t n_tokens;
        status =
            heedi_pair_encode(&list->pair[i], side, p->tokenizer[side], p->token[side] + first[i], &n_tokens, error);
        first[i + 1] = first[i] + n_tokens;
    }
    return status;
}

heed_status heedi_pairs_of_file(heedi_pairs **pairs, const char *path, const heed_tokenizer *source_tokenizer,
                                const heed_tokenizer *target_tokenizer, char digest[HEEDI_DIGEST_TEXT],
                                heed_error *error) {
    heedi_pair_list list;
    heedi_pairs *p = *pairs = calloc(1, sizeof *p);
    if (!p)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", path);
    *p = (heedi_pairs){.tokenizer = {source_tokenizer, target_tokenizer}};
    heed_status status = check_marks(p, path, error);
    if (status != HEED_OK)
        return status;
    status = heedi_pair_list_read(&list, &path, 1, error);
    for (heed_side side = HEED_SOURCE; side <= HEED_TARGET && status == HEED_OK; side++)
        status = encode_side(p, &list, side, error);
    if (status == HEED_OK) {
        memcpy(digest, list.file[0].digest, HEEDI_DIGEST_TEXT);
        p->split[HEED_TRAIN].n = list.n;
        p->split[HEED_VALID] = p->split[HEED_TRAIN];
    }
    heedi_pair_list_reset(&list);
    return status;
}

void heedi_pairs_close(heedi_pairs *p) {
    if (!p)
        return;
    for (heed_side side = HEED_SOURCE; side <= HEED_TARGET; side++) {
        free(p->split[HEED_TRAIN].first[side]);
        if (p->store)
            free(p->split[HEED_VALID].first[side]);
        free(p->token[side]);
    }
    free(p);
}

const heed_tokenizer *heedi_pairs_source_tokenizer(const heedi_pairs *pairs) {
    return pairs->tokenizer[HEED_SOURCE];
}

size_t heedi_pairs_number(const heedi_pairs *pairs, heed_split split) {
    return pairs->split[split].n;
}

size_t heedi_pairs_length(const heedi_pairs *pairs, heed_split split, heed_side side, size_t index) {
    HEED_CHECK(index < pairs->split[split].n);
    const uint64_t *first = pairs->split[split].first[side];
    return (size_t)(first[index + 1] - first[index]);
}

heed_status heedi_pairs_read(heedi_pairs *p, heed_split split, heed_side side, size_t index, int32_t *tokens,
                             heed_error *error) {
    const size_t first = (size_t)p->split[split].first[side][index], n = heedi_pairs_length(p, split, side, index);
    if (p->store)
        return heedi_tokens_read(p->store, heedi_pairs_tokens(split, side), heed_tokenizer_vocab(p->tokenizer[side]),
                                 first, n, tokens, error);
    memcpy(tokens, p->token[side] + first, n * sizeof *tokens);
    return HEED_OK;
}
