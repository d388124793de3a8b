/* A generated task as sequences: an endless epoch to train on, n_valid sequences from a key space of their own to
 * validate with, and probes spread evenly over these. */
#include <inttypes.h>
#include <stdlib.h>

#include "sequences.h"
#include "task_rules.h"

typedef struct task_sequences {
    heedi_sequences base;
    heed_task *task;
} task_sequences;

static heed_status fail_untrained(const heedi_sequences *sequences, heed_error *error) {
    (void)sequences, (void)error;
    heed_bug(__FILE__, __LINE__, "a task without sequences to train on");
}

static heed_status check_probes(const heedi_sequences *sequences, size_t n_probes, heed_error *error) {
    if (n_probes <= sequences->n_valid)
        return HEED_OK;
    heed_fail(error, HEED_CONFIG, "log.probes = %zu: the task has only %" PRIu64 " validation sequences", n_probes,
              sequences->n_valid);
    return heed_hint(error, "raise data.task_valid, or use fewer probes");
}

static heedi_draws draws_of(const heedi_sequences *sequences, const heedi_which *which) {
    const heed_task *task = ((const task_sequences *)sequences)->task;
    if (which->set == HEEDI_TO_TRAIN)
        return heedi_draws_of(task, HEEDI_DRAW_TRAIN, which->index);
    const uint64_t index = which->set == HEEDI_TO_VALIDATE
                               ? which->index
                               : sequences->n_valid * (2 * which->index + 1) / (2 * which->round);
    return heedi_draws_of(task, HEEDI_DRAW_VALID, index);
}

static heedi_extent extent(heedi_sequences *sequences, const heedi_which *which) {
    const heed_task *task = ((const task_sequences *)sequences)->task;
    heedi_draws draws = draws_of(sequences, which);
    return (heedi_extent){.n_rows = task->time,
                          .n_source = task->source_time,
                          .weight = task->rules->weight_of ? task->rules->weight_of(task, &draws) : task->weight};
}

static heed_status read(heedi_sequences *sequences, const heedi_which *which, const heedi_rows *rows,
                        heed_error *error) {
    (void)error;
    heed_task *task = ((task_sequences *)sequences)->task;
    heedi_draws draws = draws_of(sequences, which);
    task->rules->generate(task, &draws, rows);
    return HEED_OK;
}

static void destroy(heedi_sequences *sequences) {
    free(sequences);
}

static const heedi_sequences_verbs verbs = {fail_untrained, check_probes, extent, read, destroy};

heed_status heedi_task_sequences(heedi_sequences **sequences, heed_task *task, const heed_batch_shape *shape,
                                 heed_error *error) {
    if (task->time > shape->time || task->source_time > shape->time) {
        heed_fail(error, HEED_CONFIG, "model.time = %zu: a sequence of data.task = %s has %zu tokens", shape->time,
                  task->rules->name, task->time > task->source_time ? task->time : task->source_time);
        return heed_hint(error, "raise model.time, or lower data.task_length");
    }
    task_sequences *s = calloc(1, sizeof *s);
    if (!s)
        return heed_fail(error, HEED_MEMORY, "batch: out of memory");
    s->task = task;
    s->base = (heedi_sequences){.verbs = &verbs,
                                .time = task->time,
                                .source_time = task->source_time,
                                .n_truth = task->n_truth,
                                .truth_in_source = task->source_time > 0,
                                .n_train = HEEDI_ENDLESS,
                                .n_valid = task->settings.n_valid};
    *sequences = &s->base;
    return HEED_OK;
}

heed_status heed_task_valid_optimum(heed_task *task, double *nats, heed_error *error) {
    const size_t n = task->time, n_source = task->source_time;
    const heed_batch_shape shape = {.time = n > n_source ? n : n_source};
    int32_t *room = calloc(n * (2 + task->n_truth) + n_source, sizeof *room);
    real *weight = calloc(n, sizeof *weight);
    heedi_sequences *sequences = NULL;
    heed_status status = HEED_OK;
    if (!room || !weight)
        status = heed_fail(error, HEED_MEMORY, "data.task = %s: out of memory", task->rules->name);
    if (status == HEED_OK)
        status = heedi_task_sequences(&sequences, task, &shape, error);
    double sum = 0, total = 0;
    for (uint64_t i = 0; status == HEED_OK && i < task->settings.n_valid; i++) {
        const heedi_which which = {HEEDI_TO_VALIDATE, 0, i};
        const heedi_rows rows = {room, room + n, weight, room + 2 * n, room + n * (2 + task->n_truth)};
        const size_t first_row[] = {0, n}, first_source[] = {0, n_source};
        const heed_batch batch = {.rows = {.n_rows = n, .n_sequences = 1, .first_row = first_row},
                                  .token = rows.token,
                                  .target = rows.target,
                                  .weight = weight,
                                  .source = {.n_rows = n_source, .n_sequences = 1, .first_row = first_source},
                                  .source_token = n_source ? rows.source : NULL};
        status = read(sequences, &which, &rows, error);
        sum += heed_task_optimum(task, &batch, NULL);
        total += extent(sequences, &which).weight;
    }
    if (sequences)
        destroy(sequences);
    free(room);
    free(weight);
    *nats = sum / total;
    return status;
}
