/* Why the order of exchanges is a rule: exchanges are collective, so every rank must start them alike, also one that
 * failed in this step and has no gradients to offer. Buckets therefore leave in the plan's order, in which backward
 * finishes them; one that is ready early waits for those ahead of it. A failed rank's buckets leave in finish, with
 * whatever they hold, and the step is given up later by all. The far round keeps the same order, on a communicator of
 * its own: when a bucket passes from the near round to it may differ between ranks.
 *
 * Inside a node nothing moves: partial sums lie in memory that its ranks share (heed/shared.h), a flag says that a
 * bucket is complete there, and its owner reads it in place. Nobody writes there again before all ranks have met in the
 * norm, to which owners come when they have read.
 *
 * Where the total lies: the owner completes the tree block by block and puts the total where its own first partial sum
 * of the block was. Nobody else ever reads that place. With one rank it is there from the start and nothing moves. */
#include "train/gradsync_state.h"

#include <omp.h>
#include <sched.h>
#include <string.h>

#include "base/stream.h"
#include "heed/multiversion.h"
#include "heed/stage.h"

/* ---- exchange ------------------------------------------------------------------------------------------------- */

static heed_exchange *exchange_of(heed_gradsync *sync, heedi_round_id id, size_t bucket, size_t wave) {
    return &sync->exchanges[id][bucket * sync->plan.round[id].n_waves + wave];
}

/* This rank's k-th partial sum in a round, of what is cut there: near the bucket, far the piece of it. */
static real *partial_of(const heed_gradsync *sync, heedi_round_id id, const heedi_bucket *bucket, size_t k) {
    if (id == HEEDI_FAR && sync->pieces)
        return sync->pieces + k * sync->plan.piece_elements + bucket->piece;
    return heed_gradient_partial(sync->gradient, k) + bucket->gradient;
}

static void start_round(heed_gradsync *sync, heedi_round_id id, size_t b) {
    HEED_IN_STAGE(EXCHANGE);
    if (heedi_gradsync_reads_in_place(sync, id)) {
        heed_shared_set(sync->shared, b, sync->turn);
        return;
    }
    const heedi_round *round = &sync->plan.round[id];
    const heedi_bucket *bucket = &sync->plan.buckets[b];
    const heedi_cut *cut = &bucket->cut[id];
    for (size_t wave = 0; wave < round->n_waves && sync->error.status == HEED_OK; wave++) {
        const bool sends = wave < round->own_partials;
        heed_exchange_start(sync->members[id], exchange_of(sync, id, b, wave),
                            partial_of(sync, id, bucket, sends ? wave : 0), sends ? cut->bytes : sync->plan.nothing,
                            cut->offset, sync->received[id], cut->receive_bytes + wave * (size_t)round->size,
                            cut->receive_offset + wave * (size_t)round->size, &sync->error);
    }
}

/* Have all members of a round in shared memory left the bucket to be read? */
static bool is_there(const heed_gradsync *sync, heedi_round_id id, size_t b) {
    for (int member = 0; member < sync->plan.round[id].size; member++)
        if (heed_shared_flag(sync->shared, member, b) < sync->turn)
            return false;
    return true;
}

static heed_status wait_for_round(heed_gradsync *sync, heedi_round_id id, size_t b) {
    HEED_IN_STAGE(WAIT);
    if (heedi_gradsync_reads_in_place(sync, id)) {
        while (!is_there(sync, id, b))
            sched_yield(); /* whoever is waited for may want this core */
        return HEED_OK;
    }
    for (size_t wave = 0; wave < sync->plan.round[id].n_waves && sync->error.status == HEED_OK; wave++)
        heed_exchange_wait(sync->members[id], exchange_of(sync, id, b, wave), &sync->error);
    return sync->error.status;
}

/* Has all of the bucket arrived? Asking lets MPI move data. */
static bool has_arrived(heed_gradsync *sync, heedi_round_id id, size_t b) {
    bool all = true, done = false;
    if (heedi_gradsync_reads_in_place(sync, id))
        return is_there(sync, id, b);
    for (size_t wave = 0; wave < sync->plan.round[id].n_waves && sync->error.status == HEED_OK; wave++) {
        heed_exchange_test(sync->members[id], exchange_of(sync, id, b, wave), &done, &sync->error);
        all = all && done;
    }
    return all;
}

/* ---- tree ----------------------------------------------------------------------------------------------------- */

HEED_MULTIVERSION
static void add(real *sum, const real *a, const real *b, size_t count) {
    for (size_t from = 0, end; from < count; from = end) {
        end = heedi_run_end(from, count);
        heedi_ask_ahead(a + from);
        heedi_ask_ahead(b + from);
        for (size_t i = from; i < end; i++)
            sum[i] = a[i] + b[i];
    }
}

/* A walk through the tree over one block of this rank's part in a round: leaves are met in the order of their grains.
 */
typedef struct tree_walk {
    const heed_gradsync *sync;
    heedi_round_id id;
    const heedi_bucket *bucket;
    size_t block;           /* first element, from the start of this rank's part */
    const heedi_leaf *leaf; /* the next one */
    real *scratch;
} tree_walk;

static const real *leaf_sum(const tree_walk *walk, const heedi_leaf *leaf) {
    const heedi_round *round = &walk->sync->plan.round[walk->id];
    const heedi_cut *cut = &walk->bucket->cut[walk->id];
    if (heedi_gradsync_reads_in_place(walk->sync, walk->id))
        return (const real *)heed_shared_of(walk->sync->shared, leaf->member) +
               leaf->partial * walk->sync->params->n_gradient + walk->bucket->gradient +
               cut->offset[round->rank] / sizeof(real) + walk->block;
    if (leaf->member == round->rank)
        return partial_of(walk->sync, walk->id, walk->bucket, leaf->partial) + cut->offset[round->rank] / sizeof(real) +
               walk->block;
    const size_t slot = leaf->partial * (size_t)round->size + (size_t)leaf->member;
    return (const real *)(const void *)(walk->sync->received[walk->id] + cut->receive_offset[slot]) + walk->block;
}

/* The node's sum over the block: a leaf as it lies, else in the scratch of this level. */
static const real *node_sum(tree_walk *walk, heed_node node, size_t level) {
    if (walk->leaf->node.first == node.first && walk->leaf->node.count == node.count)
        return leaf_sum(walk, walk->leaf++);
    const size_t left = heed_tree_left(node.count);
    const real *a = node_sum(walk, (heed_node){node.first, left}, level);
    const real *b = node_sum(walk, (heed_node){node.first + left, node.count - left}, level + 1);
    real *sum = walk->scratch + level * HEED_BLOCK;
    add(sum, a, b, HEED_BLOCK);
    return sum;
}

static void put_sum(tree_walk *walk, heed_node node, real *to) {
    const real *sum = node_sum(walk, node, 0);
    if (sum != to)
        memcpy(to, sum, HEED_BLOCK * sizeof *to);
}

/* The sums over the node of this rank's piece: its partial sums in the far round. */
static void sum_node(heed_gradsync *sync, const heedi_bucket *bucket) {
    HEED_IN_STAGE(TREE);
    const heedi_round *near = &sync->plan.round[HEEDI_NEAR], *far = &sync->plan.round[HEEDI_FAR];
#pragma omp parallel for schedule(static) num_threads(sync->n_threads)
    for (size_t block = 0; block < bucket->cut[HEEDI_NEAR].own_count; block += HEED_BLOCK) {
        real *scratch = sync->scratch + (size_t)omp_get_thread_num() * sync->n_levels * HEED_BLOCK;
        tree_walk walk = {sync, HEEDI_NEAR, bucket, block, near->leaves, scratch};
        for (size_t l = 0; l < far->n_leaves; l++)
            if (far->leaves[l].member == far->rank)
                put_sum(&walk, far->leaves[l].node,
                        partial_of(sync, HEEDI_FAR, bucket, far->leaves[l].partial) + block);
    }
}

static void complete_tree(heed_gradsync *sync, const heedi_bucket *bucket) {
    HEED_IN_STAGE(TREE);
    real *total = heedi_gradsync_total(sync, bucket);
#pragma omp parallel for schedule(static) num_threads(sync->n_threads)
    for (size_t block = 0; block < bucket->own_count; block += HEED_BLOCK) {
        real *scratch = sync->scratch + (size_t)omp_get_thread_num() * sync->n_levels * HEED_BLOCK;
        tree_walk walk = {sync, HEEDI_FAR, bucket, block, sync->plan.round[HEEDI_FAR].leaves, scratch};
        put_sum(&walk, (heed_node){0, sync->plan.n_grains}, total + block);
        if (!bucket->tied)
            heedi_norm_block(sync, bucket, block);
    }
}

HEED_MULTIVERSION
static bool is_zero(const real *x, size_t count) {
    bool zero = true;
    for (size_t from = 0, end; zero && from < count; from = end) {
        end = heedi_run_end(from, count);
        for (size_t i = from; i < end; i++)
            zero &= x[i] == 0;
    }
    return zero;
}

/* The bucket of a tied row lies, by construction, inside one bucket of the parameters and has the same owners. Of a
 * table of tokens most blocks met none in this step: what is zero is left out, by its values, so that all ranks and
 * all numbers of ranks do alike. (It could not be added without a trace: -0 + 0 is 0.) */
static void add_tied_row(heed_gradsync *sync, const heedi_bucket *tied) {
    HEED_IN_STAGE(TREE);
    const heedi_bucket *bucket = sync->plan.buckets;
    while (tied->parameter >= bucket->parameter + bucket->count)
        bucket++;
    const size_t behind = tied->parameter + tied->own_first - (bucket->parameter + bucket->own_first);
    real *total = heedi_gradsync_total(sync, bucket) + behind;
    const real *more = heedi_gradsync_total(sync, tied);
    const size_t gradient = tied->gradient + tied->own_first;
#pragma omp parallel for schedule(static) num_threads(sync->n_threads)
    for (size_t block = 0; block < tied->own_count; block += HEED_BLOCK) {
        if (!heed_gradient_clear_gaps(sync->gradient, gradient + block, HEED_BLOCK) ||
            is_zero(more + block, HEED_BLOCK))
            continue;
        add(total + block, total + block, more + block, HEED_BLOCK);
        if (sync->plan.size > 1)
            heedi_norm_block(sync, bucket, behind + block);
    }
}

/* ---- buckets under way ---------------------------------------------------------------------------------------- */

static bool has_near_round(const heed_gradsync *sync) {
    return sync->pieces != NULL;
}

static void start_buckets(heed_gradsync *sync, bool all) {
    const size_t n_buckets = sync->plan.n_buckets;
    while (sync->n_started < n_buckets) {
        const size_t next = sync->plan.departs[sync->n_started];
        if (sync->pending[next] && !all)
            return;
        heed_stage_departs((uint32_t)next);
        start_round(sync, has_near_round(sync) ? HEEDI_NEAR : HEEDI_FAR, next);
        sync->n_started++;
    }
}

/* Buckets whose near round is over go into the far one; all: those that it is waited for. */
static void pass_on(heed_gradsync *sync, bool all) {
    while (has_near_round(sync) && sync->n_passed < sync->n_started && sync->error.status == HEED_OK) {
        const size_t next = sync->plan.departs[sync->n_passed];
        if (!all && !has_arrived(sync, HEEDI_NEAR, next))
            return;
        if (wait_for_round(sync, HEEDI_NEAR, next) != HEED_OK)
            return;
        sum_node(sync, &sync->plan.buckets[next]);
        start_round(sync, HEEDI_FAR, next);
        sync->n_passed++;
    }
}

void heedi_rounds_tensor_is_ready(void *context, size_t tensor) {
    HEED_IN_STAGE(EXCHANGE);
    heed_gradsync *sync = context;
    HEED_CHECK(sync->back.n_arrived == sync->back.n_started); /* forward has asked for all parameters */
    for (size_t b = 0; b < sync->plan.n_buckets; b++)
        if (heedi_bucket_holds(&sync->plan.buckets[b], &sync->params->tensors[tensor]))
            sync->pending[b]--;
    start_buckets(sync, false);
    pass_on(sync, false);
    const size_t n_far = has_near_round(sync) ? sync->n_passed : sync->n_started;
    bool done;
    if (n_far && sync->error.status == HEED_OK &&
        !heedi_gradsync_reads_in_place(sync,
                                       HEEDI_FAR)) /* lets MPI move data; which exchange is asked for does not matter */
        heed_exchange_test(sync->members[HEEDI_FAR], exchange_of(sync, HEEDI_FAR, sync->plan.departs[n_far - 1], 0),
                           &done, &sync->error);
}

void heed_gradsync_begin(heed_gradsync *sync) {
    for (size_t b = 0; b < sync->plan.n_buckets; b++)
        sync->pending[b] = sync->plan.buckets[b].n_tensors;
    sync->n_started = sync->n_passed = 0;
    sync->turn++;
    heedi_norm_begin(sync);
}

heed_status heedi_rounds_finish(heed_gradsync *sync, heed_error *error) {
    const heedi_plan *plan = &sync->plan;
    if (plan->size > 1) {
        start_buckets(sync, true);
        pass_on(sync, true);
    }
    for (size_t i = 0; i < plan->n_buckets && plan->size > 1; i++) {
        const size_t b = plan->departs[i];
        if (wait_for_round(sync, HEEDI_FAR, b) != HEED_OK)
            return *error = sync->error, sync->error.status;
        heed_stage_arrives((uint32_t)b);
        complete_tree(sync, &plan->buckets[b]);
    }
    for (size_t b = 0; b < plan->n_buckets; b++)
        if (plan->buckets[b].tied)
            add_tied_row(sync, &plan->buckets[b]);
    return HEED_OK;
}
