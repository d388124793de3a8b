#include "heed/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heed/log.h"
#include "heed/stage.h"

enum { MOST_MARKS = 1 << 20 };

/* All ranks' marks one behind the other: rank r's are count[r] bytes at offset[r]. */
typedef struct lists {
    size_t *bytes, *offset, *one; /* (ranks); one (2, ranks): the layout of one item a rank */
    char (*host)[sizeof((heed_comm *)0)->host];
    heed_mark *marks; /* rank 0 */
} lists;

heed_status heed_trace_start(heed_comm *comm, heed_error *error) {
    heed_error failed = HEED_ERROR_INIT;
    heed_stage_list_start(MOST_MARKS, &failed);
    if (heed_comm_agree(comm, &failed) != HEED_OK)
        return *error = failed, failed.status;
    if (heed_comm_barrier(comm, error) != HEED_OK) /* clocks of different hosts agree here, and nowhere else */
        return error->status;
    return heed_stage_list_start(MOST_MARKS, error);
}

static void write_stages(FILE *out, const heed_mark *marks, size_t n_marks, int rank) {
    size_t since = 0; /* the mark that began the stage under way */
    for (size_t i = 1; i < n_marks; i++) {
        const heed_mark *mark = &marks[i];
        if (mark->kind != HEED_MARK_STAGE) {
            fprintf(
                out,
                ",\n{\"ph\":\"%s\",\"cat\":\"gradients under way\",\"name\":\"bucket %u\",\"id\":\"%d.%u\",\"pid\":%d,"
                "\"tid\":0,\"ts\":%.3f}",
                mark->kind == HEED_MARK_DEPARTS ? "b" : "e", mark->value, rank, mark->value, rank, 1e6 * mark->seconds);
            continue;
        }
        const heed_stage stage = (heed_stage)marks[since].value;
        if (stage != HEED_STAGE_OTHER)
            fprintf(out,
                    ",\n{\"ph\":\"X\",\"cat\":\"%s\",\"name\":\"%s\",\"pid\":%d,\"tid\":0,\"ts\":%.3f,\"dur\":%.3f}",
                    heed_stage_communicates(stage) ? "communication" : "computation", heed_stage_name(stage), rank,
                    1e6 * marks[since].seconds, 1e6 * (mark->seconds - marks[since].seconds));
        since = i;
    }
}

static heed_status write_file(const heed_comm *comm, const lists *all, const char *path, heed_error *error) {
    FILE *out = fopen(path, "w");
    if (!out)
        return heed_fail(error, HEED_CREATE, "%s: %s", path, strerror(errno));
    fprintf(out, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n{\"ph\":\"M\",\"name\":\"heed\",\"pid\":0}");
    for (int rank = 0; rank < comm->size; rank++) {
        fprintf(out, ",\n{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":%d,\"args\":{\"name\":\"rank %d on %s\"}}",
                rank, rank, all->host[rank]);
        write_stages(out, all->marks + all->offset[rank] / sizeof *all->marks, all->bytes[rank] / sizeof *all->marks,
                     rank);
    }
    fprintf(out, "\n]}\n");
    const bool failed = ferror(out) != 0;
    if ((fclose(out) != 0) | failed)
        return heed_fail(error, HEED_IO, "%s: %s", path, strerror(errno));
    return HEED_OK;
}

/* Every rank learns how much each has and where it runs; rank 0 gets the marks. */
static heed_status gather(heed_comm *comm, lists *all, const heed_mark *marks, size_t n_marks, heed_error *error) {
    const size_t n_ranks = (size_t)comm->size, rank = (size_t)comm->rank;
    size_t *one = all->one;
    for (size_t r = 0; r < n_ranks; r++) {
        one[r] = sizeof *all->bytes;
        one[n_ranks + r] = r * sizeof *all->bytes;
    }
    all->bytes[rank] = n_marks * sizeof *marks;
    heed_status status = heed_comm_allgather(comm, &all->bytes[rank], all->bytes, one, one + n_ranks, error);
    for (size_t r = 0; r < n_ranks; r++) {
        one[r] = sizeof *all->host;
        one[n_ranks + r] = r * sizeof *all->host;
        all->offset[r] = r ? all->offset[r - 1] + all->bytes[r - 1] : 0;
    }
    memcpy(all->host[rank], comm->host, sizeof *all->host);
    if (status == HEED_OK)
        status = heed_comm_allgather(comm, all->host[rank], all->host, one, one + n_ranks, error);
    heed_error failed = HEED_ERROR_INIT;
    const size_t total = all->offset[n_ranks - 1] + all->bytes[n_ranks - 1];
    if (status == HEED_OK && comm->rank == 0 && !(all->marks = malloc(total ? total : 1)))
        heed_fail(&failed, HEED_MEMORY, "trace: no memory for %zu bytes", total);
    if (status == HEED_OK && (status = heed_comm_agree(comm, &failed)) != HEED_OK)
        *error = failed;
    if (status == HEED_OK)
        status = heed_comm_gather(comm, marks, n_marks * sizeof *marks, all->marks, all->bytes, all->offset, 0, error);
    return status;
}

heed_status heed_trace_finish(heed_comm *comm, const char *path, heed_error *error) {
    const heed_mark *marks;
    size_t n_missed;
    const size_t n_marks = heed_stage_list(&marks, &n_missed);
    lists all = {.bytes = calloc((size_t)comm->size, sizeof *all.bytes),
                 .offset = calloc((size_t)comm->size, sizeof *all.offset),
                 .one = calloc(2 * (size_t)comm->size, sizeof *all.one),
                 .host = calloc((size_t)comm->size, sizeof *all.host)};
    heed_error failed = HEED_ERROR_INIT;
    if (!all.bytes || !all.offset || !all.one || !all.host)
        heed_fail(&failed, HEED_MEMORY, "trace: out of memory for %d ranks", comm->size);
    heed_status status = heed_comm_agree(comm, &failed);
    if (status == HEED_OK)
        status = gather(comm, &all, marks, n_marks, &failed);
    if (status == HEED_OK && comm->rank == 0)
        write_file(comm, &all, path, &failed);
    if (status == HEED_OK)
        status = heed_comm_agree(comm, &failed);
    if (status != HEED_OK)
        *error = failed;
    else if (n_missed > 0)
        heed_say(HEED_INFO, "%s: the list was full: %zu marks at the end are not in it", path, n_missed);
    heed_stage_list_reset();
    free(all.bytes);
    free(all.offset);
    free(all.one);
    free(all.host);
    free(all.marks);
    return status;
}
