#include "bpe.h"

#include <stdlib.h>
#include <string.h>

static heed_status fail_memory(heed_error *error) {
    return heed_fail(error, HEED_MEMORY, "tokenizer: no memory for the merges of byte pairs");
}

heed_status heedi_bpe_create(heedi_bpe **bpe, heed_error *error) {
    *bpe = calloc(1, sizeof **bpe);
    if (!*bpe)
        return fail_memory(error);
    (*bpe)->n_wanted = HEEDI_BPE_USUAL_VOCAB;
    return heedi_pretokens_create(&(*bpe)->pretokens, error);
}

void heedi_bpe_destroy(heedi_bpe *bpe) {
    if (!bpe)
        return;
    heedi_pretokens_destroy(bpe->pretokens);
    free(bpe->pair);
    free(bpe->result);
    free(bpe->slot);
    free(bpe->count);
    free(bpe);
}

heed_status heedi_bpe_add(heedi_bpe *bpe, int32_t left, int32_t right, int32_t result, heed_error *error) {
    if (bpe->n_merges == bpe->capacity) {
        const size_t capacity = bpe->capacity ? 2 * bpe->capacity : 1024;
        int32_t *pair = realloc(bpe->pair, 2 * capacity * sizeof *pair);
        if (pair)
            bpe->pair = pair;
        int32_t *results = realloc(bpe->result, capacity * sizeof *results);
        if (results)
            bpe->result = results;
        if (!pair || !results)
            return fail_memory(error);
        bpe->capacity = capacity;
    }
    bpe->pair[2 * bpe->n_merges] = left;
    bpe->pair[2 * bpe->n_merges + 1] = right;
    bpe->result[bpe->n_merges++] = result;
    return HEED_OK;
}

/* The slot of a pair, or the free one where it belongs. */
static size_t slot_of(const heedi_bpe *bpe, int32_t left, int32_t right) {
    uint64_t hash = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
    size_t at = hash & (bpe->n_slots - 1);
    for (; bpe->slot[at]; at = (at + 1) & (bpe->n_slots - 1)) {
        const int32_t *pair = bpe->pair + 2 * ((size_t)bpe->slot[at] - 1);
        if (pair[0] == left && pair[1] == right)
            break;
    }
    return at;
}

heed_status heedi_bpe_index(heedi_bpe *bpe, bool *different, heed_error *error) {
    size_t n_slots = 16;
    while (n_slots < 2 * bpe->n_merges)
        n_slots *= 2;
    free(bpe->slot);
    bpe->slot = calloc(n_slots, sizeof *bpe->slot);
    bpe->n_slots = n_slots;
    *different = true;
    if (!bpe->slot)
        return fail_memory(error);
    for (size_t m = 0; m < bpe->n_merges; m++) {
        const size_t at = slot_of(bpe, bpe->pair[2 * m], bpe->pair[2 * m + 1]);
        *different = *different && !bpe->slot[at];
        if (!bpe->slot[at])
            bpe->slot[at] = (uint32_t)m + 1;
    }
    return HEED_OK;
}

size_t heedi_bpe_find(const heedi_bpe *bpe, int32_t left, int32_t right) {
    const uint32_t number = bpe->slot[slot_of(bpe, left, right)];
    return number ? number - 1 : SIZE_MAX;
}

bool heedi_bpe_same(const heedi_bpe *a, const heedi_bpe *b) {
    return a->n_merges == b->n_merges &&
           (a->n_merges == 0 || memcmp(a->pair, b->pair, 2 * a->n_merges * sizeof *a->pair) == 0);
}
