/* Who owns what, and who sends what to whom: worked out once, from numbers that every rank knows.
 *
 * The parameter arena is cut into buckets of whole HEED_BLOCKs, and every bucket into one shard a rank. A tied row has
 * a gradient of its own behind those of the parameters; it is cut where its tensor is, and owned alike, so that its
 * owner can add the two. The fixed tree over the grains has its leaves on the ranks: the nodes that heed_tree_cover
 * gives for each rank's run of grains. A rank with several nodes sends them in waves, one exchange each: wave k carries
 * every rank's k-th partial sum. */
#ifndef HEED_TRAIN_GRADSYNC_PLAN_H
#define HEED_TRAIN_GRADSYNC_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "heed/arena.h"
#include "heed/comm.h"
#include "heed/gradient.h"
#include "heed/params.h"

typedef struct heedi_leaf {
    heed_node node;
    int rank;       /* that computes it ... */
    size_t partial; /* ... as this one of its partial sums, counted from 0 */
} heedi_leaf;

typedef struct heedi_bucket {
    size_t gradient;                        /* first element in a gradient arena */
    size_t parameter;                       /* first element in the parameter arena */
    size_t count;                           /* elements */
    bool tied;                              /* a piece of a tied row */
    size_t own_first, own_count;            /* this rank's shard, elements from the bucket's start */
    size_t moment;                          /* where the shard's moments begin in this rank's arrays */
    size_t *shard_bytes, *shard_offset;     /* (ranks) of every rank's shard, from the bucket's start */
    size_t *send_bytes;                     /* (ranks) the same, but nothing to oneself */
    size_t *return_bytes, *return_offset;   /* (ranks) this rank's own shard, to all others */
    size_t *receive_bytes, *receive_offset; /* (waves, ranks) of what arrives, from the start of all that arrives */
    size_t n_tensors;                       /* that lie in it, wholly or partly */
} heedi_bucket;

typedef struct heedi_plan {
    int rank, size;
    size_t n_grains, first_grain, own_grains;
    size_t n_leaves, n_waves, own_partials;
    heedi_leaf *leaves; /* in the order of their grains */
    size_t n_buckets, n_parameter_buckets;
    heedi_bucket *buckets; /* the parameters' in order, then the tied rows' */
    size_t *counts;        /* memory of the buckets' arrays */
    size_t *nothing;       /* (ranks) zeros */
    size_t own_elements;   /* of all shards of this rank, tied rows not counted */
    size_t received_bytes; /* of all that arrives in one step */
} heedi_plan;

/* bucket_blocks 0: by the model's size. Errors: HEED_MEMORY. Ownership: heedi_plan_reset. Not collective. */
heed_status heedi_plan_init(heedi_plan *plan, const heed_comm *comm, const heed_params *params, size_t n_grains,
                            size_t bucket_blocks, heed_error *error);
void heedi_plan_reset(heedi_plan *plan);

/* Does a part of tensor i lie in the bucket? */
bool heedi_bucket_holds(const heedi_bucket *bucket, const heed_tensor *tensor);

#endif
