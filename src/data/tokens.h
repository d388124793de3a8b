/* Tokens on disk: the smallest of uint8, uint16 and int32 that holds the vocabulary. */
#ifndef HEED_DATA_TOKENS_H
#define HEED_DATA_TOKENS_H

#include <stddef.h>
#include <stdint.h>

#include "heed/store.h"

/* The type that tokens of a vocabulary have. */
heed_type heedi_token_type(size_t vocab);

/* Makes n tokens ones of that type, in place. */
void heedi_tokens_narrow(int32_t *tokens, heed_type type, size_t n);

/* Whether an array holds tokens of that vocabulary in one dimension; how many. Errors: HEED_DATA. */
heed_status heedi_tokens_describe(heed_store *store, const char *name, size_t vocab, size_t *n, heed_error *error);

/* Reads tokens [first, first + count) of an array, each checked to be one: a file may be hostile, and what is no token
 * never leaves this room. Allocates nothing. Errors: HEED_IO, HEED_DATA. */
heed_status heedi_tokens_read(heed_store *store, const char *name, size_t vocab, size_t first, size_t count,
                              int32_t *tokens, heed_error *error);

#endif
