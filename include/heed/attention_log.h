/* The attention log: one file a log step, run/attention/step-00000100.h5, netCDF-4 in form, so that
 * xarray.open_mfdataset("attention/step-*.h5") opens them as one. docs/files.md has the schema.
 *
 * Maps of the probes (step, probe, layer, head, query, key): attention a_ij, advantage A_ij = g_i . (o_i - v_j) and
 * credit c_ij = a_ij A_ij = -dL/ds_ij (docs/science.md), rounded to 11 significant bits, as many as binary16 has, but
 * with the range of float32: credits are small, and bits that are zero cost nothing once compressed. Statistics of the
 * global batch (step, layer, head). Token numbers and text of the probes. */
#ifndef HEED_ATTENTION_LOG_H
#define HEED_ATTENTION_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "heed/model.h"
#include "heed/status.h"
#include "heed/tokenizer.h"

typedef enum heed_head_statistic {
    HEED_ENTROPY,     /* -sum_j a_ij log a_ij, nats */
    HEED_DISTANCE,    /* sum_j a_ij (i - j), tokens */
    HEED_TOP1,        /* max_j a_ij */
    HEED_PREVIOUS,    /* a_i,i-1, over queries with i > 0 */
    HEED_CREDIT_SIZE, /* sum_j |c_ij|, nats; NaN after a forward pass alone */
    HEED_N_STATISTICS
} heed_head_statistic;

/* Sums of the statistics over the queries of every sequence, one slot a sequence, layer and head; the last number of a
 * slot counts the queries. Weights are without dropout, the gradient is that of the pass.
 * per_sequence is (global sequences, layers, heads, HEED_N_STATISTICS + 1), zero at first; only slots of this rank's
 * sequences are written, so that summing over ranks is exact in any order (heed_comm_sum). The slots' bits depend on
 * neither threads nor ranks. */
typedef struct heed_head_statistics {
    double *per_sequence;
    size_t layers, heads;
    real *scratch; /* heed_head_statistics_scratch reals */
} heed_head_statistics;

/* Reals of scratch for sequences of at most `time` keys and the current number of threads. */
size_t heed_head_statistics_scratch(size_t time);

/* The observer for heed_model_observe; statistics is a heed_head_statistics. Allocates nothing. Not collective. */
void heed_head_statistics_see(void *statistics, const heed_attention_view *view);

/* Means over all queries of n_sequences sequences, added in sequence order: mean (layers, heads, HEED_N_STATISTICS). */
void heed_head_statistics_mean(double *mean, const double *per_sequence, size_t n_sequences, size_t layers,
                               size_t heads);

/* Maps of the probe batch, filled by an observer (heed_attention_maps_see) during a HEED_PASS_PROBE forward and
 * backward pass over the probes. Memory: 12 bytes for each probe, layer, head, query and key. Errors: HEED_MEMORY.
 * Ownership: heed_attention_maps_destroy. Not collective. */
typedef struct heed_attention_maps heed_attention_maps;
heed_status heed_attention_maps_create(heed_attention_maps **maps, size_t probes, size_t layers, size_t heads,
                                       size_t time, heed_error *error);
void heed_attention_maps_destroy(heed_attention_maps *maps);
void heed_attention_maps_see(void *maps, const heed_attention_view *view);

/* Writes run_dir/attention/step-XXXXXXXX.h5 (the folder is made). statistics (layers, heads, HEED_N_STATISTICS) are
 * means over the global batch. Rank 0. Errors: HEED_CREATE, HEED_IO, HEED_MEMORY. */
heed_status heed_attention_log_write(const char *run_dir, uint64_t step, const heed_attention_maps *maps,
                                     const double *statistics, const heed_batch *probes,
                                     const heed_tokenizer *tokenizer, const char *config_text, heed_error *error);

/* The same in a thread that belongs to maps. start copies all but the maps; the next heed_attention_maps_see waits
 * until they are written. wait ends when nothing is under way and tells once of the first write that failed since the
 * last wait: call it before a checkpoint is started, so that no checkpoint is kept whose log files are not. */
heed_status heed_attention_log_start(heed_attention_maps *maps, const char *run_dir, uint64_t step,
                                     const double *statistics, const heed_batch *probes,
                                     const heed_tokenizer *tokenizer, const char *config_text, heed_error *error);
heed_status heed_attention_log_wait(heed_attention_maps *maps, heed_error *error);

/* `heed merge`: one file of all log steps of a run, in the same form. Errors: HEED_NOT_FOUND (no log), HEED_DATA (a
 * damaged file, or one that does not fit the others), HEED_CREATE, HEED_IO. */
heed_status heed_attention_log_merge(const char *run_dir, const char *out_path, heed_error *error);

/* On resume: removes the files of steps beyond `step`, and left-over temporary files. Errors: HEED_IO. */
heed_status heed_attention_log_cut(const char *run_dir, uint64_t step, heed_error *error);

#endif
