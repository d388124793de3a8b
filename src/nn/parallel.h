/* How layers share work between threads, and how they add.
 *
 * Threads get contiguous ranges of outputs and never add into each other's: the bits of a result do not depend on how
 * many threads there were. A sum over a row runs in 16 lanes, lane l adding elements l, l + 16, ..., and the lanes are
 * folded in halves: one fixed order, which is also one AVX-512 register, two of AVX2, four of SSE. */
#ifndef HEEDI_NN_PARALLEL_H
#define HEEDI_NN_PARALLEL_H

#include <omp.h>
#include <stddef.h>

#include "base/sizes.h"
#include "base/stream.h"
#include "base/vmath.h"
#include "heed/real.h"

#define HEEDI_LANES 16

/* Elements below which waking the other threads costs more than they save. */
#define HEEDI_WORTH_THREADS 16384

/* This thread's part [from, to) of n items, cut at multiples of granule. */
static inline void heedi_share(size_t n, size_t granule, size_t *from, size_t *to) {
    const size_t pieces = (n + granule - 1) / granule;
    const size_t thread = (size_t)omp_get_thread_num(), threads = (size_t)omp_get_num_threads();
    *from = heedi_min(n, pieces * thread / threads * granule);
    *to = heedi_min(n, pieces * (thread + 1) / threads * granule);
}

/* Asks for n reals that come next. Where a kernel goes over a row more than once, the processor, which looks ahead
 * along addresses, would begin to fetch the next row when it is already waited for. */
HEEDI_INLINE void heedi_ask_for(const real *x, size_t n) {
    for (size_t i = 0; i < n; i += HEEDI_LANES)
        __builtin_prefetch(x + i);
}

/* The sum of the lanes, in halves. */
HEEDI_INLINE real heedi_fold(real lane[HEEDI_LANES]) {
    for (size_t half = HEEDI_LANES / 2; half > 0; half /= 2)
        for (size_t l = 0; l < half; l++)
            lane[l] += lane[l + half];
    return lane[0];
}

#endif
