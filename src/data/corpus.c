#include "heed/corpus.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "corpus_file.h"
#include "heed/task.h"
#include "pairs_file.h"
#include "text.h"
#include "tokens.h"

struct heed_corpus {
    heed_store *store; /* NULL: of a text in memory */
    heed_tokenizer *tokenizer;
    size_t n_tokens[2]; /* by heed_split */
    char *digest;
    int32_t *in_memory;             /* all tokens of a text: both splits */
    const heed_tokenizer *borrowed; /* that they were made with */
    heed_task *task;                /* NULL: a text or a store */
    heed_tokenizer *source;         /* of sources that have a vocabulary of their own */
    heedi_pairs *pairs;             /* NULL: a text or a task */
};

const char *heedi_split_name(heed_split split) {
    return split == HEED_TRAIN ? "/train" : "/valid";
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

/* A store of text, or one of pairs. */
static heed_status open_store(heed_store **store, const char *path, bool verify, bool *has_pairs, heed_error *error) {
    heed_error none = HEED_ERROR_INIT;
    char *kind = NULL;
    const heed_status status = heed_store_open(store, path, verify, error);
    if (status != HEED_OK)
        return status;
    *has_pairs = heed_store_read_text(*store, "/", "heed_kind", sizeof HEEDI_PAIRS_KIND, &kind, &none) == HEED_OK &&
                 strcmp(kind, HEEDI_PAIRS_KIND) == 0;
    free(kind);
    return *has_pairs ? heed_store_check_kind(*store, HEEDI_PAIRS_KIND, HEEDI_PAIRS_FORMAT, error)
                      : heed_store_check_kind(*store, HEEDI_CORPUS_KIND, HEEDI_CORPUS_FORMAT, error);
}

static heed_status open_split(heed_corpus *corpus, heed_split split, heed_error *error) {
    const char *name = heedi_split_name(split);
    const size_t vocab = heed_tokenizer_vocab(corpus->tokenizer);
    const heed_status status = heedi_tokens_describe(corpus->store, name, vocab, &corpus->n_tokens[split], error);
    int32_t last; /* the first reading of an array makes the later ones fast */
    if (status == HEED_OK && corpus->n_tokens[split] > 0)
        return heed_corpus_read(corpus, split, corpus->n_tokens[split] - 1, 1, &last, error);
    return status;
}

static heed_status open_pairs(heed_corpus *corpus, heed_error *error) {
    bool joint;
    heed_status status = heedi_pairs_joint(corpus->store, &joint, error);
    if (status == HEED_OK && !joint)
        status = heed_tokenizer_read(&corpus->source, corpus->store, HEEDI_SOURCE_TOKENIZER, error);
    if (status == HEED_OK)
        status = heedi_pairs_open(&corpus->pairs, corpus->store, corpus->source ? corpus->source : corpus->tokenizer,
                                  corpus->tokenizer, error);
    return status;
}

static heed_status open_text(heed_corpus *corpus, heed_error *error) {
    const heed_status status = open_split(corpus, HEED_TRAIN, error);
    return status == HEED_OK ? open_split(corpus, HEED_VALID, error) : status;
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
    bool learned, has_pairs; /* the first is nothing to us, but whoever prepares relies on it */
    heed_status status = open_store(&corpus->store, store_path, verify, &has_pairs, error);
    if (status == HEED_OK)
        status = heed_tokenizer_read(&corpus->tokenizer, corpus->store, "/tokenizer", error);
    if (status == HEED_OK)
        status = (has_pairs ? open_pairs : open_text)(corpus, error);
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
    heedi_pairs_close(corpus->pairs);
    heed_store_close(corpus->store);
    heed_tokenizer_destroy(corpus->tokenizer);
    heed_tokenizer_destroy(corpus->source);
    heed_task_destroy(corpus->task);
    free(corpus->digest);
    free(corpus->in_memory);
    free(corpus);
}

heed_status heed_corpus_of_text(heed_corpus **out, const heed_tokenizer *tokenizer, const char *text_path,
                                heed_error *error) {
    *out = NULL;
    heed_corpus *corpus = calloc(1, sizeof *corpus);
    if (!corpus)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", text_path);
    char *text;
    size_t n_bytes, n_tokens = 0;
    corpus->digest = malloc(HEEDI_DIGEST_TEXT);
    heed_status status = corpus->digest ? heedi_text_whole(text_path, &text, &n_bytes, corpus->digest, error)
                                        : heed_fail(error, HEED_MEMORY, "%s: out of memory", text_path);
    if (status != HEED_OK) {
        heed_corpus_close(corpus);
        return status;
    }
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

heed_status heed_corpus_read(heed_corpus *corpus, heed_split split, size_t first, size_t count, int32_t *tokens,
                             heed_error *error) {
    HEED_CHECK(count <= corpus->n_tokens[split] && first <= corpus->n_tokens[split] - count);
    if (corpus->in_memory) {
        memcpy(tokens, corpus->in_memory + first, count * sizeof *tokens);
        return HEED_OK;
    }
    return heedi_tokens_read(corpus->store, heedi_split_name(split), heed_tokenizer_vocab(corpus->tokenizer), first,
                             count, tokens, error);
}

/* --- pairs ------------------------------------------------------------------------------------------------------ */

heed_status heed_corpus_of_pairs(heed_corpus **out, const heed_tokenizer *source_tokenizer,
                                 const heed_tokenizer *target_tokenizer, const char *path, heed_error *error) {
    *out = NULL;
    heed_corpus *corpus = calloc(1, sizeof *corpus);
    heed_status status = corpus ? HEED_OK : heed_fail(error, HEED_MEMORY, "%s: out of memory", path);
    if (status == HEED_OK) {
        corpus->digest = malloc(HEEDI_DIGEST_TEXT);
        corpus->borrowed = target_tokenizer;
        status = corpus->digest ? heedi_pairs_of_file(&corpus->pairs, path, source_tokenizer, target_tokenizer,
                                                      corpus->digest, error)
                                : heed_fail(error, HEED_MEMORY, "%s: out of memory", path);
    }
    if (status != HEED_OK)
        heed_corpus_close(corpus);
    else
        *out = corpus;
    return status;
}

bool heed_corpus_has_pairs(const heed_corpus *corpus) {
    return corpus->pairs != NULL;
}

const heed_tokenizer *heed_corpus_source_tokenizer(const heed_corpus *corpus) {
    return corpus->pairs ? heedi_pairs_source_tokenizer(corpus->pairs) : NULL;
}

size_t heed_corpus_source_vocab(const heed_corpus *corpus) {
    const heed_tokenizer *source = heed_corpus_separate_sources(corpus);
    return source ? heed_tokenizer_vocab(source) : 0;
}

const heed_tokenizer *heed_corpus_separate_sources(const heed_corpus *corpus) {
    const heed_tokenizer *source = heed_corpus_source_tokenizer(corpus);
    return source == heed_corpus_tokenizer(corpus) ? NULL : source;
}

size_t heed_corpus_pairs(const heed_corpus *corpus, heed_split split) {
    return corpus->pairs ? heedi_pairs_number(corpus->pairs, split) : 0;
}

size_t heed_corpus_pair_length(const heed_corpus *corpus, heed_split split, heed_side side, size_t index) {
    return heedi_pairs_length(corpus->pairs, split, side, index);
}

heed_status heed_corpus_read_pair(heed_corpus *corpus, heed_split split, heed_side side, size_t index, int32_t *tokens,
                                  heed_error *error) {
    return heedi_pairs_read(corpus->pairs, split, side, index, tokens, error);
}
