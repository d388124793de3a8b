/* Text to token numbers and back, behind one interface: bytes, Unicode characters (code points), and whatever joins
 * them later (byte pairs). A tokenizer is plain data that is stored with the tokens and in every checkpoint. */
#ifndef HEED_TOKENIZER_H
#define HEED_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/config.h"
#include "heed/status.h"
#include "heed/store.h"

typedef struct heed_tokenizer heed_tokenizer;

/* Learns a tokenizer from text: for characters, the sorted set of its code points. name is shown in messages.
 * Errors: HEED_DATA (invalid UTF-8, with the byte's position; no character at all), HEED_MEMORY. Ownership:
 * heed_tokenizer_destroy. */
heed_status heed_tokenizer_learn(heed_tokenizer **tokenizer, heed_tokenizer_kind kind, const char *name,
                                 const char *text, size_t text_bytes, heed_error *error);
void heed_tokenizer_destroy(heed_tokenizer *tokenizer);

heed_tokenizer_kind heed_tokenizer_what(const heed_tokenizer *tokenizer);
const char *heed_tokenizer_name(const heed_tokenizer *tokenizer); /* of its kind, as in the config: "char", "byte" */
size_t heed_tokenizer_vocab(const heed_tokenizer *tokenizer);     /* tokens in the vocabulary */

/* Whether the same text gives the same tokens with both, and the same tokens the same text. Cannot fail. */
bool heed_tokenizer_same(const heed_tokenizer *a, const heed_tokenizer *b);

/* Encodes text. *tokens is allocated and the caller frees it. Errors: HEED_DATA (a character outside the vocabulary,
 * named with its position; invalid UTF-8), HEED_MEMORY. */
heed_status heed_tokenizer_encode(const heed_tokenizer *tokenizer, const char *name, const char *text,
                                  size_t text_bytes, int32_t **tokens, size_t *n_tokens, heed_error *error);

/* The bytes of one token (not NUL-terminated; *bytes tells how many), NULL for a number outside the vocabulary. */
const char *heed_tokenizer_piece(const heed_tokenizer *tokenizer, int32_t token, size_t *bytes);

/* Stores it below group ("/tokenizer") and reads it back with every check that a hostile file calls for. */
heed_status heed_tokenizer_write(const heed_tokenizer *tokenizer, heed_store *store, const char *group,
                                 heed_error *error);
heed_status heed_tokenizer_read(heed_tokenizer **tokenizer, heed_store *store, const char *group, heed_error *error);

#endif
