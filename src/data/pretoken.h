/* The one door to PCRE2: text cut as GPT-2 cuts it before byte pairs are merged (Radford et al. 2019): contractions,
 * then letters, digits or other signs with at most one blank in front, then white space. Joined, the cuts are the text.
 */
#ifndef HEED_DATA_PRETOKEN_H
#define HEED_DATA_PRETOKEN_H

#include <stddef.h>

#include "heed/status.h"

typedef struct heedi_pretokens heedi_pretokens;

/* Errors: HEED_MEMORY. */
heed_status heedi_pretokens_create(heedi_pretokens **pretokens, heed_error *error);
void heedi_pretokens_destroy(heedi_pretokens *pretokens);

/* The length of the pretoken at text + at (at < bytes) of a text in UTF-8, which the caller has checked. */
size_t heedi_pretokens_next(heedi_pretokens *pretokens, const char *text, size_t bytes, size_t at);

/* How much of a text can be cut without seeing what follows: ahead of the last white space behind a sign that is none.
 */
size_t heedi_pretokens_whole(const char *text, size_t bytes);

#endif
