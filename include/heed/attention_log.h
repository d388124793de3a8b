/* The attention log: one file a log step, run/attention/step-00000100.h5, netCDF-4 in form, so that
 * xarray.open_mfdataset("attention/step-*.h5") opens them as one. docs/files.md has the schema. An encoder-decoder has
 * two more folders of the same form, attention-encoder and attention-cross; cross-attention's queries are tokens of the
 * target and its keys those of the source, which its files tell as well.
 *
 * Maps of the probes (step, probe, layer, head, query, key): attention a_ij, advantage A_ij = g_i . (o_i - v_j) and
 * credit c_ij = a_ij A_ij = -dL/ds_ij (docs/science.md), rounded to 11 significant bits, as many as binary16 has, but
 * with the range of float32: credits are small, and bits that are zero cost nothing once compressed. Statistics of the
 * global batch (step, layer, head). Token numbers and text of the probes. */
#ifndef HEED_ATTENTION_LOG_H
#define HEED_ATTENTION_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "heed/comm.h"
#include "heed/model.h"
#include "heed/status.h"
#include "heed/tokenizer.h"

/* Statistics of a head: constant, name in the files, unit, meaning. Each is a sum over queries divided by a sum of
 * weights. The weight is 1 for every query for which the statistic is defined, unless the meaning says another one.
 * True positions are those of batch->truth. */
#define HEED_HEAD_STATISTIC_TABLE(X)                                                                                   \
    X(ENTROPY, "entropy", "nat", "-sum_j a_ij log a_ij: entropy of a query's weights, mean over the global batch")     \
    X(DISTANCE, "distance", "token", "sum_j a_ij (i - j): distance from query to key, weighted by attention, mean")    \
    X(TOP1, "top1", "1", "max_j a_ij: a query's largest weight, mean")                                                 \
    X(PREVIOUS, "previous", "1", "weight of the token before the query, mean over queries that have one")              \
    X(DUPLICATE, "duplicate", "1", "weight of earlier places of the query's token, mean over queries that have some")  \
    X(INDUCTION, "induction", "1",                                                                                     \
      "weight of places behind earlier places of the query's token, mean over queries that have some")                 \
    X(ON_TARGET, "on_target", "1", "weight of the true positions, mean over queries that have some")                   \
    X(CREDIT_SIZE, "credit_size", "nat", "sum_j |c_ij|, mean")                                                         \
    X(CREDIT_SHARE, "credit_share", "1",                                                                               \
      "share of positive credit on true positions: its sum there by its sum, over queries that have some")             \
    X(CREDIT_TARGET, "credit_target", "nat", "credit of the true positions, mean over queries that have some")         \
    X(ADVANTAGE_TARGET, "advantage_target", "nat", "mean advantage of the true positions, mean over such queries")     \
    X(ADVANTAGE_REST, "advantage_rest", "nat", "mean advantage of the other visible positions, mean over such queries")

typedef enum heed_head_statistic {
#define HEED_HEAD_STATISTIC_ENUM(name, text, unit, meaning) HEED_##name,
    HEED_HEAD_STATISTIC_TABLE(HEED_HEAD_STATISTIC_ENUM)
#undef HEED_HEAD_STATISTIC_ENUM
        HEED_N_STATISTICS
} heed_head_statistic;

/* A sum and its weights: sums first, then the weights in the same order. */
#define HEED_STATISTIC_SLOT (2 * HEED_N_STATISTICS)

/* Sums of the statistics over the queries of every sequence, one slot a sequence, layer and head. Attention weights are
 * without dropout, the gradient is that of the pass: without one, what needs it is NaN. What needs tokens or truth
 * needs view->batch. per_sequence is (global sequences, layers, heads, HEED_STATISTIC_SLOT), zero at first; only slots
 * of this rank's sequences are written, so that summing over ranks is exact in any order (heed_comm_sum). The slots'
 * bits depend on neither threads nor ranks. */
typedef struct heed_head_statistics {
    double *per_sequence;
    size_t layers, heads;
    real *scratch; /* heed_head_statistics_scratch reals */
} heed_head_statistics;

/* Reals of scratch for sequences of at most `time` keys and the current number of threads. */
size_t heed_head_statistics_scratch(size_t time);

/* The observer for heed_model_observe; statistics is a heed_head_statistics. Allocates nothing. Not collective. */
void heed_head_statistics_see(void *statistics, const heed_attention_view *view);

/* Sums by weights over n_sequences sequences, added in sequence order: mean (layers, heads, HEED_N_STATISTICS); NaN
 * where nothing has a weight. */
void heed_head_statistics_mean(double *mean, const double *per_sequence, size_t n_sequences, size_t layers,
                               size_t heads);

/* Maps of the probe batch, filled by an observer (heed_attention_maps_see) during a HEED_PASS_PROBE forward and
 * backward pass over the probes. Memory, in whole huge pages of 2 MiB: 12 bytes for each probe, layer, head, query and
 * key, and 3 reals for each thread, query and key. Errors: HEED_MEMORY.
 * Ownership: heed_attention_maps_destroy. Not collective. */
typedef struct heed_attention_maps heed_attention_maps;
heed_status heed_attention_maps_create(heed_attention_maps **maps, heed_attention_kind kind, size_t probes,
                                       size_t layers, size_t heads, size_t time, heed_error *error);
void heed_attention_maps_destroy(heed_attention_maps *maps);

/* Layers of a kind in a model; 0: it has none. */
size_t heed_attention_layers(const heed_config *config, heed_attention_kind kind);

/* What maps of all the kinds take for so many probes, with the current number of threads (without probes there are
 * none: 0). SIZE_MAX: more than there can be. */
size_t heed_attention_maps_bytes(const heed_config *config, size_t probes);

/* The tokenizer of the probes' sources, where it is not that of their targets. It stays the caller's. */
void heed_attention_maps_set_sources(heed_attention_maps *maps, const heed_tokenizer *tokenizer);
void heed_attention_maps_see(void *maps, const heed_attention_view *view);

/* Maps of probes that ranks share: rank r saw probes [first[r], first[r + 1]), which are all that its maps are made
 * for; but those of rank 0 have room for all, and afterwards hold all. maps may be NULL on a rank without probes, other
 * than rank 0. first: (ranks + 1), first[0] = 0; room: memory for 2 * ranks elements, both of rank 0 alone. Waits until
 * a log that is being written no longer needs the maps; one that was not written by then is given up. Allocates
 * nothing. Errors: HEED_PEER. Collective. */
heed_status heed_attention_maps_gather(heed_attention_maps *maps, heed_comm *comm, const size_t *first, size_t *room,
                                       heed_error *error);

/* The folder of a kind in a run: "attention", "attention-encoder", "attention-cross". */
const char *heed_attention_folder(heed_attention_kind kind);

/* Writes step-XXXXXXXX.h5 into the folder of the maps' kind in run_dir (the folder is made). statistics (layers, heads,
 * HEED_N_STATISTICS) are means over the global batch. Rank 0. Errors: HEED_CREATE, HEED_IO, HEED_MEMORY. */
heed_status heed_attention_log_write(const char *run_dir, uint64_t step, const heed_attention_maps *maps,
                                     const double *statistics, const heed_batch *probes,
                                     const heed_tokenizer *tokenizer, const char *config_text, heed_error *error);

/* The same in a thread that belongs to maps. start copies all but the maps; the next heed_attention_maps_see waits
 * until they are written. wait ends when nothing is under way; a file that could not be written is tried once more
 * there, for as long as the maps are those of its step: call it before they change, and before a checkpoint is started,
 * so that no checkpoint is kept whose log files are not. Errors of wait: the file is still not there. */
heed_status heed_attention_log_start(heed_attention_maps *maps, const char *run_dir, uint64_t step,
                                     const double *statistics, const heed_batch *probes,
                                     const heed_tokenizer *tokenizer, const char *config_text, heed_error *error);
heed_status heed_attention_log_wait(heed_attention_maps *maps, heed_error *error);

/* `heed merge`: one file of all log steps of a run and kind, in the same form. Errors: HEED_NOT_FOUND (no log),
 * HEED_DATA (a damaged file, or one that does not fit the others), HEED_CREATE, HEED_IO. */
heed_status heed_attention_log_merge(const char *run_dir, heed_attention_kind kind, const char *out_path,
                                     heed_error *error);

/* On resume: removes the files of steps beyond `step`, and left-over temporary files. Errors: HEED_IO. */
heed_status heed_attention_log_cut(const char *run_dir, uint64_t step, heed_error *error);

#endif
