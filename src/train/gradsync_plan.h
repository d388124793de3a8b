/* Who owns what, and who sends what to whom: worked out once, from numbers that every rank knows.
 *
 * The parameter arena is cut into buckets of whole HEED_BLOCKs, and every bucket into one shard a rank. A tied row has
 * a gradient of its own behind those of the parameters; it is cut where its tensor is, and owned alike, so that its
 * owner can add the two.
 *
 * Sums meet in two rounds. In the near one the ranks of a node exchange pieces of a bucket, a piece a rank, and each
 * sums its piece over the node; in the far one the ranks that have the same place on their nodes exchange shards of
 * that piece. So what leaves a node is one sum of all that its ranks have, however many these are. Where there is one
 * node, or one rank on each, nodes are taken to have one rank: then the near round is empty and the piece the bucket.
 * Ranks are ordered by nodes: rank = far rank * per_node + near rank.
 *
 * The fixed tree over the grains has its leaves on the members of a round: the nodes that heed_tree_cover gives for
 * each member's run of grains, those of a rank or those of a node. A member with several sends them in waves, one
 * exchange each: wave k carries every member's k-th partial sum. The near round's sums are the far round's leaves, so
 * the additions are those of the one tree. */
#ifndef HEED_TRAIN_GRADSYNC_PLAN_H
#define HEED_TRAIN_GRADSYNC_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "heed/arena.h"
#include "heed/comm.h"
#include "heed/gradient.h"
#include "heed/params.h"

typedef enum heedi_round_id { HEEDI_NEAR, HEEDI_FAR, HEEDI_N_ROUNDS } heedi_round_id;

typedef struct heedi_leaf {
    heed_node node;
    int member;     /* that has it ... */
    size_t partial; /* ... as this one of its partial sums, counted from 0 */
} heedi_leaf;

typedef struct heedi_round {
    int rank, size; /* this rank's place among the members, and their number; 1: nothing moves */
    size_t n_leaves, n_waves, own_partials;
    heedi_leaf *leaves;    /* in the order of their grains */
    size_t received_bytes; /* of all that arrives in one step */
} heedi_round;

/* A bucket's part in a round: who has which part of what is cut. Offsets of parts are from where it begins: near the
 * bucket, far this rank's piece of it. */
typedef struct heedi_cut {
    size_t own_first, own_count;            /* this rank's part, elements from the bucket's start */
    size_t *bytes, *offset;                 /* (members) of every member's part; bytes: nothing to oneself */
    size_t *return_bytes, *return_offset;   /* (members) this rank's own part, to all others */
    size_t *receive_bytes, *receive_offset; /* (waves, members) of what arrives, from the start of all that arrives */
} heedi_cut;

typedef struct heedi_bucket {
    size_t gradient;                    /* first element in a gradient arena */
    size_t parameter;                   /* first element in the parameter arena */
    size_t count;                       /* elements */
    bool tied;                          /* a piece of a tied row */
    size_t own_first, own_count;        /* this rank's shard, elements from the bucket's start */
    size_t moment;                      /* where the shard's moments begin in this rank's arrays */
    size_t piece;                       /* where its piece begins among those of all buckets */
    size_t *shard_bytes, *shard_offset; /* (ranks) of every rank's shard, from the bucket's start */
    heedi_cut cut[HEEDI_N_ROUNDS];
    size_t n_tensors, first_tensor; /* that lie in it, wholly or partly; the first of them */
} heedi_bucket;

typedef struct heedi_plan {
    int rank, size, per_node;
    size_t n_grains, first_grain, own_grains;
    heedi_round round[HEEDI_N_ROUNDS];
    size_t n_buckets, n_parameter_buckets;
    heedi_bucket *buckets; /* the parameters' in order, then the tied rows' */
    size_t *departs;       /* (buckets) which leaves first, second, ...: as backward finishes them */
    size_t *counts;        /* memory of the buckets' arrays */
    size_t *nothing;       /* (ranks) zeros */
    size_t own_elements;   /* of all shards of this rank, tied rows not counted */
    size_t piece_elements; /* of all pieces of this rank */
} heedi_plan;

/* The round whose members share a node, where nodes are as the plan takes them. */
static inline heedi_round_id heedi_plan_inside(const heedi_plan *plan) {
    return plan->per_node > 1 ? HEEDI_NEAR : HEEDI_FAR;
}

/* per_node of heedi_plan_init for `size` ranks of which every node has ranks_per_node, but for the last one that may
 * have fewer: those on a node where sums are to meet in two rounds, else 1. */
int heedi_plan_near(int size, int ranks_per_node);

/* Whether parameters return while the next step begins (gradsync_return.c). */
bool heedi_plan_returns_ahead(int size, int n_nodes, int per_node);

/* per_node: ranks on every node where sums are to meet in two rounds, else 1; it divides size. bucket_blocks 0:
 * by the model's size. Errors: HEED_MEMORY. Ownership: heedi_plan_reset. Not collective. */
heed_status heedi_plan_init(heedi_plan *plan, int rank, int size, int per_node, const heed_params *params,
                            size_t n_grains, size_t bucket_blocks, heed_error *error);
void heedi_plan_reset(heedi_plan *plan);

/* Does a part of tensor i lie in the bucket? */
bool heedi_bucket_holds(const heedi_bucket *bucket, const heed_tensor *tensor);

#endif
