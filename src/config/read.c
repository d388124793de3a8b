/* From text to fields: the one reader behind files, resolved copies and overrides.
 *
 * libinih splits lines into section, key and value. It is lenient where we want to be strict, and builds of it differ
 * (line numbers, longest line, comments, continuation lines). So we feed it ourselves, one line at a time: next_line
 * counts, checks and cleans a line, and set_field, which inih calls for it, knows where it stands. inih never sees a
 * comment, a leading space or an odd byte. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ini.h>
#include <utf8proc.h>

#include "table.h"

#define MOST_BYTES (1 << 20) /* of a whole text: a thousand times what a real one needs */
#define LINE_MAX_BYTES 2048  /* room for a key and a path of HEED_PATH_MAX */

/* Debian's inih can be told at run time how long a line may be; elsewhere it is what it was built with (200 bytes by
 * default). */
extern int ini_max_line __attribute__((weak));

typedef struct reader {
    heed_config *config;
    const char *name; /* NULL: the command line */
    const char *next, *end;
    int line;
    int set_at[HEED_CONFIG_MAX_FIELDS]; /* line of this text that set the field, 0 = none */
    size_t n_set;
    heed_status status;
    heed_error *error;
} reader;

/* The one fault of this text: "<name>:<line>: ", then what the caller says. */
__attribute__((format(printf, 2, 3))) static heed_status fault(reader *r, const char *format, ...) {
    char name[HEEDI_PLACE_MAX], what[640];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    r->status = HEED_CONFIG;
    if (!r->name)
        return heed_fail(r->error, HEED_CONFIG, "command line: %s", what);
    heedi_config_show(name, sizeof name, r->name, strlen(r->name));
    return heed_fail(r->error, HEED_CONFIG, "%s:%d: %s", name, r->line, what);
}

static bool is_space(char c) {
    return c == ' ' || c == '\t';
}

/* Bytes that no line of ours holds: control characters, and what is not UTF-8. */
static heed_status check_bytes(reader *r, const char *line, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes;) {
        utf8proc_int32_t point;
        const utf8proc_ssize_t got =
            utf8proc_iterate((const utf8proc_uint8_t *)line + i, (utf8proc_ssize_t)(n_bytes - i), &point);
        if (got < 1)
            return fault(r, "byte %zu is 0x%02x: not UTF-8 text", i + 1, (unsigned char)line[i]);
        if ((point < ' ' && point != '\t') || point == 127)
            return fault(r, "byte %zu is 0x%02x: a control character", i + 1, (unsigned)point);
        i += (size_t)got;
    }
    return HEED_OK;
}

/* Bytes of the line ahead of its comment and the space before that. */
static size_t without_comment(const char *line, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++)
        if ((line[i] == ';' || line[i] == '#') && (i == 0 || is_space(line[i - 1])))
            n_bytes = i;
    while (n_bytes && is_space(line[n_bytes - 1]))
        n_bytes--;
    return n_bytes;
}

/* What is left of a line is "[section]" with a section that we know, or has a '='. */
static heed_status check_form(reader *r, const char *line, size_t n_bytes) {
    char shown[128], name[64], nearest[64];
    heedi_config_show(shown, sizeof shown, line, n_bytes);
    if (line[0] != '[') {
        if (line[0] != '=' && memchr(line, '=', n_bytes))
            return HEED_OK;
        fault(r, "%s: expected %s", shown, r->name ? "[section] or key = value" : "section.key=value");
        return heed_hint(r->error, "`heed config` lists every key");
    }
    if (!r->name || line[n_bytes - 1] != ']' || memchr(line, ']', n_bytes) != line + n_bytes - 1)
        return fault(r, "%s: expected %s", shown, r->name ? "[section] alone on its line" : "section.key=value");
    snprintf(name, sizeof name, "%.*s", (int)(n_bytes < 64 ? n_bytes - 2 : 62), line + 1);
    if (n_bytes < 64 && heedi_section_known(name))
        return HEED_OK;
    heedi_section_nearest(name, nearest);
    fault(r, "%s: no such section", shown);
    return heed_hint(r->error, "did you mean [%s]?", nearest);
}

/* inih's reader: copies the next line to buffer, or returns NULL at the end and after a fault. */
static char *next_line(char *buffer, int buffer_bytes, void *context) {
    reader *r = context;
    if (r->status != HEED_OK || r->next == r->end)
        return NULL;
    const char *line = r->next;
    const char *newline = memchr(line, '\n', (size_t)(r->end - line));
    size_t n_bytes = (size_t)((newline ? newline : r->end) - line);
    r->next = newline ? newline + 1 : r->end;
    r->line++;
    if (n_bytes && line[n_bytes - 1] == '\r')
        n_bytes--;
    if (check_bytes(r, line, n_bytes) != HEED_OK)
        return NULL;
    for (; n_bytes && is_space(*line); n_bytes--)
        line++;
    n_bytes = without_comment(line, n_bytes);
    if (n_bytes && check_form(r, line, n_bytes) != HEED_OK)
        return NULL;
    if (n_bytes + 3 > (size_t)buffer_bytes) {
        fault(r, "the line is %zu bytes long; at most %d are possible", n_bytes, buffer_bytes - 3);
        return NULL;
    }
    memcpy(buffer, line, n_bytes);
    memcpy(buffer + n_bytes, "\n", 2);
    return buffer;
}

static heed_status unknown_key(reader *r, const char *key, const char *shown_key) {
    size_t distance;
    const heedi_field *nearest = heedi_field_nearest(key, &distance);
    fault(r, "%s: no such key", shown_key);
    if (distance <= 4)
        return heed_hint(r->error, "did you mean %s?", nearest->key);
    return heed_hint(r->error, "`heed config` lists every key; the nearest is %s", nearest->key);
}

static heed_status bad_value(reader *r, const heedi_field *field, const char *value) {
    char shown[128], expected[HEEDI_EXPECTED_MAX], name[64];
    heedi_field_expected(field, expected);
    heedi_config_show(shown, sizeof shown, value, strlen(value));
    fault(r, "%s = %s: expected %s", field->key, shown, expected);
    if (field->type != HEEDI_CHOICE)
        return HEED_CONFIG;
    size_t nearest = 0;
    for (size_t i = 1; heedi_field_choice(field, i, name); i++) {
        char best[64];
        heedi_field_choice(field, nearest, best);
        if (heedi_edit_distance(value, name) < heedi_edit_distance(value, best))
            nearest = i;
    }
    heedi_field_choice(field, nearest, name);
    return heed_hint(r->error, "did you mean %s?", name);
}

/* inih's handler: 1 to go on, 0 after a fault (next_line then ends the text). */
static int set_field(void *context, const char *section, const char *name, const char *value) {
    reader *r = context;
    char key[HEED_PATH_MAX], shown[128];
    snprintf(key, sizeof key, "%s%s%s", section, *section ? "." : "", name);
    heedi_config_show(shown, sizeof shown, key, strlen(key));
    const size_t i = heedi_field_find(key);
    if (i == heedi_n_fields)
        return unknown_key(r, key, shown), 0;
    if (r->set_at[i])
        return fault(r, "%s: set a second time; line %d has it already", shown, r->set_at[i]), 0;
    if (!heedi_field_parse(&heedi_fields[i], r->config, value))
        return bad_value(r, &heedi_fields[i], value), 0;
    r->set_at[i] = r->line;
    r->n_set++;
    r->config->origin.line[i] = r->name ? r->line : HEEDI_BY_COMMAND_LINE;
    return 1;
}

static heed_status read_bytes(reader *r, const char *text, size_t n_bytes) {
    if (n_bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) { /* the mark that some editors put ahead of UTF-8 */
        text += 3;
        n_bytes -= 3;
    }
    r->next = text;
    r->end = text + n_bytes;
    if (&ini_max_line)
        ini_max_line = LINE_MAX_BYTES;
    const int inih = ini_parse_stream(next_line, r, set_field, r);
    if (r->status == HEED_OK && inih != 0) {
        r->line = inih > 0 ? inih : r->line;
        return fault(r, "expected [section] or key = value");
    }
    return r->status;
}

static heed_status read_named(heed_config *config, const char *name, const char *text, size_t n_bytes,
                              heed_error *error) {
    reader r = {.config = config, .name = name, .error = error};
    for (size_t i = 0; i < heedi_n_fields; i++)
        if (config->origin.line[i] > 0)
            config->origin.line[i] = HEEDI_BY_EARLIER_TEXT;
    snprintf(config->origin.name, sizeof config->origin.name, "%s", name);
    return read_bytes(&r, text, n_bytes);
}

heed_status heed_config_read_text(heed_config *config, const char *name, const char *text, heed_error *error) {
    return read_named(config, name, text, strlen(text), error);
}

heed_status heed_config_override(heed_config *config, const char *assignment, heed_error *error) {
    reader r = {.config = config, .error = error};
    const size_t n_bytes = strlen(assignment);
    char shown[128];
    heedi_config_show(shown, sizeof shown, assignment, n_bytes);
    if (strchr(assignment, '\n'))
        return fault(&r, "%s: one setting at a time", shown);
    if (read_bytes(&r, assignment, n_bytes) == HEED_OK && r.n_set == 0)
        return fault(&r, "%s: expected section.key=value", shown);
    return r.status;
}

/* All bytes of a file, at most MOST_BYTES + 1 of them. Returns the count, or -1 with errno set. */
static ssize_t slurp(const char *path, char *bytes) {
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    ssize_t total = 0, got;
    do
        got = read(file, bytes + total, (size_t)(MOST_BYTES + 1 - total));
    while (got > 0 ? (total += got) <= MOST_BYTES : got < 0 && errno == EINTR);
    const int reason = errno;
    close(file);
    errno = reason;
    return got < 0 ? -1 : total;
}

heed_status heed_config_read_file(heed_config *config, const char *path, heed_error *error) {
    char shown[HEEDI_PLACE_MAX];
    heedi_config_show(shown, sizeof shown, path, strlen(path));
    char *bytes = malloc(MOST_BYTES + 1);
    if (!bytes)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", shown);
    const ssize_t n_bytes = slurp(path, bytes);
    heed_status status;
    if (n_bytes < 0)
        status = heed_fail(error, HEED_NOT_FOUND, "%s: cannot be read: %s", shown, strerror(errno));
    else if (n_bytes > MOST_BYTES)
        status = heed_fail(error, HEED_CONFIG, "%s: longer than %d bytes: not a configuration file", shown, MOST_BYTES);
    else
        status = read_named(config, path, bytes, (size_t)n_bytes, error);
    free(bytes);
    return status;
}
