#include "train/gradsync_plan.h"

#include <stdlib.h>
#include <string.h>

/* The grains of rank r: those that heed_batch_shape deals to it. */
static size_t first_grain_of(const heedi_plan *plan, int rank) {
    return plan->n_grains * (size_t)rank / (size_t)plan->size;
}

static heed_status find_leaves(heedi_plan *plan, heed_error *error) {
    heed_node cover[HEED_MAX_COVER];
    plan->leaves = calloc((size_t)plan->size * HEED_MAX_COVER, sizeof *plan->leaves);
    if (!plan->leaves)
        return heed_fail(error, HEED_MEMORY, "gradient exchange: out of memory for %d ranks", plan->size);
    for (int rank = 0; rank < plan->size; rank++) {
        const size_t first = first_grain_of(plan, rank), count = first_grain_of(plan, rank + 1) - first;
        const size_t n_nodes = heed_tree_cover(cover, first, count, plan->n_grains);
        for (size_t k = 0; k < n_nodes; k++)
            plan->leaves[plan->n_leaves++] = (heedi_leaf){cover[k], rank, k};
        if (n_nodes > plan->n_waves)
            plan->n_waves = n_nodes;
        if (rank == plan->rank) {
            plan->first_grain = first;
            plan->own_grains = count;
            plan->own_partials = n_nodes;
        }
    }
    return HEED_OK;
}

/* Buckets of 64 KiB to 4 MiB a rank and message would all do; what counts is that several are under way during
 * backward, and that all ranks but those of the last bucket have shards of one size. */
static size_t choose_bucket_blocks(size_t n_blocks, size_t size) {
    size_t blocks = n_blocks / 16;
    blocks = blocks < 16 ? 16 : blocks > 256 ? 256 : blocks;
    return (blocks + size - 1) / size * size;
}

/* Arrays of one number a rank that a bucket has. */
static size_t arrays_of(const heedi_plan *plan) {
    return 5 + 2 * plan->n_waves;
}

/* Cuts [parameter, parameter + count) out of the bucket that begins at `bucket` and holds `blocks` blocks. */
static void add_piece(heedi_plan *plan, size_t bucket, size_t blocks, size_t parameter, size_t count, size_t gradient,
                      bool tied) {
    heedi_bucket *piece = &plan->buckets[plan->n_buckets++];
    *piece = (heedi_bucket){.gradient = gradient, .parameter = parameter, .count = count, .tied = tied};
    size_t *counts = plan->counts + (plan->n_buckets - 1) * arrays_of(plan) * (size_t)plan->size;
    piece->shard_bytes = counts;
    piece->shard_offset = counts + plan->size;
    piece->send_bytes = counts + 2 * plan->size;
    piece->return_bytes = counts + 3 * plan->size;
    piece->return_offset = counts + 4 * plan->size;
    piece->receive_bytes = counts + 5 * plan->size;
    piece->receive_offset = piece->receive_bytes + plan->n_waves * (size_t)plan->size;
    for (int rank = 0; rank < plan->size; rank++) {
        size_t from = bucket + blocks * (size_t)rank / (size_t)plan->size * HEED_BLOCK;
        size_t to = bucket + blocks * (size_t)(rank + 1) / (size_t)plan->size * HEED_BLOCK;
        from = from < parameter ? parameter : from > parameter + count ? parameter + count : from;
        to = to < from ? from : to > parameter + count ? parameter + count : to;
        piece->shard_offset[rank] = (from - parameter) * sizeof(real);
        piece->shard_bytes[rank] = (to - from) * sizeof(real);
        piece->send_bytes[rank] = rank == plan->rank ? 0 : piece->shard_bytes[rank];
        if (rank == plan->rank) {
            piece->own_first = from - parameter;
            piece->own_count = to - from;
        }
    }
    for (int rank = 0; rank < plan->size; rank++) {
        piece->return_bytes[rank] = rank == plan->rank ? 0 : piece->own_count * sizeof(real);
        piece->return_offset[rank] = piece->own_first * sizeof(real);
    }
    for (size_t l = 0; l < plan->n_leaves; l++) {
        const heedi_leaf *leaf = &plan->leaves[l];
        if (leaf->rank == plan->rank)
            continue;
        const size_t slot = leaf->partial * (size_t)plan->size + (size_t)leaf->rank;
        piece->receive_bytes[slot] = piece->own_count * sizeof(real);
        piece->receive_offset[slot] = plan->received_bytes;
        plan->received_bytes += heed_aligned(piece->own_count * sizeof(real));
    }
    if (!tied) {
        piece->moment = plan->own_elements;
        plan->own_elements += piece->own_count;
    }
}

/* Gives every piece of the range [from, end) of the parameter arena, cut at bucket bounds, to add_piece. */
static void cut_range(heedi_plan *plan, size_t n_elements, size_t bucket_size, size_t from, size_t end, size_t gradient,
                      bool tied) {
    for (size_t bucket = from / bucket_size * bucket_size; bucket < end; bucket += bucket_size) {
        const size_t whole = bucket + bucket_size < n_elements ? bucket_size : n_elements - bucket;
        const size_t first = bucket > from ? bucket : from;
        const size_t last = bucket + whole < end ? bucket + whole : end;
        add_piece(plan, bucket, whole / HEED_BLOCK, first, last - first, gradient + (first - from), tied);
    }
}

static size_t whole_blocks(size_t elements) {
    return (elements + HEED_BLOCK - 1) / HEED_BLOCK * HEED_BLOCK;
}

static heed_status cut_buckets(heedi_plan *plan, const heed_params *params, size_t bucket_blocks, heed_error *error) {
    const size_t bucket_size = bucket_blocks * HEED_BLOCK;
    size_t most = params->n_elements / bucket_size + 1;
    for (size_t i = 0; i < params->n_tensors; i++)
        if (params->tensors[i].tied_to >= 0)
            most += params->tensors[i].size / bucket_size + 2;
    plan->buckets = calloc(most, sizeof *plan->buckets);
    plan->counts = calloc(most * arrays_of(plan) * (size_t)plan->size, sizeof *plan->counts);
    plan->nothing = calloc((size_t)plan->size, sizeof *plan->nothing);
    if (!plan->buckets || !plan->counts || !plan->nothing)
        return heed_fail(error, HEED_MEMORY, "gradient exchange: out of memory for %zu buckets", most);
    cut_range(plan, params->n_elements, bucket_size, 0, params->n_elements, 0, false);
    plan->n_parameter_buckets = plan->n_buckets;
    for (size_t i = 0; i < params->n_tensors; i++) {
        const heed_tensor *row = &params->tensors[i];
        if (row->tied_to >= 0)
            cut_range(plan, params->n_elements, bucket_size, row->offset, row->offset + whole_blocks(row->size),
                      row->gradient, true);
    }
    for (size_t b = 0; b < plan->n_buckets; b++)
        for (size_t i = 0; i < params->n_tensors; i++)
            plan->buckets[b].n_tensors += heedi_bucket_holds(&plan->buckets[b], &params->tensors[i]);
    return HEED_OK;
}

bool heedi_bucket_holds(const heedi_bucket *bucket, const heed_tensor *tensor) {
    return tensor->gradient < bucket->gradient + bucket->count && bucket->gradient < tensor->gradient + tensor->size;
}

heed_status heedi_plan_init(heedi_plan *plan, const heed_comm *comm, const heed_params *params, size_t n_grains,
                            size_t bucket_blocks, heed_error *error) {
    *plan = (heedi_plan){.rank = comm->rank, .size = comm->size, .n_grains = n_grains};
    if (!bucket_blocks)
        bucket_blocks = choose_bucket_blocks(params->n_elements / HEED_BLOCK, (size_t)comm->size);
    heed_status status = find_leaves(plan, error);
    if (status == HEED_OK)
        status = cut_buckets(plan, params, bucket_blocks, error);
    return status;
}

void heedi_plan_reset(heedi_plan *plan) {
    free(plan->leaves);
    free(plan->buckets);
    free(plan->counts);
    free(plan->nothing);
    *plan = (heedi_plan){0};
}
