/* Learning merges. Words are held as symbols; for every pair of neighbours, how often it occurs in all words together,
 * and in which words. The most frequent pair comes from a heap whose entries may be out of date: an entry that tells
 * too much is put back with what is true, and whenever a count grows a new entry is made. */
#include <stdlib.h>
#include <string.h>

#include "bpe.h"

typedef struct pair {
    int32_t left, right;
    uint64_t count;
    uint32_t *words; /* that it was seen in; may have lost it since */
    size_t n_words, capacity;
    uint64_t entered; /* the highest count that the heap knows, 0: none */
    bool merged;      /* has a merge: joined again where another merge made its left or right token anew */
} pair;

typedef struct entry {
    uint64_t count;
    uint32_t pair;
} entry;

typedef struct learner {
    const heedi_words *words;
    const uint64_t *word_count;
    int32_t *symbol;  /* of all words, one behind the other at the places of their bytes */
    uint32_t *length; /* (words) in symbols */

    pair *pairs;
    size_t n_pairs, pairs_capacity;
    uint32_t *slot; /* (n_slots) number + 1 of a pair; 0 = free */
    size_t n_slots;
    entry *heap;
    size_t n_heap, heap_capacity;
    uint32_t *changed; /* (changed_capacity) pairs whose counts grew in this merge */
    size_t n_changed, changed_capacity;
} learner;

static heed_status fail_memory(heed_error *error) {
    return heed_fail(error, HEED_MEMORY, "tokenizer: no memory to learn byte pairs");
}

/* Room for one more element. */
static heed_status reserve(void **array, size_t *capacity, size_t n, size_t size, heed_error *error) {
    if (n < *capacity)
        return HEED_OK;
    const size_t more = *capacity ? 2 * *capacity : 16;
    void *grown = realloc(*array, more * size);
    if (!grown)
        return fail_memory(error);
    *array = grown;
    *capacity = more;
    return HEED_OK;
}

/* --- pairs ------------------------------------------------------------------------------------------------------ */

static size_t slot_of(const learner *l, int32_t left, int32_t right) {
    uint64_t hash = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
    size_t at = hash & (l->n_slots - 1);
    for (; l->slot[at]; at = (at + 1) & (l->n_slots - 1)) {
        const pair *p = &l->pairs[l->slot[at] - 1];
        if (p->left == left && p->right == right)
            break;
    }
    return at;
}

static heed_status grow_slots(learner *l, heed_error *error) {
    const size_t n_slots = l->n_slots ? 2 * l->n_slots : 4096;
    uint32_t *slot = calloc(n_slots, sizeof *slot);
    if (!slot)
        return fail_memory(error);
    free(l->slot);
    l->slot = slot;
    l->n_slots = n_slots;
    for (size_t p = 0; p < l->n_pairs; p++)
        slot[slot_of(l, l->pairs[p].left, l->pairs[p].right)] = (uint32_t)p + 1;
    return HEED_OK;
}

static heed_status pair_of(learner *l, int32_t left, int32_t right, uint32_t *number, heed_error *error) {
    if (2 * (l->n_pairs + 1) > l->n_slots && grow_slots(l, error) != HEED_OK)
        return HEED_MEMORY;
    const size_t at = slot_of(l, left, right);
    if (!l->slot[at]) {
        if (reserve((void **)&l->pairs, &l->pairs_capacity, l->n_pairs, sizeof *l->pairs, error) != HEED_OK)
            return HEED_MEMORY;
        l->pairs[l->n_pairs++] = (pair){.left = left, .right = right};
        l->slot[at] = (uint32_t)l->n_pairs;
    }
    *number = l->slot[at] - 1;
    return HEED_OK;
}

/* Counts the pairs of a word in. Pairs with the symbol `of` (-1: all) are new to the word. */
static heed_status count_in(learner *l, uint32_t word, int32_t of, heed_error *error) {
    const int32_t *symbol = l->symbol + l->words->first[word];
    for (uint32_t i = 0; i + 1 < l->length[word]; i++) {
        uint32_t number;
        if (pair_of(l, symbol[i], symbol[i + 1], &number, error) != HEED_OK)
            return HEED_MEMORY;
        pair *p = &l->pairs[number];
        p->count += l->word_count[word];
        const bool is_new = of < 0 || symbol[i] == of || symbol[i + 1] == of;
        if (is_new && (p->n_words == 0 || p->words[p->n_words - 1] != word)) {
            if (reserve((void **)&p->words, &p->capacity, p->n_words, sizeof *p->words, error) != HEED_OK)
                return HEED_MEMORY;
            p->words[p->n_words++] = word;
        }
        if (p->count > p->entered) {
            if (reserve((void **)&l->changed, &l->changed_capacity, l->n_changed, sizeof *l->changed, error) != HEED_OK)
                return HEED_MEMORY;
            l->changed[l->n_changed++] = number;
        }
    }
    return HEED_OK;
}

static void count_out(learner *l, uint32_t word) {
    const int32_t *symbol = l->symbol + l->words->first[word];
    for (uint32_t i = 0; i + 1 < l->length[word]; i++)
        l->pairs[l->slot[slot_of(l, symbol[i], symbol[i + 1])] - 1].count -= l->word_count[word];
}

/* --- the heap --------------------------------------------------------------------------------------------------- */

static bool is_before(const learner *l, entry a, entry b) {
    const pair *x = &l->pairs[a.pair], *y = &l->pairs[b.pair];
    if (a.count != b.count)
        return a.count > b.count;
    return x->left != y->left ? x->left < y->left : x->right < y->right;
}

static heed_status push(learner *l, uint32_t number, heed_error *error) {
    if (reserve((void **)&l->heap, &l->heap_capacity, l->n_heap, sizeof *l->heap, error) != HEED_OK)
        return HEED_MEMORY;
    const entry e = {l->pairs[number].count, number};
    l->pairs[number].entered = e.count;
    size_t i = l->n_heap++;
    for (; i > 0 && is_before(l, e, l->heap[(i - 1) / 2]); i = (i - 1) / 2)
        l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = e;
    return HEED_OK;
}

static entry pop(learner *l) {
    const entry top = l->heap[0], last = l->heap[--l->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < l->n_heap; i = child) {
        child += child + 1 < l->n_heap && is_before(l, l->heap[child + 1], l->heap[child]);
        if (!is_before(l, l->heap[child], last))
            break;
        l->heap[i] = l->heap[child];
    }
    l->heap[i] = last;
    return top;
}

static heed_status push_changed(learner *l, heed_error *error) {
    for (size_t i = 0; i < l->n_changed; i++) {
        const pair *p = &l->pairs[l->changed[i]];
        if (p->count > p->entered && push(l, l->changed[i], error) != HEED_OK)
            return HEED_MEMORY;
    }
    l->n_changed = 0;
    return HEED_OK;
}

/* The pair to join next. Returns its count; below 2 there is none. */
static heed_status best(learner *l, uint32_t *number, uint64_t *count, heed_error *error) {
    *count = 0;
    while (l->n_heap > 0) {
        const entry e = pop(l);
        pair *p = &l->pairs[e.pair];
        if (e.count < p->entered)
            continue; /* a later entry knows more */
        p->entered = 0;
        *number = e.pair;
        if (e.count == p->count) {
            *count = e.count;
            return HEED_OK;
        }
        if (p->count > 1 && push(l, e.pair, error) != HEED_OK)
            return HEED_MEMORY;
    }
    return HEED_OK;
}

/* --- merging ---------------------------------------------------------------------------------------------------- */

static void join_in_word(learner *l, uint32_t word, int32_t left, int32_t right, int32_t result) {
    int32_t *symbol = l->symbol + l->words->first[word];
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->length[word]; i++) {
        const bool joins = i + 1 < l->length[word] && symbol[i] == left && symbol[i + 1] == right;
        symbol[n++] = joins ? result : symbol[i];
        i += joins;
    }
    l->length[word] = n;
}

static heed_status join_everywhere(learner *l, uint32_t number, int32_t result, heed_error *error) {
    const int32_t left = l->pairs[number].left, right = l->pairs[number].right;
    uint32_t *words = l->pairs[number].words; /* its own from now on: the pair is gone */
    const size_t n = l->pairs[number].n_words;
    l->pairs[number].words = NULL;
    l->pairs[number].n_words = l->pairs[number].capacity = 0;
    heed_status status = HEED_OK;
    for (size_t i = 0; i < n && status == HEED_OK; i++) {
        count_out(l, words[i]);
        join_in_word(l, words[i], left, right, result);
        status = count_in(l, words[i], result, error);
    }
    free(words);
    return status;
}

/* The token of two pieces joined, which is a new one unless other pairs made the same piece before. */
static heed_status make_piece(heedi_words *pieces, int32_t left, int32_t right, int32_t *result, heed_error *error) {
    size_t n_left, n_right, number = 0;
    heedi_words_at(pieces, (size_t)left, &n_left);
    heedi_words_at(pieces, (size_t)right, &n_right);
    char *joined = malloc(n_left + n_right);
    if (!joined)
        return fail_memory(error);
    memcpy(joined, heedi_words_at(pieces, (size_t)left, &n_left), n_left);
    memcpy(joined + n_left, heedi_words_at(pieces, (size_t)right, &n_right), n_right);
    const heed_status status = heedi_words_add(pieces, joined, n_left + n_right, &number, error);
    free(joined);
    *result = (int32_t)number;
    return status;
}

static heed_status begin(learner *l, heedi_words *pieces, heed_error *error) {
    const heedi_words *words = l->words;
    size_t number = 0;
    heed_status status = HEED_OK;
    for (int byte = 0; byte < 256 && status == HEED_OK; byte++)
        status = heedi_words_add(pieces, &(char){(char)byte}, 1, &number, error);
    const size_t n_bytes = words->n ? words->first[words->n] : 0;
    l->symbol = malloc((n_bytes + 1) * sizeof *l->symbol);
    l->length = malloc((words->n + 1) * sizeof *l->length);
    if (!l->symbol || !l->length)
        return fail_memory(error);
    for (size_t i = 0; i < n_bytes; i++)
        l->symbol[i] = (unsigned char)words->bytes[i];
    for (size_t w = 0; w < words->n && status == HEED_OK; w++) {
        l->length[w] = (uint32_t)(words->first[w + 1] - words->first[w]);
        status = count_in(l, (uint32_t)w, -1, error);
    }
    return status == HEED_OK ? push_changed(l, error) : status;
}

static void end(learner *l) {
    for (size_t p = 0; p < l->n_pairs; p++)
        free(l->pairs[p].words);
    free(l->symbol);
    free(l->length);
    free(l->pairs);
    free(l->slot);
    free(l->heap);
    free(l->changed);
}

heed_status heedi_bpe_learn(heedi_bpe *bpe, const heedi_words *words, heedi_words *pieces, heed_error *error) {
    learner l = {.words = words, .word_count = bpe->count};
    heed_status status = begin(&l, pieces, error);
    while (status == HEED_OK && pieces->n < bpe->n_wanted) {
        uint32_t number = 0;
        uint64_t count;
        int32_t result = -1;
        status = best(&l, &number, &count, error);
        if (status != HEED_OK || count < 2)
            break;
        const int32_t left = l.pairs[number].left, right = l.pairs[number].right;
        status = make_piece(pieces, left, right, &result, error);
        if (status == HEED_OK && !l.pairs[number].merged)
            status = heedi_bpe_add(bpe, left, right, result, error);
        l.pairs[number].merged = true;
        if (status == HEED_OK)
            status = join_everywhere(&l, number, result, error);
        if (status == HEED_OK)
            status = push_changed(&l, error);
    }
    end(&l);
    return status;
}
