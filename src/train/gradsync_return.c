/* The parameters' way back: shards go far, to the ranks that have the same place on other nodes, and then each rank has
 * a piece that it gives to those of its own node. So every parameter comes into a node once. An exchange in which every
 * rank sends its shard to every other moves the bytes of a ring.
 *
 * Nodes with different numbers of ranks have no such places. There MPI's own collective, which crosses between nodes
 * once, is the better way, though it must be waited for. */
#include "train/gradsync_return.h"

#include <stdint.h>
#include <stdlib.h>

#include "heed/stage.h"

heed_status heedi_return_init(heedi_return *back, heed_comm *comm, heed_comm *const *members, const heedi_plan *plan,
                              heed_error *error) {
    *back = (heedi_return){.comm = comm, .members = members, .plan = plan};
    back->in_background = heedi_plan_returns_ahead(comm->size, comm->n_nodes, plan->per_node);
    for (int r = 0; r < HEEDI_N_ROUNDS; r++) {
        back->exchanges[r] = calloc(plan->n_buckets, sizeof *back->exchanges[r]);
        if (!back->exchanges[r])
            return heed_fail(error, HEED_MEMORY, "parameters' return: out of memory for %zu buckets", plan->n_buckets);
    }
    return HEED_OK;
}

void heedi_return_reset(heedi_return *back) {
    for (int r = 0; r < HEEDI_N_ROUNDS; r++)
        free(back->exchanges[r]);
    *back = (heedi_return){0};
}

static heed_status start_round(heedi_return *back, heedi_round_id id, size_t b, heed_error *error) {
    const heedi_bucket *bucket = &back->plan->buckets[b];
    const heedi_cut *cut = &bucket->cut[id];
    real *from = back->weights + bucket->parameter + (id == HEEDI_FAR ? bucket->cut[HEEDI_NEAR].own_first : 0);
    return heed_exchange_start(back->members[id], &back->exchanges[id][b], from, cut->return_bytes, cut->return_offset,
                               from, cut->bytes, cut->offset, error);
}

/* The next bucket's far round is waited for, and its near one begins. */
static heed_status pass_on(heedi_return *back, heed_error *error) {
    const size_t b = back->n_passed++;
    heed_status status = heed_exchange_wait(back->members[HEEDI_FAR], &back->exchanges[HEEDI_FAR][b], error);
    if (status == HEED_OK && back->plan->per_node > 1)
        status = start_round(back, HEEDI_NEAR, b, error);
    return status;
}

/* Passes on what has come, and lets MPI move the others. */
static heed_status poke(heedi_return *back, heed_error *error) {
    heed_status status = HEED_OK;
    bool done = back->in_background;
    while (status == HEED_OK && done && back->n_passed < back->n_started) {
        status =
            heed_exchange_test(back->members[HEEDI_FAR], &back->exchanges[HEEDI_FAR][back->n_passed], &done, error);
        if (status == HEED_OK && done)
            status = pass_on(back, error);
    }
    if (status == HEED_OK && back->plan->per_node > 1 && back->n_arrived < back->n_passed)
        status =
            heed_exchange_test(back->members[HEEDI_NEAR], &back->exchanges[HEEDI_NEAR][back->n_arrived], &done, error);
    return status;
}

heed_status heedi_return_start(heedi_return *back, real *weights, heed_error *error) {
    HEED_IN_STAGE(RETURN);
    if (back->n_started == back->plan->n_parameter_buckets) {
        HEED_CHECK(back->n_arrived == back->n_started);
        back->n_started = back->n_passed = back->n_arrived = 0;
    }
    back->weights = weights;
    const size_t b = back->n_started++;
    const heedi_bucket *bucket = &back->plan->buckets[b];
    real *shards = weights + bucket->parameter;
    if (!back->in_background) {
        back->n_passed++;
        back->n_arrived++;
        return heed_comm_allgather(back->comm, shards + bucket->own_first, shards, bucket->shard_bytes,
                                   bucket->shard_offset, error);
    }
    const heed_status status = start_round(back, HEEDI_FAR, b, error);
    return status == HEED_OK ? poke(back, error) : status;
}

heed_status heedi_return_await(heedi_return *back, size_t end, heed_error *error) {
    if (back->n_arrived == back->n_started)
        return HEED_OK;
    HEED_IN_STAGE(RETURN);
    heed_status status = HEED_OK;
    while (status == HEED_OK && back->n_arrived < back->n_started &&
           back->plan->buckets[back->n_arrived].parameter < end) {
        while (status == HEED_OK && back->n_passed <= back->n_arrived)
            status = pass_on(back, error);
        if (status == HEED_OK && back->plan->per_node > 1)
            status =
                heed_exchange_wait(back->members[HEEDI_NEAR], &back->exchanges[HEEDI_NEAR][back->n_arrived], error);
        back->n_arrived++;
    }
    return status == HEED_OK ? poke(back, error) : status;
}
