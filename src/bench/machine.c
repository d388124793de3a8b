#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "heed/arena.h"
#include "heed/multiversion.h"

/* ---- memory ------------------------------------------------------------------------------------------------------ */

HEED_MULTIVERSION static void add(real *restrict z, const real *restrict x, const real *restrict y, size_t n) {
    for (size_t i = 0; i < n; i++)
        z[i] = x[i] + y[i];
}

/* Bytes a second of z = x + y, three arrays of 64 MB, the best of some passes. */
static heed_status measure_bandwidth(double *rate, heed_error *error) {
    enum { N = 1 << 24, CHUNK = 1 << 16, PASSES = 6 };
    const size_t bytes = N * sizeof(real);
    heed_arena arena;
    *rate = 0;
    if (heed_arena_init(&arena, 3 * bytes, "arrays to measure memory with", error) != HEED_OK)
        return error->status;
    real *x = heed_arena_take(&arena, bytes), *y = heed_arena_take(&arena, bytes), *z = heed_arena_take(&arena, bytes);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < N; i++)
        x[i] = y[i] = z[i] = 1;
    for (int pass = 0; pass < PASSES; pass++) {
        const double start = heed_seconds();
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < N; i += CHUNK)
            add(z + i, x + i, y + i, CHUNK);
        const double now = 3.0 * (double)bytes / (heed_seconds() - start);
        *rate = now > *rate ? now : *rate;
    }
    heed_arena_reset(&arena);
    return HEED_OK;
}

/* ---- network ----------------------------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double heedi_median(double *values, size_t n) {
    qsort(values, n, sizeof *values, ascending);
    return values[n / 2];
}

/* Shards of one buffer to their owners, and back to all. layout (4, ranks): what leaves, where from, what comes, where
 * to. */
static heed_status exchange_once(heed_comm *comm, char *buffer, char *received, const size_t *layout,
                                 heed_error *error) {
    const size_t n_ranks = (size_t)comm->size;
    heed_exchange exchange;
    heed_status status = heed_exchange_start(comm, &exchange, buffer, layout, layout + n_ranks, received,
                                             layout + 2 * n_ranks, layout + 3 * n_ranks, error);
    if (status == HEED_OK)
        status = heed_exchange_wait(comm, &exchange, error);
    const size_t *shards = layout + 4 * n_ranks;
    if (status == HEED_OK)
        status = heed_comm_allgather(comm, buffer + layout[n_ranks + (size_t)comm->rank], buffer, shards,
                                     layout + n_ranks, error);
    return status;
}

heed_status heedi_measure_exchange(heed_comm *comm, size_t bytes, double *seconds, heed_error *error) {
    enum { TIMES = 9 };
    const size_t n_ranks = (size_t)comm->size, me = (size_t)comm->rank;
    const size_t shard = heed_aligned(bytes / n_ranks + 1);
    heed_error failed = HEED_ERROR_INIT;
    size_t *layout = calloc(5 * n_ranks, sizeof *layout);
    char *buffer = calloc(2 * n_ranks, shard);
    if (!layout || !buffer)
        heed_fail(&failed, HEED_MEMORY, "exchange: no memory for %zu bytes", 2 * n_ranks * shard);
    heed_status status = heed_comm_agree(comm, &failed);
    double times[TIMES];
    for (size_t r = 0; r < n_ranks && status == HEED_OK; r++) {
        layout[r] = layout[2 * n_ranks + r] = r == me ? 0 : shard;
        layout[n_ranks + r] = layout[3 * n_ranks + r] = r * shard;
        layout[4 * n_ranks + r] = shard;
    }
    for (int i = -2; i < TIMES && status == HEED_OK; i++) {
        status = heed_comm_barrier(comm, &failed);
        const double start = heed_seconds();
        if (status == HEED_OK)
            status = exchange_once(comm, buffer, buffer + n_ranks * shard, layout, &failed);
        if (i >= 0)
            times[i] = heed_seconds() - start;
    }
    if (status == HEED_OK) {
        *seconds = heedi_median(times, TIMES);
        status = heed_comm_max(comm, seconds, 1, &failed);
    }
    free(layout);
    free(buffer);
    if (status != HEED_OK)
        *error = failed;
    return status;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

heed_status heedi_measure_machine(heed_comm *comm, heedi_machine *machine, heed_error *error) {
    const size_t message = (size_t)16 << 20;
    const int n_threads = heed_gemm_threads();
    *machine = (heedi_machine){0};
    heed_status status = HEED_OK;
    for (size_t i = 0; i < HEED_PEAK_SHAPES && status == HEED_OK; i++) {
        const size_t *shape = heed_peak_shapes[i];
        status = heed_comm_barrier(comm, error);
        machine->product[i] = heed_gemm_rate(shape[0], shape[1], shape[2], n_threads, 0.15);
    }
    heed_error failed = HEED_ERROR_INIT;
    measure_bandwidth(&machine->bandwidth, &failed);
    if (status == HEED_OK && (status = heed_comm_agree(comm, &failed)) != HEED_OK)
        *error = failed;
    machine->bandwidth *= 1e-9;
    if (status == HEED_OK)
        status = heed_comm_sum(comm, machine->product, HEED_PEAK_SHAPES, error);
    if (status == HEED_OK)
        status = heed_comm_sum(comm, &machine->bandwidth, 1, error);
    for (size_t i = 0; i < HEED_PEAK_SHAPES; i++)
        machine->peak = machine->product[i] > machine->peak ? machine->product[i] : machine->peak;
    double seconds = 0;
    if (status != HEED_OK || comm->size == 1)
        return status;
    status = heedi_measure_exchange(comm, 64, &machine->latency, error);
    if (status == HEED_OK)
        status = heedi_measure_exchange(comm, message, &seconds, error);
    machine->all_reduce = 2e-9 * (double)message * (comm->size - 1) / comm->size / seconds;
    return status;
}
