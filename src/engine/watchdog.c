#include "heed/watchdog.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <math.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "heed/log.h"
#include "heed/stage.h"

enum { COOKIE_BYTES = 16, MOST_ADDRESSES = 32, HOST_BYTES = 256 };
enum { BEAT, LEAVING, LOST }; /* what a datagram says: here I am; I leave in good order; a rank is lost, end */

typedef struct datagram {
    uint8_t cookie[COOKIE_BYTES];
    int32_t kind, rank;
    uint64_t n_marks, step;
    int32_t stage; /* heed_stage */
} datagram;

/* What rank 0 tells all others at the start. */
typedef struct invitation {
    uint8_t cookie[COOKIE_BYTES];
    struct sockaddr_in addresses[MOST_ADDRESSES];
    int32_t n_addresses;
    char host[HOST_BYTES];
} invitation;

/* Where a rank listens, for the one word that may have to go round rank 0. */
typedef struct place {
    int32_t node;
    in_addr_t address; /* its host's first that is not a loopback's */
    in_port_t port;
} place;

/* Another rank, as this one sees it. */
typedef struct peer {
    struct sockaddr_in address;
    bool known, left; /* known: it was heard of */
    double heard, moved;
    uint64_t n_marks, step;
    heed_stage stage;
} peer;

struct heed_watchdog {
    heed_comm *comm;
    double limit, period;
    int socket, wake;
    pthread_t thread;
    bool runs; /* the thread does */
    atomic_bool ending;
    atomic_uint_least64_t step, n_marks;
    invitation invitation;
    int n_peers; /* rank 0: all ranks, itself included; others: rank 0 alone */
    peer *peers;
    char *hosts;   /* rank 0: (ranks, HOST_BYTES) */
    place *places; /* (ranks) */
    double started;
    bool told_unreached;
};

static const char *host_of(const heed_watchdog *dog, int rank) {
    return dog->hosts ? dog->hosts + (size_t)rank * HOST_BYTES : dog->invitation.host;
}

/* ---- datagrams --------------------------------------------------------------------------------------------------- */

static void send_to(heed_watchdog *dog, int kind, const struct sockaddr_in *address) {
    datagram message = {.kind = kind, .rank = dog->comm->rank};
    memcpy(message.cookie, dog->invitation.cookie, COOKIE_BYTES);
    message.n_marks = atomic_load(&dog->n_marks);
    message.step = atomic_load(&dog->step);
    message.stage = heed_stage_now();
    sendto(dog->socket, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)address,
           sizeof *address); /* one that is lost is made good by the next */
}

static void send_all(heed_watchdog *dog, int kind) {
    if (dog->comm->rank == 0) {
        for (int rank = 1; rank < dog->n_peers; rank++)
            if (dog->peers[rank].known)
                send_to(dog, kind, &dog->peers[rank].address);
    } else if (dog->peers[0].known) {
        send_to(dog, kind, &dog->peers[0].address);
    } else { /* whichever answers */
        for (int i = 0; i < dog->invitation.n_addresses; i++)
            send_to(dog, kind, &dog->invitation.addresses[i]);
    }
}

static void tell_that_one_is_lost(heed_watchdog *dog) {
    for (int rank = 0; rank < dog->comm->size; rank++) {
        const place *to = &dog->places[rank];
        const bool same_node = to->node == dog->comm->node || !to->address;
        const struct sockaddr_in address = {.sin_family = AF_INET,
                                            .sin_port = to->port,
                                            .sin_addr.s_addr = same_node ? htonl(INADDR_LOOPBACK) : to->address};
        if (rank != dog->comm->rank)
            send_to(dog, LOST, &address);
    }
}

/* Another rank speaks, and the launcher ends this one; if it does not, it ends by itself. */
static void end_silently(void) {
    alarm(3); /* whatever blocks from here on, this process ends */
    const struct timespec while_it_speaks = {1, 500000000};
    nanosleep(&while_it_speaks, NULL);
    heed_comm_leave(heed_status_exit(HEED_PEER));
}

static bool receive(heed_watchdog *dog, datagram *message, struct sockaddr_in *from) {
    socklen_t length = sizeof *from;
    ssize_t bytes;
    while ((bytes = recvfrom(dog->socket, message, sizeof *message, MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)from,
                             &length)) >= 0) {
        if ((size_t)bytes == sizeof *message && length == sizeof *from &&
            memcmp(message->cookie, dog->invitation.cookie, COOKIE_BYTES) == 0)
            return true;
        length = sizeof *from;
    }
    return false;
}

/* Rank 1 has seen the same, and speaks, unless it is gone too. */
static void let_rank_1_speak(heed_watchdog *dog) {
    datagram message;
    struct sockaddr_in from;
    struct pollfd source = {.fd = dog->socket, .events = POLLIN};
    for (const double end = heed_seconds() + 1.5; heed_seconds() < end;) {
        poll(&source, 1, 100);
        while (receive(dog, &message, &from))
            if (message.kind == LOST)
                end_silently();
    }
}

/* Ends this rank, and with it the job. The thread of a rank that waits in MPI can do nothing gentler. */
static void end(heed_watchdog *dog, const char *why) {
    alarm(4);
    if (dog->comm->rank > 1)
        let_rank_1_speak(dog);
    tell_that_one_is_lost(dog);
    heed_say(HEED_ERROR, "%s (the newest checkpoint is whole: start the same command again)", why);
    heed_comm_leave(heed_status_exit(HEED_PEER));
}

/* ---- who is missing ---------------------------------------------------------------------------------------------- */

/* The launcher needs a second or two to end the job; the limit holds for all of it. */
static double silence_of_the_lost(const heed_watchdog *dog) {
    return dog->limit - fmin(2.0, 0.5 * dog->limit);
}

static double silence_worth_a_word(const heed_watchdog *dog) {
    return fmin(fmax(1.5, 4 * dog->period), 0.4 * dog->limit);
}

static void hear(heed_watchdog *dog, const datagram *message, const struct sockaddr_in *from, double now) {
    const int rank = message->rank;
    if (message->kind == LOST)
        end_silently();
    if (message->stage < 0 || message->stage >= HEED_N_STAGES)
        return;
    if (dog->comm->rank == 0 ? rank < 1 || rank >= dog->n_peers : rank != 0)
        return;
    peer *it = &dog->peers[rank];
    const double silent = now - it->heard;
    if (it->known && !it->left && silent > silence_worth_a_word(dog) && (dog->comm->rank <= 1))
        heed_say(HEED_WARNING,
                 "rank %d on %s was silent for %.1f s, in stage '%s' of step %llu: the others waited for it", rank,
                 host_of(dog, rank), silent, heed_stage_name(it->stage), (unsigned long long)it->step);
    if (!it->known || it->n_marks != message->n_marks)
        it->moved = now;
    it->address = *from;
    it->known = true;
    it->left = it->left || message->kind == LEAVING;
    it->heard = now;
    it->n_marks = message->n_marks;
    it->step = message->step;
    it->stage = (heed_stage)message->stage;
}

static void listen_to_all(heed_watchdog *dog, double now) {
    datagram message;
    struct sockaddr_in from;
    while (receive(dog, &message, &from))
        hear(dog, &message, &from, now);
}

static void look_for_silent(heed_watchdog *dog, double now) {
    char why[768];
    for (int rank = 0; rank < dog->n_peers; rank++) {
        const peer *it = &dog->peers[rank];
        if (rank == dog->comm->rank || !it->known || it->left || now - it->heard <= silence_of_the_lost(dog))
            continue;
        snprintf(why, sizeof why,
                 "rank %d on %s is lost: no sign of life for %.1f s, last seen in stage '%s' of step %llu", rank,
                 host_of(dog, rank), now - it->heard, heed_stage_name(it->stage), (unsigned long long)it->step);
        end(dog, why);
    }
}

/* Fewest marks; among those the first that does not wait for others. moved: when a rank last passed a mark. -1 while a
 * rank is not in its steps. */
static int furthest_behind(const heed_watchdog *dog, double *moved) {
    int behind = 0;
    *moved = 0.0;
    for (int rank = 0; rank < dog->n_peers; rank++) {
        const peer *it = &dog->peers[rank], *last = &dog->peers[behind];
        if ((rank && !it->known) || it->left || it->n_marks == 0)
            return -1;
        *moved = fmax(*moved, it->moved);
        const bool waits_less = heed_stage_communicates(last->stage) && !heed_stage_communicates(it->stage);
        if (it->n_marks < last->n_marks || (it->n_marks == last->n_marks && waits_less))
            behind = rank;
    }
    return behind;
}

/* Rank 0: its own place is kept beside those of the others, so that one rule judges all. */
static void look_for_stuck(heed_watchdog *dog, double now) {
    peer *own = &dog->peers[0];
    const uint64_t n_marks = atomic_load(&dog->n_marks);
    if (n_marks != own->n_marks)
        own->moved = now;
    own->n_marks = n_marks;
    own->step = atomic_load(&dog->step);
    own->stage = heed_stage_now();
    double moved;
    const int behind = furthest_behind(dog, &moved);
    if (behind < 0 || now - moved <= silence_of_the_lost(dog))
        return;
    char why[768];
    const peer *it = &dog->peers[behind];
    if (heed_stage_communicates(it->stage))
        snprintf(why, sizeof why, "all %d ranks have been in stage '%s' of step %llu for %.1f s: communication hangs",
                 dog->n_peers, heed_stage_name(it->stage), (unsigned long long)it->step, now - moved);
    else
        snprintf(why, sizeof why, "rank %d on %s hangs: no progress for %.1f s, in stage '%s' of step %llu", behind,
                 host_of(dog, behind), now - moved, heed_stage_name(it->stage), (unsigned long long)it->step);
    end(dog, why);
}

static void say_who_is_unreached(heed_watchdog *dog, double now) {
    if (dog->told_unreached || now - dog->started < 20.0)
        return;
    dog->told_unreached = true;
    for (int rank = 1; rank < dog->n_peers; rank++) {
        if (dog->peers[rank].known)
            continue;
        heed_say(HEED_WARNING, "watchdog: rank %d on %s does not reach rank 0 by UDP: its loss would not be noticed",
                 rank, host_of(dog, rank));
        return; /* one is enough to tell of a firewall */
    }
}

/* This process itself was stopped, or starved: that is nobody else's silence. */
static void forgive(heed_watchdog *dog, double seconds) {
    for (int rank = 0; rank < dog->n_peers; rank++) {
        dog->peers[rank].heard += seconds;
        dog->peers[rank].moved += seconds;
    }
}

static void *watch(void *context) {
    heed_watchdog *dog = context;
    struct pollfd sources[] = {{.fd = dog->socket, .events = POLLIN}, {.fd = dog->wake, .events = POLLIN}};
    double before = heed_seconds(), next = before;
    while (!atomic_load(&dog->ending)) {
        const double wait = fmax(0.0, next - heed_seconds());
        poll(sources, 2, (int)ceil(1e3 * wait));
        const double now = heed_seconds();
        if (now - before > 3 * dog->period)
            forgive(dog, now - before);
        before = now;
        listen_to_all(dog, now);
        if (now < next)
            continue;
        next = now + dog->period;
        send_all(dog, BEAT);
        look_for_silent(dog, now);
        if (dog->comm->rank == 0) {
            look_for_stuck(dog, now);
            say_who_is_unreached(dog, now);
        }
    }
    return NULL;
}

/* ---- start and stop ---------------------------------------------------------------------------------------------- */

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
    const int failed = pthread_create(&dog->thread, NULL, watch, dog);
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
            send_all(dog, LEAVING);
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
