/* An exchange in which every rank sends its shard to every other moves the bytes of a ring when each rank has a node of
 * its own, or all share one. With several ranks on several nodes it would bring every shard into a node once for each
 * of its ranks; there MPI's own collective, which crosses between nodes once, is the better way, though it must be
 * waited for. */
#include "train/gradsync_return.h"

#include <stdint.h>
#include <stdlib.h>

#include "heed/stage.h"

heed_status heedi_return_init(heedi_return *back, heed_comm *comm, const heedi_plan *plan, heed_error *error) {
    *back = (heedi_return){.comm = comm, .plan = plan};
    back->in_background = comm->n_nodes == 1 || comm->n_nodes == comm->size;
    back->exchanges = calloc(plan->n_buckets, sizeof *back->exchanges);
    if (!back->exchanges)
        return heed_fail(error, HEED_MEMORY, "parameters' return: out of memory for %zu buckets", plan->n_buckets);
    return HEED_OK;
}

void heedi_return_reset(heedi_return *back) {
    free(back->exchanges);
    *back = (heedi_return){0};
}

static void poke(const heedi_return *back, heed_error *error) {
    bool done;
    if (back->in_background && back->n_arrived < back->n_started) /* any will do: MPI moves all of them on */
        heed_exchange_test(back->comm, &back->exchanges[back->n_arrived], &done, error);
}

heed_status heedi_return_start(heedi_return *back, real *weights, heed_error *error) {
    HEED_IN_STAGE(RETURN);
    if (back->n_started == back->plan->n_parameter_buckets) {
        HEED_CHECK(back->n_arrived == back->n_started);
        back->n_started = back->n_arrived = 0;
    }
    const size_t b = back->n_started++;
    const heedi_bucket *bucket = &back->plan->buckets[b];
    real *shards = weights + bucket->parameter;
    if (!back->in_background) {
        back->n_arrived++;
        return heed_comm_allgather(back->comm, shards + bucket->own_first, shards, bucket->shard_bytes,
                                   bucket->shard_offset, error);
    }
    const heed_status status =
        heed_exchange_start(back->comm, &back->exchanges[b], shards, bucket->return_bytes, bucket->return_offset,
                            shards, bucket->send_bytes, bucket->shard_offset, error);
    if (status == HEED_OK)
        poke(back, error);
    return error->status;
}

heed_status heedi_return_await(heedi_return *back, size_t end, heed_error *error) {
    if (back->n_arrived == back->n_started)
        return HEED_OK;
    HEED_IN_STAGE(RETURN);
    heed_status status = HEED_OK;
    while (status == HEED_OK && back->n_arrived < back->n_started &&
           back->plan->buckets[back->n_arrived].parameter < end)
        status = heed_exchange_wait(back->comm, &back->exchanges[back->n_arrived++], error);
    if (status == HEED_OK)
        poke(back, error);
    return error->status;
}
