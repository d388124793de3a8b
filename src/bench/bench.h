/* Measuring: what the machine can do, what a training step makes of it, and what follows for a cluster. Internal to
 * bench and cli. */
#ifndef HEED_BENCH_H
#define HEED_BENCH_H

#include "heed/comm.h"
#include "heed/config.h"
#include "heed/corpus.h"
#include "heed/gemm.h"
#include "heed/gradsync.h"
#include "heed/params.h"
#include "heed/stage.h"

/* ---- what is trained
 * ------------------------------------------------------------------------------------------------------ */

/* Sizes that speed is compared at. Their data is noise, so that no file is needed. */
typedef struct heedi_shape {
    const char *name, *meaning;
    const char *const *settings; /* assignments, ended by NULL */
} heedi_shape;
extern const heedi_shape heedi_shapes[]; /* ended by one without a name */

/* The shape of that name over the defaults; false when there is none. */
bool heedi_shape_config(heed_config *config, const char *name);

/* What of the data decides how large a model is and how much a step has to do. */
typedef struct heedi_sizes {
    size_t vocab, source_vocab; /* as heed_model_shape has them */
    size_t rows, source_rows;   /* of a sequence: of pairs the mean; source_rows 0: there are no sources */
    size_t most_source_rows;    /* of the longest source */
    size_t probes;              /* whose attention is logged: heedi_count_probes */
} heedi_sizes;

/* The config's data, read for that: a text or pairs are learnt (pairs through a store in TMPDIR, which goes with the
 * reset), a token store opened, a task made. Errors: those of reading it; HEED_CREATE; HEED_CONFIG where the model has
 * another kind, or no room for its sequences. Ownership: heedi_bench_data_reset, also after an error. Not
 * collective. */
typedef struct heedi_bench_data {
    heedi_sizes sizes;
    heed_corpus *corpus;             /* NULL for a text */
    heed_tokenizer *learned;         /* of a text */
    const heed_tokenizer *tokenizer; /* either's */
    char folder[HEED_PATH_MAX];      /* of the store of pairs, or "" */
} heedi_bench_data;
heed_status heedi_bench_data_open(heedi_bench_data *data, const heed_config *config, heed_error *error);
void heedi_bench_data_reset(heedi_bench_data *data);

/* A checkpoint of the config, written into a new folder inside `folder` and taken away again. Errors: as
 * heed_checkpoint_write. Not collective. */
typedef struct heedi_disk {
    size_t checkpoint_bytes;
    double checkpoint_seconds;
} heedi_disk;
heed_status heedi_measure_checkpoint(const heed_config *config, const heedi_bench_data *data, const char *folder,
                                     heedi_disk *disk, heed_error *error);

/* ---- the machine ------------------------------------------------------------------------------------------------- */

typedef struct heedi_machine {
    double product[HEED_PEAK_SHAPES]; /* GF/s of all ranks at once, by heed_peak_shapes */
    double peak;                      /* the best of them */
    double bandwidth;                 /* GB/s of all ranks at once: z = x + y over arrays that no cache holds */
    double latency;                   /* s of an exchange of a few bytes between all ranks, and back; 0 with one rank */
    double all_reduce;                /* GB/s a rank: 2 (n - 1) / n bytes sent over the time of exchange and return */
} heedi_machine;

/* All ranks measure at the same time. Errors: HEED_MEMORY, HEED_PEER. Collective. */
heed_status heedi_measure_machine(heed_comm *comm, heedi_machine *machine, heed_error *error);

/* Seconds of an exchange of `bytes` between all ranks and their return, the median of some. Collective. */
heed_status heedi_measure_exchange(heed_comm *comm, size_t bytes, double *seconds, heed_error *error);

/* What a step of `params` waits for its exchanges, rehearsed beside passes of products that take forward_time and
 * backward_time: medians, of which the mean over ranks. Errors: HEED_MEMORY, HEED_PEER. Collective. */
typedef struct heedi_rehearsal {
    double out, back;             /* gradients out, their sums and norm; parameters back: what work does not hide */
    double out_alone, back_alone; /* the same with nothing to hide behind */
    double sums, update;          /* the loss to all; the optimizer, and parameters setting out, or coming too */
} heedi_rehearsal;
heed_status heedi_rehearse(heed_comm *comm, const heed_config *config, const heed_params *params, double forward_time,
                           double backward_time, heedi_rehearsal *found, heed_error *error);

/* The middle one, or the greater one of the two in the middle, of n > 0. Puts them into order. */
double heedi_median(double *values, size_t n);

/* ---- kernels ----------------------------------------------------------------------------------------------------- */

enum { HEEDI_N_KERNELS = 9 };
typedef struct heedi_kernel {
    const char *name;
    double seconds, bytes; /* of a pass over 16 million elements; what must be read and written, a rank */
    double times_moving;   /* seconds over those in which the machine moves as many bytes, measured by z = x + y */
} heedi_kernel;

/* The layers that move memory: the best of some passes, on the slowest rank; the first is z = x + y itself. All ranks
 * measure at the same time. Errors: HEED_MEMORY, HEED_PEER. Collective. */
heed_status heedi_measure_kernels(heed_comm *comm, heedi_kernel kernels[HEEDI_N_KERNELS], heed_error *error);

/* ---- steps ------------------------------------------------------------------------------------------------------- */

typedef struct heedi_rank_memory { /* bytes a rank, of rank 0 */
    size_t parameters, activations;
    heed_gradsync_memory exchange;
} heedi_rank_memory;

typedef struct heedi_steps {
    size_t n_steps;         /* measured, after some to warm up */
    double seconds;         /* a step: their median */
    double tokens;          /* a step */
    double flops_per_token; /* by the usual count */
    double n_parameters;
    heed_stage_times stages; /* a step: means over steps and ranks; operations: of all ranks */
    heedi_rank_memory memory;
    double peak_bytes; /* most memory that rank 0 ever had */
} heedi_steps;

/* Trains a fresh model for n_steps on noise, or of an encoder-decoder on lists to copy, and says how long they took.
 * config is resolved. Errors: HEED_MEMORY, HEED_CONFIG, HEED_PEER. Collective. */
heed_status heedi_measure_steps(heed_comm *comm, const heed_config *config, const heedi_sizes *sizes, size_t n_steps,
                                heedi_steps *steps, heed_error *error);

#endif
