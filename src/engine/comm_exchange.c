/* Moving blocks of different sizes between ranks: exchanges under way in the background, and gathers.
 *
 * An exchange is plain sends and receives rather than MPI_Ialltoallv: counts are size_t, each side cuts a block at the
 * same places, and an MPI without a progress thread moves all of them on at any test. Messages of one exchange share
 * its number as tag; between two ranks MPI keeps their order. */
#include "engine/comm_engine.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "heed/arena.h"

enum { GATHER_TAG = 0, FIRST_EXCHANGE_TAG = 1, N_EXCHANGE_TAGS = 32000 }; /* MPI guarantees tags to 32767 */

static size_t parts_of(size_t bytes) {
    return (bytes + heedi_comm_most_bytes - 1) / heedi_comm_most_bytes;
}

/* --- exchanges -------------------------------------------------------------------------------------------------- */

static bool grow(struct heedi_exchange *exchange, size_t n_requests) {
    if (n_requests > INT_MAX)
        return false;
    MPI_Request *requests = realloc(exchange->requests, n_requests * sizeof(MPI_Request));
    if (requests)
        exchange->requests = requests;
    MPI_Status *statuses = realloc(exchange->statuses, n_requests * sizeof(MPI_Status));
    if (statuses)
        exchange->statuses = statuses;
    if (!requests || !statuses)
        return false;
    exchange->capacity = (int)n_requests;
    return true;
}

static void put_back(struct heedi_comm *engine, struct heedi_exchange *exchange) {
    exchange->next = engine->free_exchanges;
    engine->free_exchanges = exchange;
}

/* One to each rank and one from it, as long as no block is longer than a message. */
static size_t usual_requests(const heed_comm *comm) {
    return 2 * (size_t)comm->size;
}

/* usual: room that is made at least, so that exchanges of different kinds can take each other's place. */
static struct heedi_exchange *take_exchange(struct heedi_comm *engine, size_t n_requests, size_t usual) {
    struct heedi_exchange *exchange = engine->free_exchanges;
    if (exchange)
        engine->free_exchanges = exchange->next;
    else
        exchange = calloc(1, sizeof *exchange);
    if (!exchange)
        return NULL;
    exchange->n_requests = 0;
    if (n_requests > (size_t)exchange->capacity && !grow(exchange, n_requests > usual ? n_requests : usual)) {
        put_back(engine, exchange);
        return NULL;
    }
    return exchange;
}

heed_status heed_exchange_reserve(heed_comm *comm, size_t n, heed_error *error) {
    struct heedi_exchange *taken = NULL, *next; /* one after the other, else they would all be the same */
    const size_t usual = usual_requests(comm);
    size_t i = 0;
    for (; i < n; i++) {
        struct heedi_exchange *one = take_exchange(comm->engine, usual, usual);
        if (!one)
            break;
        one->next = taken;
        taken = one;
    }
    for (; taken; taken = next) {
        next = taken->next;
        put_back(comm->engine, taken);
    }
    return i == n ? HEED_OK : heed_fail(error, HEED_MEMORY, "communication: no memory for %zu exchanges", n);
}

/* Starts one block's messages with a peer. Exactly one of send and receive is given. */
static heed_status start_block(heed_comm *comm, struct heedi_exchange *exchange, const char *send, char *receive,
                               size_t bytes, int peer, int tag, heed_error *error) {
    heed_status status = HEED_OK;
    for (size_t done = 0; done < bytes && !status;) {
        const size_t part = bytes - done < heedi_comm_most_bytes ? bytes - done : heedi_comm_most_bytes;
        MPI_Request *request = &exchange->requests[exchange->n_requests];
        if (receive)
            status =
                heedi_comm_check(MPI_Irecv(receive + done, (int)part, MPI_BYTE, peer, tag, comm->engine->all, request),
                                 "MPI_Irecv", error);
        else
            status = heedi_comm_check(
                MPI_Isend(send + done, (int)part, MPI_BYTE, peer, tag, comm->engine->all, request), "MPI_Isend", error);
        if (!status)
            exchange->n_requests++;
        done += part;
    }
    return status;
}

heed_status heed_exchange_start(heed_comm *comm, heed_exchange *exchange, const void *send, const size_t *send_bytes,
                                const size_t *send_offset, void *receive, const size_t *receive_bytes,
                                const size_t *receive_offset, heed_error *error) {
    struct heedi_comm *engine = comm->engine;
    const int me = comm->rank, size = comm->size;
    HEED_CHECK(send_bytes[me] == receive_bytes[me]);
    const int tag = FIRST_EXCHANGE_TAG + (int)(engine->n_exchanges++ % N_EXCHANGE_TAGS);
    size_t n_requests = 0;
    for (int r = 0; r < size; r++)
        if (r != me)
            n_requests += parts_of(send_bytes[r]) + parts_of(receive_bytes[r]);
    exchange->engine = take_exchange(engine, n_requests, usual_requests(comm));
    if (!exchange->engine)
        return heed_fail(error, HEED_MEMORY, "communication: no memory for %zu messages", n_requests);
    heed_status status = HEED_OK;
    for (int step = 1; step < size && !status; step++) { /* receives first, nearest neighbours first */
        const int from = (me + size - step) % size;
        status = start_block(comm, exchange->engine, NULL, (char *)receive + receive_offset[from], receive_bytes[from],
                             from, tag, error);
    }
    for (int step = 1; step < size && !status; step++) {
        const int to = (me + step) % size;
        status = start_block(comm, exchange->engine, (const char *)send + send_offset[to], NULL, send_bytes[to], to,
                             tag, error);
    }
    const char *own = (const char *)send + send_offset[me];
    if (send_bytes[me] && own != (char *)receive + receive_offset[me])
        memmove((char *)receive + receive_offset[me], own, send_bytes[me]);
    return status;
}

/* MPI's answer about several messages, or that of the first that failed. */
static int first_failure(const struct heedi_exchange *exchange, int code) {
    for (int i = 0; code == MPI_ERR_IN_STATUS && i < exchange->n_requests; i++) {
        const int one = exchange->statuses[i].MPI_ERROR;
        if (one != MPI_SUCCESS && one != MPI_ERR_PENDING)
            return one;
    }
    return code;
}

heed_status heed_exchange_test(heed_comm *comm, heed_exchange *exchange, bool *done, heed_error *error) {
    (void)comm;
    struct heedi_exchange *engine = exchange->engine;
    int all_done = 0;
    const int code = MPI_Testall(engine->n_requests, engine->requests, &all_done, engine->statuses);
    *done = all_done;
    return heedi_comm_check(first_failure(engine, code), "MPI_Testall", error);
}

heed_status heed_exchange_wait(heed_comm *comm, heed_exchange *exchange, heed_error *error) {
    struct heedi_exchange *engine = exchange->engine;
    const int code = MPI_Waitall(engine->n_requests, engine->requests, engine->statuses);
    const heed_status status = heedi_comm_check(first_failure(engine, code), "MPI_Waitall", error);
    put_back(comm->engine, engine);
    exchange->engine = NULL;
    return status;
}

/* --- gathers ---------------------------------------------------------------------------------------------------- */

/* Every rank knows all bytes and offsets, so every rank takes the same way. */
heed_status heed_comm_allgather(heed_comm *comm, const void *mine, void *all, const size_t *bytes, const size_t *offset,
                                heed_error *error) {
    struct heedi_comm *engine = comm->engine;
    char *place = (char *)all + offset[comm->rank];
    if (bytes[comm->rank] && mine != place)
        memmove(place, mine, bytes[comm->rank]);
    bool fits = true;
    for (int r = 0; r < comm->size; r++) {
        fits = fits && bytes[r] <= heedi_comm_most_bytes && offset[r] <= INT_MAX;
        engine->counts[r] = fits ? (int)bytes[r] : 0;
        engine->displacements[r] = fits ? (int)offset[r] : 0;
    }
    if (fits)
        return heedi_comm_check(MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_BYTE, all, engine->counts, engine->displacements,
                                               MPI_BYTE, engine->all),
                                "MPI_Allgatherv", error);
    heed_status status = HEED_OK;
    for (int r = 0; r < comm->size && !status; r++)
        status = heed_comm_broadcast(comm, (char *)all + offset[r], bytes[r], r, error);
    return status;
}

/* Only root knows the layout, so all take the one way that needs no agreement: messages in rank order. */
heed_status heed_comm_gather(heed_comm *comm, const void *mine, size_t my_bytes, void *all, const size_t *bytes,
                             const size_t *offset, int root, heed_error *error) {
    MPI_Comm engine = comm->engine->all;
    heed_status status = HEED_OK;
    if (comm->rank != root) {
        for (size_t done = 0; done < my_bytes && !status;) {
            const size_t part = my_bytes - done < heedi_comm_most_bytes ? my_bytes - done : heedi_comm_most_bytes;
            status = heedi_comm_check(
                MPI_Send((const char *)mine + done, (int)part, MPI_BYTE, root, GATHER_TAG, engine), "MPI_Send", error);
            done += part;
        }
        return status;
    }
    HEED_CHECK(my_bytes == bytes[root]);
    for (int r = 0; r < comm->size && !status; r++) {
        char *place = (char *)all + offset[r];
        if (r == root && bytes[r] && mine != place)
            memmove(place, mine, bytes[r]);
        for (size_t done = 0; r != root && done < bytes[r] && !status;) {
            const size_t part = bytes[r] - done < heedi_comm_most_bytes ? bytes[r] - done : heedi_comm_most_bytes;
            status =
                heedi_comm_check(MPI_Recv(place + done, (int)part, MPI_BYTE, r, GATHER_TAG, engine, MPI_STATUS_IGNORE),
                                 "MPI_Recv", error);
            done += part;
        }
    }
    return status;
}
