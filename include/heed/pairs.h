/* Pairs of a source and a target, to learn the second from the first: sentences and their translations, words and
 * their sounds, dates in two notations. `heed prepare --pairs` reads them from text files, UTF-8, one pair a line: the
 * source, a tab, the target. A line without a tab or with several, and an empty side, are errors.
 *
 * A vocabulary for each side, or a joint one for both; each has the marks <s> and </s> behind its tokens and no token
 * for what is unknown: a character or word that the files do not have is an error (bytes and byte pairs know all).
 * A model reads the source as  x </s>,  and the target as rows  <s> y  whose targets are  y </s>  (the form that
 * generated tasks have with sources).
 *
 * Validation: of all files' pairs the share valid_share whose sources have the least XXH3-64 digests, and every pair
 * with the source of one of them. So the same pairs are kept whatever the order of the lines, a sorted dictionary is
 * split fairly, and no source is in both splits. */
#ifndef HEED_PAIRS_H
#define HEED_PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/corpus.h"

typedef struct heed_pairs_settings {
    heed_tokenizer_kind source, target; /* how each side is cut into tokens */
    bool joint;                         /* one vocabulary for both: of one kind */
    size_t vocab;                       /* of each byte-pair vocabulary that is learned */
    double valid_share;                 /* [0, 1] */
} heed_pairs_settings;

/* What a configuration asks for (data.tokenizer, data.source_tokenizer, data.joint, data.vocab, data.valid_share).
 * Cannot fail. */
heed_pairs_settings heed_pairs_settings_of(const heed_config *config);

/* Reads files of pairs, learns the vocabularies from all of them and writes the token store; it appears whole or not at
 * all. The files are held in memory meanwhile. Errors: HEED_NOT_FOUND, HEED_DATA (a bad line, with its place; no
 * pairs), HEED_CONFIG (valid_share; a joint vocabulary of two kinds), HEED_CREATE, HEED_IO, HEED_MEMORY. Not
 * collective. */
heed_status heed_pairs_prepare(const char *store_path, const char *const *paths, size_t n_paths,
                               const heed_pairs_settings *settings, heed_error *error);

/* The same with a joint tokenizer that is there already, which gets the marks that it does not have yet.
 * Errors: also HEED_DATA for a character outside the vocabulary. */
heed_status heed_pairs_prepare_with(const char *store_path, const char *const *paths, size_t n_paths,
                                    heed_tokenizer *tokenizer, double valid_share, heed_error *error);

/* Whether the store at store_path holds just these pairs, made with these settings; as heed_corpus_matches. */
heed_status heed_pairs_match(const char *store_path, const char *const *paths, size_t n_paths,
                             const heed_pairs_settings *settings, bool *matches, heed_error *error);

/* One file of pairs in memory, encoded with tokenizers that are there already and stay the caller's (the same one
 * twice: joint): what evaluation on other pairs than the store's needs. All of them are in both splits.
 * Errors: HEED_NOT_FOUND, HEED_DATA, HEED_IO, HEED_MEMORY. Ownership: heed_corpus_close. Not collective. */
heed_status heed_corpus_of_pairs(heed_corpus **corpus, const heed_tokenizer *source_tokenizer,
                                 const heed_tokenizer *target_tokenizer, const char *path, heed_error *error);

typedef enum heed_side { HEED_SOURCE, HEED_TARGET } heed_side;

/* The vocabulary of sources where it is one of their own, else NULL. Cannot fail. */
const heed_tokenizer *heed_corpus_separate_sources(const heed_corpus *corpus);

/* Whether a corpus is one of pairs. Its tokenizer (heed_corpus_tokenizer) is the target's; that of its sources may be
 * the same (NULL for other corpora). */
bool heed_corpus_has_pairs(const heed_corpus *corpus);
const heed_tokenizer *heed_corpus_source_tokenizer(const heed_corpus *corpus);

/* Tokens of its sources' vocabulary where that is one of their own, as heed_model_shape wants it; else 0. */
size_t heed_corpus_source_vocab(const heed_corpus *corpus);

/* Pairs of a split, and tokens of a side of the index-th, without marks; read copies them, each checked to be one.
 * Allocates nothing. Errors: HEED_IO, HEED_DATA (outside the vocabulary). Not collective. */
size_t heed_corpus_pairs(const heed_corpus *corpus, heed_split split);
size_t heed_corpus_pair_length(const heed_corpus *corpus, heed_split split, heed_side side, size_t index);
heed_status heed_corpus_read_pair(heed_corpus *corpus, heed_split split, heed_side side, size_t index, int32_t *tokens,
                                  heed_error *error);

#endif
