/* One field: from text, to text, and in words. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

bool heedi_field_choice(const heedi_field *field, size_t i, char name[64]) {
    const char *at = field->choices;
    for (; i > 0 && at; i--)
        at = (at = strchr(at, '|')) ? at + 1 : NULL;
    if (!at)
        return false;
    snprintf(name, 64, "%.*s", (int)strcspn(at, "|"), at);
    return true;
}

static bool parse_int(const heedi_field *field, int64_t *value, const char *text) {
    char *end;
    errno = 0;
    const long long parsed = strtoll(text, &end, 10);
    if (end == text || *end || errno || parsed < field->min || parsed > field->max)
        return false;
    *value = parsed;
    return true;
}

static bool parse_real(const heedi_field *field, double *value, const char *text) {
    char *end;
    const double parsed = strtod(text, &end);
    /* strtod also takes 0x1p3, inf and nan; what overflows becomes infinity, which is above every range. */
    const bool decimal = !text[strspn(text, "+-.0123456789eE")];
    if (!decimal || end == text || *end)
        return false;
    if (parsed < field->low || (field->above_low && parsed == field->low) || parsed > field->high ||
        (field->below_high && parsed == field->high))
        return false;
    *value = parsed;
    return true;
}

static bool parse_bool(bool *value, const char *text) {
    static const char *const no_yes[][2] = {{"no", "yes"}, {"false", "true"}, {"off", "on"}, {"0", "1"}};
    for (size_t i = 0; i < sizeof no_yes / sizeof *no_yes; i++)
        for (int answer = 0; answer < 2; answer++)
            if (strcmp(text, no_yes[i][answer]) == 0) {
                *value = answer;
                return true;
            }
    return false;
}

static bool parse_choice(const heedi_field *field, void *value, const char *text) {
    char name[64];
    for (int i = 0; heedi_field_choice(field, (size_t)i, name); i++)
        if (strcmp(text, name) == 0) {
            memcpy(value, &i, sizeof i);
            return true;
        }
    return false;
}

/* A text must come back from its own line of an INI file: it does not look like a comment, and no spaces surround it.
 */
static bool parse_text(char *value, const char *text) {
    const size_t length = strlen(text);
    if (length >= HEED_PATH_MAX || (length && (text[0] == ' ' || text[length - 1] == ' ')))
        return false;
    for (size_t i = 0; i < length; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c < ' ' || c == 127 || ((c == ';' || c == '#') && (i == 0 || text[i - 1] == ' ')))
            return false;
    }
    memcpy(value, text, length + 1);
    return true;
}

bool heedi_field_parse(const heedi_field *field, heed_config *config, const char *text) {
    void *value = (char *)config + field->offset;
    if (text[0] == ' ' || text[0] == '\t') /* strtoll and strtod would skip them */
        return false;
    switch (field->type) {
    case HEEDI_INT:
        return parse_int(field, value, text);
    case HEEDI_REAL:
        return parse_real(field, value, text);
    case HEEDI_BOOL:
        return parse_bool(value, text);
    case HEEDI_CHOICE:
        return parse_choice(field, value, text);
    case HEEDI_TEXT:
        break;
    }
    return parse_text(value, text);
}

/* The fewest digits that give the same double back: 0.1, not 0.10000000000000001. */
static void format_real(double value, char text[HEEDI_VALUE_MAX]) {
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, HEEDI_VALUE_MAX, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            return;
    }
}

void heedi_field_format(const heedi_field *field, const heed_config *config, char text[HEEDI_VALUE_MAX]) {
    const void *value = (const char *)config + field->offset;
    int choice;
    switch (field->type) {
    case HEEDI_INT:
        snprintf(text, HEEDI_VALUE_MAX, "%" PRId64, *(const int64_t *)value);
        return;
    case HEEDI_REAL:
        format_real(*(const double *)value, text);
        return;
    case HEEDI_BOOL:
        snprintf(text, HEEDI_VALUE_MAX, "%s", *(const bool *)value ? "yes" : "no");
        return;
    case HEEDI_CHOICE:
        memcpy(&choice, value, sizeof choice);
        HEED_CHECK(choice >= 0 && heedi_field_choice(field, (size_t)choice, text));
        return;
    case HEEDI_TEXT:
        snprintf(text, HEEDI_VALUE_MAX, "%s", (const char *)value);
    }
}

static void list_choices(const heedi_field *field, char text[HEEDI_EXPECTED_MAX]) {
    char name[64], next[64];
    text[0] = '\0';
    for (size_t i = 0; heedi_field_choice(field, i, name); i++) {
        const bool last = !heedi_field_choice(field, i + 1, next);
        const size_t used = strlen(text);
        snprintf(text + used, HEEDI_EXPECTED_MAX - used, "%s%s", i == 0 ? "" : last ? " or " : ", ", name);
    }
}

void heedi_field_expected(const heedi_field *field, char text[HEEDI_EXPECTED_MAX]) {
    switch (field->type) {
    case HEEDI_INT:
        snprintf(text, HEEDI_EXPECTED_MAX, "a whole number from %" PRId64 " to %" PRId64, field->min, field->max);
        return;
    case HEEDI_REAL:
        snprintf(text, HEEDI_EXPECTED_MAX, "a number %s %g %s %g", field->above_low ? "above" : "from", field->low,
                 field->below_high ? "and below" : "to", field->high);
        return;
    case HEEDI_BOOL:
        snprintf(text, HEEDI_EXPECTED_MAX, "yes or no");
        return;
    case HEEDI_CHOICE:
        list_choices(field, text);
        return;
    case HEEDI_TEXT:
        snprintf(text, HEEDI_EXPECTED_MAX,
                 "at most %d bytes, without control characters, outer spaces or ' ;' and ' #'", HEED_PATH_MAX - 1);
    }
}
