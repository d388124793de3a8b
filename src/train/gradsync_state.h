/* What the files of the gradient exchange share. */
#ifndef HEED_TRAIN_GRADSYNC_STATE_H
#define HEED_TRAIN_GRADSYNC_STATE_H

#include "heed/arena.h"
#include "heed/gradsync.h"
#include "heed/shared.h"
#include "train/gradsync_plan.h"
#include "train/gradsync_return.h"

struct heed_gradsync {
    heed_comm *comm;
    heed_comm *members[HEEDI_N_ROUNDS]; /* who meets in a round; near: NULL where there is none */
    const heed_config *config;
    const heed_params *params;
    heed_gradient *gradient;
    heedi_plan plan;
    heed_arena arena;
    real *m, *v;         /* (plan.own_elements) moments of the owned shards; NULL where the optimizer has none */
    heed_shared *shared; /* partial sums, where the ranks of a node read them in place; or NULL */
    uint64_t turn;       /* of the exchange, which flags tell */
    unsigned char *received[HEEDI_N_ROUNDS]; /* partial sums of other members; NULL where they are read in place */
    real *pieces;      /* (own far partials, plan.piece_elements) sums over the node, where there is a near round */
    double *block_sum; /* (blocks of the parameter arena) sums of squares */
    real *scratch;     /* (threads, levels, HEED_BLOCK) inner nodes of the tree */
    int n_threads;
    size_t n_levels;
    heed_exchange *exchanges[HEEDI_N_ROUNDS]; /* (buckets, waves) */
    size_t *pending;                          /* (buckets) tensors that are not ready yet */
    size_t n_started;                         /* buckets under way, in the order of departures ... */
    size_t n_passed;                          /* ... and those of them that are in the far round */
    bool sealed;                              /* digests are those of the parameters as they are */
    bool moments_changed;                     /* found by the last verify */
    uint64_t *digests;                        /* (buckets, ranks) of the pieces of shards */
    uint64_t moment_digest;                   /* of the owned shards' moments */
    double *per_rank;                         /* (2, ranks) scratch */
    bool *differs_here;                       /* (ranks) scratch */
    heedi_return back;                        /* of parameters */
    heed_error error;                         /* of an exchange under way; nothing can be done after it */
};

/* Where the owner finds the sum over all grains of its shard of the bucket, once the tree is complete. */
static inline real *heedi_gradsync_total(heed_gradsync *sync, const heedi_bucket *bucket) {
    return heed_gradient_partial(sync->gradient, 0) + bucket->gradient + bucket->own_first;
}

/* Does a round meet in shared memory? It is the one inside nodes. */
static inline bool heedi_gradsync_reads_in_place(const heed_gradsync *sync, heedi_round_id id) {
    return sync->shared && id == heedi_plan_inside(&sync->plan);
}

/* Sums under way (gradsync_rounds.c). tensor_is_ready is what a gradient tells of its tensors; context is the
 * heed_gradsync. finish: behind backward, waits for all, and completes the sums of this rank's shards. Errors:
 * HEED_PEER. Collective. */
void heedi_rounds_tensor_is_ready(void *context, size_t tensor);
heed_status heedi_rounds_finish(heed_gradsync *sync, heed_error *error);

/* The norm (gradsync_norm.c), from sums of squares by HEED_BLOCK. begin: before any block of the step. block: of this
 * rank's shard, `first` elements from its start, where the total is complete; any thread. finish: with the blocks of
 * all ranks, gives the norm of the totals / divisor. Errors: HEED_PEER. finish is collective. */
void heedi_norm_begin(heed_gradsync *sync);
void heedi_norm_block(heed_gradsync *sync, const heedi_bucket *bucket, size_t first);
heed_status heedi_norm_finish(heed_gradsync *sync, double divisor, double *norm, heed_error *error);

#endif
