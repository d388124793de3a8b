/* From every rank's partial gradients to the updated parameters on all of them.
 *
 * The parameter arena is cut into buckets (runs of whole HEED_BLOCKs) and each bucket into one shard a rank. As soon as
 * backward has finished a bucket's tensors its partial sums go to the shards' owners, where there are several nodes
 * with several ranks each by way of one sum a node; the owner completes the fixed tree; when the norm over all shards
 * is known, the owner updates its shard (and alone holds its optimizer moments: ZeRO stage 1, Rajbhandari et al. 2020);
 * shards then return to all. */
#ifndef HEED_GRADSYNC_H
#define HEED_GRADSYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/comm.h"
#include "heed/config.h"
#include "heed/gradient.h"
#include "heed/params.h"
#include "heed/status.h"

typedef struct heed_gradsync heed_gradsync;

/* For config->train.batch / train.grain grains, dealt to ranks as heed_batch_shape says. bucket_blocks: length of a
 * bucket in HEED_BLOCKs, 0 = by the model's size; it changes no bit. Uses as many threads as OpenMP offers now. Keeps
 * pointers to comm, params and config. Errors: HEED_MEMORY. Ownership: heed_gradsync_destroy. Collective. */
heed_status heed_gradsync_create(heed_gradsync **sync, heed_comm *comm, const heed_params *params,
                                 const heed_config *config, size_t bucket_blocks, heed_error *error);
void heed_gradsync_destroy(heed_gradsync *sync);

/* Bytes of this rank's memory: for partial gradients, for the moments of its shards, and for what it receives.
 * in_place: of the latter, what it does not hold but reads in the memory of other ranks of its node, from the first
 * step on; the system counts it for every rank that reads it. Cannot fail. Not collective. */
typedef struct heed_gradsync_memory {
    size_t gradients, moments, buffers, in_place;
} heed_gradsync_memory;
heed_gradsync_memory heed_gradsync_bytes(const heed_gradsync *sync);

/* What rank 0 of `size`, with ranks_per_node on each node but the last, which may have fewer, will hold and send in a
 * step, without making anything: for planning. By rounds, near and far: partial gradients to their owners, updated
 * parameters, of a shard of average size, to all that need them. Errors: HEED_MEMORY. Not collective. */
typedef struct heed_gradsync_view {
    int n_nodes, near_ranks; /* ranks that meet in the near round: of a node, or 1 where there is none */
    bool returns_ahead;      /* parameters return while the next step begins */
    size_t n_buckets;        /* exchanges a step in each round */
    size_t own_elements;     /* parameters that it updates */
    size_t n_added;          /* numbers that it adds to others in the sums over ranks */
    size_t sent_bytes[2], returned_bytes[2];
    heed_gradsync_memory memory;
} heed_gradsync_view;
heed_status heed_gradsync_outlook(const heed_config *config, const heed_params *params, int size, int ranks_per_node,
                                  heed_gradsync_view *view, heed_error *error);

/* The gradient object that backward fills; every tensor that becomes ready may start an exchange. */
heed_gradient *heed_gradsync_gradient(heed_gradsync *sync);

/* begin: before backward. finish: after it; completes the sums and gives the norm of gradient / divisor over all
 * parameters (in double, block sums in index order), the same bits on every rank. A rank whose step failed skips
 * backward and calls both all the same; the others must then not update. Errors: HEED_PEER. Collective. */
void heed_gradsync_begin(heed_gradsync *sync);
heed_status heed_gradsync_finish(heed_gradsync *sync, double divisor, double *norm, heed_error *error);

/* Behind a finish whose norm is not finite: the first gradient that is not finite, in the order in which backward
 * makes them, and the rank that it comes from. culprit->rank is -1 when every number is finite (the norm overflowed).
 * The same on all ranks. Errors: HEED_PEER. Collective. */
typedef struct heed_gradsync_culprit {
    int rank;
    size_t tensor, element; /* index in params, element of the tensor */
    heed_node grains;       /* over which the rank summed it */
    double value;
} heed_gradsync_culprit;
heed_status heed_gradsync_blame(heed_gradsync *sync, heed_gradsync_culprit *culprit, heed_error *error);

/* Updates the owned shards with gradient * scale and sends all parameters to all ranks. They are still on their way
 * when it returns: before weights are read, await or complete. Once a finish. Errors: HEED_PEER, HEED_MEMORY.
 * Collective. */
heed_status heed_gradsync_update(heed_gradsync *sync, real *weights, double scale, double learning_rate, uint64_t step,
                                 heed_error *error);

/* await: waits until the parameters before element `end` are there, SIZE_MAX for all, and moves the others on; context
 * is the heed_gradsync. For heed_model_listen, so that a forward pass computes with its first layers while those of
 * the last ones arrive; a failure shows in the next finish or complete. complete: waits for all; from then on the
 * weights are the same on all ranks and hold still until the next update. Every rank does one of them for all, or goes
 * to the next finish, which does. Errors: HEED_PEER. Not collective. */
void heed_gradsync_await(void *context, size_t end);
heed_status heed_gradsync_complete(heed_gradsync *sync, heed_error *error);

/* Integrity of what lies in memory between two steps. seal digests this rank's copy of all parameters, shard by shard,
 * and the moments that it owns, and holds the copies against those of the shards' owners: with three ranks or more a
 * copy that differs names its rank, with two the owner's is taken for the wrong one. verify digests them again, behind
 * backward and before update: a copy that is no longer what it was when it was sealed is HEED_CORRUPT in `failed` on
 * that rank. It does nothing when nothing was sealed since the last update. seal puts HEED_CORRUPT into `failed` on the
 * ranks at fault, and returns it on all. Each reads all parameters once (XXH3). seal is collective, verify is not. */
heed_status heed_gradsync_seal(heed_gradsync *sync, const real *weights, heed_error *failed, heed_error *error);
void heed_gradsync_verify(heed_gradsync *sync, const real *weights, heed_error *failed);
/* Did the last verify find moments changed? */
bool heed_gradsync_moments_changed(const heed_gradsync *sync);

/* Sets all moments to zero, as they are before the first step. Not collective. */
void heed_gradsync_clear_moments(heed_gradsync *sync);

/* Optimizer moments between shards and whole arenas on rank 0 (m, v: params->n_elements; NULL elsewhere), for
 * checkpoints. Collective. */
heed_status heed_gradsync_gather_moments(heed_gradsync *sync, real *m, real *v, heed_error *error);
heed_status heed_gradsync_scatter_moments(heed_gradsync *sync, const real *m, const real *v, heed_error *error);

/* The reduced, unscaled gradient of all parameters on rank 0 (tests and probes). Collective. After finish, before the
 * next begin. */
heed_status heed_gradsync_gather_gradient(heed_gradsync *sync, real *gradient, heed_error *error);

#endif
