#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

heed_status heedi_text_open(heedi_text *text, const char *path, heed_error *error) {
    *text = (heedi_text){.fd = -1, .spot = {path, 1, 0}, .whole = heedi_utf8_whole};
    struct stat info;
    if (stat(path, &info) != 0)
        return heed_fail(error, HEED_NOT_FOUND, "%s: cannot read the text: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode)) { /* a pipe could be read only once, and opening it may wait for ever */
        heed_fail(error, HEED_NOT_FOUND, "%s: cannot read the text: not a regular file", path);
        return heed_hint(error, "text is read twice: save it to a file first");
    }
    text->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (text->fd < 0)
        return heed_fail(error, HEED_NOT_FOUND, "%s: cannot read the text: %s", path, strerror(errno));
    text->buffer = malloc(HEEDI_PIECE_BYTES);
    text->state = XXH3_createState();
    if (!text->buffer || !text->state)
        return heed_fail(error, HEED_MEMORY, "%s: no memory to read the text", path);
    XXH3_128bits_reset(text->state);
    return HEED_OK;
}

void heedi_text_close(heedi_text *text) {
    if (text->fd >= 0)
        close(text->fd);
    free(text->buffer);
    XXH3_freeState(text->state);
    *text = (heedi_text){.fd = -1};
}

/* Fills the buffer behind what it still holds. */
static heed_status fill(heedi_text *text, heed_error *error) {
    while (text->n_buffered < HEEDI_PIECE_BYTES && !text->ended) {
        char *end = text->buffer + text->n_buffered;
        const ssize_t n = read(text->fd, end, HEEDI_PIECE_BYTES - text->n_buffered);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return heed_fail(error, HEED_IO, "%s: cannot read the text: %s", text->spot.name, strerror(errno));
        text->ended = n == 0;
        XXH3_128bits_update(text->state, end, (size_t)n);
        text->n_buffered += (size_t)n;
    }
    return HEED_OK;
}

heed_status heedi_text_next(heedi_text *text, const char **piece, size_t *bytes, heed_error *error) {
    text->spot = heedi_spot_of(&text->spot, text->buffer, text->n_given);
    text->n_buffered -= text->n_given;
    memmove(text->buffer, text->buffer + text->n_given, text->n_buffered);
    text->n_given = 0;
    const heed_status status = fill(text, error);
    if (status != HEED_OK)
        return status;
    text->n_given = text->ended ? text->n_buffered : text->whole(text->buffer, text->n_buffered);
    if (text->n_given == 0)
        text->n_given = heedi_utf8_whole(text->buffer, text->n_buffered);
    *piece = text->buffer;
    *bytes = text->n_given;
    return HEED_OK;
}

void heedi_text_digest(const heedi_text *text, char digest[HEEDI_DIGEST_TEXT], uint64_t *bytes) {
    heedi_digest_text(XXH3_128bits_digest(text->state), digest);
    *bytes = text->spot.byte + text->n_buffered;
}

void heedi_digest_text(XXH128_hash_t hash, char digest[HEEDI_DIGEST_TEXT]) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    for (size_t i = 0; i < sizeof canonical.digest; i++)
        snprintf(digest + 2 * i, 3, "%02x", canonical.digest[i]);
}

heed_status heedi_text_whole(const char *path, char **text, size_t *n_bytes, char digest[HEEDI_DIGEST_TEXT],
                             heed_error *error) {
    heedi_text file;
    *text = NULL;
    *n_bytes = 0;
    heed_status status = heedi_text_open(&file, path, error);
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
    if (status == HEED_OK) {
        uint64_t all;
        heedi_text_digest(&file, digest, &all);
    } else {
        free(*text);
        *text = NULL;
    }
    heedi_text_close(&file);
    return status;
}
