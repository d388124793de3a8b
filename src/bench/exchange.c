/* Exchanges by themselves, and beside work: what a step waits for them, found without a step. They start between pieces
 * of a product that takes as long as the pass they shall hide behind, and what the whole takes longer than the product
 * alone is what does not hide. So it counts what the processors do to move the bytes, and ranks that wait for each
 * other's turn on a core. Passes follow each other as in training, without a barrier: a rank that is late in one of
 * them is waited for in the next. */
#include <math.h>
#include <stdlib.h>

#include "bench/bench.h"
#include "heed/arena.h"

enum { TIMES = 9, WARM_UP = 3, SIDE = 96, PARTS = 3 };

typedef struct trial {
    heed_comm *comm;
    size_t n_buckets, n_pieces; /* MPI has its turn behind every piece of a pass */
    size_t turns;               /* products of a piece */
    real *a, *b, *c;            /* (SIDE, SIDE) */
    double *values;             /* that all ranks agree on */
    char *send, *received;
    size_t bucket_bytes, n_values;
    size_t *layout; /* (5, ranks): what leaves, where from, what comes, where to; the shards' bytes */
    heed_exchange *exchanges;
} trial;

static void work(const trial *t) {
    for (size_t i = 0; i < t->turns; i++)
        heed_gemm(false, true, SIDE, SIDE, SIDE, 1, t->a, SIDE, t->b, SIDE, 0, t->c, SIDE);
}

static heed_status start(const trial *t, size_t b, heed_error *error) {
    const size_t n = (size_t)t->comm->size;
    return heed_exchange_start(t->comm, &t->exchanges[b], t->send, t->layout, t->layout + n,
                               t->received + b * t->bucket_bytes, t->layout + 2 * n, t->layout + 3 * n, error);
}

/* The buckets that are through, or have begun, when so many pieces are done. */
static size_t buckets_by(const trial *t, size_t pieces) {
    return pieces * t->n_buckets / t->n_pieces;
}

/* Gradients: a bucket leaves when its part of the backward pass is done, all are waited for behind it. */
static heed_status send_behind(const trial *t, heed_error *error) {
    heed_status status = HEED_OK;
    size_t started = 0;
    for (size_t piece = 0; piece < t->n_pieces && status == HEED_OK; piece++) {
        bool done;
        work(t);
        while (status == HEED_OK && started < buckets_by(t, piece + 1))
            status = start(t, started++, error);
        if (status == HEED_OK && started > 0)
            status = heed_exchange_test(t->comm, &t->exchanges[started - 1], &done, error);
    }
    for (size_t b = 0; b < started && status == HEED_OK; b++)
        status = heed_exchange_wait(t->comm, &t->exchanges[b], error);
    return status;
}

/* Parameters: all are under way, and a part of the forward pass waits for its bucket. */
static heed_status await_ahead(const trial *t, heed_error *error) {
    heed_status status = HEED_OK;
    size_t arrived = 0;
    for (size_t b = 0; b < t->n_buckets && status == HEED_OK; b++)
        status = start(t, b, error);
    for (size_t piece = 0; piece < t->n_pieces && status == HEED_OK; piece++) {
        bool done;
        while (status == HEED_OK && arrived < t->n_buckets && arrived <= buckets_by(t, piece))
            status = heed_exchange_wait(t->comm, &t->exchanges[arrived++], error);
        if (status == HEED_OK && arrived < t->n_buckets)
            status = heed_exchange_test(t->comm, &t->exchanges[arrived], &done, error);
        work(t);
    }
    return status;
}

static heed_status work_alone(const trial *t, heed_error *error) {
    (void)error;
    for (size_t piece = 0; piece < t->n_pieces; piece++)
        work(t);
    return HEED_OK;
}

/* A bucket's shards to their owners, and back to all. */
static heed_status there_and_back(const trial *t, heed_error *error) {
    const size_t n = (size_t)t->comm->size, *from = t->layout + n, *shards = t->layout + 4 * n;
    heed_status status = start(t, 0, error);
    if (status == HEED_OK)
        status = heed_exchange_wait(t->comm, &t->exchanges[0], error);
    if (status == HEED_OK)
        status = heed_comm_allgather(t->comm, t->send + from[t->comm->rank], t->send, shards, from, error);
    return status;
}

/* The median of the slowest rank's seconds, without what was done first to warm up. */
static heed_status measure(const trial *t, heed_status (*run)(const trial *, heed_error *), double *seconds,
                           heed_error *error) {
    double times[TIMES];
    heed_status status = HEED_OK;
    for (int i = -1; i < TIMES && status == HEED_OK; i++) {
        status = heed_comm_barrier(t->comm, error);
        const double begin = heed_seconds();
        if (status == HEED_OK)
            status = run(t, error);
        if (i >= 0)
            times[i] = heed_seconds() - begin;
    }
    if (status == HEED_OK)
        status = heed_comm_max(t->comm, times, TIMES, error);
    *seconds = status == HEED_OK ? heedi_median(times, TIMES) : 0;
    return status;
}

/* What all ranks agree on in a step: losses, and the norm from a number a block. */
static heed_status agree(const trial *t, heed_error *error) {
    const heed_status status = heed_comm_sum(t->comm, t->values, 1, error);
    return status == HEED_OK ? heed_comm_sum(t->comm, t->values, t->n_values, error) : status;
}

/* Seconds of a product, as all ranks come to do them at the same time: the mean, of which that of all ranks. */
static heed_status clock_product(trial *t, double *seconds, heed_error *error) {
    size_t n = 0;
    heed_status status = heed_comm_barrier(t->comm, error);
    const double start = heed_seconds();
    t->turns = 1;
    for (; n < 16 || heed_seconds() - start < 0.1; n++)
        work(t);
    *seconds = (heed_seconds() - start) / (double)n / t->comm->size;
    return status == HEED_OK ? heed_comm_sum(t->comm, seconds, 1, error) : status;
}

static heed_status allocate(trial *t, heed_arena *arena, size_t bytes, heed_error *error) {
    const size_t n = (size_t)t->comm->size, me = (size_t)t->comm->rank, shard = heed_aligned(bytes / n + 1);
    const size_t square = heed_aligned(SIDE * SIDE * sizeof(real));
    t->bucket_bytes = n * shard;
    t->n_values = t->n_buckets * t->bucket_bytes / (HEED_BLOCK * sizeof(real)) + 1;
    const size_t values = heed_aligned(t->n_values * sizeof *t->values);
    t->layout = calloc(5 * n, sizeof *t->layout);
    t->exchanges = calloc(t->n_buckets, sizeof *t->exchanges);
    heed_error failed = HEED_ERROR_INIT;
    if (!t->layout || !t->exchanges)
        heed_fail(&failed, HEED_MEMORY, "exchange: out of memory for %zu buckets", t->n_buckets);
    else
        heed_arena_init(arena, (1 + t->n_buckets) * t->bucket_bytes + 3 * square + values, "buckets to measure with",
                        &failed);
    const heed_status status = heed_comm_agree(t->comm, &failed);
    if (status != HEED_OK) {
        *error = failed;
        return status;
    }
    t->a = heed_arena_take(arena, square), t->b = heed_arena_take(arena, square), t->c = heed_arena_take(arena, square);
    t->values = heed_arena_take(arena, values);
    t->send = heed_arena_take(arena, t->bucket_bytes);
    t->received = heed_arena_take(arena, t->n_buckets * t->bucket_bytes);
    for (size_t r = 0; r < n; r++) {
        t->layout[r] = t->layout[2 * n + r] = r == me ? 0 : shard;
        t->layout[n + r] = t->layout[3 * n + r] = r * shard;
        t->layout[4 * n + r] = shard;
    }
    return HEED_OK;
}

static void reset(trial *t, heed_arena *arena) {
    free(t->layout);
    free(t->exchanges);
    heed_arena_reset(arena);
}

heed_status heedi_measure_exchange(heed_comm *comm, size_t bytes, double *seconds, heed_error *error) {
    trial t = {.comm = comm, .n_buckets = 1};
    heed_arena arena = {0};
    heed_status status = allocate(&t, &arena, bytes, error);
    if (status == HEED_OK)
        status = measure(&t, there_and_back, seconds, error);
    reset(&t, &arena);
    return status;
}

heed_status heedi_measure_sums(heed_comm *comm, size_t bytes, double *seconds, heed_error *error) {
    trial t = {.comm = comm, .n_buckets = 1};
    heed_arena arena = {0};
    heed_status status = allocate(&t, &arena, bytes, error);
    if (status == HEED_OK)
        status = measure(&t, agree, seconds, error);
    reset(&t, &arena);
    return status;
}

/* What passes are made of: products, as many a piece as fill the time that the pass shall take. */
typedef struct passes {
    size_t forward, backward; /* turns */
} passes;

/* One step's worth of them, the time behind each part into at. */
static heed_status pass_through(trial *t, const passes *turns, bool exchanging, double at[PARTS + 1],
                                heed_error *error) {
    at[0] = heed_seconds();
    t->turns = turns->forward;
    heed_status status = exchanging ? await_ahead(t, error) : work_alone(t, error);
    at[1] = heed_seconds();
    t->turns = turns->backward;
    if (status == HEED_OK)
        status = exchanging ? send_behind(t, error) : work_alone(t, error);
    at[2] = heed_seconds();
    if (status == HEED_OK && exchanging)
        status = agree(t, error);
    at[3] = heed_seconds();
    return status;
}

/* Medians of the parts' seconds; of those, the means over ranks. */
static heed_status measure_passes(trial *t, const passes *turns, bool exchanging, double seconds[PARTS],
                                  heed_error *error) {
    double times[PARTS][TIMES], at[PARTS + 1];
    heed_status status = heed_comm_barrier(t->comm, error);
    for (int i = -WARM_UP; i < TIMES && status == HEED_OK; i++) {
        status = pass_through(t, turns, exchanging, at, error);
        for (int part = 0; part < PARTS && i >= 0; part++)
            times[part][i] = at[part + 1] - at[part];
    }
    if (status != HEED_OK)
        return status;
    for (int part = 0; part < PARTS; part++)
        seconds[part] = heedi_median(times[part], TIMES) / t->comm->size;
    return heed_comm_sum(t->comm, seconds, PARTS, error);
}

/* Products that fill a piece, so that all pieces of a pass take `seconds`; the same on all ranks. */
static size_t turns_of(const trial *t, double seconds, double product) {
    const double turns = seconds / (product * (double)t->n_pieces);
    return turns > 1 ? (size_t)lround(turns) : 1;
}

static double beyond(double together, double alone) {
    return together > alone ? together - alone : 0;
}

heed_status heedi_measure_overlap(heed_comm *comm, size_t bucket_bytes, size_t n_buckets, size_t n_pieces,
                                  double forward, double backward, heedi_overlap *overlap, heed_error *error) {
    trial t = {.comm = comm, .n_buckets = n_buckets};
    t.n_pieces = n_pieces > n_buckets ? n_pieces : n_buckets;
    heed_arena arena = {0};
    passes turns = {0};
    double alone[PARTS] = {0}, together[PARTS] = {0};
    double product = 1;
    heed_status status = allocate(&t, &arena, bucket_bytes, error);
    if (status == HEED_OK)
        status = clock_product(&t, &product, error);
    turns.forward = turns_of(&t, forward, product), turns.backward = turns_of(&t, backward, product);
    if (status == HEED_OK)
        status = measure_passes(&t, &turns, false, alone, error);
    if (status == HEED_OK)
        status = measure_passes(&t, &turns, true, together, error);
    *overlap = (heedi_overlap){.back_seconds = beyond(together[0], alone[0]),
                               .out_seconds = beyond(together[1], alone[1]),
                               .sums_seconds = together[2]};
    reset(&t, &arena);
    return status;
}
