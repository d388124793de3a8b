/* What one rank computes in one step: its grains of the global batch.
 *
 * A text is cut into windows of `time` tokens; each epoch shifts the cut by a random offset and visits every window
 * once in a random order (every epoch has the same number of windows: fewer than 2 * time tokens stay unread, other
 * ones each time). Which windows form step t is a pure function of (seed, t): nothing is drawn from a stream. The last
 * batch of an epoch may be partial; its later grains are then shorter or empty. Generated tasks and pairs come as whole
 * sequences (heed/task.h, heed/pairs.h). They are dealt the same way, but that the pairs of a batch are put into its
 * grains by length, so that grains are equally much work. */
#ifndef HEED_BATCH_H
#define HEED_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/arena.h"
#include "heed/corpus.h"
#include "heed/ragged.h"
#include "heed/real.h"

typedef struct heed_batch {
    heed_ragged rows;
    const int32_t *token;  /* (rows) */
    const int32_t *target; /* (rows) the token that follows */
    const real *weight;    /* (rows) of this token's loss; 0 leaves it out */
    size_t n_global;       /* sequences in the whole batch, all ranks */
    double weight_total;   /* sum of weights of the whole batch: the one divisor of the step's loss and gradient */
    uint32_t step;         /* keys dropout */

    /* What each sequence was made from, where the data is pairs: the same sequences and grains, other rows. Otherwise
     * source has no rows and source_token is NULL. */
    heed_ragged source;
    const int32_t *source_token; /* (source.n_rows) */

    /* Where a reader of row r would look to know its target, where that is known (generated tasks): positions counted
     * from the sequence's first row, or its source's, in ascending order; -1 fills up. NULL when nothing is known. */
    const int32_t *truth; /* (rows, n_truth) */
    size_t n_truth;
    bool truth_in_source;
} heed_batch;

/* Sequences [first, first + n) of a batch as a batch of one grain. What is said of the whole batch stays: the numbers
 * of its sequences, weight_total, n_global and step; so a pass over parts has the bits of one over all. room: memory of
 * heed_batch_slice_room(n) elements for places of rows. The slice points into it and into the batch, which must both
 * outlive it. Cannot fail. */
static inline size_t heed_batch_slice_room(size_t n) {
    return 2 * (n + 1) + 2;
}
heed_batch heed_batch_slice(const heed_batch *batch, size_t first, size_t n, size_t *room);

/* Reads batches of one split for one rank. Capacity is fixed at creation: filling allocates nothing. */
typedef struct heed_batcher heed_batcher;

typedef struct heed_batch_shape {
    size_t time;         /* tokens a sequence */
    size_t batch, grain; /* sequences in the global batch and in a grain */
    int rank, size;      /* grains [G rank / size, G (rank + 1) / size) are this rank's, G = batch / grain */
    uint64_t seed;
} heed_batch_shape;

/* batch is a multiple of grain. A corpus without any training text serves for evaluation: then only train fails.
 * Errors: HEED_CONFIG (more ranks than grains; training text of `time` tokens or fewer), HEED_MEMORY. Ownership:
 * heed_batcher_destroy; corpus stays the caller's and must outlive it. Not collective. */
heed_status heed_batcher_create(heed_batcher **batcher, heed_corpus *corpus, const heed_batch_shape *shape,
                                heed_error *error);
void heed_batcher_destroy(heed_batcher *batcher);

/* Whether the data comes with sources just when a model of this configuration reads them. Errors: HEED_CONFIG. */
heed_status heed_batcher_check(const heed_batcher *batcher, const heed_config *config, heed_error *error);

/* The most rows that a sequence can have (at most shape->time), and its source (0: there are none). Cannot fail. */
size_t heed_batcher_time(const heed_batcher *batcher);
size_t heed_batcher_source_time(const heed_batcher *batcher);

/* Pairs of a split that are longer than shape->time on a side, and are left out of everything (0 for other data). */
size_t heed_batcher_left_out(const heed_batcher *batcher, heed_split split);

/* The grains of training step `step` (0-based). batch points into the batcher until the next call of train or eval.
 * Errors: HEED_IO, HEED_DATA. Allocates nothing. Not collective. */
heed_status heed_batcher_train(heed_batcher *batcher, uint64_t step, heed_batch *batch, heed_error *error);

/* Epoch that step lies in, and steps per epoch (0 without training text). */
void heed_batcher_epoch(const heed_batcher *batcher, uint64_t step, uint64_t *epoch, uint64_t *steps_per_epoch);

/* Evaluation covers the validation text once: windows of `time` tokens one behind the other, the last one shorter.
 * eval_count: how many batches that takes (0 for a text without targets); eval: the index-th of them, dealt over ranks
 * like a training batch. Every token of the text but the first is a target exactly once. Errors and lifetime as above.
 */
size_t heed_batcher_eval_count(const heed_batcher *batcher);
heed_status heed_batcher_eval(heed_batcher *batcher, size_t index, heed_batch *batch, heed_error *error);

/* n_probes > 0 fixed validation windows spread evenly over the text, as one batch on the calling rank (rank, size
 * ignored). batch points into the batcher until the next call of probes; the first call and one for more probes
 * allocate. Errors: HEED_CONFIG (a validation text too short for so many), HEED_MEMORY, HEED_IO, HEED_DATA. */
heed_status heed_batcher_probes(heed_batcher *batcher, size_t n_probes, heed_batch *batch, heed_error *error);

#endif
