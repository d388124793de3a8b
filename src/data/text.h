/* A text file, read piece by piece: memory does not grow with the file, and a piece never ends inside a character. */
#ifndef HEED_DATA_TEXT_H
#define HEED_DATA_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

#include "heed/status.h"
#include "utf8.h"

#define HEEDI_PIECE_BYTES ((size_t)1 << 20)
#define HEEDI_DIGEST_TEXT 33 /* XXH3-128 in hex, as xxh128sum prints it, and NUL */

typedef struct heedi_text {
    int fd;
    char *buffer;        /* (HEEDI_PIECE_BYTES) */
    size_t n_buffered;   /* bytes in it */
    size_t n_given;      /* of these, bytes that the last piece held */
    heedi_spot spot;     /* where the last piece begins */
    XXH3_state_t *state; /* of the bytes read so far */
    bool ended;

    /* How much of a text may end a piece; heedi_utf8_whole once opened. Where it finds no end in a whole buffer, a
     * piece ends behind the last whole character. */
    size_t (*whole)(const char *text, size_t bytes);
} heedi_text;

/* Errors: HEED_NOT_FOUND (missing, unreadable, not a regular file), HEED_MEMORY. Ownership: heedi_text_close, which may
 * also follow a failed open. path must outlive it. */
heed_status heedi_text_open(heedi_text *text, const char *path, heed_error *error);
void heedi_text_close(heedi_text *text);

/* The next piece, valid until the next call; *bytes is 0 at the end of the file. text->spot tells where it begins.
 * Errors: HEED_IO. */
heed_status heedi_text_next(heedi_text *text, const char **piece, size_t *bytes, heed_error *error);

/* Digest and size of all that was read; of the whole file once next has told its end. */
void heedi_text_digest(const heedi_text *text, char digest[HEEDI_DIGEST_TEXT], uint64_t *bytes);

/* A whole file in memory, for an encoder that may look at more than a piece. The caller frees *text, which is NULL
 * after a failure. Errors: as above. */
heed_status heedi_text_whole(const char *path, char **text, size_t *n_bytes, char digest[HEEDI_DIGEST_TEXT],
                             heed_error *error);

/* The hex form of a digest. */
void heedi_digest_text(XXH128_hash_t hash, char digest[HEEDI_DIGEST_TEXT]);

#endif
