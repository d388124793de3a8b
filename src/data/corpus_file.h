/* The form of a token store, known to its writer (corpus_prepare.c) and its reader (corpus.c).
 *
 *   /train, /valid     tokens, 1-d, of the smallest of uint8, uint16, int32 that holds the vocabulary
 *   /tokenizer         see tokenizer_file.c; attribute learned: 1 from these texts, 0 taken from elsewhere
 *   /texts/name, bytes, digest   where it comes from: one element a text file
 *   attributes of /: kind and version (heed_store_write_kind), valid_share, digest (of the tokens), texts_digest (of
 *                    the texts' digests) */
#ifndef HEED_DATA_CORPUS_FILE_H
#define HEED_DATA_CORPUS_FILE_H

#include "heed/corpus.h"
#include "heed/store.h"
#include "text.h"

#define HEEDI_CORPUS_KIND "token store"
#define HEEDI_CORPUS_FORMAT 1

/* The array of a split. */
const char *heedi_split_name(heed_split split);

/* Opens a store and makes sure that it is a token store of this format. Errors: HEED_NOT_FOUND, HEED_DATA. */
heed_status heedi_corpus_store(heed_store **store, const char *path, bool verify, heed_error *error);

typedef struct heedi_provenance { /* one text file */
    const char *path;
    char digest[HEEDI_DIGEST_TEXT];
    uint64_t n_bytes, n_tokens, n_train; /* of a text, its first n_train tokens are for training */
} heedi_provenance;

/* One digest for all files, in their order. */
void heedi_provenance_digest(const heedi_provenance *sources, size_t n_sources, char digest[HEEDI_DIGEST_TEXT]);

/* Writes names, sizes and digests to /texts. Errors: HEED_MEMORY, HEED_IO. */
heed_status heedi_provenance_write(const heedi_provenance *sources, size_t n, heed_store *store, heed_error *error);

/* Whether the store was made from just these files, by content. Errors: HEED_NOT_FOUND, HEED_DATA, HEED_IO,
 * HEED_MEMORY.
 */
heed_status heedi_provenance_same(heed_store *store, const char *const *paths, size_t n, bool *same, heed_error *error);

/* Digests of all that decides what a tokenizer's numbers stand for. Returns how many. */
#define HEEDI_TOKENIZER_DIGESTS 3
size_t heedi_tokenizer_digests(const heed_tokenizer *t, XXH128_hash_t parts[HEEDI_TOKENIZER_DIGESTS]);

/* Adds the hint for a file that is no store, where one is to be made. Returns its status. */
heed_status heedi_hint_in_the_way(heed_error *error);

/* Whether the tokenizer was learned from the texts of this store, so that the same texts give the same tokens. */
heed_status heedi_corpus_learned(heed_store *store, bool *learned, heed_error *error);

#endif
