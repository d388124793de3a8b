/* How long the layers of a model take, each measured by itself on memory of its own: what a step will cost without
 * doing one. Internal to bench. */
#ifndef HEEDI_BENCH_LAYERS_H
#define HEEDI_BENCH_LAYERS_H

#include "bench/bench.h"

/* Seconds a step of all layers of a kind together. */
typedef struct heedi_layer_times {
    double forward, backward, classifier;
    double move;   /* a second for each real that is added to another: sums over ranks and the norm */
    double update; /* a second for each parameter that is updated */
} heedi_layer_times;

/* For a rank with `n_sequences` of such sequences, in grains. All ranks measure at the same time; the slowest counts.
 * Errors: HEED_MEMORY, HEED_PEER. Collective. */
heed_status heedi_measure_layers(heed_comm *comm, const heed_config *config, const heed_params *params,
                                 const heedi_sizes *sizes, size_t n_sequences, heedi_layer_times *times,
                                 heed_error *error);

#endif
