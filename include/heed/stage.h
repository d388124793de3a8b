/* What a rank is doing: one mark that every part of the training step sets when it begins, and sets back when it ends.
 *
 * Always on: the mark itself, one store, so that others (a watchdog, a message) can say in which stage a rank was last
 * seen. On request: time and operations by stage, for `heed bench`, and the list of marks, for `--trace`. A rank's main
 * thread is in exactly one stage at any time, so the times of all stages add up to the whole. */
#ifndef HEED_STAGE_H
#define HEED_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/status.h"

/* name, what people read, whether it is communication. The one table of stages. */
#define HEED_STAGE_TABLE(X)                                                                                            \
    X(OTHER, "between stages", false)                                                                                  \
    X(START, "start", false)                                                                                           \
    X(BATCH, "batch", false)                                                                                           \
    X(EMBEDDING, "embedding", false)                                                                                   \
    X(NORM, "norm", false)                                                                                             \
    X(LINEAR, "linear", false)                                                                                         \
    X(ATTENTION, "attention", false)                                                                                   \
    X(ACTIVATION, "activation", false)                                                                                 \
    X(DROPOUT, "dropout", false)                                                                                       \
    X(RESIDUAL, "residual", false)                                                                                     \
    X(CLASSIFIER, "classifier", false)                                                                                 \
    X(D_INPUT, "input gradient", false)                                                                                \
    X(D_WEIGHT, "weight gradient", false)                                                                              \
    X(D_NORM, "norm gradient", false)                                                                                  \
    X(D_ATTENTION, "attention gradient", false)                                                                        \
    X(D_ACTIVATION, "activation gradient", false)                                                                      \
    X(D_EMBEDDING, "embedding gradient", false)                                                                        \
    X(GRAINS, "sum over grains", false)                                                                                \
    X(EXCHANGE, "gradients out", true)                                                                                 \
    X(WAIT, "waiting for gradients", true)                                                                             \
    X(TREE, "sum over ranks", false)                                                                                   \
    X(CLIP, "gradient norm", false)                                                                                    \
    X(AGREE, "losses and norms to all", true)                                                                          \
    X(UPDATE, "optimizer", false)                                                                                      \
    X(RETURN, "parameters back", true)                                                                                 \
    X(VERIFY, "verifying parameters", false)                                                                           \
    X(EVALUATE, "evaluation", false)                                                                                   \
    X(LOOK, "attention log", false)                                                                                    \
    X(SAVE, "checkpoint", false)

typedef enum heed_stage {
#define HEED_STAGE_MEMBER(name, text, communicates) HEED_STAGE_##name,
    HEED_STAGE_TABLE(HEED_STAGE_MEMBER)
#undef HEED_STAGE_MEMBER
        HEED_N_STAGES
} heed_stage;

const char *heed_stage_name(heed_stage stage);
bool heed_stage_communicates(heed_stage stage);

/* From now on this rank is in `stage`. Returns the stage that it was in, to be entered again afterwards. For the main
 * thread, outside parallel regions. */
heed_stage heed_stage_enter(heed_stage stage);

/* HEED_IN_STAGE(NORM); at the head of a function: the rest of it is that stage, however it returns. */
static inline void heed_stage_leave(const heed_stage *before) {
    heed_stage_enter(*before);
}
#define HEED_IN_STAGE(name)                                                                                            \
    __attribute__((cleanup(heed_stage_leave))) const heed_stage before_this_stage = heed_stage_enter(HEED_STAGE_##name)

/* The stage of this rank. Any thread may ask. */
heed_stage heed_stage_now(void);

/* Adds floating-point operations to the stage of this rank, while a measurement runs. Any thread. */
void heed_stage_work(double operations);

/* Tells that message `number` of a stage has left, or is there: from departure to arrival it is under way while the
 * rank does other things. Only a list keeps it. */
void heed_stage_departs(uint32_t number);
void heed_stage_arrives(uint32_t number);

/* Times by stage since reset_times. */
typedef struct heed_stage_times {
    double seconds[HEED_N_STAGES], operations[HEED_N_STAGES];
} heed_stage_times;
void heed_stage_times_start(void);
void heed_stage_times_stop(heed_stage_times *times);

/* One mark: the stage entered, or what happened to a message. */
typedef enum heed_mark_kind { HEED_MARK_STAGE, HEED_MARK_DEPARTS, HEED_MARK_ARRIVES } heed_mark_kind;
typedef struct heed_mark {
    double seconds; /* since the list was started */
    uint32_t value; /* heed_stage, or number of the message */
    uint32_t kind;  /* heed_mark_kind */
} heed_mark;

/* Keeps a list of marks from now on, most of them at most; further ones are counted only. Errors: HEED_MEMORY. Not
 * collective; ranks whose lists shall agree in time start them behind one barrier. */
heed_status heed_stage_list_start(size_t most, heed_error *error);
/* The list so far, in order of time; it ends with the present moment. It is the room's until reset. */
size_t heed_stage_list(const heed_mark **marks, size_t *n_missed);
void heed_stage_list_reset(void);

#endif
