/* GPT-2's two files. encoder.json: an object from pieces to their numbers. vocab.bpe: a line "#version: ...", then one
 * merge a line, two pieces with a blank between. In both a byte is written as a character that prints: itself where it
 * is printable Latin-1, otherwise U+0100 and on in the order of bytes. Pieces that are neither a byte nor made by a
 * merge ("<|endoftext|>") are marks. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tokenizer_rules.h"

enum { N_ALIASES = 324 }; /* U+0100 + 68 - 1 is the last one */

typedef struct reader {
    const char *encoder, *merges; /* names of the files */
    int16_t byte_of[N_ALIASES];   /* -1: stands for no byte */
    const char **names;           /* (n) by number, in the files' writing; owned by the JSON object */
    size_t n;
    heed_tokenizer *tokenizer;
    char *bytes; /* room for a piece */
} reader;

static void fill_aliases(int16_t byte_of[N_ALIASES]) {
    int next = 256;
    memset(byte_of, -1, N_ALIASES * sizeof *byte_of);
    for (int byte = 0; byte < 256; byte++) {
        const bool prints = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
        byte_of[prints ? byte : next++] = (int16_t)byte;
    }
}

/* The bytes that a name of n bytes stands for; SIZE_MAX when it has a character that stands for none. */
static size_t bytes_of(const reader *r, const char *name, size_t n, char *out) {
    size_t n_out = 0;
    for (size_t at = 0, length; at < n; at += length) {
        int32_t code;
        length = heedi_utf8_next(name + at, n - at, &code);
        if (length == 0 || code >= N_ALIASES || r->byte_of[code] < 0)
            return SIZE_MAX;
        out[n_out++] = (char)r->byte_of[code];
    }
    return n_out;
}

static heed_status read_names(reader *r, const json_t *object, size_t *longest, heed_error *error) {
    const char *name;
    json_t *value;
    r->n = json_object_size(object);
    r->names = calloc(r->n + 1, sizeof *r->names);
    if (!r->names)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", r->encoder);
    json_object_foreach((json_t *)object, name, value) {
        const json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
        if (number < 0 || (size_t)number >= r->n || r->names[number])
            return heed_fail(error, HEED_DATA, "%s: the numbers of its %zu pieces are not 0 to %zu, each once",
                             r->encoder, r->n, r->n - 1);
        r->names[number] = name;
        *longest = strlen(name) > *longest ? strlen(name) : *longest;
    }
    return r->n > 0 ? HEED_OK : heed_fail(error, HEED_DATA, "%s: there are no pieces", r->encoder);
}

/* One line of merges; its pieces and what they make are looked up by their bytes. */
static heed_status read_merge(reader *r, const heedi_words *pieces, char *line, size_t number, heed_error *error) {
    char *blank = strchr(line, ' ');
    size_t n_left = SIZE_MAX, n_right = SIZE_MAX;
    if (blank && blank > line && blank[1]) {
        n_left = bytes_of(r, line, (size_t)(blank - line), r->bytes);
        if (n_left != SIZE_MAX)
            n_right = bytes_of(r, blank + 1, strlen(blank + 1), r->bytes + n_left);
    }
    if (n_right == SIZE_MAX)
        return heed_fail(error, HEED_DATA, "%s:%zu: expected two pieces with a blank between them", r->merges, number);
    const size_t left = heedi_words_find(pieces, r->bytes, n_left);
    const size_t right = heedi_words_find(pieces, r->bytes + n_left, n_right);
    const size_t made = heedi_words_find(pieces, r->bytes, n_left + n_right);
    if (left == HEEDI_NO_WORD || right == HEEDI_NO_WORD || made == HEEDI_NO_WORD)
        return heed_fail(error, HEED_DATA, "%s:%zu: a piece, or what both make, is not in %s", r->merges, number,
                         r->encoder);
    return heedi_bpe_add(r->tokenizer->bpe, (int32_t)left, (int32_t)right, (int32_t)made, error);
}

static heed_status read_merges(reader *r, const heedi_words *pieces, size_t longest, heed_error *error) {
    FILE *file = fopen(r->merges, "re");
    if (!file)
        return heed_fail(error, HEED_NOT_FOUND, "%s: %s", r->merges, strerror(errno));
    char *line = NULL;
    size_t capacity = 0, number = 0;
    heed_status status = HEED_OK;
    for (ssize_t n; status == HEED_OK && (n = getline(&line, &capacity, file)) >= 0;) {
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            line[--n] = 0;
        number++;
        if (n == 0 || (number == 1 && strncmp(line, "#version", 8) == 0))
            continue;
        if ((size_t)n > 2 * longest + 1 || memchr(line, 0, (size_t)n))
            status =
                heed_fail(error, HEED_DATA, "%s:%zu: expected two pieces with a blank between them", r->merges, number);
        else
            status = read_merge(r, pieces, line, number, error);
    }
    if (status == HEED_OK && ferror(file))
        status = heed_fail(error, HEED_IO, "%s: cannot be read", r->merges);
    free(line);
    fclose(file);
    return status;
}

/* Tokens [0, *n_text) are bytes and what merges make, the others marks. */
static heed_status find_marks(const reader *r, const heedi_words *pieces, size_t *n_text, heed_error *error) {
    const heedi_bpe *bpe = r->tokenizer->bpe;
    HEED_CHECK(r->n > 0); /* read_names refused an empty vocabulary */
    bool *from_text = calloc(r->n, sizeof *from_text);
    if (!from_text)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", r->encoder);
    for (size_t t = 0; t < r->n; t++) {
        size_t bytes;
        heedi_words_at(pieces, t, &bytes);
        from_text[t] = bytes == 1;
    }
    for (size_t m = 0; m < bpe->n_merges; m++)
        from_text[bpe->result[m]] = true;
    *n_text = 0;
    while (*n_text < r->n && from_text[*n_text])
        ++*n_text;
    heed_status status = HEED_OK;
    for (size_t t = *n_text; t < r->n && status == HEED_OK; t++)
        if (from_text[t])
            status = heed_fail(error, HEED_DATA, "%s: piece %zu is made by no merge, but is not behind all that are",
                               r->encoder, *n_text);
    free(from_text);
    if (status == HEED_OK && r->n - *n_text > HEEDI_MAX_MARKS)
        status = heed_fail(error, HEED_DATA, "%s: %zu pieces are made by no merge of %s: expected at most %d",
                           r->encoder, r->n - *n_text, r->merges, HEEDI_MAX_MARKS);
    return status;
}

static heed_status read_both(reader *r, const json_t *object, heed_error *error) {
    heedi_words pieces = {0};
    size_t longest = 0, number = 0, n_text = 0, token = 0;
    const char *fault = NULL;
    heed_status status = read_names(r, object, &longest, error);
    if (status == HEED_OK && !(r->bytes = malloc(2 * longest + 2)))
        status = heed_fail(error, HEED_MEMORY, "%s: out of memory", r->encoder);
    for (size_t t = 0; t < r->n && status == HEED_OK; t++) {
        const size_t n = bytes_of(r, r->names[t], strlen(r->names[t]), r->bytes);
        if (n == SIZE_MAX)
            status =
                heed_fail(error, HEED_DATA, "%s: piece %zu has a character that stands for no byte", r->encoder, t);
        else
            status = heedi_words_add(&pieces, r->bytes, n, &number, error);
        HEED_CHECK(status != HEED_OK || number == t); /* other names stand for other bytes */
    }
    if (status == HEED_OK)
        status = read_merges(r, &pieces, longest, error);
    if (status == HEED_OK)
        status = find_marks(r, &pieces, &n_text, error);
    if (status == HEED_OK)
        status = heedi_tokenizer_table_of(r->tokenizer, &pieces, error);
    r->tokenizer->n_text = n_text;
    if (status == HEED_OK)
        status = heedi_bpe_rules.adopt(r->tokenizer, &token, &fault, error);
    if (status == HEED_OK && fault)
        status = heed_fail(error, HEED_DATA, "%s: token %zu %s", r->encoder, token, fault);
    heedi_words_reset(&pieces);
    return status;
}

heed_status heed_tokenizer_of_gpt2(heed_tokenizer **tokenizer, const char *encoder_path, const char *merges_path,
                                   heed_error *error) {
    reader r = {.encoder = encoder_path, .merges = merges_path};
    json_error_t fault;
    *tokenizer = NULL;
    fill_aliases(r.byte_of);
    FILE *file = fopen(encoder_path, "re");
    if (!file)
        return heed_fail(error, HEED_NOT_FOUND, "%s: %s", encoder_path, strerror(errno));
    json_t *object = json_loadf(file, JSON_REJECT_DUPLICATES, &fault);
    fclose(file);
    heed_status status = HEED_OK;
    if (!object)
        status = heed_fail(error, HEED_DATA, "%s:%d: %s", encoder_path, fault.line, fault.text);
    else if (!json_is_object(object))
        status = heed_fail(error, HEED_DATA, "%s: expected an object of pieces and their numbers", encoder_path);
    if (status == HEED_OK)
        status = heedi_tokenizer_begin(&r.tokenizer, HEED_TOKENIZER_BPE, error);
    if (status == HEED_OK)
        status = read_both(&r, object, error);
    if (status == HEED_OK)
        *tokenizer = r.tokenizer;
    else
        heed_tokenizer_destroy(r.tokenizer);
    json_decref(object);
    free(r.names);
    free(r.bytes);
    return status;
}
