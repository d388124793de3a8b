/* What the files of the gradient exchange share. */
#ifndef HEED_TRAIN_GRADSYNC_STATE_H
#define HEED_TRAIN_GRADSYNC_STATE_H

#include "heed/arena.h"
#include "heed/gradsync.h"
#include "train/gradsync_plan.h"
#include "train/gradsync_return.h"

struct heed_gradsync {
    heed_comm *comm;
    const heed_config *config;
    const heed_params *params;
    heed_gradient *gradient;
    heedi_plan plan;
    heed_arena arena;
    real *m, *v;             /* (plan.own_elements) moments of the owned shards; NULL where the optimizer has none */
    unsigned char *received; /* partial sums of other ranks */
    double *block_sum;       /* (blocks of the parameter arena) sums of squares */
    real *scratch;           /* (threads, levels, HEED_BLOCK) inner nodes of the tree */
    int n_threads;
    size_t n_levels;
    heed_exchange *exchanges; /* (buckets, waves) */
    size_t *pending;          /* (buckets) tensors that are not ready yet */
    size_t n_started;         /* buckets under way, counted from the last one */
    bool sealed;              /* digests are those of the parameters as they are */
    bool moments_changed;     /* found by the last verify */
    uint64_t *digests;        /* (buckets, ranks) of the pieces of shards */
    uint64_t moment_digest;   /* of the owned shards' moments */
    double *per_rank;         /* (2, ranks) scratch */
    bool *differs_here;       /* (ranks) scratch */
    heedi_return back;        /* of parameters */
    heed_error error;         /* of an exchange under way; nothing can be done after it */
};

/* Where the owner finds the sum over all grains of its shard of the bucket, once the tree is complete. */
static inline real *heedi_gradsync_total(heed_gradsync *sync, const heedi_bucket *bucket) {
    return heed_gradient_partial(sync->gradient, 0) + bucket->gradient + bucket->own_first;
}

/* Values of one leaf of the tree in this rank's shard of the bucket, from element `at` of the shard on. This rank's own
 * first partial sum is overwritten when the tree is completed. */
const real *heedi_gradsync_leaf(const heed_gradsync *sync, const heedi_bucket *bucket, const heedi_leaf *leaf,
                                size_t at);

#endif
