/* What the task room shares: one row of rules a task (task.c), and drawing. A new task is one row, and one file when it
 * is like none of the others. */
#ifndef HEED_DATA_TASK_RULES_H
#define HEED_DATA_TASK_RULES_H

#include "heed/rng.h"
#include "heed/task.h"
#include "sequences.h"
#include "text.h"
#include "words.h"

/* What a row sees, in order to predict. */
typedef struct heedi_sight {
    const int32_t *source; /* NULL without */
    const int32_t *token;  /* (row + 1) */
    size_t row;            /* in the sequence */
} heedi_sight;

/* Numbers drawn one behind the other for one sequence. */
typedef struct heedi_draws {
    heed_rng rng;
    uint32_t next;
} heedi_draws;

typedef struct heedi_task_rules {
    const char *name, *origin;
    size_t length, symbols, pairs; /* usual ones */
    bool is_list;                  /* answers a list: may come with a source */
    bool draws_different;          /* of a list: no symbol twice */

    /* Whether the task can have these numbers; sets time, n_truth, weight. Errors: HEED_CONFIG. */
    heed_status (*plan)(heed_task *task, heed_error *error);

    /* Adds the vocabulary, in the order of token numbers. Errors: HEED_MEMORY. */
    heed_status (*name_symbols)(const heed_task *task, heedi_words *words, heed_error *error);

    /* Draws a sequence. */
    void (*generate)(heed_task *task, heedi_draws *draws, const heedi_rows *rows);

    /* Sum of weights of the sequence that these draws give; NULL: task->weight. */
    double (*weight_of)(const heed_task *task, heedi_draws *draws);

    /* p(target | sight) of a scored row. */
    double (*probability)(const heed_task *task, const heedi_sight *sight, int32_t target);

    /* Of a scored row. */
    size_t (*candidates)(const heed_task *task, size_t row);

    /* Of a list: the place in x of the i-th answer. */
    size_t (*place)(const heed_task *task, const int32_t *x, size_t i);
} heedi_task_rules;

struct heed_task {
    const heedi_task_rules *rules;
    heed_task_settings settings;
    size_t time, source_time, n_truth;
    double weight;
    heed_tokenizer *tokenizer;
    int32_t *scratch; /* (max(length, symbols) + 1) */
    uint64_t *cuts;   /* (symbols, symbols - 1) markov and tree: where the rows of the matrix are cut */
    int32_t *parents; /* (length) tree */
    char digest[HEEDI_DIGEST_TEXT];
};

extern const heedi_task_rules heedi_task_copy, heedi_task_reverse, heedi_task_shift, heedi_task_sort, heedi_task_recall,
    heedi_task_induction, heedi_task_markov, heedi_task_permutation40, heedi_task_permutation40of60, heedi_task_tree,
    heedi_task_noise;

/* Sites of HEED_PURPOSE_TASK. The values are part of a run's identity. */
enum { HEEDI_DRAW_TRAIN = 0, HEEDI_DRAW_VALID = 1, HEEDI_DRAW_TREE = 2 };

/* The draws of sequence `index`. */
heedi_draws heedi_draws_of(const heed_task *task, uint32_t site, uint64_t index);

/* Uniform in [0, bound), and uniform 64 bits. */
uint64_t heedi_draw_below(heedi_draws *draws, uint64_t bound);
uint64_t heedi_draw_word(heedi_draws *draws);

/* n different numbers of [0, bound), in random order. scratch: (bound). */
void heedi_draw_different(heedi_draws *draws, int32_t *out, size_t n, size_t bound, int32_t *scratch);

/* Where each of n units begins that take `width` of n_cells each, all arrangements equally likely; ascending. */
void heedi_draw_places(heedi_draws *draws, int32_t *out, size_t n, size_t width, size_t n_cells);

/* Adds "prefix0", "prefix1", ... */
heed_status heedi_name_symbols(heedi_words *words, const char *prefix, size_t n, heed_error *error);

/* Targets of a sequence that is read on: the next token, with `last` behind the last one. */
void heedi_targets_follow(const heedi_rows *rows, size_t n_rows, int32_t last);

/* Fails with "data.task_<what> = <value>: ...". Returns HEED_CONFIG. */
heed_status heedi_task_fail(const heed_task *task, const char *what, size_t value, heed_error *error,
                            const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
