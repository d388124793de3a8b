#include <math.h>
#include <poll.h>
#include <stdio.h>

#include "engine/watchdog_state.h"
#include "heed/log.h"

static const char *host_of(const heed_watchdog *dog, int rank) {
    return dog->hosts ? dog->hosts + (size_t)rank * HOST_BYTES : dog->invitation.host;
}

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
        heedi_watchdog_end_silently();
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
    while (heedi_watchdog_receive(dog, &message, &from))
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
        heedi_watchdog_end(dog, why);
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
    heedi_watchdog_end(dog, why);
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

void *heedi_watchdog_watch(void *context) {
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
        heedi_watchdog_send_all(dog, BEAT);
        look_for_silent(dog, now);
        if (dog->comm->rank == 0) {
            look_for_stuck(dog, now);
            say_who_is_unreached(dog, now);
        }
    }
    return NULL;
}
