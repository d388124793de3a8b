/* Which rank's gradient was the first that is not finite? Owners find the first element whose total is not; then every
 * rank looks at that element in its own partial sums, which lie untouched until the next step. Only the owner's first
 * one was overwritten by the total: when all others are finite, it was not. */
#include <math.h>
#include <stdint.h>

#include "train/gradsync_state.h"

typedef struct finding {
    bool any;
    size_t tensor, element; /* of the tensor */
} finding;

static bool is_not_finite(real x) {
    return !isfinite(x);
}

/* Later in the arena is earlier in backward. */
static bool is_earlier(const heed_params *params, const finding *a, const finding *b) {
    const size_t a_offset = params->tensors[a->tensor].gradient, b_offset = params->tensors[b->tensor].gradient;
    return !b->any || a_offset > b_offset || (a_offset == b_offset && a->element < b->element);
}

static void look_at(heed_gradsync *sync, const heedi_bucket *bucket, size_t t, finding *best) {
    const heed_tensor *tensor = &sync->params->tensors[t];
    const size_t shard = bucket->gradient + bucket->own_first, shard_end = shard + bucket->own_count;
    const size_t from = tensor->gradient > shard ? tensor->gradient : shard;
    const size_t tensor_end = tensor->gradient + tensor->size, end = tensor_end < shard_end ? tensor_end : shard_end;
    const real *total = heedi_gradsync_total(sync, bucket);
    for (size_t i = from; i < end; i++) {
        const finding here = {true, t, i - tensor->gradient};
        if (!is_not_finite(total[i - shard]))
            continue;
        if (is_earlier(sync->params, &here, best))
            *best = here;
        return;
    }
}

static finding find_first(heed_gradsync *sync) {
    finding best = {.any = false};
    for (size_t b = 0; b < sync->plan.n_buckets; b++)
        for (size_t t = 0; t < sync->params->n_tensors; t++)
            if (heedi_bucket_holds(&sync->plan.buckets[b], &sync->params->tensors[t]))
                look_at(sync, &sync->plan.buckets[b], t, &best);
    return best;
}

static bool owns(const heed_gradsync *sync, size_t gradient) {
    for (size_t b = 0; b < sync->plan.n_buckets; b++) {
        const heedi_bucket *bucket = &sync->plan.buckets[b];
        const size_t first = bucket->gradient + bucket->own_first;
        if (gradient >= first && gradient < first + bucket->own_count)
            return true;
    }
    return false;
}

/* Of this rank's partial sums, the first with that element not finite; what the owner no longer has counts as finite.
 * NULL: none. */
static const heed_node *first_node(const heed_gradsync *sync, size_t gradient, bool owner, size_t *partial) {
    const heed_node *nodes;
    const size_t n = heed_gradient_nodes(sync->gradient, &nodes);
    for (*partial = owner; *partial < n; ++*partial)
        if (is_not_finite(heed_gradient_partial(sync->gradient, *partial)[gradient]))
            return &nodes[*partial];
    return NULL;
}

static size_t tensor_at(const heed_params *params, size_t gradient) {
    size_t t = 0;
    while (params->tensors[t].gradient != gradient)
        t++;
    return t;
}

/* What the rank that is at fault tells all: who it is, the grains, and whether it is NaN or which infinity. */
static void tell(const heed_gradsync *sync, size_t gradient, size_t partial, double facts[4]) {
    const heed_node *nodes;
    heed_gradient_nodes(sync->gradient, &nodes);
    const real value = heed_gradient_partial(sync->gradient, partial)[gradient];
    facts[0] = sync->plan.rank;
    facts[1] = (double)nodes[partial].first;
    facts[2] = (double)nodes[partial].count;
    facts[3] = isnan(value) ? 0.0 : value > 0 ? 1.0 : -1.0;
}

heed_status heed_gradsync_blame(heed_gradsync *sync, heed_gradsync_culprit *culprit, heed_error *error) {
    const finding own = find_first(sync);
    const double offset = own.any ? (double)sync->params->tensors[own.tensor].gradient : -1.0;
    double first = offset, facts[4] = {0};
    *culprit = (heed_gradsync_culprit){.rank = -1};
    heed_status status = heed_comm_max(sync->comm, &first, 1, error);
    double element = own.any && offset >= first ? -(double)own.element : -INFINITY;
    if (status == HEED_OK)
        status = heed_comm_max(sync->comm, &element, 1, error);
    if (status != HEED_OK || first < 0)
        return status;
    const size_t tensor = tensor_at(sync->params, (size_t)first), gradient = (size_t)(first - element);
    const bool owner = owns(sync, gradient);
    size_t partial;
    const heed_node *node = first_node(sync, gradient, owner, &partial);
    const double mine = node ? -(double)node->first : -INFINITY;
    double lowest = mine;
    status = heed_comm_max(sync->comm, &lowest, 1, error);
    if (isfinite(lowest) ? mine >= lowest : owner)
        tell(sync, gradient, isfinite(lowest) ? partial : 0, facts);
    if (status == HEED_OK)
        status = heed_comm_sum(sync->comm, facts, sizeof facts / sizeof *facts, error);
    if (status == HEED_OK)
        *culprit = (heed_gradsync_culprit){.rank = (int)facts[0],
                                           .tensor = tensor,
                                           .element = (size_t)-element,
                                           .grains = {(size_t)facts[1], (size_t)facts[2]},
                                           .value = facts[3] == 0.0 ? (double)NAN : facts[3] * (double)INFINITY};
    return status;
}
