#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/watchdog_state.h"
#include "heed/log.h"

static void send_to(heed_watchdog *dog, int kind, const struct sockaddr_in *address) {
    datagram message = {.kind = kind, .rank = dog->comm->rank};
    memcpy(message.cookie, dog->invitation.cookie, COOKIE_BYTES);
    message.n_marks = atomic_load(&dog->n_marks);
    message.step = atomic_load(&dog->step);
    message.stage = heed_stage_now();
    sendto(dog->socket, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)address,
           sizeof *address); /* one that is lost is made good by the next */
}

void heedi_watchdog_send_all(heed_watchdog *dog, int kind) {
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

/* The launcher ends this one; if it does not, it ends by itself. */
void heedi_watchdog_end_silently(void) {
    alarm(3); /* whatever blocks from here on, this process ends */
    const struct timespec while_it_speaks = {1, 500000000};
    nanosleep(&while_it_speaks, NULL);
    heed_comm_leave(heed_status_exit(HEED_PEER));
}

bool heedi_watchdog_receive(heed_watchdog *dog, datagram *message, struct sockaddr_in *from) {
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
        while (heedi_watchdog_receive(dog, &message, &from))
            if (message.kind == LOST)
                heedi_watchdog_end_silently();
    }
}

void heedi_watchdog_end(heed_watchdog *dog, const char *why) {
    alarm(4);
    if (dog->comm->rank > 1)
        let_rank_1_speak(dog);
    tell_that_one_is_lost(dog);
    heed_say(HEED_ERROR, "%s (the newest checkpoint is whole: start the same command again)", why);
    heed_comm_leave(heed_status_exit(HEED_PEER));
}
