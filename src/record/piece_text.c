#include "record/piece_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

char *heedi_piece_text(const char *piece, size_t bytes) {
    char *text = malloc(4 * bytes + 1), *to = text;
    for (size_t at = 0; text && at < bytes;) {
        utf8proc_int32_t code;
        const utf8proc_ssize_t used =
            utf8proc_iterate((const utf8proc_uint8_t *)piece + at, (utf8proc_ssize_t)(bytes - at), &code);
        if (used > 0 && code != 0) {
            memcpy(to, piece + at, (size_t)used);
            to += used, at += (size_t)used;
        } else {
            to += sprintf(to, "\\x%02x", (unsigned char)piece[at++]);
        }
    }
    if (text)
        *to = 0;
    return text;
}
