/* Start and stop: ranks tell each other where they listen, then a thread of each beats, listens and judges. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <math.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/watchdog_state.h"

static void list_addresses(invitation *to, place *own, in_port_t port) {
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0)
        return;
    for (const struct ifaddrs *at = all; at && to->n_addresses < MOST_ADDRESSES; at = at->ifa_next) {
        if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET || !(at->ifa_flags & IFF_UP))
            continue;
        struct sockaddr_in *address = &to->addresses[to->n_addresses++];
        memcpy(address, at->ifa_addr, sizeof *address);
        address->sin_port = port;
        if (!own->address && !(at->ifa_flags & IFF_LOOPBACK))
            own->address = address->sin_addr.s_addr;
    }
    freeifaddrs(all);
}

static heed_status open_socket(heed_watchdog *dog, heed_error *error) {
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    socklen_t length = sizeof any;
    dog->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    dog->wake = eventfd(0, EFD_CLOEXEC);
    if (dog->socket < 0 || dog->wake < 0 || bind(dog->socket, (struct sockaddr *)&any, sizeof any) != 0 ||
        getsockname(dog->socket, (struct sockaddr *)&any, &length) != 0) {
        heed_fail(error, HEED_UNAVAILABLE, "watchdog: no socket: %s", strerror(errno));
        return heed_hint(error, "train.watchdog=0 does without");
    }
    place *own = &dog->places[dog->comm->rank];
    *own = (place){.node = dog->comm->node, .port = any.sin_port};
    list_addresses(&dog->invitation, own, any.sin_port);
    snprintf(dog->invitation.host, sizeof dog->invitation.host, "%s", dog->comm->host);
    if (dog->comm->rank == 0 && getrandom(dog->invitation.cookie, COOKIE_BYTES, 0) != COOKIE_BYTES)
        return heed_fail(error, HEED_UNAVAILABLE, "watchdog: no random numbers: %s", strerror(errno));
    return HEED_OK;
}

static heed_status prepare(heed_watchdog *dog, heed_error *error) {
    const int n_ranks = dog->comm->size;
    dog->n_peers = dog->comm->rank == 0 ? n_ranks : 1;
    dog->peers = calloc((size_t)dog->n_peers, sizeof *dog->peers);
    if (dog->comm->rank == 0)
        dog->hosts = calloc((size_t)n_ranks, HOST_BYTES);
    dog->places = calloc((size_t)n_ranks, sizeof *dog->places);
    if (!dog->peers || !dog->places || (dog->comm->rank == 0 && !dog->hosts))
        return heed_fail(error, HEED_MEMORY, "watchdog: out of memory for %d ranks", n_ranks);
    return open_socket(dog, error);
}

/* The hosts' names to rank 0, its addresses to all, and where each listens. */
static heed_status introduce(heed_watchdog *dog, heed_error *error) {
    heed_comm *comm = dog->comm;
    const size_t n_ranks = (size_t)comm->size;
    heed_error failed = HEED_ERROR_INIT;
    size_t *counts = calloc(2 * n_ranks, sizeof *counts);
    if (!counts)
        heed_fail(&failed, HEED_MEMORY, "watchdog: out of memory for %d ranks", comm->size);
    for (size_t rank = 0; counts && rank < n_ranks; rank++) {
        counts[rank] = HOST_BYTES;
        counts[n_ranks + rank] = rank * HOST_BYTES;
    }
    heed_status status = heed_comm_agree(comm, &failed);
    if (status == HEED_OK)
        status = heed_comm_gather(comm, comm->host, HOST_BYTES, dog->hosts, counts, counts ? counts + n_ranks : NULL, 0,
                                  &failed);
    if (status == HEED_OK)
        status = heed_comm_broadcast(comm, &dog->invitation, sizeof dog->invitation, 0, &failed);
    for (size_t rank = 0; counts && rank < n_ranks; rank++) {
        counts[rank] = sizeof(place);
        counts[n_ranks + rank] = rank * sizeof(place);
    }
    if (status == HEED_OK)
        status = heed_comm_allgather(comm, &dog->places[comm->rank], dog->places, counts, counts + n_ranks, &failed);
    free(counts);
    if (status != HEED_OK)
        *error = failed;
    return status;
}

static heed_status start_thread(heed_watchdog *dog, heed_error *error) {
    sigset_t all, before;
    sigfillset(&all);
    dog->started = heed_seconds();
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&dog->thread, NULL, heedi_watchdog_watch, dog);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    dog->runs = !failed;
    return failed ? heed_fail(error, HEED_UNAVAILABLE, "watchdog: no thread: %s", strerror(failed)) : HEED_OK;
}

static void release(heed_watchdog *dog) {
    if (dog->socket >= 0)
        close(dog->socket);
    if (dog->wake >= 0)
        close(dog->wake);
    free(dog->peers);
    free(dog->hosts);
    free(dog->places);
    free(dog);
}

heed_status heed_watchdog_start(heed_comm *comm, double limit_seconds, heed_error *error) {
    if (limit_seconds <= 0.0 || comm->size == 1)
        return HEED_OK;
    heed_error failed = HEED_ERROR_INIT;
    heed_watchdog *dog = comm->watchdog = calloc(1, sizeof *dog);
    if (dog) {
        dog->comm = comm;
        dog->limit = limit_seconds;
        dog->period = fmin(0.5, limit_seconds / 16);
        dog->socket = dog->wake = -1;
        prepare(dog, &failed);
    } else {
        heed_fail(&failed, HEED_MEMORY, "watchdog: out of memory");
    }
    heed_status status = heed_comm_agree(comm, &failed);
    if (status == HEED_OK)
        status = introduce(dog, &failed);
    if (status == HEED_OK)
        start_thread(dog, &failed);
    status = heed_comm_agree(comm, &failed);
    if (status != HEED_OK) {
        heed_watchdog_stop(comm);
        *error = failed;
    }
    return status;
}

void heed_watchdog_stop(heed_comm *comm) {
    heed_watchdog *dog = comm->watchdog;
    if (!dog)
        return;
    comm->watchdog = NULL;
    if (dog->runs) {
        atomic_store(&dog->ending, true);
        eventfd_write(dog->wake, 1);
        pthread_join(dog->thread, NULL);
        for (int i = 0; i < 3; i++) /* datagrams may be lost */
            heedi_watchdog_send_all(dog, LEAVING);
    }
    release(dog);
}

void heed_watchdog_mark(heed_comm *comm, uint64_t number) {
    heed_watchdog *dog = comm->watchdog;
    if (!dog)
        return;
    if (number)
        atomic_store_explicit(&dog->step, number, memory_order_relaxed);
    atomic_fetch_add_explicit(&dog->n_marks, 1, memory_order_relaxed);
}
