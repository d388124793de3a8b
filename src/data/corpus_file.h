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

#define HEEDI_CORPUS_KIND "token store"
#define HEEDI_CORPUS_FORMAT 1

/* The array of a split. */
const char *heedi_split_name(heed_split split);

/* The type that tokens of a vocabulary have. */
heed_type heedi_token_type(size_t vocab);

/* Opens a store and makes sure that it is a token store of this format. Errors: HEED_NOT_FOUND, HEED_DATA. */
heed_status heedi_corpus_store(heed_store **store, const char *path, bool verify, heed_error *error);

/* Whether the tokenizer was learned from the texts of this store, so that the same texts give the same tokens. */
heed_status heedi_corpus_learned(heed_store *store, bool *learned, heed_error *error);

#endif
