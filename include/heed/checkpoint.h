/* Checkpoints: everything that a run needs to go on with the same bits, at any number of ranks.
 *
 * Groups /params, /optimizer/m, /optimizer/v: one array per tensor of the table, under its dotted name and true shape.
 * /tokenizer; attributes: format version, config text, step, seed, grain, data digest, validation loss, engine versions
 * and kernel, guard state.
 *
 * Written by rank 0 in a background thread from a snapshot. A save is acknowledged (log line "checkpoint ... saved")
 * after the file is durable; only then are older ones pruned: the newest `keep` and the best by validation loss stay.
 */
#ifndef HEED_CHECKPOINT_H
#define HEED_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/config.h"
#include "heed/guard.h"
#include "heed/metrics.h"
#include "heed/params.h"
#include "heed/phase.h"
#include "heed/status.h"
#include "heed/tokenizer.h"

typedef struct heed_checkpoint_state { /* what is beside the arenas */
    uint64_t step;                     /* steps done */
    double valid_loss;                 /* last one measured, NaN if none */
    double best_loss;                  /* lowest so far, NaN if none */
    uint64_t best_step;
    char data_digest[33]; /* of the token store */
    char kernel[32];      /* BLIS kernel that ran */
    heed_guard guard;     /* of steps that went wrong */
    bool unfinished;      /* the evaluation that belongs to the step was broken off: it is made when the run goes on */
    double figures[4];    /* then: loss, gradient norm, learning rate and tokens of the step */
    char *config_text;    /* resolved configuration; owned by whoever filled the state */
    const heed_tokenizer *source_tokenizer; /* to write, where sources have a vocabulary of their own; reading: NULL */
} heed_checkpoint_state;

/* Arenas of a checkpoint, each params->n_elements long. v is NULL for an optimizer with one moment; m too for none. */
typedef struct heed_checkpoint_arenas {
    const heed_params *params;
    real *weights, *m, *v;
} heed_checkpoint_arenas;

/* Writes folder/step-00000100.h5 at once. Errors: HEED_CREATE, HEED_IO. Not collective: rank 0. */
heed_status heed_checkpoint_write(const char *folder, const heed_checkpoint_state *state,
                                  const heed_checkpoint_arenas *arenas, const heed_tokenizer *tokenizer,
                                  heed_error *error);

/* What must be durable before a checkpoint is: without its figures there would be a gap in the run that goes on from
 * it. Members may be NULL. */
typedef struct heed_checkpoint_figures {
    heed_metrics *metrics;
    heed_phases *phases;
} heed_checkpoint_figures;

/* The background writer. start copies nothing: the arenas and figures it is given must stay until idle, arenas
 * unchanged. It waits for an earlier save first. failed saves leave training alone: wait returns their error once (and
 * the caller logs it). Only figures that could not be made durable (lost_figures: why; HEED_OK: none) must end the run:
 * nobody knows what of them is on the disk, and nothing is saved any more. */
typedef struct heed_checkpoint_writer heed_checkpoint_writer;
heed_status heed_checkpoint_writer_create(heed_checkpoint_writer **writer, const char *folder, size_t keep,
                                          heed_error *error);
heed_status heed_checkpoint_writer_start(heed_checkpoint_writer *writer, const heed_checkpoint_state *state,
                                         const heed_checkpoint_arenas *arenas, const heed_checkpoint_figures *figures,
                                         const heed_tokenizer *tokenizer, heed_error *error);
heed_status heed_checkpoint_writer_lost_figures(heed_checkpoint_writer *writer, heed_error *error);
/* Which checkpoints stay, beside the newest and the best, when others are pruned: those at multiples of `every` steps
 * that lie within `around` steps of a mark, or of the newest step, where a mark may yet come. every = 0: none. */
typedef struct heed_checkpoint_phases {
    uint64_t every, around;
    const uint64_t *marks; /* (n_marks) steps */
    size_t n_marks;
} heed_checkpoint_phases;
/* Copies them for the saves that follow; waits for the one under way. Errors: HEED_MEMORY. */
heed_status heed_checkpoint_writer_phases(heed_checkpoint_writer *writer, const heed_checkpoint_phases *phases,
                                          heed_error *error);
bool heed_checkpoint_writer_idle(heed_checkpoint_writer *writer);
heed_status heed_checkpoint_writer_wait(heed_checkpoint_writer *writer,
                                        heed_error *error);            /* result of the last save */
double heed_checkpoint_writer_seconds(heed_checkpoint_writer *writer); /* the last save took */
void heed_checkpoint_writer_destroy(heed_checkpoint_writer *writer);   /* waits */

/* The newest complete checkpoint in folder: path (HEED_PATH_MAX), empty if there is none. Damaged ones are reported by
 * a warning and passed over. Left-over temporary files are removed. Not collective: rank 0. */
heed_status heed_checkpoint_newest(const char *folder, char *path, heed_error *error);

/* Reads the state (and config text) alone; then the arenas for a table of tensors: names, shapes and types must agree,
 * else HEED_DATA naming the tensor. m and v may be NULL to read weights only. Finite values are checked. */
heed_status heed_checkpoint_read_state(const char *path, heed_checkpoint_state *state, heed_error *error);
heed_status heed_checkpoint_read(const char *path, const heed_checkpoint_arenas *arenas, heed_tokenizer **tokenizer,
                                 heed_error *error);
void heed_checkpoint_state_reset(heed_checkpoint_state *state);

#endif
