/* What the files of the watchdog share: what is said between ranks, and what each knows of the others. */
#ifndef HEEDI_WATCHDOG_STATE_H
#define HEEDI_WATCHDOG_STATE_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "heed/stage.h"
#include "heed/watchdog.h"

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

/* ---- watchdog_beat.c: datagrams, and the end of a rank ---- */

/* A datagram of the kind to rank 0, or from rank 0 to all that it has heard of. */
void heedi_watchdog_send_all(heed_watchdog *dog, int kind);

/* The next datagram of this run that has come in; false when there is none. */
bool heedi_watchdog_receive(heed_watchdog *dog, datagram *message, struct sockaddr_in *from);

/* Ends this rank, and with it the job, after saying why. The thread of a rank that waits in MPI can do nothing gentler.
 */
void heedi_watchdog_end(heed_watchdog *dog, const char *why);

/* Ends this rank when another one speaks for the job. */
void heedi_watchdog_end_silently(void);

/* ---- watchdog_judge.c: who is missing ---- */

/* The thread: beats, listens and judges until dog->ending. */
void *heedi_watchdog_watch(void *dog);

#endif
