/* Ranks of one machine as if they lay on several nodes, so that sums meet in two rounds. */
#ifndef HEED_TESTS_TRAIN_PRETEND_H
#define HEED_TESTS_TRAIN_PRETEND_H

#include "heed/comm.h"

/* per_node ranks on every node but the last, which has those that are left. */
static inline void pretend_nodes(heed_comm *ranks, int per_node) {
    ranks->n_nodes = (ranks->size + per_node - 1) / per_node;
    ranks->node = ranks->rank / per_node;
    ranks->local_rank = ranks->rank % per_node;
    ranks->local_size = ranks->node + 1 < ranks->n_nodes ? per_node : ranks->size - per_node * (ranks->n_nodes - 1);
}

#endif
