/* The one door to MPI. Everything a trainer needs of it in a dozen verbs, on one communicator of our own whose ranks
 * are ordered by (node, rank on the node), so that neighbours in rank order share a node whatever the launcher did.
 *
 * Every verb is collective unless it says otherwise: all ranks call it in the same order. MPI errors come back as
 * HEED_PEER (MPI_ERRORS_RETURN); bytes are counted in size_t and large messages are cut where MPI's int counts need it.
 */
#ifndef HEED_COMM_H
#define HEED_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/real.h"
#include "heed/status.h"

typedef struct heed_comm {
    int rank, size;             /* in our own order */
    int node, n_nodes;          /* nodes are numbered by their first rank */
    int local_rank, local_size; /* on this node */
    double cores; /* this rank's fair share of those that it may use: each counts as shared by the ranks of the whole
                     program on this node that may use it too; 0 where the system does not say */
    char host[256];
    struct heedi_comm *engine;      /* MPI's side of it */
    struct heed_watchdog *watchdog; /* heed/watchdog.h; NULL: none */
} heed_comm;
typedef struct heed_watchdog heed_watchdog;

/* Starts MPI (thread level FUNNELED: only the thread that called open may call the verbs) and orders the ranks.
 * Without mpirun: one rank. Errors: HEED_PEER, after which MPI still runs, since the others may be elsewhere: only
 * heed_comm_abort(NULL, ...) may follow. Ownership: heed_comm_close, which ends MPI. Collective. */
heed_status heed_comm_open(heed_comm **comm, heed_error *error);

/* Where MPI fails to end, this rank says so and ends all. Collective. */
void heed_comm_close(heed_comm *comm);

/* A communicator of the first n_ranks ranks, in the same order, beside the whole one; *part is NULL on the others.
 * Errors: HEED_PEER, HEED_MEMORY. Ownership: heed_comm_close, which leaves MPI running. Collective. */
heed_status heed_comm_part(heed_comm *whole, int n_ranks, heed_comm **part, heed_error *error);
/* Divides the ranks: those that pass the same group get a communicator of their own, in the same order; *part is NULL
 * on those that pass a group below 0. Verbs on the parts do not wait for each other. Errors and ownership as above.
 * Collective over whole. */
heed_status heed_comm_split(heed_comm *whole, int group, heed_comm **part, heed_error *error);

/* "Open MPI v4.1.4, ..." in one line. Not collective. */
const char *heed_comm_library(void);

/* The agreement point of the error rule. Each rank brings its own error (status HEED_OK when all is well); afterwards
 * every rank holds the error of the lowest failing rank, with error->rank set. Returns the agreed status. A rank that
 * failed never skips a collective: it comes here; only a rank whose error is HEED_PEER passes, since agreement is then
 * impossible, and the program ends all ranks. Collective. */
heed_status heed_comm_agree(heed_comm *comm, heed_error *error);

heed_status heed_comm_barrier(heed_comm *comm, heed_error *error);
heed_status heed_comm_broadcast(heed_comm *comm, void *data, size_t bytes, int root, heed_error *error);

/* Element-wise sum of doubles over ranks, in place, on every rank. MPI chooses the order of additions, so use it only
 * where the order cannot matter: integers below 2^53, or at most one rank's element different from zero. Collective. */
heed_status heed_comm_sum(heed_comm *comm, double *values, size_t n_values, heed_error *error);

/* Element-wise maximum, in place, on every rank. Collective. */
heed_status heed_comm_max(heed_comm *comm, double *values, size_t n_values, heed_error *error);

/* Rank r's bytes[r] bytes arrive at all + offset[r] on every rank (allgather) or on root only (gather; all, bytes and
 * offset are read on root only and my_bytes tells what this rank sends). mine may already lie in place in all.
 * Collective. */
heed_status heed_comm_allgather(heed_comm *comm, const void *mine, void *all, const size_t *bytes, const size_t *offset,
                                heed_error *error);
heed_status heed_comm_gather(heed_comm *comm, const void *mine, size_t my_bytes, void *all, const size_t *bytes,
                             const size_t *offset, int root, heed_error *error);

/* Several exchanges under way at once. Bytes send_bytes[r] at send + send_offset[r] go to rank r; receive likewise.
 * Buffers and the count arrays belong to the exchange until heed_exchange_wait returns. start is collective (same order
 * of starts on all ranks); test and wait are not, but each started exchange must be waited for by every rank. test
 * makes progress on all exchanges and is cheap: call it between pieces of computation, since MPI libraries often move
 * data only when called. */
typedef struct heed_exchange {
    struct heedi_exchange *engine;
} heed_exchange;
/* Makes room for n exchanges at once, so that start, which comes when the others may already wait, has no need of
 * memory. Errors: HEED_MEMORY. Not collective. */
heed_status heed_exchange_reserve(heed_comm *comm, size_t n, heed_error *error);
heed_status heed_exchange_start(heed_comm *comm, heed_exchange *exchange, const void *send, const size_t *send_bytes,
                                const size_t *send_offset, void *receive, const size_t *receive_bytes,
                                const size_t *receive_offset, heed_error *error);
heed_status heed_exchange_test(heed_comm *comm, heed_exchange *exchange, bool *done, heed_error *error);
heed_status heed_exchange_wait(heed_comm *comm, heed_exchange *exchange, heed_error *error);

/* How many threads a rank with that many cores uses: what was asked for, if it is not 0, else OMP_NUM_THREADS, else one
 * a core. Not collective. */
int heed_threads(int64_t asked, double cores);

/* Seconds since an arbitrary moment, for timing. Not collective. */
double heed_seconds(void);

/* Ends all ranks at once, when agreement is impossible (comm NULL: those that MPI knows). exit_status is not 0 and
 * below 126. Never returns. Not collective. */
void heed_comm_abort(heed_comm *comm, int exit_status) __attribute__((noreturn));

/* Ends this process alone, from any thread, without a word to MPI: for the watchdog, whose main thread may wait in MPI
 * for ever. A launcher then ends the others. */
void heed_comm_leave(int exit_status) __attribute__((noreturn));

#endif
