#include "utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

heedi_spot heedi_spot_of(const heedi_spot *start, const char *text, size_t at) {
    heedi_spot place = {start->name, start->line, start->byte + at};
    const char *end = text + at;
    for (const char *p = text; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
        place.line++;
    return place;
}

size_t heedi_utf8_next(const char *text, size_t bytes, int32_t *code) {
    const unsigned char first = (unsigned char)text[0];
    if (first < 0x80) { /* most of most texts */
        *code = first;
        return 1;
    }
    utf8proc_int32_t found;
    const utf8proc_ssize_t length =
        utf8proc_iterate((const utf8proc_uint8_t *)text, bytes < 4 ? (int)bytes : 4, &found);
    *code = found;
    return length > 0 ? (size_t)length : 0;
}

/* How many bytes the first byte announces; 0 for a byte that cannot be a first one. */
static size_t announced(unsigned char first) {
    return first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
}

/* Names the fault; *n_shown is the number of bytes that it can be seen from. */
static const char *fault(const unsigned char *text, size_t bytes, size_t *n_shown) {
    const unsigned char first = text[0];
    *n_shown = 1;
    if (first >= 0x80 && first < 0xC0)
        return "a continuation byte without a first byte";
    if (first == 0xC0 || first == 0xC1)
        return "an overlong form";
    if (first >= 0xF5)
        return first < 0xF8 ? "a code point beyond U+10FFFF" : "a byte that never occurs in UTF-8";
    if (bytes > 1 && (text[1] & 0xC0) == 0x80) {
        *n_shown = 2;
        if ((first == 0xE0 && text[1] < 0xA0) || (first == 0xF0 && text[1] < 0x90))
            return "an overlong form";
        if (first == 0xED && text[1] > 0x9F)
            return "a surrogate";
        if (first == 0xF4 && text[1] > 0x8F)
            return "a code point beyond U+10FFFF";
    }
    size_t n = 1;
    while (n < announced(first) && n < bytes && (text[n] & 0xC0) == 0x80)
        n++;
    *n_shown = n;
    return n == bytes ? "a character that the end of the text cuts off" : "a character whose last bytes are missing";
}

heed_status heedi_utf8_fail(const heedi_spot *start, const char *text, size_t bytes, size_t at, heed_error *error) {
    size_t n_shown;
    const char *what = fault((const unsigned char *)text + at, bytes - at, &n_shown);
    char shown[4 * 5 + 1] = "";
    for (size_t i = 0; i < n_shown; i++)
        snprintf(shown + 5 * i, sizeof shown - 5 * i, " 0x%02X", (unsigned char)text[at + i]);
    const heedi_spot spot = heedi_spot_of(start, text, at);
    heed_fail(error, HEED_DATA, "%s:%" PRIu64 ": byte %" PRIu64 " =%s: invalid UTF-8: %s", spot.name, spot.line,
              spot.byte, shown, what);
    return heed_hint(error, "convert the text to UTF-8, for example with iconv, or use the byte tokenizer");
}

size_t heedi_utf8_ill_formed(const char *text, size_t bytes) {
    size_t at = 0, length = 1;
    for (int32_t code; at < bytes && length > 0; at += length)
        length = heedi_utf8_next(text + at, bytes - at, &code);
    return at;
}

heed_status heedi_utf8_check(const heedi_spot *start, const char *text, size_t bytes, heed_error *error) {
    const size_t at = heedi_utf8_ill_formed(text, bytes);
    return at == bytes ? HEED_OK : heedi_utf8_fail(start, text, bytes, at, error);
}

size_t heedi_utf8_whole(const char *text, size_t bytes) {
    for (size_t back = 1; back <= 3 && back <= bytes; back++) {
        const unsigned char byte = (unsigned char)text[bytes - back];
        if ((byte & 0xC0) == 0x80)
            continue;
        return announced(byte) > back ? bytes - back : bytes;
    }
    return bytes;
}

const char *heedi_code_text(int32_t code, char text[HEEDI_CODE_TEXT]) {
    const int used = snprintf(text, HEEDI_CODE_TEXT, "U+%04" PRIX32, (uint32_t)code);
    const utf8proc_category_t category = utf8proc_category(code);
    const int prints = category != UTF8PROC_CATEGORY_CC && category != UTF8PROC_CATEGORY_CF &&
                       category != UTF8PROC_CATEGORY_CS && category != UTF8PROC_CATEGORY_CO &&
                       category != UTF8PROC_CATEGORY_CN && category != UTF8PROC_CATEGORY_ZL &&
                       category != UTF8PROC_CATEGORY_ZP && utf8proc_charwidth(code) > 0;
    if (prints) {
        utf8proc_uint8_t bytes[4];
        const int length = (int)utf8proc_encode_char(code, bytes);
        snprintf(text + used, (size_t)(HEEDI_CODE_TEXT - used), " '%.*s'", length, (const char *)bytes);
    }
    return text;
}
