/* A training run of six steps in the folder "run", for tests that put faults into it by the linker (--wrap). Include it
 * once a program, behind cmocka.h. */
#ifndef HEED_TESTS_SMALL_RUN_H
#define HEED_TESTS_SMALL_RUN_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heed/checkpoint.h"
#include "heed/log.h"
#include "heed/train.h"

enum { STEPS = 6, SAVE_EVERY = 2 };

static heed_comm *comm;

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info, (void)kind, (void)where;
    return remove(path);
}

static inline void clear_run(void) {
    if (comm->rank != 0)
        return;
    nftw("run", remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    FILE *file = fopen("book.txt", "w");
    assert_non_null(file);
    for (unsigned i = 0; i < 3000; i++)
        fputc((int)('a' + i * i / 7 % 23), file);
    assert_int_equal(fclose(file), 0);
}

static inline void small_config(heed_config *config) {
    heed_config_defaults(config);
    snprintf(config->run.dir, sizeof config->run.dir, "run");
    snprintf(config->data.text, sizeof config->data.text, "book.txt");
    config->model.width = 32, config->model.heads = 2, config->model.layers = 1, config->model.time = 16;
    config->train.steps = STEPS, config->train.batch = 6, config->train.grain = 1, config->train.warmup = 2;
    config->eval.every = 4, config->checkpoint.every = SAVE_EVERY, config->log.attention_every = 3;
}

/* The weights of the last checkpoint (the caller frees them), and what it remembers of steps that went wrong. Rank 0.
 */
static inline real *read_result(size_t *n_elements, heed_guard *guard) {
    char path[] = "run/checkpoints/step-00000006.h5";
    heed_error error = HEED_ERROR_INIT;
    heed_config config;
    heed_params *params;
    heed_checkpoint_state state;
    small_config(&config);
    assert_int_equal(heed_config_resolve(&config, &error), HEED_OK);
    assert_int_equal(heed_params_create(&params, &config, 23, 0, &error), HEED_OK);
    *n_elements = params->n_elements;
    real *weights = calloc(params->n_elements, sizeof *weights);
    assert_non_null(weights);
    const heed_checkpoint_arenas arenas = {.params = params, .weights = weights};
    if (heed_checkpoint_read(path, &arenas, NULL, &error) != HEED_OK ||
        heed_checkpoint_read_state(path, &state, &error) != HEED_OK)
        fail_msg("%s", error.message);
    if (guard)
        *guard = state.guard;
    heed_checkpoint_state_reset(&state);
    heed_params_destroy(params);
    return weights;
}

#endif
