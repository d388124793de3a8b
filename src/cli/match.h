/* Do all ranks run the same program? */
#ifndef HEED_CLI_MATCH_H
#define HEED_CLI_MATCH_H

#include "heed/comm.h"

/* Holds this rank's program (version and build id, number type) and libraries (MPI, BLIS, HDF5) against those of rank
 * 0. Takes microseconds: the build id lies in memory. Errors: HEED_UNAVAILABLE, with what differs, on which rank and
 * host. Collective. */
heed_status heedi_match_ranks(heed_comm *comm, heed_error *error);

#endif
