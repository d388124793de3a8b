/* What the files of the MPI door share. Nobody else includes this, nor mpi.h. */
#ifndef HEED_COMM_ENGINE_H
#define HEED_COMM_ENGINE_H

#include <mpi.h>

#include "heed/comm.h"

/* One exchange under way. Its requests are kept when it ends and serve the next one: a training step allocates nothing.
 */
struct heedi_exchange {
    MPI_Request *requests;
    MPI_Status *statuses; /* one a request: where something fails, MPI writes there what */
    int n_requests, capacity;
    struct heedi_exchange *next; /* list of the free ones */
};

struct heedi_comm {
    MPI_Comm all;
    bool ends_mpi;               /* we started MPI, so we end it */
    int *counts, *displacements; /* one int a rank, for MPI's vector collectives */
    unsigned n_exchanges;        /* started so far: every rank counts alike, so it serves as tag */
    struct heedi_exchange *free_exchanges;
};

/* The most bytes that go into one MPI message; larger ones are cut. Tests lower it. */
extern size_t heedi_comm_most_bytes;

/* HEED_OK, or HEED_PEER with MPI's own words for code. call names what failed. */
heed_status heedi_comm_check(int code, const char *call, heed_error *error);

/* Fills comm's places and its communicator, ordered by (node, rank on the node), from world and the part of world that
 * shares this rank's node. Collective over world. */
heed_status heedi_comm_arrange(heed_comm *comm, MPI_Comm world, MPI_Comm node, heed_error *error);

/* Fills comm->cores. Errors: HEED_MEMORY, HEED_PEER. Collective. */
heed_status heedi_comm_count_cores(heed_comm *comm, heed_error *error);

#endif
