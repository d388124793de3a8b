/* The attention log: one file a log step, run/attention/step-00000100.h5, netCDF-4 in form, so that
 * xarray.open_mfdataset("attention/ *.h5") opens them as one.
 *
 * Maps of the probes (step, probe, layer, head, query, key), float16 with a float32 scale per map: attention a_ij, advantage
 * A_ij = g_i . (o_i - v_j) and credit c_ij = a_ij A_ij = -dL/ds_ij (design, the science). Statistics of the global batch
 * (step, layer, head): entropy (nats), mean distance (tokens), top-1 mass, previous-token mass, mean |credit|. Token text of the probes. */
#ifndef HEED_ATTENTION_LOG_H
#define HEED_ATTENTION_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "heed/model.h"
#include "heed/status.h"
#include "heed/tokenizer.h"

typedef enum heed_head_statistic {
    HEED_ENTROPY,       /* -sum_j a_ij log a_ij, nats, mean over queries */
    HEED_DISTANCE,      /* sum_j a_ij (i - j), tokens */
    HEED_TOP1,          /* max_j a_ij */
    HEED_PREVIOUS,      /* a_i,i-1 (queries with i > 0) */
    HEED_CREDIT_SIZE,   /* sum_j |c_ij| */
    HEED_N_STATISTICS
} heed_head_statistic;

/* Sums of the statistics over the queries of one sequence: out (layers, heads, HEED_N_STATISTICS + 1), the last one counts queries.
 * An observer context: give heed_head_statistics_see to heed_model_observe. per_sequence is (global sequences, layers, heads, N + 1), in which
 * only this rank's sequences are written: summing over ranks is then exact in any order. */
typedef struct heed_head_statistics {
    double *per_sequence;
    size_t layers, heads;
    real *scratch; /* (threads, time) */
} heed_head_statistics;
void heed_head_statistics_see(void *statistics, const heed_attention_view *view);

/* Maps of the probe batch, filled by an observer during a forward and backward pass over the probes. */
typedef struct heed_attention_maps heed_attention_maps;
heed_status heed_attention_maps_create(heed_attention_maps **maps, size_t probes, size_t layers, size_t heads, size_t time,
                                       heed_error *error);
void heed_attention_maps_destroy(heed_attention_maps *maps);
void heed_attention_maps_see(void *maps, const heed_attention_view *view);

/* Writes run_dir/attention/step-XXXXXXXX.h5. statistics (layers, heads, N) are means over the global batch. Rank 0. Errors: HEED_CREATE, HEED_IO. */
heed_status heed_attention_log_write(const char *run_dir, uint64_t step, const heed_attention_maps *maps,
                                     const double *statistics, const heed_batch *probes,
                                     const heed_tokenizer *tokenizer, const char *config_text, heed_error *error);

/* `heed merge`: one file of all log steps of a run. `heed train` on resume: removes files of steps beyond `step`. */
heed_status heed_attention_log_merge(const char *run_dir, const char *out_path, heed_error *error);
heed_status heed_attention_log_cut(const char *run_dir, uint64_t step, heed_error *error);

#endif
