/* A set of byte strings, numbered from 0 in the order in which they came: an open-addressed table over XXH3. */
#ifndef HEED_DATA_WORDS_H
#define HEED_DATA_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "heed/status.h"

#define HEEDI_NO_WORD SIZE_MAX

/* All zero bytes are the empty set. */
typedef struct heedi_words {
    size_t n;
    size_t *first; /* (n + 1, with room for capacity + 1): word w is bytes[first[w] .. first[w + 1] - 1] */
    char *bytes;
    uint32_t *slot; /* (n_slots): number + 1 of a word, 0 = free */
    size_t capacity, capacity_bytes, n_slots;
} heedi_words;

/* The number of a word, which is added when it is new. Errors: HEED_MEMORY (also beyond 2^31 words). */
heed_status heedi_words_add(heedi_words *words, const char *word, size_t bytes, size_t *number, heed_error *error);

/* The number of a word, or HEEDI_NO_WORD. Cannot fail. */
size_t heedi_words_find(const heedi_words *words, const char *word, size_t bytes);

/* The bytes of a word, until the next add. */
const char *heedi_words_at(const heedi_words *words, size_t number, size_t *bytes);

/* The numbers in the order of their bytes (as unsigned numbers; a word comes ahead of its continuations).
 * order: (n). */
void heedi_words_sort(const heedi_words *words, size_t *order);

void heedi_words_reset(heedi_words *words);

#endif
