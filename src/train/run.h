/* One run of `heed train`, as its parts see it. The parts, one file each: the folder (run_folder.c), the checkpoint to
 * go on from (run_resume.c), the data (run_data.c), saving (run_save.c), looking at attention (run_look.c), speed
 * (run_speed.c); train.c puts them in order.
 *
 * A part that works on one rank alone fills `error` there; train.c makes all ranks agree after every part. A part that
 * communicates is entered by all. Once steps have begun, a rank puts what went wrong between them into trainer.failed.
 */
#ifndef HEED_TRAIN_RUN_H
#define HEED_TRAIN_RUN_H

#include <stdio.h>

#include "heed/arena.h"
#include "heed/attention_log.h"
#include "heed/checkpoint.h"
#include "heed/corpus.h"
#include "heed/metrics.h"
#include "heed/phase.h"
#include "heed/train.h"
#include "train/pace.h"

typedef struct heedi_probe_lines heedi_probe_lines; /* run_probes.c */

typedef struct heedi_run {
    heed_comm *comm;
    const heed_config *config;
    const heed_watch *watch;
    heed_trainer trainer;
    heed_corpus *corpus;
    heed_arena arena; /* of trainer.tally and look */
    int n_threads;    /* of this rank */

    char checkpoint[HEED_PATH_MAX]; /* that the run goes on from; empty: from the start */
    double valid_accuracy;          /* of the last evaluation */
    heed_checkpoint_state state; /* where the run stands: read from that, kept up to date; config_text is this run's */

    struct { /* attention logs; every = 0: off */
        uint64_t every;
        size_t per_sequence_size;
        heed_head_statistics statistics[HEED_N_ATTENTION_KINDS]; /* of the global batch, on all ranks; layers 0: none
                                                                    of this kind */
        double *per_sequence;                                    /* (per_sequence_size): all of theirs */
        heed_batch probes, part;                                 /* all of them, on every rank, and this rank's */
        size_t *part_room;                                       /* of part */
        heedi_probe_lines *lines;                                /* probes that come from a file, or NULL */
        heed_arena line_arena;                                   /* of them */
        double *probe_loss;                                      /* (part) */
        heed_attention_maps *maps[HEED_N_ATTENTION_KINDS];       /* of part, on rank 0 with room for all; NULL: none */
        size_t *first_probe, *gather_room; /* (ranks + 1), (2 ranks): rank 0, like all that follows */
        double *means;                     /* (layers, heads, HEED_N_STATISTICS) */
        heed_phases *phases;               /* what changes from log to log */
    } look;

    struct {
        double flops_per_token;
        double peak;             /* flops per second of all ranks; NaN = unknown */
        double started;          /* heed_seconds when the first step began */
        uint64_t first_step;     /* that this process did */
        double seconds_per_step; /* moving average */
    } speed;

    struct {              /* rank 0 */
        char *hosts;      /* (ranks, sizeof comm->host) */
        double *late;     /* (ranks): see train/pace.h */
        uint64_t n_steps; /* judged so far */
        uint64_t told;    /* n_steps when a late rank was last named; 0: never */
    } pace;

    struct {                                        /* rank 0's clock counts */
        double deadline;                            /* heed_seconds; infinite: none */
        bool in_time;                               /* the decision to stop, once made */
        double looked, longest_piece, longest_save; /* seconds */
    } stop;

    /* rank 0 */
    FILE *log;
    heed_metrics *metrics;
    heed_checkpoint_writer *writer;
    double save_seconds; /* that the last snapshot took */
    heed_checkpoint_arenas snapshot;
    heed_arena snapshot_arena;
} heedi_run;

/* mkdir -p. Not collective. */
heed_status heedi_folder_make(const char *path, heed_error *error);
/* The run's folder: made, locked against a second run, log.txt opened. Rank 0. */
heed_status heedi_folder_open(heedi_run *run, heed_error *error);
/* config.ini and environment.json. Collective. */
heed_status heedi_folder_describe(heedi_run *run, heed_error *error);
void heedi_folder_close(heedi_run *run);

/* Finds the newest checkpoint, if any, and checks that it is one of this run. Rank 0. */
heed_status heedi_resume_find(heedi_run *run, heed_error *error);
/* Tells the others. Collective. */
heed_status heedi_resume_share(heedi_run *run, heed_error *error);
/* Initial weights, or those of a checkpoint with the optimizer's moments, into the snapshot. Rank 0. */
heed_status heedi_resume_load(heedi_run *run, heed_error *error);
/* From the snapshot to all ranks. Collective. */
heed_status heedi_resume_spread(heedi_run *run, heed_error *error);

/* Goes back to the newest checkpoint, or to the start where there is none, and forgets `error`, which it logs as the
 * reason. What is known of steps that went wrong stays. Collective. */
heed_status heedi_roll_back(heedi_run *run, heed_error *error);

/* Makes the token store if the config names a text and there is none yet. Rank 0. */
heed_status heedi_data_prepare(heedi_run *run, heed_error *error);
/* Opens it, and holds it against the checkpoint. Each rank. */
heed_status heedi_data_open(heedi_run *run, heed_error *error);

/* Have all opened the same? Collective. */
heed_status heedi_data_match(heedi_run *run, heed_error *error);

/* Threads for this rank: train.threads; else OMP_NUM_THREADS; else its share of the cores that it may use. Collective.
 */
heed_status heedi_threads_choose(heedi_run *run, heed_error *error);

/* Snapshot, background writer, metrics. Rank 0. */
heed_status heedi_save_open(heedi_run *run, heed_error *error);
/* Opens the figures behind step trainer.step; lines and attention logs that lie past it are cut. Rank 0. */
heed_status heedi_figures_open(heedi_run *run, heed_error *error);
/* Takes a snapshot and has it written in the background. A save that failed is reported and tried again at the next.
 * Collective. */
heed_status heedi_save(heedi_run *run, heed_error *error);
/* Tells of a save that failed as soon as it did, while training goes on. */
void heedi_save_poll(heedi_run *run);
/* Waits for the last save. Rank 0. */
heed_status heedi_save_finish(heedi_run *run, heed_error *error);
void heedi_save_close(heedi_run *run);

/* train.walltime, from now on. Each rank. */
heed_status heedi_stop_open(heedi_run *run, heed_error *error);
/* Does this rank want to stop? context is the run. To be asked often. Not collective. */
bool heedi_stop_wanted(void *run);
/* A checkpoint took so long, from its snapshot to the disk. */
void heedi_stop_saved(heedi_run *run, double seconds);
void heedi_stop_forget(void);

/* When train.verify_every is due: digests of parameters and moments, held against other ranks'. Collective. */
heed_status heedi_seal(heedi_run *run, heed_error *error);
/* Are they still what they were? Collective. */
heed_status heedi_verify(heedi_run *run, heed_error *error);
/* After HEED_CORRUPT in `error`, on all ranks: as train.on_corruption says. The step under way was not taken.
 * Collective.
 */
heed_status heedi_heal(heedi_run *run, heed_error *error);

/* The sequences whose attention is logged, after the data and before the model, which must have room for them. Each
 * rank, but a file is read by rank 0. */
heed_status heedi_probes_open(heedi_run *run, heed_error *error);
/* All ranks get to know them, and each its part: probes [P rank / size, P (rank + 1) / size), P = their number.
 * Collective. */
heed_status heedi_probes_share(heedi_run *run, heed_error *error);
/* Where a rank's part begins; of rank = size, the end. */
size_t heedi_first_probe(const heedi_run *run, int rank);
/* Memory for attention logs and for the step's tally. Each rank. */
heed_status heedi_look_open(heedi_run *run, heed_error *error);
/* Around step trainer.step, if it is one to log at: before it each rank looks at its part of the probes; after it their
 * maps and the statistics of the step's batch come to rank 0, which has them written. begin itself sends nothing; end
 * is collective. */
bool heedi_look_begin(heedi_run *run);
heed_status heedi_look_end(heedi_run *run, uint64_t step, heed_error *error);
/* After the last step there is no batch that is trained on: looks at the one that would come next. Collective. */
heed_status heedi_look_at_end(heedi_run *run, heed_error *error);
/* Waits for logs that are being written: rank 0's. Each rank. */
heed_status heedi_look_finish(heedi_run *run, heed_error *error);
void heedi_look_close(heedi_run *run);

/* Measures who the others wait for, and names a rank that is late all the time. Rank 0. */
heed_status heedi_pace_open(heedi_run *run, heed_error *error);
heedi_pace heedi_pace_look(heedi_run *run);

/* The gemm peak of all ranks. Collective. */
heed_status heedi_speed_open(heedi_run *run, heed_error *error);
/* What the step that just ended, in `seconds`, says to those who watch. */
heed_progress heedi_speed_progress(heedi_run *run, const heed_step_result *result, double seconds);

#endif
