#include "heed/corpus.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "corpus_file.h"
#include "heed/task.h"
#include "text.h"

struct heed_corpus {
    heed_store *store; /* NULL: of a text in memory */
    heed_tokenizer *tokenizer;
    heed_type type;
    size_t n_tokens[2]; /* by heed_split */
    char *digest;
    int32_t *in_memory;             /* all tokens of a text: both splits */
    const heed_tokenizer *borrowed; /* that they were made with */
    heed_task *task;                /* NULL: a text or a store */
};

const char *heedi_split_name(heed_split split) {
    return split == HEED_TRAIN ? "/train" : "/valid";
}

heed_type heedi_token_type(size_t vocab) {
    return vocab <= 1 << 8 ? HEED_TYPE_UINT8 : vocab <= 1 << 16 ? HEED_TYPE_UINT16 : HEED_TYPE_INT32;
}

heed_status heedi_corpus_learned(heed_store *store, bool *learned, heed_error *error) {
    int64_t value = 0;
    heed_status status = heed_store_read_int(store, "/tokenizer", "learned", &value, error);
    if (status == HEED_OK && value != 0 && value != 1)
        status = heed_fail(error, HEED_DATA, "%s: /tokenizer: attribute learned = %" PRId64 ": expected 0 or 1",
                           heed_store_path(store), value);
    *learned = value == 1;
    return status;
}

heed_status heedi_corpus_store(heed_store **store, const char *path, bool verify, heed_error *error) {
    heed_status status = heed_store_open(store, path, verify, error);
    if (status != HEED_OK)
        return status;
    status = heed_store_check_kind(*store, HEEDI_CORPUS_KIND, HEEDI_CORPUS_FORMAT, error);
    if (status != HEED_OK) {
        heed_store_close(*store);
        *store = NULL;
    }
    return status;
}

static heed_status open_split(heed_corpus *corpus, heed_split split, heed_error *error) {
    const char *name = heedi_split_name(split), *path = heed_store_path(corpus->store);
    heed_array array;
    const heed_status status = heed_store_describe(corpus->store, name, &array, error);
    if (status != HEED_OK)
        return status;
    if (array.n_dims != 1)
        return heed_fail(error, HEED_DATA, "%s: %s has %d dimensions: expected 1", path, name, array.n_dims);
    if (array.type != corpus->type)
        return heed_fail(error, HEED_DATA, "%s: %s is of type %s: expected %s for a vocabulary of %zu tokens", path,
                         name, heed_type_name(array.type), heed_type_name(corpus->type),
                         heed_tokenizer_vocab(corpus->tokenizer));
    corpus->n_tokens[split] = array.dims[0];
    int32_t last; /* the first reading of an array makes the later ones fast */
    return array.dims[0] ? heed_corpus_read(corpus, split, array.dims[0] - 1, 1, &last, error) : HEED_OK;
}

static heed_status read_digest(heed_corpus *corpus, heed_error *error) {
    const heed_status status =
        heed_store_read_text(corpus->store, "/", "digest", HEEDI_DIGEST_TEXT, &corpus->digest, error);
    if (status != HEED_OK)
        return status;
    if (strlen(corpus->digest) != HEEDI_DIGEST_TEXT - 1 ||
        strspn(corpus->digest, "0123456789abcdef") != HEEDI_DIGEST_TEXT - 1)
        return heed_fail(error, HEED_DATA, "%s: attribute digest: expected %d hexadecimal digits",
                         heed_store_path(corpus->store), HEEDI_DIGEST_TEXT - 1);
    return HEED_OK;
}

static heed_status open_corpus(heed_corpus **out, const char *store_path, bool verify, heed_error *error) {
    *out = NULL;
    heed_corpus *corpus = calloc(1, sizeof *corpus);
    if (!corpus)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", store_path);
    bool learned; /* nothing to us, but whoever prepares relies on it */
    heed_status status = heedi_corpus_store(&corpus->store, store_path, verify, error);
    if (status == HEED_OK)
        status = heed_tokenizer_read(&corpus->tokenizer, corpus->store, "/tokenizer", error);
    if (status == HEED_OK) {
        corpus->type = heedi_token_type(heed_tokenizer_vocab(corpus->tokenizer));
        status = open_split(corpus, HEED_TRAIN, error);
    }
    if (status == HEED_OK)
        status = open_split(corpus, HEED_VALID, error);
    if (status == HEED_OK)
        status = read_digest(corpus, error);
    if (status == HEED_OK)
        status = heedi_corpus_learned(corpus->store, &learned, error);
    if (status != HEED_OK)
        heed_corpus_close(corpus);
    else
        *out = corpus;
    return status;
}

heed_status heed_corpus_open(heed_corpus **corpus, const char *store_path, heed_error *error) {
    return open_corpus(corpus, store_path, true, error);
}

heed_status heed_corpus_open_verified(heed_corpus **corpus, const char *store_path, heed_error *error) {
    return open_corpus(corpus, store_path, false, error);
}

void heed_corpus_close(heed_corpus *corpus) {
    if (!corpus)
        return;
    heed_store_close(corpus->store);
    heed_tokenizer_destroy(corpus->tokenizer);
    heed_task_destroy(corpus->task);
    free(corpus->digest);
    free(corpus->in_memory);
    free(corpus);
}

/* The whole file in memory, because an encoder may look at more than a piece of it. The caller frees text and digest.
 */
static heed_status read_text(const char *path, char **text, size_t *n_bytes, char **digest, heed_error *error) {
    heedi_text file;
    *text = NULL;
    *n_bytes = 0;
    *digest = malloc(HEEDI_DIGEST_TEXT);
    heed_status status =
        *digest ? heedi_text_open(&file, path, error) : heed_fail(error, HEED_MEMORY, "%s: out of memory", path);
    if (status != HEED_OK)
        return status;
    size_t bytes = 1;
    while (status == HEED_OK && bytes > 0) {
        const char *piece;
        status = heedi_text_next(&file, &piece, &bytes, error);
        char *more = status == HEED_OK ? realloc(*text, *n_bytes + bytes + 1) : NULL;
        if (more) {
            *text = more;
            memcpy(more + *n_bytes, piece, bytes);
            *n_bytes += bytes;
        } else if (status == HEED_OK) {
            status = heed_fail(error, HEED_MEMORY, "%s: out of memory", path);
        }
    }
    uint64_t all;
    heedi_text_digest(&file, *digest, &all);
    heedi_text_close(&file);
    return status;
}

heed_status heed_corpus_of_text(heed_corpus **out, const heed_tokenizer *tokenizer, const char *text_path,
                                heed_error *error) {
    *out = NULL;
    heed_corpus *corpus = calloc(1, sizeof *corpus);
    if (!corpus)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", text_path);
    char *text;
    size_t n_bytes, n_tokens = 0;
    heed_status status = read_text(text_path, &text, &n_bytes, &corpus->digest, error);
    if (status == HEED_OK)
        status = heed_tokenizer_encode(tokenizer, text_path, text, n_bytes, &corpus->in_memory, &n_tokens, error);
    free(text);
    corpus->borrowed = tokenizer;
    corpus->n_tokens[HEED_TRAIN] = corpus->n_tokens[HEED_VALID] = n_tokens;
    if (status != HEED_OK)
        heed_corpus_close(corpus);
    else
        *out = corpus;
    return status;
}

heed_status heed_corpus_of_task(heed_corpus **out, const heed_task_settings *settings, heed_error *error) {
    *out = NULL;
    heed_corpus *corpus = calloc(1, sizeof *corpus);
    heed_status status = corpus ? HEED_OK : heed_fail(error, HEED_MEMORY, "data.task: out of memory");
    if (status == HEED_OK)
        status = heed_task_create(&corpus->task, settings, error);
    if (status == HEED_OK) {
        corpus->borrowed = heed_task_tokenizer(corpus->task);
        corpus->digest = strdup(heed_task_digest(corpus->task));
        if (!corpus->digest)
            status = heed_fail(error, HEED_MEMORY, "data.task: out of memory");
    }
    if (status != HEED_OK)
        heed_corpus_close(corpus);
    else
        *out = corpus;
    return status;
}

heed_task *heed_corpus_task(const heed_corpus *corpus) {
    return corpus->task;
}

size_t heed_corpus_tokens(const heed_corpus *corpus, heed_split split) {
    return corpus->n_tokens[split];
}

const heed_tokenizer *heed_corpus_tokenizer(const heed_corpus *corpus) {
    return corpus->borrowed ? corpus->borrowed : corpus->tokenizer;
}

const char *heed_corpus_digest(const heed_corpus *corpus) {
    return corpus->digest;
}

static void widen(int32_t *tokens, const void *stored, heed_type type, size_t count) {
    const uint8_t *bytes = stored;
    const uint16_t *words = stored;
    for (size_t i = 0; i < count; i++)
        tokens[i] = type == HEED_TYPE_UINT8 ? bytes[i] : words[i];
}

/* A file may be hostile: what is no token never leaves this room. */
static heed_status check_tokens(const heed_corpus *corpus, heed_split split, size_t first, const int32_t *tokens,
                                size_t count, heed_error *error) {
    const uint32_t vocab = (uint32_t)heed_tokenizer_vocab(corpus->tokenizer);
    for (size_t i = 0; i < count; i++)
        if ((uint32_t)tokens[i] >= vocab)
            return heed_fail(error, HEED_DATA, "%s: %s[%zu] = %d: outside the vocabulary of %u tokens",
                             heed_store_path(corpus->store), heedi_split_name(split), first + i, tokens[i], vocab);
    return HEED_OK;
}

heed_status heed_corpus_read(heed_corpus *corpus, heed_split split, size_t first, size_t count, int32_t *tokens,
                             heed_error *error) {
    HEED_CHECK(count <= corpus->n_tokens[split] && first <= corpus->n_tokens[split] - count);
    const char *name = heedi_split_name(split);
    uint16_t stored[4096];
    if (corpus->in_memory) {
        memcpy(tokens, corpus->in_memory + first, count * sizeof *tokens);
        return HEED_OK;
    }
    for (size_t done = 0, n; done < count; done += n) {
        const size_t left = count - done, room = sizeof stored / heed_type_bytes(corpus->type);
        const bool wide = corpus->type == HEED_TYPE_INT32;
        n = wide || left < room ? left : room;
        heed_status status = heed_store_read_rows(corpus->store, name, corpus->type, first + done, n,
                                                  wide ? (void *)(tokens + done) : (void *)stored, error);
        if (status != HEED_OK)
            return status;
        if (!wide)
            widen(tokens + done, stored, corpus->type, n);
        status = check_tokens(corpus, split, first + done, tokens + done, n, error);
        if (status != HEED_OK)
            return status;
    }
    return HEED_OK;
}
