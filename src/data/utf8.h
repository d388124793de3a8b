/* Strict UTF-8 (Unicode 15, section 3.9, table 3-7): whoever reads text learns where it is wrong and how. */
#ifndef HEED_DATA_UTF8_H
#define HEED_DATA_UTF8_H

#include <stddef.h>
#include <stdint.h>

#include "heed/status.h"

#define HEEDI_N_CODES 0x110000 /* code points are below this */

/* Where a piece of text begins in its file: what messages need. */
typedef struct heedi_spot {
    const char *name; /* of the file */
    uint64_t line;    /* from 1 */
    uint64_t byte;    /* from 0, as in a hex dump */
} heedi_spot;

/* The place of byte `at` of a text that begins at `start`. */
heedi_spot heedi_spot_of(const heedi_spot *start, const char *text, size_t at);

/* Reads the code point at the front of text (bytes > 0) and returns its length in bytes, or 0 where text is not
 * well-formed: an overlong form, a surrogate, a number beyond U+10FFFF, a stray or a missing continuation byte. */
size_t heedi_utf8_next(const char *text, size_t bytes, int32_t *code);

/* Fills error for the ill-formed bytes at the front of text + at. Returns HEED_DATA. */
heed_status heedi_utf8_fail(const heedi_spot *start, const char *text, size_t bytes, size_t at, heed_error *error);

/* Where the first byte that is not UTF-8 stands; `bytes` when there is none. check fails there with HEED_DATA. */
size_t heedi_utf8_ill_formed(const char *text, size_t bytes);
heed_status heedi_utf8_check(const heedi_spot *start, const char *text, size_t bytes, heed_error *error);

/* The length of text without a code point at its end of which bytes are still to come (at most three bytes less). */
size_t heedi_utf8_whole(const char *text, size_t bytes);

/* How a code point is shown in messages: "U+00E9 'é'", without the character where it does not print. */
#define HEEDI_CODE_TEXT 24
const char *heedi_code_text(int32_t code, char text[HEEDI_CODE_TEXT]);

#endif
