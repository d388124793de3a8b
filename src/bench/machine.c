#include <omp.h>
#include <stdlib.h>

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

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double heedi_median(double *values, size_t n) {
    qsort(values, n, sizeof *values, ascending);
    return values[n / 2];
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
