/* What a model uses, by intervention: a part of it is taken away or replaced, and the loss says what it was worth. The
 * definitions stand in docs/science.md, section 4; what is found is a heed_probe (heed/probe_file.h). */
#ifndef HEED_PROBE_H
#define HEED_PROBE_H

#include "heed/batch.h"
#include "heed/comm.h"
#include "heed/config.h"
#include "heed/model.h"
#include "heed/probe_file.h"
#include "heed/status.h"
#include "heed/task.h"
#include "heed/tokenizer.h"

/* The parts beside the losses of the model as it is, which are always measured: name, passes over the sequences, what
 * it finds. */
#define HEED_PROBE_PART_TABLE(X)                                                                                       \
    X(SCORES, "scores", "what each head looks at, copying, alignment error rate")                                      \
    X(ROLLOUT, "rollout", "attention rollout")                                                                         \
    X(WINDOW, "window", "loss when a prediction may depend on the last w tokens alone")                                \
    X(SPAN, "span", "loss when every layer sees the last w positions alone")                                           \
    X(ABLATION, "ablation", "loss without a head: output zero, mean output, equal weights, mean weights by place")     \
    X(PATCHING, "patching", "loss when a head draws the values of another sequence")

typedef enum heed_probe_part {
#define HEED_PROBE_PART_ENUM(name, text, meaning) HEED_PROBE_##name,
    HEED_PROBE_PART_TABLE(HEED_PROBE_PART_ENUM)
#undef HEED_PROBE_PART_ENUM
        HEED_N_PROBE_PARTS
} heed_probe_part;

/* What is probed: the model, made with training = false for heed_probe_sequences sequences of heed_batcher_time rows;
 * the data, dealt in batches of HEED_PROBE_BATCH sequences with grains of HEED_PROBE_GRAIN, which lets
 * HEED_PROBE_RANKS ranks take part. */
enum {
    HEED_PROBE_BATCH = 64,
    HEED_PROBE_GRAIN = 2, /* sequences that exchange values lie on the same rank */
    HEED_PROBE_RANKS = HEED_PROBE_BATCH / HEED_PROBE_GRAIN
};
typedef struct heed_probe_subject {
    const heed_config *config;
    heed_model *model;
    heed_batcher *batcher;
    const heed_tokenizer *tokenizer;
    const heed_task *task; /* NULL: no generated task */
} heed_probe_subject;

/* Sequences of a batch that one rank has at most. */
size_t heed_probe_sequences(const heed_comm *comm);

typedef struct heed_probe_plan {
    int64_t n_sequences;           /* at most so many, the first of the validation data; a multiple of 4 is taken */
    bool part[HEED_N_PROBE_PARTS]; /* what is measured */
} heed_probe_plan;

/* Fills found on rank 0, all but step, checkpoint and config_text; the same bits for any number of ranks and threads.
 * Errors: HEED_DATA (fewer than 4 sequences), HEED_CONFIG (a model without attention), HEED_MEMORY, HEED_IO, HEED_PEER.
 * Ownership: heed_probe_reset, after a failure too. Collective. */
heed_status heed_probe_measure(heed_comm *comm, const heed_probe_subject *subject, const heed_probe_plan *plan,
                               heed_probe *found, heed_error *error);

#endif
