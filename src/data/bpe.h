/* Byte-pair encoding (Sennrich, Haddow and Birch 2016; over bytes: Radford et al. 2019). Text is cut into pretokens; a
 * pretoken begins as its bytes; of all neighbours that a merge joins, those of the earliest merge are joined, from left
 * to right, until none are left. */
#ifndef HEED_DATA_BPE_H
#define HEED_DATA_BPE_H

#include <stdbool.h>
#include <stdint.h>

#include "pretoken.h"
#include "words.h"

#define HEEDI_BPE_USUAL_VOCAB 4096

typedef struct heedi_bpe {
    heedi_pretokens *pretokens;
    size_t n_merges, capacity;
    int32_t *pair;   /* (n_merges, 2): tokens that are joined, earliest merge first */
    int32_t *result; /* (n_merges): the token that they make */
    uint32_t *slot;  /* (n_slots): number + 1 of a merge, by its pair; 0 = free */
    size_t n_slots;
    int32_t of_byte[256];

    /* while learning */
    uint64_t *count; /* of the words met so far (words of the tokenizer) */
    size_t count_capacity;
    size_t n_wanted; /* tokens that the vocabulary is to have */
} heedi_bpe;

/* Errors: HEED_MEMORY. Ownership: heedi_bpe_destroy. */
heed_status heedi_bpe_create(heedi_bpe **bpe, heed_error *error);
void heedi_bpe_destroy(heedi_bpe *bpe);

/* Adds a merge. Errors: HEED_MEMORY. */
heed_status heedi_bpe_add(heedi_bpe *bpe, int32_t left, int32_t right, int32_t result, heed_error *error);

/* Makes merges findable by their pairs. Returns whether all pairs are different. Errors: HEED_MEMORY. */
heed_status heedi_bpe_index(heedi_bpe *bpe, bool *different, heed_error *error);

/* Whether both have the same merges. */
bool heedi_bpe_same(const heedi_bpe *a, const heedi_bpe *b);

/* The number of the merge that joins two tokens, or SIZE_MAX. */
size_t heedi_bpe_find(const heedi_bpe *bpe, int32_t left, int32_t right);

/* Learns merges from words and their counts, and fills pieces with the vocabulary: the 256 bytes, then what each merge
 * makes, in order, until there are n_wanted or no pair occurs twice. The pair that occurs most often is joined next; of
 * equals, the one with the lower left, then right token. Errors: HEED_MEMORY. */
heed_status heedi_bpe_learn(heedi_bpe *bpe, const heedi_words *words, heedi_words *pieces, heed_error *error);

#endif
