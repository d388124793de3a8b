#include "pair_list.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer_rules.h"

static heed_status fail_line(const heedi_spot *line, const char *what, heed_error *error) {
    heed_fail(error, HEED_DATA, "%s:%" PRIu64 ": %s", line->name, line->line, what);
    return heed_hint(error, "each line is a source, one tab, and a target");
}

/* ASCII white space alone: what the word tokenizer finds no token in, and nobody else anything of use. */
static bool is_blank(const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (text[i] != ' ' && !(text[i] >= '\t' && text[i] <= '\r'))
            return false;
    return true;
}

static heed_status add(heedi_pair_list *list, const heedi_pair *pair, heed_error *error) {
    if (list->n == list->capacity) {
        const size_t capacity = list->capacity ? 2 * list->capacity : 1024;
        heedi_pair *more = realloc(list->pair, capacity * sizeof *more);
        if (!more)
            return heed_fail(error, HEED_MEMORY, "%s: no memory for %zu pairs", pair->line.name, capacity);
        list->pair = more;
        list->capacity = capacity;
    }
    list->pair[list->n++] = *pair;
    return HEED_OK;
}

/* One line without its end. */
static heed_status add_line(heedi_pair_list *list, const heedi_spot *line, const char *text, size_t bytes,
                            heed_error *error) {
    const heed_status status = heedi_utf8_check(line, text, bytes, error);
    if (status != HEED_OK) {
        snprintf(error->hint, sizeof error->hint, "convert the file to UTF-8, for example with iconv");
        return status;
    }
    const char *tab = memchr(text, '\t', bytes);
    if (!tab)
        return fail_line(line, bytes ? "no tab" : "an empty line", error);
    const size_t n_source = (size_t)(tab - text), n_target = bytes - n_source - 1;
    if (memchr(tab + 1, '\t', n_target))
        return fail_line(line, "more than one tab", error);
    if (is_blank(text, n_source))
        return fail_line(line, "the source is empty", error);
    if (is_blank(tab + 1, n_target))
        return fail_line(line, "the target is empty", error);
    return add(list, &(heedi_pair){{text, tab + 1}, {n_source, n_target}, *line}, error);
}

static heed_status add_file(heedi_pair_list *list, heedi_provenance *file, char **text, heed_error *error) {
    size_t n_bytes;
    heed_status status = heedi_text_whole(file->path, text, &n_bytes, file->digest, error);
    file->n_bytes = n_bytes;
    heedi_spot line = {file->path, 1, 0};
    while (status == HEED_OK && line.byte < n_bytes) {
        const char *begin = *text + line.byte;
        const size_t left = n_bytes - line.byte;
        const char *end = memchr(begin, '\n', left);
        const size_t whole = end ? (size_t)(end - begin) : left;
        status = add_line(list, &line, begin, whole > 0 && begin[whole - 1] == '\r' ? whole - 1 : whole, error);
        line.line++;
        line.byte += whole + 1;
    }
    return status;
}

heed_status heedi_pair_list_read(heedi_pair_list *list, const char *const *paths, size_t n_paths, heed_error *error) {
    HEED_CHECK(n_paths > 0);
    *list = (heedi_pair_list){.file = calloc(n_paths, sizeof *list->file), .text = calloc(n_paths, sizeof *list->text)};
    if (!list->file || !list->text)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", paths[0]);
    list->n_files = n_paths;
    heed_status status = HEED_OK;
    for (size_t i = 0; i < n_paths && status == HEED_OK; i++) {
        list->file[i].path = paths[i];
        status = add_file(list, &list->file[i], &list->text[i], error);
    }
    if (status == HEED_OK && list->n == 0)
        status = heed_fail(error, HEED_DATA, "%s: no pairs to learn from: %zu empty file%s", paths[0], n_paths,
                           n_paths == 1 ? "" : "s");
    if (status == HEED_OK && list->n > UINT32_MAX)
        status = heed_fail(error, HEED_DATA, "%s: more than %" PRIu32 " pairs", paths[0], UINT32_MAX);
    return status;
}

void heedi_pair_list_reset(heedi_pair_list *list) {
    for (size_t i = 0; i < list->n_files; i++)
        free(list->text[i]);
    free(list->text);
    free(list->file);
    free(list->pair);
    *list = (heedi_pair_list){0};
}

heedi_spot heedi_pair_spot(const heedi_pair *pair, heed_side side) {
    heedi_spot spot = pair->line;
    spot.byte += (uint64_t)(pair->text[side] - pair->text[HEED_SOURCE]);
    return spot;
}

heed_status heedi_pair_encode(const heedi_pair *pair, heed_side side, const heed_tokenizer *tokenizer, int32_t *tokens,
                              size_t *n_tokens, heed_error *error) {
    const heedi_spot spot = heedi_pair_spot(pair, side);
    const heed_status status =
        heedi_tokenizer_encode(tokenizer, &spot, pair->text[side], pair->bytes[side], tokens, n_tokens, error);
    HEED_CHECK(status != HEED_OK || *n_tokens > 0); /* no side is blank */
    return status;
}
