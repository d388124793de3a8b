/* An exchange by itself: every rank's shards of a bucket to their owners, and back to all. */
#include <stdlib.h>

#include "bench/bench.h"
#include "heed/arena.h"

enum { TIMES = 9 };

typedef struct trial {
    heed_comm *comm;
    char *send, *received;
    size_t *sent, *from, *came, *to, *shards; /* (ranks) bytes that leave, where from; that come, where to; of shards */
    size_t *layout;                           /* memory of these */
} trial;

static heed_status open_trial(trial *t, heed_arena *arena, size_t bytes, heed_error *error) {
    const size_t n = (size_t)t->comm->size, me = (size_t)t->comm->rank, shard = heed_aligned(bytes / n + 1);
    heed_error failed = HEED_ERROR_INIT;
    t->layout = calloc(5 * n, sizeof *t->layout);
    if (!t->layout)
        heed_fail(&failed, HEED_MEMORY, "exchange: out of memory for %zu ranks", n);
    else
        heed_arena_init(arena, 2 * n * shard, "a bucket to measure with", &failed);
    if (heed_comm_agree(t->comm, &failed) != HEED_OK)
        return *error = failed, failed.status;
    t->send = heed_arena_take(arena, n * shard);
    t->received = heed_arena_take(arena, n * shard);
    t->sent = t->layout, t->from = t->sent + n, t->came = t->from + n, t->to = t->came + n, t->shards = t->to + n;
    for (size_t r = 0; r < n; r++) {
        t->sent[r] = t->came[r] = r == me ? 0 : shard;
        t->from[r] = t->to[r] = r * shard;
        t->shards[r] = shard;
    }
    return HEED_OK;
}

static heed_status there_and_back(const trial *t, heed_error *error) {
    heed_exchange exchange;
    heed_status status =
        heed_exchange_start(t->comm, &exchange, t->send, t->sent, t->from, t->received, t->came, t->to, error);
    if (status == HEED_OK)
        status = heed_exchange_wait(t->comm, &exchange, error);
    if (status == HEED_OK)
        status = heed_comm_allgather(t->comm, t->send + t->from[t->comm->rank], t->send, t->shards, t->from, error);
    return status;
}

/* The median of the slowest rank's seconds, without what was done first to warm up. */
static heed_status clock_trial(const trial *t, double *seconds, heed_error *error) {
    double times[TIMES];
    heed_status status = HEED_OK;
    for (int i = -1; i < TIMES && status == HEED_OK; i++) {
        status = heed_comm_barrier(t->comm, error);
        const double begin = heed_seconds();
        if (status == HEED_OK)
            status = there_and_back(t, error);
        if (i >= 0)
            times[i] = heed_seconds() - begin;
    }
    if (status == HEED_OK)
        status = heed_comm_max(t->comm, times, TIMES, error);
    *seconds = status == HEED_OK ? heedi_median(times, TIMES) : 0;
    return status;
}

heed_status heedi_measure_exchange(heed_comm *comm, size_t bytes, double *seconds, heed_error *error) {
    trial t = {.comm = comm};
    heed_arena arena = {0};
    heed_status status = open_trial(&t, &arena, bytes, error);
    if (status == HEED_OK)
        status = clock_trial(&t, seconds, error);
    free(t.layout);
    heed_arena_reset(&arena);
    return status;
}
