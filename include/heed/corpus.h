/* The token store: what `heed prepare` writes and training reads. Arrays /train and /valid of token numbers (uint8,
 * uint16 or int32, the smallest that fits), the tokenizer, provenance (files, sizes, digests, version). */
#ifndef HEED_CORPUS_H
#define HEED_CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/config.h"
#include "heed/status.h"
#include "heed/tokenizer.h"

typedef enum heed_split { HEED_TRAIN, HEED_VALID } heed_split;

typedef struct heed_corpus heed_corpus;
typedef struct heed_task heed_task; /* heed/task.h */
typedef struct heed_task_settings heed_task_settings;

/* Reads the text files, learns the tokenizer from all of them, splits off the last valid_share of each file's tokens
 * for validation and writes the token store; a split is what the files give it, one behind the other in their order.
 * Each file is read twice (bpe: three times), in pieces: memory does not grow with the text, only with the number of
 * different words where words or byte pairs are learned. The store appears whole or
 * not at all, and an earlier one is then replaced. Errors: HEED_NOT_FOUND, HEED_DATA (invalid UTF-8 with its place; no
 * text; a text that changes while it is read), HEED_CONFIG (valid_share outside [0, 1]), HEED_CREATE, HEED_IO,
 * HEED_MEMORY. Not collective. */
heed_status heed_corpus_prepare(const char *store_path, const char *const *text_paths, size_t n_texts,
                                heed_tokenizer_kind kind, double valid_share, heed_error *error);

/* The same with the size that a bpe vocabulary is to have (prepare: 4096); other kinds take no notice. */
heed_status heed_corpus_prepare_vocab(const char *store_path, const char *const *text_paths, size_t n_texts,
                                      heed_tokenizer_kind kind, size_t vocab, double valid_share, heed_error *error);

/* The same with a tokenizer that is there already, for text that a trained model is to read: with valid_share 1 all of
 * it is for evaluation. Errors: also HEED_DATA for a character outside the vocabulary. */
heed_status heed_corpus_prepare_with(const char *store_path, const char *const *text_paths, size_t n_texts,
                                     const heed_tokenizer *tokenizer, double valid_share, heed_error *error);

/* Whether the store at store_path holds just these texts (by content; names do not matter), made with these settings,
 * so that there is nothing to prepare. No file of that name: it does not match. A file that is no token store, or is
 * damaged, is an error, because preparing would overwrite it.
 * Errors: HEED_DATA, HEED_NOT_FOUND (a text), HEED_IO, HEED_MEMORY. Not collective. */
heed_status heed_corpus_matches(const char *store_path, const char *const *text_paths, size_t n_texts,
                                heed_tokenizer_kind kind, double valid_share, bool *matches, heed_error *error);

/* The same with the size that a bpe vocabulary was to have. */
heed_status heed_corpus_matches_vocab(const char *store_path, const char *const *text_paths, size_t n_texts,
                                      heed_tokenizer_kind kind, size_t vocab, double valid_share, bool *matches,
                                      heed_error *error);

/* Opens a token store; tokens are read when asked for. Errors: HEED_NOT_FOUND, HEED_DATA, HEED_MEMORY.
 * Ownership: heed_corpus_close. Not collective. */
heed_status heed_corpus_open(heed_corpus **corpus, const char *store_path, heed_error *error);

/* The same without reading the whole file for its digest: for the other ranks, once one of them has opened it. */
heed_status heed_corpus_open_verified(heed_corpus **corpus, const char *store_path, heed_error *error);
void heed_corpus_close(heed_corpus *corpus);

/* One text file in memory, encoded with a tokenizer that is there already and stays the caller's: what evaluation on
 * other text than the store's needs. Both splits are all of the text.
 * Errors: HEED_NOT_FOUND, HEED_DATA (invalid UTF-8, a character outside the vocabulary), HEED_IO, HEED_MEMORY.
 * Ownership: heed_corpus_close. Not collective. */
heed_status heed_corpus_of_text(heed_corpus **corpus, const heed_tokenizer *tokenizer, const char *text_path,
                                heed_error *error);

/* A generated task (heed_task_settings_of a config whose data.task is not none): a corpus without texts, whose
 * sequences are made when asked for. Errors: HEED_CONFIG, HEED_MEMORY. Ownership: heed_corpus_close. Not collective. */
heed_status heed_corpus_of_task(heed_corpus **corpus, const heed_task_settings *settings, heed_error *error);

/* The task of such a corpus, which stays its own; NULL for any other. */
heed_task *heed_corpus_task(const heed_corpus *corpus);

/* Tokens of a split; none for a generated task. */
size_t heed_corpus_tokens(const heed_corpus *corpus, heed_split split);
const heed_tokenizer *heed_corpus_tokenizer(const heed_corpus *corpus);

/* Hex digest (XXH3-128) of the tokens and of what they stand for: what a checkpoint remembers of its data. */
const char *heed_corpus_digest(const heed_corpus *corpus);

/* Copies tokens [first, first + count) of a split, each checked to be one. Allocates nothing.
 * Errors: HEED_IO, HEED_DATA (outside the vocabulary). Not collective. */
heed_status heed_corpus_read(heed_corpus *corpus, heed_split split, size_t first, size_t count, int32_t *tokens,
                             heed_error *error);

#endif
