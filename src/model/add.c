#include "add.h"

#include "heed/multiversion.h"

#define CHUNK 4096 /* elements a thread adds at once */

HEED_MULTIVERSION static void add_range(real *sum, const real *a, const real *b, size_t n) {
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        sum[i] = a[i] + b[i];
}

void heedi_add(real *sum, const real *a, const real *b, size_t n) {
#pragma omp parallel for schedule(static) if (n > HEEDI_WORTH_THREADS_TO_MOVE)
    for (size_t start = 0; start < n; start += CHUNK)
        add_range(sum + start, a + start, b + start, n - start < CHUNK ? n - start : CHUNK);
}
