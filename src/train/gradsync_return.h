/* Updated parameters on their way from the owners of the shards to all ranks, bucket by bucket, while the next step has
 * begun: whoever reads parameters asks for them first. */
#ifndef HEED_TRAIN_GRADSYNC_RETURN_H
#define HEED_TRAIN_GRADSYNC_RETURN_H

#include "train/gradsync_plan.h"

typedef struct heedi_return {
    heed_comm *comm, *const *members; /* all ranks; (rounds) who meets in a round */
    const heedi_plan *plan;
    heed_exchange *exchanges[HEEDI_N_ROUNDS]; /* (buckets) */
    bool in_background;                       /* else a bucket has returned when start is through */
    real *weights;
    size_t n_started, n_passed, n_arrived; /* buckets of this step, in order: in the far round, in the near one, here */
} heedi_return;

/* Keeps pointers to comm, members and plan. Errors: HEED_MEMORY. Ownership: heedi_return_reset. Not collective. */
heed_status heedi_return_init(heedi_return *back, heed_comm *comm, heed_comm *const *members, const heedi_plan *plan,
                              heed_error *error);
void heedi_return_reset(heedi_return *back);

/* Sends this rank's shard of the next bucket and receives those of the others; bucket 0 begins a step. Errors:
 * HEED_PEER, HEED_MEMORY. Collective. */
heed_status heedi_return_start(heedi_return *back, real *weights, heed_error *error);

/* Waits until all parameters before element `end` of the arena are there (SIZE_MAX: all), and lets MPI move the others
 * on. Errors: HEED_PEER. Not collective, but every rank must come here for all before the next step returns any. */
heed_status heedi_return_await(heedi_return *back, size_t end, heed_error *error);

#endif
