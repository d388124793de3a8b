/* Probes are the sequences whose attention is logged: windows of the validation text, or lines of a file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "train/run.h"

enum { MOST_PROBES = 4096 };

/* A probe of n + 1 tokens is a sequence of n: each token with the one that follows. */
typedef struct probe_rows {
    size_t n_probes;
    size_t *first_row;
    size_t first_of[2];
    uint32_t *sequence;
    int32_t *token, *target;
    real *weight;
} probe_rows;

static heed_status rows_init(heedi_run *run, probe_rows **out, size_t most, size_t time, heed_error *error) {
    const size_t n_rows = heed_bytes(most, time);
    const size_t bytes[] = {sizeof(probe_rows),
                            heed_bytes(most + 1, sizeof(size_t)),
                            heed_bytes(most, sizeof(uint32_t)),
                            heed_bytes(n_rows, sizeof(int32_t)),
                            heed_bytes(n_rows, sizeof(int32_t)),
                            heed_bytes(n_rows, sizeof(real))};
    size_t total = 0;
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++)
        if (__builtin_add_overflow(total, heed_aligned(bytes[i]), &total))
            total = SIZE_MAX;
    const heed_status status = heed_arena_init(&run->look.file_rows, total, "probes", error);
    if (status != HEED_OK)
        return status;
    probe_rows *rows = heed_arena_take(&run->look.file_rows, bytes[0]);
    rows->first_row = heed_arena_take(&run->look.file_rows, bytes[1]);
    rows->sequence = heed_arena_take(&run->look.file_rows, bytes[2]);
    rows->token = heed_arena_take(&run->look.file_rows, bytes[3]);
    rows->target = heed_arena_take(&run->look.file_rows, bytes[4]);
    rows->weight = heed_arena_take(&run->look.file_rows, bytes[5]);
    *out = rows;
    return HEED_OK;
}

static heed_status add_line(probe_rows *rows, const heed_tokenizer *tokenizer, size_t time, const char *place,
                            const char *line, size_t bytes, heed_error *error) {
    int32_t *tokens;
    size_t n_tokens;
    const heed_status status = heed_tokenizer_encode(tokenizer, place, line, bytes, &tokens, &n_tokens, error);
    if (status != HEED_OK)
        return status;
    const size_t length = n_tokens > time ? time : n_tokens ? n_tokens - 1 : 0;
    const size_t row = rows->first_row[rows->n_probes];
    if (length > 0) {
        memcpy(rows->token + row, tokens, length * sizeof *tokens);
        memcpy(rows->target + row, tokens + 1, length * sizeof *tokens);
        for (size_t i = 0; i < length; i++)
            rows->weight[row + i] = 1;
        rows->sequence[rows->n_probes] = (uint32_t)rows->n_probes;
        rows->first_row[++rows->n_probes] = row + length;
    } else {
        heed_fail(error, HEED_DATA, "%s: a probe of %zu token%s", place, n_tokens, n_tokens == 1 ? "" : "s");
        heed_hint(error, "attention needs at least two tokens a line");
    }
    free(tokens);
    return error->status;
}

static heed_status read_lines(heedi_run *run, FILE *file, heed_error *error) {
    const size_t time = (size_t)run->config->model.time;
    char place[HEED_PATH_MAX + 32], *line = NULL;
    size_t capacity = 0, n_lines = 0;
    probe_rows *rows;
    heed_status status = rows_init(run, &rows, MOST_PROBES, time, error);
    while (status == HEED_OK) {
        ssize_t length = getline(&line, &capacity, file);
        if (length < 0)
            break;
        n_lines++;
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
            length--;
        snprintf(place, sizeof place, "%s:%zu", run->config->log.probes, n_lines);
        if (length > 0 && rows->n_probes == MOST_PROBES)
            status = heed_fail(error, HEED_DATA, "%s: more than %d probes", place, MOST_PROBES);
        else if (length > 0)
            status = add_line(rows, heed_corpus_tokenizer(run->corpus), time, place, line, (size_t)length, error);
    }
    free(line);
    if (status == HEED_OK && rows->n_probes == 0)
        status = heed_fail(error, HEED_DATA, "log.probes = %s: no probes in this file", run->config->log.probes);
    if (status != HEED_OK)
        return status;
    rows->first_of[1] = rows->n_probes;
    size_t longest = 0;
    for (size_t p = 0; p < rows->n_probes; p++)
        if (rows->first_row[p + 1] - rows->first_row[p] > longest)
            longest = rows->first_row[p + 1] - rows->first_row[p];
    const size_t n_rows = rows->first_row[rows->n_probes];
    run->look.probes = (heed_batch){.rows = {.n_rows = n_rows,
                                             .n_sequences = rows->n_probes,
                                             .max_length = longest,
                                             .first_row = rows->first_row,
                                             .sequence = rows->sequence,
                                             .n_grains = 1,
                                             .first_of = rows->first_of},
                                    .token = rows->token,
                                    .target = rows->target,
                                    .weight = rows->weight,
                                    .n_global = rows->n_probes,
                                    .weight_total = (double)n_rows};
    return HEED_OK;
}

heed_status heedi_probes_open(heedi_run *run, heed_error *error) {
    const char *probes = run->config->log.probes;
    if (run->comm->rank != 0 || run->config->log.attention_every == 0)
        return HEED_OK;
    char *end;
    const long number = strtol(probes, &end, 10);
    if (end != probes && !*end)
        return heed_batcher_probes(run->trainer.batcher, (size_t)number, &run->look.probes, error);
    FILE *file = fopen(probes, "re");
    if (!file)
        return heed_fail(error, HEED_NOT_FOUND, "log.probes = %s: %s", probes, strerror(errno));
    const heed_status status = read_lines(run, file, error);
    fclose(file);
    return status;
}
