/* From RUN_DIR|CHECKPOINT to a model that can be used. */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <omp.h>

#include "heed/gemm.h"
#include "heed/log.h"
#include "heed/store.h"
#include "record/step_files.h"

/* The newest checkpoint that is whole; path is empty if there is none. Unlike resuming, looking at a run leaves
 * temporary files alone: the run may be alive and at work on one. */
static heed_status newest_in(const char *folder, char *path, heed_error *error) {
    uint64_t *steps = NULL;
    size_t n_steps = 0;
    *path = 0;
    if (heedi_step_list(folder, false, &steps, &n_steps, error) != HEED_OK)
        return error->status;
    while (n_steps > 0 && !*path && heedi_step_path(path, folder, steps[n_steps - 1], error) == HEED_OK) {
        heed_error damage = HEED_ERROR_INIT;
        heed_checkpoint_state state;
        if (heed_checkpoint_read_state(path, &state, &damage) == HEED_OK)
            heed_checkpoint_state_reset(&state);
        if (damage.status != HEED_OK) {
            heed_say(HEED_WARNING, "%s (passed over)", damage.message);
            *path = 0;
        }
        n_steps--;
    }
    free(steps);
    return error->status;
}

heed_status heedi_find_checkpoint(const char *place, char *path, heed_error *error) {
    struct stat there;
    if (stat(place, &there) != 0)
        return heed_fail(error, HEED_NOT_FOUND, "%s: %s", place, strerror(errno));
    const bool is_folder = S_ISDIR(there.st_mode);
    if (snprintf(path, HEED_PATH_MAX, "%s%s", place, is_folder ? "/checkpoints" : "") >= HEED_PATH_MAX)
        return heed_fail(error, HEED_NOT_FOUND, "%s: the path is too long", place);
    if (!is_folder)
        return HEED_OK;
    char folder[HEED_PATH_MAX];
    strcpy(folder, stat(path, &there) == 0 ? path : place); /* the folder of the checkpoints themselves will do, too */
    if (newest_in(folder, path, error) != HEED_OK || *path)
        return error->status;
    heed_fail(error, HEED_NOT_FOUND, "%s: no checkpoint lies in this folder", place);
    return heed_hint(error,
                     "give the folder of a run that has come as far as its first checkpoint, or a checkpoint file");
}

/* The model's size depends on the vocabulary, so the tokenizer is read ahead of the rest. */
heed_status heedi_model_read_tokenizer(heedi_model *loaded, heed_error *error) {
    heed_store *store = NULL;
    if (heed_store_open(&store, loaded->path, false, error) != HEED_OK)
        return error->status;
    if (heed_tokenizer_read(&loaded->tokenizer, store, "/tokenizer", error) == HEED_OK &&
        heed_store_has(store, "/source_tokenizer/first"))
        heed_tokenizer_read(&loaded->source_tokenizer, store, "/source_tokenizer", error);
    heed_store_close(store);
    return error->status;
}

heed_status heedi_model_describe(heedi_model *loaded, const char *place, heed_error *error) {
    *loaded = (heedi_model){0};
    if (heedi_find_checkpoint(place, loaded->path, error) != HEED_OK ||
        heed_checkpoint_read_state(loaded->path, &loaded->state, error) != HEED_OK)
        return error->status;
    heed_config_defaults(&loaded->config);
    if (heed_config_read_text(&loaded->config, loaded->path, loaded->state.config_text, error) != HEED_OK ||
        heed_config_resolve(&loaded->config, error) != HEED_OK)
        return error->status;
    return heedi_model_read_tokenizer(loaded, error);
}

heed_status heedi_model_read_weights(heedi_model *loaded, heed_error *error) {
    const heed_checkpoint_arenas arenas = {.params = heed_model_params(loaded->model),
                                           .weights = heed_model_weights(loaded->model)};
    return heed_checkpoint_read(loaded->path, &arenas, NULL, error);
}

heed_status heedi_open_engines(heed_comm *comm, int64_t threads, heed_error *error) {
    double level = -(double)heed_gemm_best(); /* all ranks take the lowest of their best */
    if (comm && heed_comm_max(comm, &level, 1, error) != HEED_OK)
        return error->status;
    const int n_threads = heed_threads(threads, comm ? comm->cores : omp_get_num_procs());
    omp_set_num_threads(n_threads);
    heed_gemm_open((heed_gemm_level)-level, n_threads, error);
    return comm ? heed_comm_agree(comm, error) : error->status;
}

heed_status heedi_model_open(heedi_model *loaded, const char *place, size_t n_hypotheses, heed_error *error) {
    if (heedi_model_describe(loaded, place, error) == HEED_OK && heedi_open_engines(NULL, 0, error) == HEED_OK) {
        const heed_tokenizer *source = loaded->source_tokenizer;
        const bool source_is_read = loaded->config.model.kind == HEED_ENCODER_DECODER;
        const heed_model_shape shape = {.vocab = heed_tokenizer_vocab(loaded->tokenizer),
                                        .source_vocab = source ? heed_tokenizer_vocab(source) : 0,
                                        .max_rows = (size_t)loaded->config.model.time,
                                        .max_source_rows = (size_t)loaded->config.model.time,
                                        .max_sequences = 1,
                                        .max_hypotheses = source_is_read ? n_hypotheses : 1};
        if (heed_model_create(&loaded->model, &loaded->config, &shape, error) == HEED_OK)
            heedi_model_read_weights(loaded, error);
    }
    if (error->status != HEED_OK)
        heedi_model_close(loaded);
    return error->status;
}

void heedi_model_close(heedi_model *loaded) {
    if (loaded->model)
        heed_model_destroy(loaded->model);
    if (loaded->tokenizer)
        heed_tokenizer_destroy(loaded->tokenizer);
    heed_tokenizer_destroy(loaded->source_tokenizer);
    heed_checkpoint_state_reset(&loaded->state);
    *loaded = (heedi_model){0};
}
