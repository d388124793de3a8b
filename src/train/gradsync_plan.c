#include "train/gradsync_plan.h"

#include <stdlib.h>
#include <string.h>

int heedi_plan_near(int size, int ranks_per_node) {
    return ranks_per_node < size && size % ranks_per_node == 0 ? ranks_per_node : 1;
}

bool heedi_plan_returns_ahead(int size, int n_nodes, int per_node) {
    return per_node > 1 || n_nodes == 1 || n_nodes == size;
}

/* The grains of rank r: those that heed_batch_shape deals to it. */
static size_t first_grain_of(const heedi_plan *plan, int rank) {
    return plan->n_grains * (size_t)rank / (size_t)plan->size;
}

/* The leaves of a round's members, each of which has the grains of `ranks` ranks, the first of them from `first` on. */
static heed_status find_leaves(heedi_plan *plan, heedi_round *round, int first, int ranks, heed_error *error) {
    heed_node cover[HEED_MAX_COVER];
    round->leaves = calloc((size_t)round->size * HEED_MAX_COVER, sizeof *round->leaves);
    if (!round->leaves)
        return heed_fail(error, HEED_MEMORY, "gradient exchange: out of memory for %d ranks", plan->size);
    for (int member = 0; member < round->size; member++) {
        const size_t from = first_grain_of(plan, first + member * ranks);
        const size_t end = first_grain_of(plan, first + (member + 1) * ranks);
        const size_t n_nodes = heed_tree_cover(cover, from, end - from, plan->n_grains);
        for (size_t k = 0; k < n_nodes; k++)
            round->leaves[round->n_leaves++] = (heedi_leaf){cover[k], member, k};
        if (n_nodes > round->n_waves)
            round->n_waves = n_nodes;
        if (member == round->rank)
            round->own_partials = n_nodes;
    }
    return HEED_OK;
}

static heed_status find_rounds(heedi_plan *plan, heed_error *error) {
    const int near = plan->rank % plan->per_node, far = plan->rank / plan->per_node;
    plan->round[HEEDI_NEAR] = (heedi_round){.rank = near, .size = plan->per_node};
    plan->round[HEEDI_FAR] = (heedi_round){.rank = far, .size = plan->size / plan->per_node};
    plan->first_grain = first_grain_of(plan, plan->rank);
    plan->own_grains = first_grain_of(plan, plan->rank + 1) - plan->first_grain;
    const heed_status status = find_leaves(plan, &plan->round[HEEDI_NEAR], plan->rank - near, 1, error);
    return status == HEED_OK ? find_leaves(plan, &plan->round[HEEDI_FAR], 0, plan->per_node, error) : status;
}

/* Buckets of 64 KiB to 4 MiB a rank and message would all do; what counts is that several are under way during
 * backward, and that all ranks but those of the last bucket have shards of one size. */
static size_t choose_bucket_blocks(size_t n_blocks, size_t size) {
    size_t blocks = n_blocks / 16;
    blocks = blocks < 16 ? 16 : blocks > 256 ? 256 : blocks;
    return (blocks + size - 1) / size * size;
}

/* Numbers of a bucket's arrays. */
static size_t numbers_of(const heedi_plan *plan) {
    size_t n = 2 * (size_t)plan->size;
    for (int r = 0; r < HEEDI_N_ROUNDS; r++)
        n += (4 + 2 * plan->round[r].n_waves) * (size_t)plan->round[r].size;
    return n;
}

static size_t *take(size_t **numbers, size_t n) {
    size_t *taken = *numbers;
    *numbers += n;
    return taken;
}

/* Shards lie in the order of places on the nodes, and those of a place in the order of nodes: so a piece is one run. */
static size_t shard_of(const heedi_plan *plan, int rank) {
    const int n_nodes = plan->size / plan->per_node, place = rank % plan->per_node, node = rank / plan->per_node;
    return (size_t)place * (size_t)n_nodes + (size_t)node;
}

/* Fills a cut: member m's part is the elements from first[m] to end[m] of the bucket. */
static void cut_round(heedi_round *round, heedi_cut *cut, const size_t *first, const size_t *end, size_t **numbers) {
    const size_t size = (size_t)round->size, start = first[0];
    cut->bytes = take(numbers, size), cut->offset = take(numbers, size);
    cut->return_bytes = take(numbers, size), cut->return_offset = take(numbers, size);
    cut->receive_bytes = take(numbers, round->n_waves * size);
    cut->receive_offset = take(numbers, round->n_waves * size);
    const size_t own_bytes = (end[round->rank] - first[round->rank]) * sizeof(real);
    cut->own_first = first[round->rank];
    cut->own_count = end[round->rank] - first[round->rank];
    for (size_t m = 0; m < size; m++) {
        const bool other = m != (size_t)round->rank;
        cut->bytes[m] = other ? (end[m] - first[m]) * sizeof(real) : 0;
        cut->offset[m] = (first[m] - start) * sizeof(real);
        cut->return_bytes[m] = other ? own_bytes : 0;
        cut->return_offset[m] = (cut->own_first - start) * sizeof(real);
    }
    for (size_t l = 0; l < round->n_leaves; l++) {
        const heedi_leaf *leaf = &round->leaves[l];
        if (leaf->member == round->rank)
            continue;
        const size_t slot = leaf->partial * size + (size_t)leaf->member;
        cut->receive_bytes[slot] = own_bytes;
        cut->receive_offset[slot] = round->received_bytes;
        round->received_bytes += heed_aligned(own_bytes);
    }
}

/* Cuts [parameter, parameter + count) out of the bucket that begins at `bucket` and holds `blocks` blocks. bounds (2,
 * members): scratch. */
static void add_piece(heedi_plan *plan, size_t bucket, size_t blocks, size_t parameter, size_t count, size_t gradient,
                      bool tied, size_t *bounds) {
    size_t *numbers = plan->counts + plan->n_buckets * numbers_of(plan);
    heedi_bucket *piece = &plan->buckets[plan->n_buckets++];
    *piece = (heedi_bucket){.gradient = gradient, .parameter = parameter, .count = count, .tied = tied};
    piece->shard_bytes = take(&numbers, (size_t)plan->size);
    piece->shard_offset = take(&numbers, (size_t)plan->size);
    for (int rank = 0; rank < plan->size; rank++) {
        const size_t shard = shard_of(plan, rank);
        size_t from = bucket + blocks * shard / (size_t)plan->size * HEED_BLOCK;
        size_t to = bucket + blocks * (shard + 1) / (size_t)plan->size * HEED_BLOCK;
        from = from < parameter ? parameter : from > parameter + count ? parameter + count : from;
        to = to < from ? from : to > parameter + count ? parameter + count : to;
        piece->shard_offset[rank] = (from - parameter) * sizeof(real);
        piece->shard_bytes[rank] = (to - from) * sizeof(real);
    }
    const int near = plan->rank % plan->per_node, n_nodes = plan->size / plan->per_node;
    size_t *first = bounds, *end = bounds + plan->size;
    for (int m = 0; m < plan->per_node; m++) { /* from the first node's shard to the last one's */
        const int last = m + (n_nodes - 1) * plan->per_node;
        first[m] = piece->shard_offset[m] / sizeof(real);
        end[m] = (piece->shard_offset[last] + piece->shard_bytes[last]) / sizeof(real);
    }
    cut_round(&plan->round[HEEDI_NEAR], &piece->cut[HEEDI_NEAR], first, end, &numbers);
    for (int m = 0; m < n_nodes; m++) {
        const int rank = near + m * plan->per_node;
        first[m] = piece->shard_offset[rank] / sizeof(real);
        end[m] = first[m] + piece->shard_bytes[rank] / sizeof(real);
    }
    cut_round(&plan->round[HEEDI_FAR], &piece->cut[HEEDI_FAR], first, end, &numbers);
    piece->own_first = piece->cut[HEEDI_FAR].own_first;
    piece->own_count = piece->cut[HEEDI_FAR].own_count;
    piece->piece = plan->piece_elements;
    plan->piece_elements += piece->cut[HEEDI_NEAR].own_count;
    if (!tied) {
        piece->moment = plan->own_elements;
        plan->own_elements += piece->own_count;
    }
}

/* Gives every piece of the range [from, end) of the parameter arena, cut at bucket bounds, to add_piece. */
static void cut_range(heedi_plan *plan, size_t n_elements, size_t bucket_size, size_t from, size_t end, size_t gradient,
                      bool tied, size_t *bounds) {
    for (size_t bucket = from / bucket_size * bucket_size; bucket < end; bucket += bucket_size) {
        const size_t whole = bucket + bucket_size < n_elements ? bucket_size : n_elements - bucket;
        const size_t first = bucket > from ? bucket : from;
        const size_t last = bucket + whole < end ? bucket + whole : end;
        add_piece(plan, bucket, whole / HEED_BLOCK, first, last - first, gradient + (first - from), tied, bounds);
    }
}

static size_t whole_blocks(size_t elements) {
    return (elements + HEED_BLOCK - 1) / HEED_BLOCK * HEED_BLOCK;
}

static void meet_tensors(heedi_bucket *bucket, const heed_params *params) {
    bucket->first_tensor = params->n_tensors - 1;
    for (size_t i = params->n_tensors; i-- > 0;)
        if (heedi_bucket_holds(bucket, &params->tensors[i])) {
            bucket->first_tensor = i;
            bucket->n_tensors++;
        }
}

static heed_status cut_buckets(heedi_plan *plan, const heed_params *params, size_t bucket_blocks, heed_error *error) {
    const size_t bucket_size = bucket_blocks * HEED_BLOCK;
    size_t most = params->n_elements / bucket_size + 1;
    for (size_t i = 0; i < params->n_tensors; i++)
        if (params->tensors[i].gradient >= params->n_elements)
            most += params->tensors[i].size / bucket_size + 2;
    plan->buckets = calloc(most, sizeof *plan->buckets);
    plan->departs = calloc(most, sizeof *plan->departs);
    plan->counts = calloc(most * numbers_of(plan), sizeof *plan->counts);
    plan->nothing = calloc((size_t)plan->size, sizeof *plan->nothing);
    size_t *bounds = calloc(2 * (size_t)plan->size, sizeof *bounds);
    if (!plan->buckets || !plan->departs || !plan->counts || !plan->nothing || !bounds) {
        free(bounds);
        return heed_fail(error, HEED_MEMORY, "gradient exchange: out of memory for %zu buckets", most);
    }
    cut_range(plan, params->n_elements, bucket_size, 0, params->n_elements, 0, false, bounds);
    plan->n_parameter_buckets = plan->n_buckets;
    for (size_t i = 0; i < params->n_tensors; i++) {
        const heed_tensor *row = &params->tensors[i];
        if (row->gradient >= params->n_elements)
            cut_range(plan, params->n_elements, bucket_size, row->offset, row->offset + whole_blocks(row->size),
                      row->gradient, true, bounds);
    }
    free(bounds);
    for (size_t b = 0; b < plan->n_buckets; b++)
        meet_tensors(&plan->buckets[b], params);
    return HEED_OK;
}

/* Backward goes through the table of tensors from its end: a bucket is finished with the first tensor that it holds. Of
 * a tied tensor's uses the classifier's is finished first of all, those of tokens last. */
static void order_departures(heedi_plan *plan, const heed_params *params) {
    size_t n = 0;
    for (size_t i = params->n_tensors; i-- > 0;)
        for (size_t b = plan->n_buckets; b-- > 0;)
            if (plan->buckets[b].first_tensor == i)
                plan->departs[n++] = b;
    HEED_CHECK(n == plan->n_buckets);
}

bool heedi_bucket_holds(const heedi_bucket *bucket, const heed_tensor *tensor) {
    return tensor->gradient < bucket->gradient + bucket->count && bucket->gradient < tensor->gradient + tensor->size;
}

heed_status heedi_plan_init(heedi_plan *plan, int rank, int size, int per_node, const heed_params *params,
                            size_t n_grains, size_t bucket_blocks, heed_error *error) {
    *plan = (heedi_plan){.rank = rank, .size = size, .per_node = per_node, .n_grains = n_grains};
    if (!bucket_blocks)
        bucket_blocks = choose_bucket_blocks(params->n_elements / HEED_BLOCK, (size_t)size);
    heed_status status = find_rounds(plan, error);
    if (status == HEED_OK)
        status = cut_buckets(plan, params, bucket_blocks, error);
    if (status == HEED_OK)
        order_departures(plan, params);
    return status;
}

void heedi_plan_reset(heedi_plan *plan) {
    for (int r = 0; r < HEEDI_N_ROUNDS; r++)
        free(plan->round[r].leaves);
    free(plan->buckets);
    free(plan->departs);
    free(plan->counts);
    free(plan->nothing);
    *plan = (heedi_plan){0};
}
