#include "report/page.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utf8proc.h>

heed_status heedi_page_open(heedi_page *page, const char *path, heed_error *error) {
    *page = (heedi_page){0};
    if (snprintf(page->path, sizeof page->path, "%s", path) >= HEED_PATH_MAX - 4)
        return heed_fail(error, HEED_CREATE, "%s: the name is too long", path);
    snprintf(page->temporary, sizeof page->temporary, "%.*s.tmp", HEED_PATH_MAX - 5, page->path);
    if (!(page->file = fopen(page->temporary, "we")))
        return heed_fail(error, HEED_CREATE, "%s: cannot be created: %s", path, strerror(errno));
    return HEED_OK;
}

heed_status heedi_page_close(heedi_page *page, heed_error *error) {
    if (!page->file)
        return error->status;
    const bool failed = fflush(page->file) != 0 || ferror(page->file);
    const int reason = errno;
    if ((fclose(page->file) != 0 || failed) && error->status == HEED_OK)
        heed_fail(error, HEED_IO, "%s: %s", page->path, strerror(failed ? reason : errno));
    if (error->status == HEED_OK && rename(page->temporary, page->path) != 0)
        heed_fail(error, HEED_CREATE, "%s: cannot be created: %s", page->path, strerror(errno));
    if (error->status != HEED_OK)
        unlink(page->temporary);
    page->file = NULL;
    return error->status;
}

/* Failures are the stream's, and close tells of them. */
void heedi_page_bytes(heedi_page *page, const char *bytes, size_t n_bytes) {
    fwrite(bytes, 1, n_bytes, page->file);
}

void heedi_page_base64(heedi_page *page, const unsigned char *bytes, size_t n_bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n_bytes; i += 3) {
        const size_t n = n_bytes - i;
        const unsigned three =
            (unsigned)bytes[i] << 16 | (n > 1 ? (unsigned)bytes[i + 1] << 8 : 0) | (n > 2 ? (unsigned)bytes[i + 2] : 0);
        const char four[] = {digits[three >> 18], digits[three >> 12 & 63], n > 1 ? digits[three >> 6 & 63] : '=',
                             n > 2 ? digits[three & 63] : '='};
        fwrite(four, 1, sizeof four, page->file);
    }
}

/* In JSON "<" can stand in a string only, and there \u003c means the same. */
static int write_escaped(const char *bytes, size_t n, void *context) {
    const heedi_page *page = context;
    while (n > 0) {
        const char *special = memchr(bytes, '<', n);
        const size_t plain = special ? (size_t)(special - bytes) : n;
        fwrite(bytes, 1, plain, page->file);
        if (special)
            fputs("\\u003c", page->file);
        bytes += plain + (special != NULL), n -= plain + (special != NULL);
    }
    return ferror(page->file) ? -1 : 0;
}

heed_status heedi_page_json(heedi_page *page, const json_t *json, heed_error *error) {
    if (!json || json_dump_callback(json, write_escaped, page, JSON_COMPACT | JSON_REAL_PRECISION(7)) != 0)
        return ferror(page->file) ? HEED_OK : heed_fail(error, HEED_MEMORY, "%s: out of memory", page->path);
    return HEED_OK;
}

json_t *heedi_json_text(const char *text) {
    const size_t n = strlen(text);
    char *clean = malloc(4 * n + 1), *to = clean;
    for (size_t at = 0; clean && at < n;) {
        utf8proc_int32_t code;
        const utf8proc_ssize_t used =
            utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(n - at), &code);
        if (used > 0) {
            memcpy(to, text + at, (size_t)used);
            to += used, at += (size_t)used;
        } else {
            to += sprintf(to, "\\x%02x", (unsigned char)text[at++]);
        }
    }
    json_t *json = clean ? json_stringn(clean, (size_t)(to - clean)) : NULL;
    free(clean);
    return json;
}

json_t *heedi_json_number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *heedi_json_numbers(const double *values, size_t n) {
    json_t *all = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(all, heedi_json_number(values[i]));
    return all;
}
