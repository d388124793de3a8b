/* What a run will take, before it is queued: from times of single layers and of messages, never from a step. */
#ifndef HEEDI_BENCH_FORECAST_H
#define HEEDI_BENCH_FORECAST_H

#include "bench/bench.h"

typedef struct heedi_network {
    double alpha, beta; /* seconds a message; bytes a second of a node's link */
} heedi_network;

typedef struct heedi_forecast {
    int n_ranks, ranks_per_node;                  /* asked */
    double n_parameters, flops_per_token, tokens; /* tokens a step: of targets */
    heed_gradsync_view exchange;                  /* of rank 0 */
    heedi_rank_memory memory;                     /* bytes of a rank */
    size_t base_bytes, snapshot_bytes;            /* beside that: of the process; of rank 0 alone */
    size_t map_bytes, first_map_bytes;            /* of attention maps: a rank's, and rank 0's */
    /* for a moment, beside all of it: at the start, factors and product of heed_gemm_peak; later, on rank 0, the part
     * of a checkpoint that is kept until it is written */
    size_t peak_bytes, file_bytes;
    double compute_seconds, out_seconds, back_seconds, seconds; /* a step */
    double out_hidden_seconds, back_hidden_seconds;             /* of out and of back, what is not waited for */
    double sums_seconds; /* losses and norms to all; rehearsed, the norm is in out */
} heedi_forecast;

/* How many probes log.probes means; 0 without attention logs. A file is read for that. Errors: HEED_NOT_FOUND. Not
 * collective. */
heed_status heedi_count_probes(const heed_config *config, size_t *n_probes, heed_error *error);

/* Fills f for f->n_ranks ranks, f->ranks_per_node on a node. All ranks of comm measure layers at the same time, as
 * those of a node will: comm should have as many. network NULL: comm has n_ranks ranks, and their
 * communication is rehearsed. Errors: HEED_MEMORY, HEED_PEER. Collective. */
heed_status heedi_make_forecast(heed_comm *comm, const heed_config *config, const heedi_sizes *sizes,
                                const heedi_network *network, heedi_forecast *f, heed_error *error);

#endif
