/* The token store: what `heed prepare` writes and training reads. Arrays /train and /valid of token numbers (uint8, uint16
 * or int32, the smallest that fits), the tokenizer, provenance (files, sizes, digests, version). */
#ifndef HEED_CORPUS_H
#define HEED_CORPUS_H

#include "heed/config.h"
#include "heed/status.h"
#include "heed/tokenizer.h"

typedef enum heed_split { HEED_TRAIN, HEED_VALID } heed_split;

typedef struct heed_corpus heed_corpus;

/* Reads the text files, learns the tokenizer from all of them, splits off the last valid_share of each file's tokens for validation and
 * writes the token store. Errors: HEED_NOT_FOUND, HEED_DATA, HEED_CREATE, HEED_IO. Not collective. */
heed_status heed_corpus_prepare(const char *store_path, const char *const *text_paths, size_t n_texts,
                                heed_tokenizer_kind kind, double valid_share, heed_error *error);

/* Opens a token store; tokens are read when asked for. Errors: HEED_NOT_FOUND, HEED_DATA. Ownership: heed_corpus_close. Not collective. */
heed_status heed_corpus_open(heed_corpus **corpus, const char *store_path, heed_error *error);
void heed_corpus_close(heed_corpus *corpus);

size_t heed_corpus_tokens(const heed_corpus *corpus, heed_split split);
const heed_tokenizer *heed_corpus_tokenizer(const heed_corpus *corpus);

/* Hex digest of the stored tokens: what a checkpoint remembers of its data. */
const char *heed_corpus_digest(const heed_corpus *corpus);

/* Copies tokens [first, first + count) of a split. Allocates nothing. Errors: HEED_IO. Not collective. */
heed_status heed_corpus_read(heed_corpus *corpus, heed_split split, size_t first, size_t count, int32_t *tokens,
                             heed_error *error);

#endif
