/* The norm reads every gradient once. Where ranks complete a sum they take a block's squares while the block is in the
 * nearest cache. With one rank the sums are complete as backward leaves them, and most of them long gone from the
 * caches: reading them is as fast as memory answers, if enough of it is asked for ahead. */
#include "train/gradsync_state.h"

#include <math.h>
#include <string.h>

#include "heed/multiversion.h"
#include "heed/stage.h"

/* One core's loads by themselves keep some 16 lines under way; what is asked for into the second cache, 48. */
#define AHEAD HEED_BLOCK

HEED_MULTIVERSION
static double sum_of_squares(const real *x) {
    enum { LANES = 32, LINE = 64 / sizeof(real) };
    double lane[LANES] = {0};
    for (size_t i = 0; i < HEED_BLOCK; i += LANES) {
        for (size_t j = 0; j < LANES; j += LINE)
            __builtin_prefetch(x + i + j + AHEAD, 0, 2);
        for (size_t j = 0; j < LANES; j++)
            lane[j] += (double)x[i + j] * (double)x[i + j];
    }
    for (size_t width = LANES / 2; width; width /= 2)
        for (size_t j = 0; j < width; j++)
            lane[j] += lane[j + width];
    return lane[0];
}

static size_t n_blocks(const heed_gradsync *sync) {
    return sync->params->n_elements / HEED_BLOCK;
}

void heedi_norm_begin(heed_gradsync *sync) {
    memset(sync->block_sum, 0, n_blocks(sync) * sizeof *sync->block_sum);
}

void heedi_norm_block(heed_gradsync *sync, const heedi_bucket *bucket, size_t first) {
    const size_t block = (bucket->parameter + bucket->own_first + first) / HEED_BLOCK;
    sync->block_sum[block] = sum_of_squares(heedi_gradsync_total(sync, bucket) + first);
}

static void all_blocks(heed_gradsync *sync) {
    HEED_IN_STAGE(CLIP);
    for (size_t b = 0; b < sync->plan.n_parameter_buckets; b++) {
        const heedi_bucket *bucket = &sync->plan.buckets[b];
#pragma omp parallel for schedule(static) num_threads(sync->n_threads)
        for (size_t first = 0; first < bucket->own_count; first += HEED_BLOCK)
            heedi_norm_block(sync, bucket, first);
    }
}

heed_status heedi_norm_finish(heed_gradsync *sync, double divisor, double *norm, heed_error *error) {
    if (sync->plan.size == 1)
        all_blocks(sync);
    HEED_IN_STAGE(AGREE);
    /* every block has one owner: the sum over ranks is exact */
    const heed_status status = heed_comm_sum(sync->comm, sync->block_sum, n_blocks(sync), error);
    double sum = 0.0;
    for (size_t i = 0; i < n_blocks(sync); i++)
        sum += sync->block_sum[i];
    *norm = sqrt(sum) / divisor;
    return status;
}
