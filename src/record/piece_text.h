/* Tokens as text for people. */
#ifndef HEED_RECORD_PIECE_TEXT_H
#define HEED_RECORD_PIECE_TEXT_H

#include <stddef.h>

/* A token's bytes as UTF-8: what is UTF-8 as it is, other bytes (and NUL, which ends strings) as \xNN. The caller frees
 * it; NULL without memory. */
char *heedi_piece_text(const char *piece, size_t bytes);

#endif
