/* The main of a test program that runs on several ranks. */
#ifndef HEED_TESTS_RANKS_H
#define HEED_TESTS_RANKS_H

#include <stdio.h>

#include "heed/comm.h"

/* Opens the ranks' communicator, runs the tests and closes it; returns how many of this rank's failed. */
static inline int test_on_ranks(heed_comm **comm, int (*run)(void)) {
    heed_error error = HEED_ERROR_INIT;
    if (heed_comm_open(comm, &error) != HEED_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    const int failed = run();
    if (failed) /* ranks that are well may wait for this one in the middle of something */
        heed_comm_abort(*comm, 1);
    heed_comm_close(*comm);
    return failed;
}

#endif
