/* Making a token store. Each text is read twice, a piece at a time, so that memory does not grow with it: once to learn
 * the vocabulary, count tokens and take digests; once to encode and write. That the second reading saw the same bytes
 * is checked by digest. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "corpus_file.h"
#include "text.h"
#include "tokenizer_rules.h"
#include "tokens.h"

typedef heedi_provenance source;

typedef struct split_writer {
    heed_split split;
    size_t n_tokens, n_written;
    XXH3_state_t *state;
} split_writer;

typedef struct preparation {
    source *sources; /* (n_sources) */
    size_t n_sources;
    heed_tokenizer *learned;         /* NULL when the tokenizer is given */
    const heed_tokenizer *tokenizer; /* that encodes */
    heed_type type;
    heed_store *store;
    split_writer train, valid;
    int32_t *tokens; /* (HEEDI_PIECE_BYTES): a piece of text has no more tokens than bytes */
} preparation;

/* One reading of a text: does `with` to every piece of it, and tells digest and size. rules (or NULL) say where pieces
 * may end. */
static heed_status read_text(const char *path, const heedi_tokenizer_rules *rules,
                             heed_status (*with)(void *context, const heedi_spot *spot, const char *piece,
                                                 size_t n_bytes, heed_error *error),
                             void *context, char digest[HEEDI_DIGEST_TEXT], uint64_t *n_bytes, heed_error *error) {
    heedi_text text;
    heed_status status = heedi_text_open(&text, path, error);
    const char *piece = NULL;
    size_t n = 1;
    if (rules && rules->whole)
        text.whole = rules->whole;
    while (status == HEED_OK && n > 0) {
        status = heedi_text_next(&text, &piece, &n, error);
        if (status == HEED_OK && n > 0 && with)
            status = with(context, &text.spot, piece, n, error);
    }
    if (status == HEED_OK)
        heedi_text_digest(&text, digest, n_bytes);
    heedi_text_close(&text);
    return status;
}

static heed_status fail_changed(const char *path, heed_error *error) {
    heed_fail(error, HEED_DATA, "%s: the text changed while it was read", path);
    return heed_hint(error, "prepare again when nothing writes to it");
}

/* --- first reading ---------------------------------------------------------------------------------------------- */

typedef struct survey {
    preparation *p;
    source *source;
} survey;

/* Where a character, a byte or a word is a token, learning counts tokens too. */
static heed_status meet(void *context, const heedi_spot *spot, const char *piece, size_t n_bytes, heed_error *error) {
    const survey *s = context;
    uint64_t n_met = 0;
    size_t n_encoded = 0;
    const heed_status status =
        s->p->learned ? heedi_tokenizer_meet(s->p->learned, spot, piece, n_bytes, &n_met, error)
                      : heedi_tokenizer_encode(s->p->tokenizer, spot, piece, n_bytes, s->p->tokens, &n_encoded, error);
    s->source->n_tokens += n_met + n_encoded;
    return status;
}

static heed_status count_tokens(void *context, const heedi_spot *spot, const char *piece, size_t n_bytes,
                                heed_error *error) {
    const survey *s = context;
    size_t n_tokens;
    const heed_status status =
        heedi_tokenizer_encode(s->p->tokenizer, spot, piece, n_bytes, s->p->tokens, &n_tokens, error);
    s->source->n_tokens += n_tokens;
    return status;
}

/* A reading more, where tokens cannot be counted before all is learned. */
static heed_status recount(preparation *p, heed_error *error) {
    heed_status status = heedi_tokenizer_settle(p->learned, error);
    for (size_t i = 0; i < p->n_sources && status == HEED_OK; i++) {
        source *s = &p->sources[i];
        char digest[HEEDI_DIGEST_TEXT];
        uint64_t n_bytes;
        status = read_text(s->path, heedi_rules_of(p->tokenizer->kind), count_tokens, &(survey){p, s}, digest, &n_bytes,
                           error);
        if (status == HEED_OK && strcmp(digest, s->digest) != 0)
            status = fail_changed(s->path, error);
    }
    return status;
}

static heed_status survey_texts(preparation *p, double valid_share, heed_error *error) {
    heed_status status = HEED_OK;
    uint64_t n_tokens = 0, n_train = 0;
    const bool learns_first = p->learned && heedi_rules_of(p->learned->kind)->learns_first;
    for (size_t i = 0; i < p->n_sources && status == HEED_OK; i++) {
        source *s = &p->sources[i];
        status = read_text(s->path, heedi_rules_of(p->tokenizer->kind), meet, &(survey){p, s}, s->digest, &s->n_bytes,
                           error);
    }
    if (status == HEED_OK && learns_first)
        status = recount(p, error);
    for (size_t i = 0; i < p->n_sources && status == HEED_OK; i++) {
        source *s = &p->sources[i];
        s->n_train = (uint64_t)((double)s->n_tokens * (1.0 - valid_share));
        n_tokens += s->n_tokens;
        n_train += s->n_train;
    }
    if (status != HEED_OK)
        return status;
    if (n_tokens == 0)
        return heed_fail(error, HEED_DATA, "%s: no text to learn from: %zu empty file%s", p->sources[0].path,
                         p->n_sources, p->n_sources == 1 ? "" : "s");
    p->train.n_tokens = n_train;
    p->valid.n_tokens = n_tokens - n_train;
    return p->learned && !learns_first ? heedi_tokenizer_settle(p->learned, error) : HEED_OK;
}

/* --- second reading --------------------------------------------------------------------------------------------- */

/* Stores tokens behind those of the split that are written already; narrows them in place. */
static heed_status put(preparation *p, split_writer *writer, int32_t *tokens, size_t n, heed_error *error) {
    if (n == 0)
        return HEED_OK;
    heedi_tokens_narrow(tokens, p->type, n);
    XXH3_128bits_update(writer->state, tokens, n * heed_type_bytes(p->type));
    const heed_status status =
        heed_store_write_rows(p->store, heedi_split_name(writer->split), writer->n_written, n, tokens, error);
    writer->n_written += n;
    return status;
}

typedef struct encoding {
    preparation *p;
    uint64_t n_left, n_train; /* tokens of this text that are still to come, and the first of them for training */
} encoding;

static heed_status encode(void *context, const heedi_spot *spot, const char *piece, size_t n_bytes, heed_error *error) {
    encoding *e = context;
    preparation *p = e->p;
    size_t n_tokens;
    heed_status status = heedi_tokenizer_encode(p->tokenizer, spot, piece, n_bytes, p->tokens, &n_tokens, error);
    if (status != HEED_OK)
        return status;
    if (n_tokens > e->n_left)
        return fail_changed(spot->name, error);
    const size_t n_train = n_tokens < e->n_train ? n_tokens : (size_t)e->n_train;
    e->n_left -= n_tokens;
    e->n_train -= n_train;
    status = put(p, &p->valid, p->tokens + n_train, n_tokens - n_train, error);
    return status == HEED_OK ? put(p, &p->train, p->tokens, n_train, error) : status;
}

static heed_status encode_texts(preparation *p, heed_error *error) {
    for (size_t i = 0; i < p->n_sources; i++) {
        const source *s = &p->sources[i];
        char digest[HEEDI_DIGEST_TEXT];
        uint64_t n_bytes;
        encoding e = {p, s->n_tokens, s->n_train};
        const heed_status status =
            read_text(s->path, heedi_rules_of(p->tokenizer->kind), encode, &e, digest, &n_bytes, error);
        if (status != HEED_OK)
            return status;
        if (strcmp(digest, s->digest) != 0)
            return fail_changed(s->path, error);
    }
    return HEED_OK;
}

/* --- provenance ------------------------------------------------------------------------------------------------- */

/* The digest of the tokens: of both splits' digests, and of what the tokens stand for. */
static void digest_of_tokens(const preparation *p, char digest[HEEDI_DIGEST_TEXT]) {
    XXH128_hash_t parts[2 + HEEDI_TOKENIZER_DIGESTS] = {XXH3_128bits_digest(p->train.state),
                                                        XXH3_128bits_digest(p->valid.state)};
    const size_t n_parts = 2 + heedi_tokenizer_digests(p->tokenizer, parts + 2);
    heedi_digest_text(XXH3_128bits(parts, n_parts * sizeof *parts), digest);
}

static heed_status write_provenance(preparation *p, double valid_share, heed_error *error) {
    char digest[HEEDI_DIGEST_TEXT];
    heed_status status = heedi_provenance_write(p->sources, p->n_sources, p->store, error);
    if (status == HEED_OK)
        status = heed_store_write_kind(p->store, HEEDI_CORPUS_KIND, HEEDI_CORPUS_FORMAT, error);
    if (status == HEED_OK)
        status = heed_store_write_number(p->store, "/", "valid_share", valid_share, error);
    if (status == HEED_OK)
        status = heed_store_write_int(p->store, "/tokenizer", "learned", p->learned != NULL, error);
    if (status == HEED_OK && p->learned && p->learned->bpe)
        status = heed_store_write_int(p->store, "/tokenizer", "wanted", (int64_t)p->learned->bpe->n_wanted, error);
    heedi_provenance_digest(p->sources, p->n_sources, digest);
    if (status == HEED_OK)
        status = heed_store_write_text(p->store, "/", "texts_digest", digest, error);
    digest_of_tokens(p, digest);
    if (status == HEED_OK)
        status = heed_store_write_text(p->store, "/", "digest", digest, error);
    return status;
}

/* --- the whole -------------------------------------------------------------------------------------------------- */

static heed_status begin(preparation *p, const char *const *text_paths, heed_error *error) {
    p->sources = calloc(p->n_sources, sizeof *p->sources);
    p->tokens = malloc(HEEDI_PIECE_BYTES * sizeof *p->tokens);
    p->train = (split_writer){.split = HEED_TRAIN, .state = XXH3_createState()};
    p->valid = (split_writer){.split = HEED_VALID, .state = XXH3_createState()};
    if (!p->sources || !p->tokens || !p->train.state || !p->valid.state)
        return heed_fail(error, HEED_MEMORY, "prepare: out of memory");
    XXH3_128bits_reset(p->train.state);
    XXH3_128bits_reset(p->valid.state);
    for (size_t i = 0; i < p->n_sources; i++)
        p->sources[i].path = text_paths[i];
    return HEED_OK;
}

static void end(preparation *p) {
    free(p->sources);
    free(p->tokens);
    XXH3_freeState(p->train.state);
    XXH3_freeState(p->valid.state);
    heed_tokenizer_destroy(p->learned);
}

static heed_status write_store(preparation *p, const char *store_path, double valid_share, heed_error *error) {
    p->type = heedi_token_type(heed_tokenizer_vocab(p->tokenizer));
    heed_status status = heed_store_create(&p->store, store_path, error);
    if (status != HEED_OK)
        return status;
    status = heed_store_reserve(p->store, "/train", p->type, 1, &p->train.n_tokens, false, error);
    if (status == HEED_OK)
        status = heed_store_reserve(p->store, "/valid", p->type, 1, &p->valid.n_tokens, false, error);
    if (status == HEED_OK)
        status = encode_texts(p, error);
    if (status == HEED_OK)
        status = heed_tokenizer_write(p->tokenizer, p->store, "/tokenizer", error);
    if (status == HEED_OK)
        status = write_provenance(p, valid_share, error);
    if (status == HEED_OK)
        return heed_store_seal(p->store, error);
    heed_store_discard(p->store);
    return status;
}

/* tokenizer NULL: learn one. */
static heed_status prepare(const char *store_path, const char *const *text_paths, size_t n_texts,
                           heed_tokenizer_kind kind, size_t vocab, const heed_tokenizer *tokenizer, double valid_share,
                           heed_error *error) {
    HEED_CHECK(n_texts > 0);
    if (!(valid_share >= 0 && valid_share <= 1))
        return heed_fail(error, HEED_CONFIG, "data.valid_share = %g: expected 0 to 1", valid_share);
    preparation p = {.n_sources = n_texts, .tokenizer = tokenizer};
    heed_status status = begin(&p, text_paths, error);
    if (status == HEED_OK && !tokenizer) {
        status = heedi_tokenizer_begin(&p.learned, kind, error);
        p.tokenizer = p.learned;
        if (status == HEED_OK && p.learned->bpe)
            p.learned->bpe->n_wanted = vocab;
    }
    if (status == HEED_OK)
        status = survey_texts(&p, valid_share, error);
    if (status == HEED_OK)
        status = write_store(&p, store_path, valid_share, error);
    end(&p);
    return status;
}

heed_status heed_corpus_prepare(const char *store_path, const char *const *text_paths, size_t n_texts,
                                heed_tokenizer_kind kind, double valid_share, heed_error *error) {
    return prepare(store_path, text_paths, n_texts, kind, HEEDI_BPE_USUAL_VOCAB, NULL, valid_share, error);
}

heed_status heed_corpus_prepare_vocab(const char *store_path, const char *const *text_paths, size_t n_texts,
                                      heed_tokenizer_kind kind, size_t vocab, double valid_share, heed_error *error) {
    return prepare(store_path, text_paths, n_texts, kind, vocab, NULL, valid_share, error);
}

heed_status heed_corpus_prepare_with(const char *store_path, const char *const *text_paths, size_t n_texts,
                                     const heed_tokenizer *tokenizer, double valid_share, heed_error *error) {
    return prepare(store_path, text_paths, n_texts, heed_tokenizer_what(tokenizer), 0, tokenizer, valid_share, error);
}

/* --- is a store made from these texts? -------------------------------------------------------------------------- */

static heed_status same_settings(heed_store *store, heed_tokenizer_kind kind, size_t vocab, double valid_share,
                                 bool *same, heed_error *error) {
    heed_tokenizer *tokenizer;
    double stored_share = 0;
    bool learned = false;
    heed_status status = heed_tokenizer_read(&tokenizer, store, "/tokenizer", error);
    if (status == HEED_OK)
        status = heed_store_read_number(store, "/", "valid_share", &stored_share, error);
    if (status == HEED_OK)
        status = heedi_corpus_learned(store, &learned, error);
    *same = status == HEED_OK && learned && heed_tokenizer_what(tokenizer) == kind && stored_share == valid_share;
    int64_t wanted = (int64_t)vocab;
    if (*same && kind == HEED_TOKENIZER_BPE)
        status = heed_store_read_int(store, "/tokenizer", "wanted", &wanted, error);
    *same = *same && wanted == (int64_t)vocab;
    heed_tokenizer_destroy(tokenizer);
    return status;
}

heed_status heed_corpus_matches(const char *store_path, const char *const *text_paths, size_t n_texts,
                                heed_tokenizer_kind kind, double valid_share, bool *matches, heed_error *error) {
    return heed_corpus_matches_vocab(store_path, text_paths, n_texts, kind, HEEDI_BPE_USUAL_VOCAB, valid_share, matches,
                                     error);
}

heed_status heed_corpus_matches_vocab(const char *store_path, const char *const *text_paths, size_t n_texts,
                                      heed_tokenizer_kind kind, size_t vocab, double valid_share, bool *matches,
                                      heed_error *error) {
    *matches = false;
    if (access(store_path, F_OK) != 0 && errno == ENOENT)
        return HEED_OK;
    heed_store *store;
    heed_status status = heedi_corpus_store(&store, store_path, false, error);
    if (status != HEED_OK)
        return heedi_hint_in_the_way(error);
    bool same = false;
    status = same_settings(store, kind, vocab, valid_share, &same, error);
    if (status == HEED_OK && same)
        status = heedi_provenance_same(store, text_paths, n_texts, matches, error);
    heed_store_close(store);
    return status;
}
