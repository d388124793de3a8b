/* Which text files a store was made from. */
#include <stdlib.h>
#include <string.h>

#include "corpus_file.h"
#include "tokenizer_rules.h"

void heedi_provenance_digest(const heedi_provenance *sources, size_t n_sources, char digest[HEEDI_DIGEST_TEXT]) {
    XXH128_hash_t hash = XXH3_128bits("", 0);
    for (size_t i = 0; i < n_sources; i++) {
        char both[2 * HEEDI_DIGEST_TEXT];
        heedi_digest_text(hash, both);
        memcpy(both + HEEDI_DIGEST_TEXT, sources[i].digest, HEEDI_DIGEST_TEXT);
        hash = XXH3_128bits(both, sizeof both);
    }
    heedi_digest_text(hash, digest);
}

heed_status heedi_provenance_write(const heedi_provenance *sources, size_t n, heed_store *store, heed_error *error) {
    const char **names = malloc(n * sizeof *names), **digests = malloc(n * sizeof *digests);
    uint64_t *bytes = malloc(n * sizeof *bytes);
    heed_status status = HEED_OK;
    if (!names || !digests || !bytes)
        status = heed_fail(error, HEED_MEMORY, "%s: out of memory", heed_store_path(store));
    for (size_t i = 0; i < n && status == HEED_OK; i++) {
        names[i] = sources[i].path;
        digests[i] = sources[i].digest;
        bytes[i] = sources[i].n_bytes;
    }
    if (status == HEED_OK)
        status = heed_store_write(store, "/texts/name", HEED_TYPE_STRING, 1, &n, names, false, error);
    if (status == HEED_OK)
        status = heed_store_write(store, "/texts/bytes", HEED_TYPE_UINT64, 1, &n, bytes, false, error);
    if (status == HEED_OK)
        status = heed_store_write(store, "/texts/digest", HEED_TYPE_STRING, 1, &n, digests, false, error);
    free(names);
    free(digests);
    free(bytes);
    return status;
}

static heed_status take_digest(heedi_provenance *source, heed_error *error) {
    heedi_text text;
    heed_status status = heedi_text_open(&text, source->path, error);
    size_t n = 1;
    while (status == HEED_OK && n > 0) {
        const char *piece;
        status = heedi_text_next(&text, &piece, &n, error);
    }
    if (status == HEED_OK)
        heedi_text_digest(&text, source->digest, &source->n_bytes);
    heedi_text_close(&text);
    return status;
}

heed_status heedi_provenance_same(heed_store *store, const char *const *paths, size_t n, bool *same,
                                  heed_error *error) {
    char digest[HEEDI_DIGEST_TEXT], *stored = NULL;
    heedi_provenance *sources = calloc(n, sizeof *sources);
    heed_status status = HEED_OK;
    if (!sources)
        status = heed_fail(error, HEED_MEMORY, "%s: out of memory", heed_store_path(store));
    if (status == HEED_OK)
        status = heed_store_read_text(store, "/", "texts_digest", HEEDI_DIGEST_TEXT, &stored, error);
    for (size_t i = 0; i < n && status == HEED_OK; i++) {
        sources[i].path = paths[i];
        status = take_digest(&sources[i], error);
    }
    if (status == HEED_OK) {
        heedi_provenance_digest(sources, n, digest);
        *same = strcmp(digest, stored) == 0;
    }
    free(stored);
    free(sources);
    return status;
}

heed_status heedi_hint_in_the_way(heed_error *error) {
    return heed_hint(error, "it is in the way of the token store: name another data.store, or remove it");
}

size_t heedi_tokenizer_digests(const heed_tokenizer *t, XXH128_hash_t parts[HEEDI_TOKENIZER_DIGESTS]) {
    size_t n = 2;
    parts[0] = XXH3_128bits(t->first, (t->n_vocab + 1) * sizeof *t->first);
    parts[1] = XXH3_128bits(t->bytes, (size_t)t->first[t->n_vocab]);
    if (t->bpe)
        parts[n++] = XXH3_128bits(t->bpe->pair, 2 * t->bpe->n_merges * sizeof *t->bpe->pair);
    return n;
}
