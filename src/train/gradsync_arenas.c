/* Whole arenas on rank 0, gathered from the owners of their shards, and back. */
#include <stdlib.h>
#include <string.h>

#include "train/gradsync_state.h"

/* shard_of(bucket) is offset from `shards`: either packed (moments) or at its place in a gradient arena. */
static heed_status gather(heed_gradsync *sync, const real *shards, bool packed, real *whole, heed_error *error) {
    heed_status status = HEED_OK;
    for (size_t b = 0; b < sync->plan.n_buckets && status == HEED_OK; b++) {
        const heedi_bucket *bucket = &sync->plan.buckets[b];
        if (bucket->tied)
            continue;
        const real *mine = shards + (packed ? bucket->moment : bucket->parameter + bucket->own_first);
        status = heed_comm_gather(sync->comm, mine, bucket->own_count * sizeof(real),
                                  whole ? whole + bucket->parameter : NULL, bucket->shard_bytes, bucket->shard_offset,
                                  0, error);
    }
    return status;
}

heed_status heed_gradsync_gather_moments(heed_gradsync *sync, real *m, real *v, heed_error *error) {
    heed_status status = sync->m ? gather(sync, sync->m, true, m, error) : HEED_OK;
    if (status == HEED_OK && sync->v)
        status = gather(sync, sync->v, true, v, error);
    return status;
}

heed_status heed_gradsync_gather_gradient(heed_gradsync *sync, real *gradient, heed_error *error) {
    return gather(sync, heed_gradient_partial(sync->gradient, 0), false, gradient, error);
}

static heed_status scatter(heed_gradsync *sync, const real *whole, real *shards, heed_error *error) {
    const heedi_plan *plan = &sync->plan;
    size_t *from_root = calloc((size_t)plan->size, sizeof *from_root);
    heed_error failed = HEED_ERROR_INIT;
    if (!from_root)
        heed_fail(&failed, HEED_MEMORY, "optimizer moments: out of memory for %d ranks", plan->size);
    heed_status status = heed_comm_agree(sync->comm, &failed);
    for (size_t b = 0; b < plan->n_buckets && status == HEED_OK; b++) {
        const heedi_bucket *bucket = &plan->buckets[b];
        if (bucket->tied)
            continue;
        from_root[0] = bucket->own_count * sizeof(real);
        heed_exchange exchange;
        status = heed_exchange_start(sync->comm, &exchange, whole ? whole + bucket->parameter : NULL,
                                     plan->rank == 0 ? bucket->shard_bytes : plan->nothing, bucket->shard_offset,
                                     shards + bucket->moment, from_root, plan->nothing, &failed);
        if (status == HEED_OK)
            status = heed_exchange_wait(sync->comm, &exchange, &failed);
    }
    free(from_root);
    if (status != HEED_OK)
        *error = failed;
    return status;
}

heed_status heed_gradsync_scatter_moments(heed_gradsync *sync, const real *m, const real *v, heed_error *error) {
    sync->sealed = false;
    heed_status status = sync->m ? scatter(sync, m, sync->m, error) : HEED_OK;
    if (status == HEED_OK && sync->v)
        status = scatter(sync, v, sync->v, error);
    return status;
}

void heed_gradsync_clear_moments(heed_gradsync *sync) {
    const size_t bytes = sync->plan.own_elements * sizeof(real);
    sync->sealed = false;
    if (sync->m)
        memset(sync->m, 0, bytes);
    if (sync->v)
        memset(sync->v, 0, bytes);
}
