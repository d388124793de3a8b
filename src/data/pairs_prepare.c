/* Making a store of pairs. All files are in memory, so one pass learns, and one encodes and writes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pair_list.h"
#include "pairs_file.h"
#include "tokenizer_rules.h"
#include "tokens.h"

typedef struct preparation {
    heedi_pair_list list;
    bool *kept;                         /* (pairs) from training, to validate */
    heed_tokenizer *own[2];             /* that were learned; of a joint vocabulary the target's alone */
    const heed_tokenizer *tokenizer[2]; /* that encode, by heed_side */
    heed_store *store;
    XXH128_hash_t digest[8]; /* of what was written */
    size_t n_digests;
} preparation;

heed_pairs_settings heed_pairs_settings_of(const heed_config *config) {
    const heed_tokenizer_kind target = config->data.tokenizer;
    return (heed_pairs_settings){.target = target,
                                 .source = config->data.source_tokenizer == HEED_SOURCE_AS_TARGET
                                               ? target
                                               : (heed_tokenizer_kind)(config->data.source_tokenizer - 1),
                                 .joint = config->data.joint,
                                 .vocab = (size_t)config->data.vocab,
                                 .valid_share = config->data.valid_share};
}

/* --- vocabularies ----------------------------------------------------------------------------------------------- */

static heed_status add_marks(heed_tokenizer *tokenizer, heed_error *error) {
    static const char *const marks[] = {HEED_MARK_BEGIN, HEED_MARK_END};
    heed_status status = HEED_OK;
    for (size_t i = 0; i < 2 && status == HEED_OK; i++)
        if (heed_tokenizer_mark(tokenizer, marks[i]) < 0)
            status = heedi_tokenizer_add_mark(tokenizer, marks[i], error);
    return status;
}

static heed_status meet_side(const heedi_pair_list *list, heed_side side, heed_tokenizer *tokenizer,
                             heed_error *error) {
    heed_status status = HEED_OK;
    for (size_t i = 0; i < list->n && status == HEED_OK; i++) {
        const heedi_pair *pair = &list->pair[i];
        const heedi_spot spot = heedi_pair_spot(pair, side);
        uint64_t n_tokens;
        status = heedi_tokenizer_meet(tokenizer, &spot, pair->text[side], pair->bytes[side], &n_tokens, error);
    }
    return status;
}

/* The vocabulary of the target's side, and of the source's too when it is joint. */
static heed_status learn(preparation *p, heed_side side, const heed_pairs_settings *settings, heed_error *error) {
    const heed_tokenizer_kind kind = side == HEED_SOURCE ? settings->source : settings->target;
    heed_status status = heedi_tokenizer_begin(&p->own[side], kind, error);
    if (status == HEED_OK && p->own[side]->bpe)
        p->own[side]->bpe->n_wanted = settings->vocab;
    if (status == HEED_OK && (side == HEED_SOURCE || settings->joint))
        status = meet_side(&p->list, HEED_SOURCE, p->own[side], error);
    if (status == HEED_OK && side == HEED_TARGET)
        status = meet_side(&p->list, HEED_TARGET, p->own[side], error);
    if (status == HEED_OK)
        status = heedi_tokenizer_settle(p->own[side], error);
    if (status == HEED_OK)
        status = add_marks(p->own[side], error);
    p->tokenizer[side] = p->own[side];
    return status;
}

static heed_status learn_all(preparation *p, const heed_pairs_settings *settings, heed_error *error) {
    heed_status status = learn(p, HEED_TARGET, settings, error);
    if (status == HEED_OK && !settings->joint)
        return learn(p, HEED_SOURCE, settings, error);
    p->tokenizer[HEED_SOURCE] = p->tokenizer[HEED_TARGET];
    return status;
}

/* --- which pairs are kept to validate --------------------------------------------------------------------------- */

typedef struct ranked {
    uint64_t digest;
    size_t pair;
} ranked;

static int by_digest(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    return x->digest != y->digest ? (x->digest < y->digest ? -1 : 1) : (x->pair > y->pair) - (x->pair < y->pair);
}

static heed_status split_pairs(preparation *p, double valid_share, heed_error *error) {
    const size_t n = p->list.n;
    ranked *order = malloc(n * sizeof *order);
    p->kept = calloc(n, sizeof *p->kept);
    if (!order || !p->kept) {
        free(order);
        return heed_fail(error, HEED_MEMORY, "prepare: no memory for %zu pairs", n);
    }
    for (size_t i = 0; i < n; i++)
        order[i] = (ranked){XXH3_64bits(p->list.pair[i].text[HEED_SOURCE], p->list.pair[i].bytes[HEED_SOURCE]), i};
    qsort(order, n, sizeof *order, by_digest);
    const size_t n_train = (size_t)((double)n * (1.0 - valid_share)), n_valid = n - n_train;
    for (size_t i = 0; i < n && (i < n_valid || (i > 0 && order[i].digest == order[i - 1].digest)); i++)
        p->kept[order[i].pair] = true;
    free(order);
    return HEED_OK;
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

const char *heedi_pairs_tokens(heed_split split, heed_side side) {
    static const char *const names[2][2] = {{"/train/source", "/train/target"}, {"/valid/source", "/valid/target"}};
    return names[split][side];
}

const char *heedi_pairs_firsts(heed_split split, heed_side side) {
    static const char *const names[2][2] = {{"/train/source_first", "/train/target_first"},
                                            {"/valid/source_first", "/valid/target_first"}};
    return names[split][side];
}

static heed_status encode(const preparation *p, heed_split split, heed_side side, int32_t *tokens, uint64_t *first,
                          size_t *n_pairs, heed_error *error) {
    heed_status status = HEED_OK;
    *n_pairs = first[0] = 0;
    for (size_t i = 0; i < p->list.n && status == HEED_OK; i++) {
        size_t n_tokens;
        if (p->kept[i] != (split == HEED_VALID))
            continue;
        status =
            heedi_pair_encode(&p->list.pair[i], side, p->tokenizer[side], tokens + first[*n_pairs], &n_tokens, error);
        if (status == HEED_OK) {
            first[*n_pairs + 1] = first[*n_pairs] + n_tokens;
            ++*n_pairs;
        }
    }
    return status;
}

static heed_status write_array(preparation *p, const char *name, heed_type type, size_t n, const void *data,
                               heed_error *error) {
    p->digest[p->n_digests++] = XXH3_128bits(data, n * heed_type_bytes(type));
    return heed_store_write(p->store, name, type, 1, &n, data, false, error);
}

static heed_status write_side(preparation *p, heed_split split, heed_side side, heed_error *error) {
    size_t n_bytes = 0, n_pairs;
    for (size_t i = 0; i < p->list.n; i++)
        n_bytes += p->list.pair[i].bytes[side];
    int32_t *tokens = malloc(n_bytes * sizeof *tokens);
    uint64_t *first = malloc((p->list.n + 1) * sizeof *first);
    heed_status status =
        tokens && first ? HEED_OK : heed_fail(error, HEED_MEMORY, "prepare: no memory for %zu bytes of text", n_bytes);
    if (status == HEED_OK)
        status = encode(p, split, side, tokens, first, &n_pairs, error);
    if (status == HEED_OK) {
        const heed_type type = heedi_token_type(heed_tokenizer_vocab(p->tokenizer[side]));
        heedi_tokens_narrow(tokens, type, first[n_pairs]);
        status = write_array(p, heedi_pairs_tokens(split, side), type, first[n_pairs], tokens, error);
    }
    if (status == HEED_OK)
        status = write_array(p, heedi_pairs_firsts(split, side), HEED_TYPE_UINT64, n_pairs + 1, first, error);
    free(tokens);
    free(first);
    return status;
}

static heed_status write_tokenizers(preparation *p, heed_error *error) {
    const heed_tokenizer *target = p->tokenizer[HEED_TARGET], *source = p->tokenizer[HEED_SOURCE];
    const heedi_bpe *bpe = target->bpe ? target->bpe : source->bpe;
    const bool learned = p->own[HEED_TARGET] != NULL;
    heed_status status = heed_tokenizer_write(target, p->store, "/tokenizer", error);
    if (status == HEED_OK && source != target)
        status = heed_tokenizer_write(source, p->store, HEEDI_SOURCE_TOKENIZER, error);
    if (status == HEED_OK)
        status = heed_store_write_int(p->store, "/tokenizer", "learned", learned, error);
    if (status == HEED_OK && learned && bpe)
        status = heed_store_write_int(p->store, "/tokenizer", "wanted", (int64_t)bpe->n_wanted, error);
    return status;
}

static heed_status write_provenance(preparation *p, double valid_share, heed_error *error) {
    char digest[HEEDI_DIGEST_TEXT];
    XXH128_hash_t parts[8 + 2 * HEEDI_TOKENIZER_DIGESTS];
    size_t n_parts = p->n_digests;
    memcpy(parts, p->digest, n_parts * sizeof *parts);
    for (heed_side side = HEED_SOURCE; side <= HEED_TARGET; side++)
        n_parts += heedi_tokenizer_digests(p->tokenizer[side], parts + n_parts);
    heed_status status = heedi_provenance_write(p->list.file, p->list.n_files, p->store, error);
    if (status == HEED_OK)
        status = heed_store_write_kind(p->store, HEEDI_PAIRS_KIND, HEEDI_PAIRS_FORMAT, error);
    if (status == HEED_OK)
        status = heed_store_write_number(p->store, "/", "valid_share", valid_share, error);
    if (status == HEED_OK)
        status =
            heed_store_write_int(p->store, "/", "joint", p->tokenizer[HEED_SOURCE] == p->tokenizer[HEED_TARGET], error);
    heedi_provenance_digest(p->list.file, p->list.n_files, digest);
    if (status == HEED_OK)
        status = heed_store_write_text(p->store, "/", "texts_digest", digest, error);
    heedi_digest_text(XXH3_128bits(parts, n_parts * sizeof *parts), digest);
    if (status == HEED_OK)
        status = heed_store_write_text(p->store, "/", "digest", digest, error);
    return status;
}

static heed_status write_store(preparation *p, const char *store_path, double valid_share, heed_error *error) {
    heed_status status = heed_store_create(&p->store, store_path, error);
    if (status != HEED_OK)
        return status;
    for (heed_split split = HEED_TRAIN; split <= HEED_VALID; split++)
        for (heed_side side = HEED_SOURCE; side <= HEED_TARGET && status == HEED_OK; side++)
            status = write_side(p, split, side, error);
    if (status == HEED_OK)
        status = write_tokenizers(p, error);
    if (status == HEED_OK)
        status = write_provenance(p, valid_share, error);
    if (status == HEED_OK)
        return heed_store_seal(p->store, error);
    heed_store_discard(p->store);
    return status;
}

/* --- the whole -------------------------------------------------------------------------------------------------- */

/* tokenizer NULL: learn. */
static heed_status prepare(const char *store_path, const char *const *paths, size_t n_paths,
                           const heed_pairs_settings *settings, heed_tokenizer *tokenizer, heed_error *error) {
    if (!(settings->valid_share >= 0 && settings->valid_share <= 1))
        return heed_fail(error, HEED_CONFIG, "data.valid_share = %g: expected 0 to 1", settings->valid_share);
    if (settings->joint && settings->source != settings->target)
        return heed_fail(error, HEED_CONFIG, "data.joint = yes: a joint vocabulary cuts both sides in one way");
    preparation p = {.tokenizer = {tokenizer, tokenizer}};
    heed_status status = heedi_pair_list_read(&p.list, paths, n_paths, error);
    if (status == HEED_OK)
        status = tokenizer ? add_marks(tokenizer, error) : learn_all(&p, settings, error);
    if (status == HEED_OK)
        status = split_pairs(&p, settings->valid_share, error);
    if (status == HEED_OK)
        status = write_store(&p, store_path, settings->valid_share, error);
    heedi_pair_list_reset(&p.list);
    heed_tokenizer_destroy(p.own[HEED_SOURCE]);
    heed_tokenizer_destroy(p.own[HEED_TARGET]);
    free(p.kept);
    return status;
}

heed_status heed_pairs_prepare(const char *store_path, const char *const *paths, size_t n_paths,
                               const heed_pairs_settings *settings, heed_error *error) {
    return prepare(store_path, paths, n_paths, settings, NULL, error);
}

heed_status heed_pairs_prepare_with(const char *store_path, const char *const *paths, size_t n_paths,
                                    heed_tokenizer *tokenizer, double valid_share, heed_error *error) {
    const heed_tokenizer_kind kind = heed_tokenizer_what(tokenizer);
    const heed_pairs_settings settings = {.source = kind, .target = kind, .joint = true, .valid_share = valid_share};
    return prepare(store_path, paths, n_paths, &settings, tokenizer, error);
}

/* --- is a store made from these files? -------------------------------------------------------------------------- */

static heed_status same_tokenizer(heed_store *store, const char *group, heed_tokenizer_kind kind, bool *same,
                                  heed_error *error) {
    heed_tokenizer *tokenizer;
    const heed_status status = heed_tokenizer_read(&tokenizer, store, group, error);
    if (status != HEED_OK)
        return status;
    *same = *same && heed_tokenizer_what(tokenizer) == kind;
    heed_tokenizer_destroy(tokenizer);
    return HEED_OK;
}

static heed_status same_settings(heed_store *store, const heed_pairs_settings *settings, bool *same,
                                 heed_error *error) {
    double share = 0;
    bool learned = false;
    int64_t wanted = (int64_t)settings->vocab;
    bool joint;
    heed_status status = heedi_pairs_joint(store, &joint, error);
    *same = joint == settings->joint;
    if (status == HEED_OK)
        status = same_tokenizer(store, "/tokenizer", settings->target, same, error);
    if (status == HEED_OK && !joint)
        status = same_tokenizer(store, HEEDI_SOURCE_TOKENIZER, settings->source, same, error);
    if (status == HEED_OK)
        status = heed_store_read_number(store, "/", "valid_share", &share, error);
    if (status == HEED_OK)
        status = heedi_corpus_learned(store, &learned, error);
    *same = *same && learned && share == settings->valid_share;
    if (status == HEED_OK && *same &&
        (settings->source == HEED_TOKENIZER_BPE || settings->target == HEED_TOKENIZER_BPE))
        status = heed_store_read_int(store, "/tokenizer", "wanted", &wanted, error);
    *same = *same && wanted == (int64_t)settings->vocab;
    return status;
}

heed_status heed_pairs_match(const char *store_path, const char *const *paths, size_t n_paths,
                             const heed_pairs_settings *settings, bool *matches, heed_error *error) {
    *matches = false;
    if (access(store_path, F_OK) != 0 && errno == ENOENT)
        return HEED_OK;
    heed_store *store;
    heed_status status = heed_store_open(&store, store_path, false, error);
    if (status != HEED_OK)
        return heedi_hint_in_the_way(error);
    status = heed_store_check_kind(store, HEEDI_PAIRS_KIND, HEEDI_PAIRS_FORMAT, error);
    bool same = false;
    if (status != HEED_OK)
        heedi_hint_in_the_way(error);
    else
        status = same_settings(store, settings, &same, error);
    if (status == HEED_OK && same)
        status = heedi_provenance_same(store, paths, n_paths, matches, error);
    heed_store_close(store);
    return status;
}
