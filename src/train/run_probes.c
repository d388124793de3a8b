/* Probes are the sequences whose attention is logged: sequences of the validation data, which every rank has, or lines
 * of a file, which rank 0 reads and gives to the others. Each rank looks at a part of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "train/run.h"

enum { MOST_PROBES = 4096 };

/* A probe of n + 1 tokens is a sequence of n: each token with the one that follows. */
struct heedi_probe_lines {
    size_t n_probes;
    size_t *first_row;
    size_t first_of[2];
    uint32_t *sequence;
    int32_t *token, *target;
    real *weight;
};

static heed_status lines_init(heedi_run *run, size_t n_probes, size_t n_rows, heed_error *error) {
    const size_t bytes[] = {sizeof(heedi_probe_lines),
                            heed_bytes(n_probes + 1, sizeof(size_t)),
                            heed_bytes(n_probes, sizeof(uint32_t)),
                            heed_bytes(n_rows, sizeof(int32_t)),
                            heed_bytes(n_rows, sizeof(int32_t)),
                            heed_bytes(n_rows, sizeof(real))};
    size_t total = 0;
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++)
        if (__builtin_add_overflow(total, heed_aligned(bytes[i]), &total))
            total = SIZE_MAX;
    const heed_status status = heed_arena_init(&run->look.line_arena, total, "probes", error);
    if (status != HEED_OK)
        return status;
    heedi_probe_lines *lines = heed_arena_take(&run->look.line_arena, bytes[0]);
    lines->first_row = heed_arena_take(&run->look.line_arena, bytes[1]);
    lines->sequence = heed_arena_take(&run->look.line_arena, bytes[2]);
    lines->token = heed_arena_take(&run->look.line_arena, bytes[3]);
    lines->target = heed_arena_take(&run->look.line_arena, bytes[4]);
    lines->weight = heed_arena_take(&run->look.line_arena, bytes[5]);
    run->look.lines = lines;
    return HEED_OK;
}

static heed_status add_line(heedi_probe_lines *lines, const heed_tokenizer *tokenizer, size_t time, const char *place,
                            const char *line, size_t bytes, heed_error *error) {
    int32_t *tokens;
    size_t n_tokens;
    const heed_status status = heed_tokenizer_encode(tokenizer, place, line, bytes, &tokens, &n_tokens, error);
    if (status != HEED_OK)
        return status;
    const size_t length = n_tokens > time ? time : n_tokens ? n_tokens - 1 : 0;
    const size_t row = lines->first_row[lines->n_probes];
    if (length > 0) {
        memcpy(lines->token + row, tokens, length * sizeof *tokens);
        memcpy(lines->target + row, tokens + 1, length * sizeof *tokens);
        lines->first_row[++lines->n_probes] = row + length;
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
    heed_status status = lines_init(run, MOST_PROBES, heed_bytes(MOST_PROBES, time), error);
    while (status == HEED_OK) {
        ssize_t length = getline(&line, &capacity, file);
        if (length < 0)
            break;
        n_lines++;
        while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
            length--;
        snprintf(place, sizeof place, "%s:%zu", run->config->log.probes, n_lines);
        if (length > 0 && run->look.lines->n_probes == MOST_PROBES)
            status = heed_fail(error, HEED_DATA, "%s: more than %d probes", place, MOST_PROBES);
        else if (length > 0)
            status =
                add_line(run->look.lines, heed_corpus_tokenizer(run->corpus), time, place, line, (size_t)length, error);
    }
    free(line);
    if (status == HEED_OK && run->look.lines->n_probes == 0)
        status = heed_fail(error, HEED_DATA, "log.probes = %s: no probes in this file", run->config->log.probes);
    return status;
}

/* Rank 0's lines to all: their file may be on its disk alone. */
static heed_status share_lines(heedi_run *run, heed_error *error) {
    heed_comm *comm = run->comm;
    size_t sizes[2] = {0, 0}; /* probes, rows */
    heed_error failed = HEED_ERROR_INIT;
    if (comm->rank == 0) {
        sizes[0] = run->look.lines->n_probes;
        sizes[1] = run->look.lines->first_row[sizes[0]];
    }
    heed_status status = heed_comm_broadcast(comm, sizes, sizeof sizes, 0, &failed);
    if (status == HEED_OK && comm->rank != 0)
        lines_init(run, sizes[0], sizes[1], &failed);
    status = heed_comm_agree(comm, &failed);
    heedi_probe_lines *lines = run->look.lines;
    if (status == HEED_OK)
        status = heed_comm_broadcast(comm, lines->first_row, (sizes[0] + 1) * sizeof *lines->first_row, 0, &failed);
    if (status == HEED_OK)
        status = heed_comm_broadcast(comm, lines->token, sizes[1] * sizeof *lines->token, 0, &failed);
    if (status == HEED_OK)
        status = heed_comm_broadcast(comm, lines->target, sizes[1] * sizeof *lines->target, 0, &failed);
    if (status != HEED_OK)
        *error = failed;
    else
        lines->n_probes = sizes[0];
    return status;
}

static heed_batch batch_of_lines(heedi_probe_lines *lines) {
    const size_t n_rows = lines->first_row[lines->n_probes];
    size_t longest = 0;
    for (size_t p = 0; p < lines->n_probes; p++) {
        const size_t length = lines->first_row[p + 1] - lines->first_row[p];
        longest = length > longest ? length : longest;
        lines->sequence[p] = (uint32_t)p;
    }
    for (size_t r = 0; r < n_rows; r++)
        lines->weight[r] = 1;
    lines->first_of[1] = lines->n_probes;
    return (heed_batch){.rows = {.n_rows = n_rows,
                                 .n_sequences = lines->n_probes,
                                 .max_length = longest,
                                 .first_row = lines->first_row,
                                 .sequence = lines->sequence,
                                 .n_grains = 1,
                                 .first_of = lines->first_of},
                        .token = lines->token,
                        .target = lines->target,
                        .weight = lines->weight,
                        .n_global = lines->n_probes,
                        .weight_total = (double)n_rows};
}

heed_status heedi_probes_open(heedi_run *run, heed_error *error) {
    const char *probes = run->config->log.probes;
    size_t number;
    if (run->config->log.attention_every == 0)
        return HEED_OK;
    if (heed_probes_are_counted(run->config, &number))
        return heed_batcher_probes(run->trainer.batcher, number, &run->look.probes, error);
    if (run->comm->rank != 0)
        return HEED_OK;
    FILE *file = fopen(probes, "re");
    if (!file)
        return heed_fail(error, HEED_NOT_FOUND, "log.probes = %s: %s", probes, strerror(errno));
    const heed_status status = read_lines(run, file, error);
    fclose(file);
    return status;
}

size_t heedi_first_probe(const heedi_run *run, int rank) {
    return run->look.probes.rows.n_sequences * (size_t)rank / (size_t)run->comm->size;
}

heed_status heedi_probes_share(heedi_run *run, heed_error *error) {
    size_t number;
    if (run->config->log.attention_every == 0)
        return HEED_OK;
    if (!heed_probes_are_counted(run->config, &number)) {
        const heed_status status = share_lines(run, error);
        if (status != HEED_OK)
            return status;
        run->look.probes = batch_of_lines(run->look.lines);
    }
    const size_t first = heedi_first_probe(run, run->comm->rank);
    const size_t n = heedi_first_probe(run, run->comm->rank + 1) - first;
    run->look.part_room = calloc(heed_batch_slice_room(n), sizeof *run->look.part_room);
    if (!run->look.part_room)
        return heed_fail(error, HEED_MEMORY, "probes: out of memory");
    run->look.part = heed_batch_slice(&run->look.probes, first, n, run->look.part_room);
    return HEED_OK;
}
