/* A step's exchange from its outside: sums (gradsync_rounds.c), the norm (gradsync_norm.c), the update, parameters' way
 * back (gradsync_return.c); and the memory of all of it. */
#include "train/gradsync_state.h"

#include <omp.h>
#include <stdlib.h>

#include "heed/optimizer.h"
#include "heed/stage.h"

heed_status heed_gradsync_finish(heed_gradsync *sync, double divisor, double *norm, heed_error *error) {
    if (heed_gradsync_complete(sync, error) != HEED_OK || /* a rank that failed has not asked for parameters */
        heedi_rounds_finish(sync, error) != HEED_OK)
        return error->status;
    return heedi_norm_finish(sync, divisor, norm, error);
}

/* ---- update --------------------------------------------------------------------------------------------------- */

heed_status heed_gradsync_update(heed_gradsync *sync, real *weights, double scale, double learning_rate, uint64_t step,
                                 heed_error *error) {
    heed_status status = HEED_OK;
    sync->sealed = false;
    for (size_t b = 0; b < sync->plan.n_parameter_buckets && status == HEED_OK; b++) {
        const heedi_bucket *bucket = &sync->plan.buckets[b];
        const size_t first = bucket->parameter + bucket->own_first;
        heed_optimizer_update(sync->config, sync->params, weights, first, bucket->own_count,
                              heedi_gradsync_total(sync, bucket), sync->m ? sync->m + bucket->moment : NULL,
                              sync->v ? sync->v + bucket->moment : NULL, scale, learning_rate, step);
        if (sync->plan.size > 1)
            status = heedi_return_start(&sync->back, weights, error);
    }
    return status;
}

void heed_gradsync_await(void *context, size_t end) {
    heed_gradsync *sync = context;
    if (sync->error.status == HEED_OK)
        heedi_return_await(&sync->back, end, &sync->error);
}

heed_status heed_gradsync_complete(heed_gradsync *sync, heed_error *error) {
    heed_gradsync_await(sync, SIZE_MAX);
    if (sync->error.status != HEED_OK)
        *error = sync->error;
    return sync->error.status;
}

/* ---- create, destroy ------------------------------------------------------------------------------------------ */

static size_t levels_of(size_t n_grains) {
    size_t levels = 1;
    while ((size_t)1 << levels < n_grains)
        levels++;
    return levels + 1;
}

static size_t tree_bytes(size_t n_grains) {
    return (size_t)omp_get_max_threads() * levels_of(n_grains) * HEED_BLOCK * sizeof(real);
}

static size_t block_sum_bytes(const heed_params *params) {
    return heed_bytes(params->n_elements / HEED_BLOCK, sizeof(double));
}

static size_t digest_bytes(const heedi_plan *plan) {
    return heed_bytes(heed_bytes(plan->n_buckets, (size_t)plan->size), sizeof(uint64_t));
}

/* Of the sums over a node; none where there is no near round. */
static size_t piece_bytes(const heedi_plan *plan) {
    const size_t n_partials = plan->per_node > 1 ? plan->round[HEEDI_FAR].own_partials : 0;
    return heed_bytes(n_partials, heed_bytes(plan->piece_elements, sizeof(real)));
}

/* All of the arena but the moments. */
static size_t buffer_bytes(const heedi_plan *plan, const heed_params *params) {
    const size_t size = (size_t)plan->size;
    return heed_aligned(plan->round[HEEDI_NEAR].received_bytes) + heed_aligned(plan->round[HEEDI_FAR].received_bytes) +
           heed_aligned(piece_bytes(plan)) + heed_aligned(block_sum_bytes(params)) +
           heed_aligned(tree_bytes(plan->n_grains)) + heed_aligned(digest_bytes(plan)) +
           heed_aligned(2 * size * sizeof(double)) + heed_aligned(size);
}

/* Of what is not received, but read where it lies. */
static size_t bytes_not_received(const heed_gradsync *sync) {
    return sync->shared ? heed_aligned(sync->plan.round[heedi_plan_inside(&sync->plan)].received_bytes) : 0;
}

/* The same as the system will count it: where a page is read, Linux maps those around it as well. */
static size_t bytes_mapped(const heedi_plan *plan, const heed_params *params) {
    enum { AROUND = 65536 };
    const heedi_round *round = &plan->round[heedi_plan_inside(plan)];
    const size_t n_leaves = round->n_leaves - round->own_partials;
    const size_t all = heed_bytes(n_leaves, heed_bytes(params->n_gradient, sizeof(real)));
    const size_t bytes = round->received_bytes + n_leaves * plan->n_buckets * AROUND;
    return bytes < all ? bytes : all;
}

static heed_status allocate(heed_gradsync *sync, heed_error *error) {
    const heedi_plan *plan = &sync->plan;
    const size_t n_moments = (size_t)heed_optimizer_moments(sync->config);
    const size_t moment_bytes = heed_bytes(plan->own_elements, sizeof(real));
    sync->n_levels = levels_of(plan->n_grains);
    sync->n_threads = omp_get_max_threads();
    const size_t size = (size_t)plan->size;
    const size_t bytes =
        n_moments * heed_aligned(moment_bytes) + buffer_bytes(plan, sync->params) - bytes_not_received(sync);
    const heed_status status = heed_arena_init(&sync->arena, bytes, "optimizer and gradient exchange", error);
    if (status != HEED_OK)
        return status;
    sync->m = n_moments > 0 ? heed_arena_take(&sync->arena, moment_bytes) : NULL;
    sync->v = n_moments > 1 ? heed_arena_take(&sync->arena, moment_bytes) : NULL;
    for (int r = 0; r < HEEDI_N_ROUNDS; r++)
        if (!heedi_gradsync_reads_in_place(sync, (heedi_round_id)r))
            sync->received[r] = heed_arena_take(&sync->arena, plan->round[r].received_bytes);
    if (plan->per_node > 1)
        sync->pieces = heed_arena_take(&sync->arena, piece_bytes(plan));
    sync->block_sum = heed_arena_take(&sync->arena, block_sum_bytes(sync->params));
    sync->scratch = heed_arena_take(&sync->arena, tree_bytes(plan->n_grains));
    sync->digests = heed_arena_take(&sync->arena, digest_bytes(plan));
    sync->per_rank = heed_arena_take(&sync->arena, 2 * size * sizeof *sync->per_rank);
    sync->differs_here = heed_arena_take(&sync->arena, size);
    bool complete = true;
    for (int r = 0; r < HEEDI_N_ROUNDS; r++) {
        sync->exchanges[r] = calloc(plan->n_buckets * plan->round[r].n_waves, sizeof *sync->exchanges[r]);
        complete = complete && sync->exchanges[r];
    }
    sync->pending = calloc(plan->n_buckets, sizeof *sync->pending);
    if (!complete || !sync->pending)
        return heed_fail(error, HEED_MEMORY, "gradient exchange: out of memory for %zu buckets", plan->n_buckets);
    return HEED_OK;
}

/* Ranks on every node, if these are several, and as many everywhere; else 1. */
static heed_status ranks_per_node(heed_comm *comm, int *per_node, heed_error *error) {
    double unlike = comm->local_size * comm->n_nodes != comm->size;
    const heed_status status = heed_comm_max(comm, &unlike, 1, error);
    *per_node = unlike > 0 ? 1 : heedi_plan_near(comm->size, comm->local_size);
    return status;
}

/* Who meets in which round. */
static heed_status join_rounds(heed_gradsync *sync, heed_error *error) {
    const heedi_plan *plan = &sync->plan;
    sync->members[HEEDI_FAR] = sync->comm;
    if (plan->per_node == 1)
        return HEED_OK;
    heed_status status = heed_comm_split(sync->comm, plan->rank / plan->per_node, &sync->members[HEEDI_NEAR], error);
    if (status == HEED_OK)
        status = heed_comm_split(sync->comm, plan->rank % plan->per_node, &sync->members[HEEDI_FAR], error);
    return status;
}

/* Partial sums of the ranks of a node go where all of these can read them, if there are several and that can be. */
static heed_status share_partials(heed_gradsync *sync, heed_error *error) {
    const heedi_plan *plan = &sync->plan;
    heed_comm *node = sync->members[heedi_plan_inside(plan)];
    if (node->size == 1 || node->local_size != node->size)
        return HEED_OK;
    const size_t bytes =
        heed_gradient_partials_bytes(sync->params, plan->first_grain, plan->own_grains, plan->n_grains);
    return heed_shared_open(&sync->shared, node, bytes, plan->n_buckets, error);
}

/* All that can be under way at once: parameters have arrived before the next sums leave. */
static void reserve_exchanges(heed_gradsync *sync, heed_error *failed) {
    for (int r = 0; r < HEEDI_N_ROUNDS; r++)
        if (sync->plan.round[r].size > 1)
            heed_exchange_reserve(sync->members[r], sync->plan.n_buckets * sync->plan.round[r].n_waves, failed);
}

heed_status heed_gradsync_create(heed_gradsync **sync, heed_comm *comm, const heed_params *params,
                                 const heed_config *config, size_t bucket_blocks, heed_error *error) {
    *sync = NULL;
    heed_error failed = HEED_ERROR_INIT;
    const size_t n_grains = (size_t)(config->train.batch / config->train.grain);
    int per_node;
    if (ranks_per_node(comm, &per_node, error) != HEED_OK)
        return error->status;
    heed_gradsync *s = calloc(1, sizeof *s);
    if (!s) {
        heed_fail(&failed, HEED_MEMORY, "gradient exchange: out of memory");
    } else {
        s->comm = comm;
        s->config = config;
        s->params = params;
        s->error = (heed_error)HEED_ERROR_INIT;
        heedi_plan_init(&s->plan, comm->rank, comm->size, per_node, params, n_grains, bucket_blocks, &failed);
    }
    heed_status status = heed_comm_agree(comm, &failed);
    if (status == HEED_OK)
        status = join_rounds(s, &failed);
    if (status == HEED_OK)
        status = share_partials(s, &failed);
    if (status == HEED_OK) {
        if (allocate(s, &failed) == HEED_OK)
            heed_gradient_create_in(s->shared ? heed_shared_mine(s->shared) : NULL, &s->gradient, params,
                                    s->plan.first_grain, s->plan.own_grains, n_grains, &failed);
        reserve_exchanges(s, &failed);
        heedi_return_init(&s->back, comm, s->members, &s->plan, &failed);
        status = heed_comm_agree(comm, &failed);
    }
    if (status != HEED_OK) {
        heed_gradsync_destroy(s);
        *error = failed;
        return status;
    }
    if (comm->size > 1)
        heed_gradient_listen(s->gradient, heedi_rounds_tensor_is_ready, s);
    else
        heed_gradient_leave_gaps(s->gradient);
    heed_gradsync_begin(s);
    *sync = s;
    return HEED_OK;
}

void heed_gradsync_destroy(heed_gradsync *sync) {
    if (!sync)
        return;
    heed_gradsync_await(sync, SIZE_MAX); /* MPI may still write into the weights */
    heedi_return_reset(&sync->back);
    heed_gradient_destroy(sync->gradient);
    heedi_plan_reset(&sync->plan);
    heed_arena_reset(&sync->arena);
    heed_shared_close(sync->shared);
    for (int r = 0; r < HEEDI_N_ROUNDS; r++) {
        free(sync->exchanges[r]);
        if (sync->members[r] != sync->comm)
            heed_comm_close(sync->members[r]);
    }
    free(sync->pending);
    free(sync);
}

heed_status heed_gradsync_outlook(const heed_config *config, const heed_params *params, int size, int ranks_per_node,
                                  heed_gradsync_view *view, heed_error *error) {
    const size_t n_grains = (size_t)(config->train.batch / config->train.grain);
    const int n_nodes = 1 + (size - 1) / ranks_per_node, near = heedi_plan_near(size, ranks_per_node);
    heedi_plan plan;
    const heed_status status = heedi_plan_init(&plan, 0, size, near, params, n_grains, 0, error);
    if (status == HEED_OK) {
        *view = (heed_gradsync_view){.n_nodes = n_nodes,
                                     .near_ranks = near,
                                     .returns_ahead = heedi_plan_returns_ahead(size, n_nodes, near),
                                     .n_buckets = plan.n_buckets,
                                     .own_elements = plan.own_elements};
        view->memory.moments = (size_t)heed_optimizer_moments(config) * heed_aligned(plan.own_elements * sizeof(real));
        view->memory.buffers = buffer_bytes(&plan, params);
        if (n_nodes == 1 || near > 1) { /* one node, or one sum a node: its ranks read in place */
            view->memory.in_place = bytes_mapped(&plan, params);
            view->memory.buffers +=
                view->memory.in_place - heed_aligned(plan.round[heedi_plan_inside(&plan)].received_bytes);
        }
        view->memory.gradients = heed_gradient_planned_bytes(params, plan.first_grain, plan.own_grains, n_grains);
        for (int r = 0; r < HEEDI_N_ROUNDS; r++) {
            const heedi_round *round = &plan.round[r];
            const size_t members = (size_t)round->size, sharers = r == HEEDI_FAR ? (size_t)size : members;
            view->returned_bytes[r] = params->n_elements * sizeof(real) / sharers * (members - 1);
            for (size_t b = 0; b < plan.n_buckets; b++) {
                const heedi_cut *cut = &plan.buckets[b].cut[r];
                for (int m = 0; m < round->size; m++)
                    view->sent_bytes[r] += round->own_partials * cut->bytes[m];
                view->n_added +=
                    (round->n_leaves - (r == HEEDI_NEAR ? plan.round[HEEDI_FAR].own_partials : 1)) * cut->own_count;
            }
        }
    }
    heedi_plan_reset(&plan);
    return status;
}

heed_gradsync_memory heed_gradsync_bytes(const heed_gradsync *sync) {
    const size_t moments = heed_aligned(sync->plan.own_elements * sizeof(real));
    heed_gradsync_memory bytes = {.gradients = heed_gradient_bytes(sync->gradient),
                                  .moments = (size_t)heed_optimizer_moments(sync->config) * moments};
    bytes.in_place = sync->shared ? bytes_mapped(&sync->plan, sync->params) : 0;
    bytes.buffers = sync->arena.capacity_bytes - bytes.moments + bytes.in_place;
    return bytes;
}

heed_gradient *heed_gradsync_gradient(heed_gradsync *sync) {
    return sync->gradient;
}
