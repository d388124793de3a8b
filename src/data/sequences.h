/* What a batcher deals: numbered sequences, whatever they are made from. The windows of a text (sequences_text.c), a
 * generated task (sequences_task.c) and pairs (sequences_pairs.c) are three tables of verbs behind this one interface.
 *
 * What sequence (set, round, index) holds is a pure function of its number and of the data: sequences can be asked for
 * in any order, by any rank, any number of times. */
#ifndef HEED_DATA_SEQUENCES_H
#define HEED_DATA_SEQUENCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/batch.h"
#include "heed/real.h"
#include "heed/status.h"
#include "heed/task.h"

#define HEEDI_ENDLESS UINT64_MAX /* n_train of data that never runs out: all of training is epoch 0 */

typedef enum heedi_set { HEEDI_TO_TRAIN, HEEDI_TO_VALIDATE, HEEDI_TO_PROBE } heedi_set;

/* The index-th sequence of an epoch's order (round = epoch), of the validation data (round = 0), or of `round` probes.
 */
typedef struct heedi_which {
    heedi_set set;
    uint64_t round, index;
} heedi_which;

typedef struct heedi_extent {
    size_t n_rows, n_source; /* rows of the sequence, and of its source */
    double weight;           /* sum of its rows' weights */
} heedi_extent;

/* Room for one sequence of a known extent; read fills all of it. */
typedef struct heedi_rows {
    int32_t *token, *target;
    real *weight;
    int32_t *truth;  /* (n_rows, n_truth), when n_truth > 0 */
    int32_t *source; /* (n_source) */
} heedi_rows;

typedef struct heedi_sequences heedi_sequences;

typedef struct heedi_sequences_verbs {
    /* Why there is nothing to train on (n_train = 0). Errors: HEED_CONFIG, always. */
    heed_status (*fail_untrained)(const heedi_sequences *sequences, heed_error *error);

    /* Whether n_probes > 0 probes can be had. Errors: HEED_CONFIG. */
    heed_status (*check_probes)(const heedi_sequences *sequences, size_t n_probes, heed_error *error);

    /* How large a sequence is. Cheap: every rank asks for all sequences of a step. */
    heedi_extent (*extent)(heedi_sequences *sequences, const heedi_which *which);

    /* Allocates nothing. Errors: HEED_IO, HEED_DATA. */
    heed_status (*read)(heedi_sequences *sequences, const heedi_which *which, const heedi_rows *rows,
                        heed_error *error);
    void (*destroy)(heedi_sequences *sequences);
} heedi_sequences_verbs;

/* The first member of each kind's own struct. */
struct heedi_sequences {
    const heedi_sequences_verbs *verbs;
    size_t time, source_time; /* most rows of a sequence, and of a source (0: no sources) */
    size_t n_truth;           /* true positions that a row can have; 0: nothing is known */
    bool truth_in_source;     /* they are positions of the source */
    uint64_t n_train;         /* sequences an epoch */
    uint64_t n_valid;         /* sequences that validation has */
    uint64_t n_left_out[2];   /* by heed_split: sequences that the data has, but which are longer than shape->time */
};

/* The sequences of a corpus, of whatever kind it is. Errors: HEED_CONFIG (the data does not fit shape->time),
 * HEED_MEMORY. Ownership: verbs->destroy. */
heed_status heedi_sequences_create(heedi_sequences **sequences, heed_corpus *corpus, const heed_batch_shape *shape,
                                   heed_error *error);

/* Each kind's own; see there. */
heed_status heedi_text_sequences(heedi_sequences **sequences, heed_corpus *corpus, const heed_batch_shape *shape,
                                 heed_error *error);
heed_status heedi_task_sequences(heedi_sequences **sequences, heed_task *task, const heed_batch_shape *shape,
                                 heed_error *error);
heed_status heedi_pair_sequences(heedi_sequences **sequences, heed_corpus *corpus, const heed_batch_shape *shape,
                                 heed_error *error);

/* Steps that an epoch of n_sequences > 0 takes; its last step has what is left. */
uint64_t heedi_steps_an_epoch(uint64_t n_sequences, uint64_t batch);

/* The step's epoch, and which sequences [*first, *first + count) of the epoch's order it has. Returns count > 0. */
uint64_t heedi_step_place(uint64_t n_sequences, uint64_t batch, uint64_t step, uint64_t *epoch, uint64_t *first);

/* The grains [*first, *end) of `rank`, of n_grains dealt to `size` ranks. */
void heedi_grains_of(uint64_t n_grains, int rank, int size, uint64_t *first, uint64_t *end);

#endif
