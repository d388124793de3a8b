#include "words.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

const char *heedi_words_at(const heedi_words *words, size_t number, size_t *bytes) {
    *bytes = words->first[number + 1] - words->first[number];
    return words->bytes + words->first[number];
}

/* The slot that holds the word, or the free one where it belongs. At least half of the slots are free. */
static size_t slot_of(const heedi_words *words, const char *word, size_t bytes) {
    size_t at = XXH3_64bits(word, bytes) & (words->n_slots - 1);
    for (; words->slot[at]; at = (at + 1) & (words->n_slots - 1)) {
        size_t length;
        const char *other = heedi_words_at(words, words->slot[at] - 1, &length);
        if (length == bytes && memcmp(other, word, bytes) == 0)
            break;
    }
    return at;
}

size_t heedi_words_find(const heedi_words *words, const char *word, size_t bytes) {
    if (words->n == 0)
        return HEEDI_NO_WORD;
    const uint32_t number = words->slot[slot_of(words, word, bytes)];
    return number ? number - 1 : HEEDI_NO_WORD;
}

static heed_status fail_memory(heed_error *error) {
    return heed_fail(error, HEED_MEMORY, "tokenizer: no memory for the words of the text");
}

/* Twice the room for words. */
static heed_status grow(heedi_words *words, heed_error *error) {
    const size_t capacity = words->capacity ? 2 * words->capacity : 512, n_slots = 2 * capacity;
    size_t *first = capacity > INT32_MAX ? NULL : realloc(words->first, (capacity + 1) * sizeof *first);
    if (!first)
        return fail_memory(error);
    words->first = first;
    words->first[0] = 0;
    uint32_t *slot = calloc(n_slots, sizeof *slot);
    if (!slot)
        return fail_memory(error);
    free(words->slot);
    words->slot = slot;
    words->n_slots = n_slots;
    words->capacity = capacity;
    for (size_t w = 0; w < words->n; w++) {
        size_t bytes;
        const char *word = heedi_words_at(words, w, &bytes);
        slot[slot_of(words, word, bytes)] = (uint32_t)w + 1;
    }
    return HEED_OK;
}

static heed_status grow_bytes(heedi_words *words, size_t needed, heed_error *error) {
    const size_t capacity_bytes = needed > 2 * words->capacity_bytes ? needed + 4096 : 2 * words->capacity_bytes;
    char *bytes = realloc(words->bytes, capacity_bytes);
    if (!bytes)
        return fail_memory(error);
    words->bytes = bytes;
    words->capacity_bytes = capacity_bytes;
    return HEED_OK;
}

heed_status heedi_words_add(heedi_words *words, const char *word, size_t bytes, size_t *number, heed_error *error) {
    *number = heedi_words_find(words, word, bytes);
    if (*number != HEEDI_NO_WORD)
        return HEED_OK;
    heed_status status = words->n == words->capacity ? grow(words, error) : HEED_OK;
    const size_t begin = words->n ? words->first[words->n] : 0;
    const size_t needed = begin + bytes + 1; /* so that an empty word has a place too */
    if (status == HEED_OK && needed > words->capacity_bytes)
        status = grow_bytes(words, needed, error);
    if (status != HEED_OK)
        return status;
    memcpy(words->bytes + begin, word, bytes);
    const size_t at = slot_of(words, word, bytes);
    words->slot[at] = (uint32_t)words->n + 1;
    words->first[words->n + 1] = begin + bytes;
    *number = words->n++;
    return HEED_OK;
}

static int compare(const void *a, const void *b, void *context) {
    const heedi_words *words = context;
    size_t n_x, n_y;
    const char *x = heedi_words_at(words, *(const size_t *)a, &n_x),
               *y = heedi_words_at(words, *(const size_t *)b, &n_y);
    const int order = memcmp(x, y, n_x < n_y ? n_x : n_y);
    return order ? order : (n_x > n_y) - (n_x < n_y);
}

void heedi_words_sort(const heedi_words *words, size_t *order) {
    for (size_t w = 0; w < words->n; w++)
        order[w] = w;
    qsort_r(order, words->n, sizeof *order, compare, (void *)words);
}

void heedi_words_reset(heedi_words *words) {
    free(words->first);
    free(words->bytes);
    free(words->slot);
    *words = (heedi_words){0};
}
