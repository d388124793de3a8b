/* Which rank's gradient was the first that is not finite? What other ranks sent lies untouched beside the sums until
 * the next step; only this rank's own first partial sum was overwritten by the total. So an owner who finds a total
 * that is not finite looks at what it received, then at its own further partial sums; when all of these are finite, its
 * own first one was not. */
#include <math.h>
#include <stdint.h>

#include "train/gradsync_state.h"

typedef struct finding {
    bool any;
    size_t tensor, element; /* of the tensor */
    const heedi_bucket *bucket;
    size_t at; /* elements from the start of this rank's shard */
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
        const finding here = {true, t, i - tensor->gradient, bucket, i - shard};
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

/* The leaf of the tree that the number comes from. */
static const heedi_leaf *leaf_of(heed_gradsync *sync, const finding *found, real *value) {
    const heedi_plan *plan = &sync->plan;
    const heedi_leaf *own = NULL;
    for (size_t l = 0; l < plan->n_leaves; l++) {
        const heedi_leaf *leaf = &plan->leaves[l];
        *value = *heedi_gradsync_leaf(sync, found->bucket, leaf, found->at);
        if (leaf->rank == plan->rank && leaf->partial == 0)
            own = leaf;
        else if (is_not_finite(*value))
            return leaf;
    }
    *value = heedi_gradsync_total(sync, found->bucket)[found->at];
    return own;
}

heed_status heed_gradsync_blame(heed_gradsync *sync, heed_gradsync_culprit *culprit, heed_error *error) {
    const finding own = find_first(sync);
    const double offset = own.any ? (double)sync->params->tensors[own.tensor].gradient : -1.0;
    double first = offset, element, facts[6] = {0};
    *culprit = (heed_gradsync_culprit){.rank = -1};
    heed_status status = heed_comm_max(sync->comm, &first, 1, error);
    element = own.any && offset >= first ? -(double)own.element : -INFINITY;
    const double mine = element;
    if (status == HEED_OK)
        status = heed_comm_max(sync->comm, &element, 1, error);
    if (own.any && offset >= first && mine >= element) { /* an element has one owner */
        real value;
        const heedi_leaf *leaf = leaf_of(sync, &own, &value);
        facts[0] = leaf->rank + 1.0;
        facts[1] = (double)own.tensor;
        facts[2] = (double)own.element;
        facts[3] = (double)leaf->node.first;
        facts[4] = (double)leaf->node.count;
        facts[5] = isnan(value) ? 0.0 : value > 0 ? 1.0 : -1.0;
    }
    if (status == HEED_OK)
        status = heed_comm_sum(sync->comm, facts, sizeof facts / sizeof *facts, error);
    if (status == HEED_OK && facts[0] > 0)
        *culprit = (heed_gradsync_culprit){.rank = (int)facts[0] - 1,
                                           .tensor = (size_t)facts[1],
                                           .element = (size_t)facts[2],
                                           .grains = {(size_t)facts[3], (size_t)facts[4]},
                                           .value = facts[5] == 0.0 ? (double)NAN : facts[5] * (double)INFINITY};
    return status;
}
