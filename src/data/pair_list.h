/* Files of pairs, read into memory: one pair a line, source and target with a tab between them. */
#ifndef HEED_DATA_PAIR_LIST_H
#define HEED_DATA_PAIR_LIST_H

#include "corpus_file.h"
#include "heed/pairs.h"
#include "utf8.h"

typedef struct heedi_pair {
    const char *text[2]; /* by heed_side */
    size_t bytes[2];     /* > 0 */
    heedi_spot line;     /* where its line begins */
} heedi_pair;

typedef struct heedi_pair_list {
    size_t n, capacity;
    heedi_pair *pair; /* (n) in the order of files and lines */
    size_t n_files;
    heedi_provenance *file; /* (n_files) */
    char **text;            /* (n_files) */
} heedi_pair_list;

/* Reads all files. Errors: HEED_NOT_FOUND, HEED_DATA (a line that is no pair, invalid UTF-8; no pairs at all), HEED_IO,
 * HEED_MEMORY. Ownership: heedi_pair_list_reset, after a failure too. paths must outlive it. */
heed_status heedi_pair_list_read(heedi_pair_list *list, const char *const *paths, size_t n_paths, heed_error *error);
void heedi_pair_list_reset(heedi_pair_list *list);

/* Where a side's text begins. */
heedi_spot heedi_pair_spot(const heedi_pair *pair, heed_side side);

/* Cuts a side into tokens, which have room for bytes[side] of them. Errors: HEED_DATA (outside the vocabulary). */
heed_status heedi_pair_encode(const heedi_pair *pair, heed_side side, const heed_tokenizer *tokenizer, int32_t *tokens,
                              size_t *n_tokens, heed_error *error);

#endif
