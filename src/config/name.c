/* Names: finding a key, the nearest one to a misspelt one, and showing names and places in messages. */
#include <string.h>

#include <utf8proc.h>

#include "base/sizes.h"
#include "table.h"

#define LONGEST 64

/* Optimal string alignment (Damerau 1964), three rows of the usual table. */
size_t heedi_edit_distance(const char *a, const char *b) {
    const size_t n_a = strnlen(a, LONGEST), n_b = strnlen(b, LONGEST);
    size_t row[3][LONGEST + 1];
    for (size_t j = 0; j <= n_b; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        size_t *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            now[j] = heedi_min(last[j - 1] + (a[i - 1] != b[j - 1]), heedi_min(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = heedi_min(now[j], before[j - 2] + 1);
        }
    }
    return row[n_a % 3][n_b];
}

size_t heedi_field_find(const char *key) {
    size_t i = 0;
    while (i < heedi_n_fields && strcmp(heedi_fields[i].key, key) != 0)
        i++;
    return i;
}

const heedi_field *heedi_field_nearest(const char *key, size_t *distance) {
    const char *dot = strrchr(key, '.');
    const char *name = dot ? dot + 1 : key;
    size_t nearest = 0, shortest = SIZE_MAX;
    for (size_t i = 0; i < heedi_n_fields; i++) {
        /* A right or nearly right name in a wrong section, or without one, is one slip more. */
        const size_t of_name = 1 + heedi_edit_distance(name, strchr(heedi_fields[i].key, '.') + 1);
        const size_t of_key = heedi_min(heedi_edit_distance(key, heedi_fields[i].key), of_name);
        if (of_key < shortest) {
            shortest = of_key;
            nearest = i;
        }
    }
    if (distance)
        *distance = shortest;
    return &heedi_fields[nearest];
}

static void section_of(const heedi_field *field, char name[64]) {
    snprintf(name, 64, "%.*s", (int)strcspn(field->key, "."), field->key);
}

bool heedi_section_known(const char *section) {
    char name[64];
    for (size_t i = 0; i < heedi_n_fields; i++) {
        section_of(&heedi_fields[i], name);
        if (strcmp(name, section) == 0)
            return true;
    }
    return false;
}

void heedi_section_nearest(const char *section, char name[64]) {
    size_t shortest = SIZE_MAX;
    for (size_t i = 0; i < heedi_n_fields; i++) {
        char candidate[64];
        section_of(&heedi_fields[i], candidate);
        const size_t distance = heedi_edit_distance(section, candidate);
        if (distance < shortest) {
            shortest = distance;
            memcpy(name, candidate, sizeof candidate);
        }
    }
}

char *heedi_config_show(char *out, size_t out_bytes, const char *text, size_t text_bytes) {
    HEED_CHECK(out_bytes >= 8);
    size_t used = 0;
    for (size_t i = 0; i < text_bytes;) {
        utf8proc_int32_t point;
        const utf8proc_ssize_t got =
            utf8proc_iterate((const utf8proc_uint8_t *)text + i, (utf8proc_ssize_t)(text_bytes - i), &point);
        const bool plain = got > 0 && point >= ' ' && point != 127 && !(point >= 0x80 && point < 0xa0) &&
                           point != 0x2028 && point != 0x2029;
        const size_t bytes = got > 0 ? (size_t)got : 1;
        const size_t needed = plain ? bytes : 4 * bytes;
        const size_t reserve = i + bytes < text_bytes ? 4 : 1; /* for "..." and the end */
        if (used + needed + reserve > out_bytes) {
            memcpy(out + used, "...", 3);
            used += 3;
            break;
        }
        if (plain)
            memcpy(out + used, text + i, bytes);
        else
            for (size_t b = 0; b < bytes; b++)
                snprintf(out + used + 4 * b, 5, "\\x%02x", (unsigned char)text[i + b]);
        used += needed;
        i += bytes;
    }
    out[used] = '\0';
    return out;
}

void heedi_field_place(const heed_config *config, size_t field, char place[HEEDI_PLACE_MAX]) {
    char name[HEEDI_PLACE_MAX - 16];
    const int line = config->origin.line[field];
    if (line == HEEDI_BY_COMMAND_LINE)
        snprintf(place, HEEDI_PLACE_MAX, "command line");
    else if (line == HEEDI_BY_DEFAULT)
        snprintf(place, HEEDI_PLACE_MAX, "default");
    else if (line == HEEDI_BY_EARLIER_TEXT)
        snprintf(place, HEEDI_PLACE_MAX, "earlier configuration");
    else
        snprintf(place, HEEDI_PLACE_MAX, "%s:%d",
                 heedi_config_show(name, sizeof name, config->origin.name, strlen(config->origin.name)), line);
}
