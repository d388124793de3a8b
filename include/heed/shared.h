/* Memory that the ranks of a node can read of each other, in place: no copy, and no word to MPI.
 *
 * MPI's own windows (MPI_Win_allocate_shared) are not used: where the allocation fails on one rank, Open MPI 4.1 leaves
 * the others waiting in it for ever. Here every rank makes memory without a name (Linux's memfd_create), the others
 * open it by process and descriptor, and all agree on whether that worked. */
#ifndef HEED_SHARED_H
#define HEED_SHARED_H

#include <stddef.h>
#include <stdint.h>

#include "heed/comm.h"
#include "heed/status.h"

typedef struct heed_shared heed_shared;

/* Zeros, `bytes` of them (each rank says how many), aligned as an arena is, and n_flags flags, which are 0. The ranks
 * of comm are on one node. *shared is NULL on all ranks, with HEED_OK, where this machine does not allow it: another
 * system, a container for every rank, too little memory. Errors: HEED_PEER. Ownership: heed_shared_close. Collective.
 */
heed_status heed_shared_open(heed_shared **shared, heed_comm *comm, size_t bytes, size_t n_flags, heed_error *error);

/* Not collective: what others have mapped stays. NULL is allowed. */
void heed_shared_close(heed_shared *shared);

/* This rank's memory; any rank's, to be read. */
void *heed_shared_mine(const heed_shared *shared);
const void *heed_shared_of(const heed_shared *shared, int rank);

/* Flags say what memory holds: whoever sees a flag of another rank sees all that this one wrote before it set it. */
void heed_shared_set(heed_shared *shared, size_t flag, uint64_t value);
uint64_t heed_shared_flag(const heed_shared *shared, int rank, size_t flag);

#endif
