/* Text to token numbers and back, behind one interface: bytes, Unicode characters (code points), words between white
 * space, byte pairs. A tokenizer is plain data that is stored with the tokens and in every checkpoint.
 *
 * Behind the tokens that text is cut into, a vocabulary may have marks, which no text is cut into: "<s>" begins a
 * sequence, "</s>" ends one. */
#ifndef HEED_TOKENIZER_H
#define HEED_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/config.h"
#include "heed/status.h"
#include "heed/store.h"

typedef struct heed_tokenizer heed_tokenizer;

/* Learns a tokenizer from text: for characters, the sorted set of its code points; for words, of its words. name is
 * shown in messages. Errors: HEED_DATA (invalid UTF-8, with the byte's position; nothing to learn from), HEED_MEMORY.
 * Ownership: heed_tokenizer_destroy. */
heed_status heed_tokenizer_learn(heed_tokenizer **tokenizer, heed_tokenizer_kind kind, const char *name,
                                 const char *text, size_t text_bytes, heed_error *error);

/* The same with the size that a bpe vocabulary is to have (learn: 4096); other kinds take no notice. */
heed_status heed_tokenizer_learn_vocab(heed_tokenizer **tokenizer, heed_tokenizer_kind kind, size_t vocab,
                                       const char *name, const char *text, size_t text_bytes, heed_error *error);

/* Byte pairs as GPT-2 has them, from its encoder.json and vocab.bpe; what no merge makes ("<|endoftext|>") is a mark.
 * Errors: HEED_NOT_FOUND, HEED_DATA, HEED_MEMORY. Ownership: heed_tokenizer_destroy. */
heed_status heed_tokenizer_of_gpt2(heed_tokenizer **tokenizer, const char *encoder_path, const char *merges_path,
                                   heed_error *error);
void heed_tokenizer_destroy(heed_tokenizer *tokenizer);

heed_tokenizer_kind heed_tokenizer_what(const heed_tokenizer *tokenizer);
const char *
heed_tokenizer_name(const heed_tokenizer *tokenizer); /* of its kind, as in the config: "char", "byte", "word", "bpe" */
size_t heed_tokenizer_vocab(const heed_tokenizer *tokenizer); /* tokens in the vocabulary, with marks */

/* Whether the same text gives the same tokens with both, and the same tokens the same text. Cannot fail. */
bool heed_tokenizer_same(const heed_tokenizer *a, const heed_tokenizer *b);

/* Encodes text. *tokens is allocated and the caller frees it. Errors: HEED_DATA (a character or word outside the
 * vocabulary, named with its position; invalid UTF-8), HEED_MEMORY. */
heed_status heed_tokenizer_encode(const heed_tokenizer *tokenizer, const char *name, const char *text,
                                  size_t text_bytes, int32_t **tokens, size_t *n_tokens, heed_error *error);

/* The bytes of one token (not NUL-terminated; *bytes tells how many), NULL for a number outside the vocabulary. */
const char *heed_tokenizer_piece(const heed_tokenizer *tokenizer, int32_t token, size_t *bytes);

/* The number of a mark by its name, or -1; whether a token is one. Cannot fail. */
#define HEED_MARK_BEGIN "<s>"
#define HEED_MARK_END "</s>"
int32_t heed_tokenizer_mark(const heed_tokenizer *tokenizer, const char *mark);
bool heed_tokenizer_is_mark(const heed_tokenizer *tokenizer, int32_t token);

/* What stands between the pieces of two tokens in text: " " between words, otherwise "". */
const char *heed_tokenizer_separator(const heed_tokenizer *tokenizer);

/* The text of tokens, without marks, with a NUL behind it. What encode cut comes back as it was, except that words come
 * back with one blank between them. *text is allocated and the caller frees it. Errors: HEED_DATA (a number outside the
 * vocabulary), HEED_MEMORY. */
heed_status heed_tokenizer_decode(const heed_tokenizer *tokenizer, const int32_t *tokens, size_t n_tokens, char **text,
                                  size_t *text_bytes, heed_error *error);

/* Stores it below group ("/tokenizer") and reads it back with every check that a hostile file calls for. */
heed_status heed_tokenizer_write(const heed_tokenizer *tokenizer, heed_store *store, const char *group,
                                 heed_error *error);
heed_status heed_tokenizer_read(heed_tokenizer **tokenizer, heed_store *store, const char *group, heed_error *error);

#endif
