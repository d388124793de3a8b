/* One checkpoint file: writing and reading side by side. */
#include "heed/checkpoint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heed/comm.h"
#include "heed/gemm.h"
#include "heed/store.h"
#include "record/guard.h"
#include "record/step_files.h"

#define KIND "checkpoint"
#define FORMAT 1
#define UNFINISHED "/unfinished"
#define CONFIG_BYTES ((size_t)1 << 20)

static const size_t n_figures = sizeof((heed_checkpoint_state *)0)->figures / sizeof(double);

/* The arenas and the groups that they are stored in. */
typedef struct arena_row {
    const char *group;
    real *values;
} arena_row;

static void arena_rows(arena_row rows[3], const heed_checkpoint_arenas *arenas) {
    rows[0] = (arena_row){"/params", arenas->weights};
    rows[1] = (arena_row){"/optimizer/m", arenas->m};
    rows[2] = (arena_row){"/optimizer/v", arenas->v};
}

/* --- writing ---------------------------------------------------------------------------------------------------- */

static heed_status write_arena(heed_store *store, const heed_params *params, const arena_row *row, heed_error *error) {
    heed_status status = HEED_OK;
    for (size_t t = 0; row->values && t < params->n_tensors && status == HEED_OK; t++) {
        const heed_tensor *tensor = &params->tensors[t];
        char name[128];
        snprintf(name, sizeof name, "%s/%s", row->group, tensor->name);
        if (tensor->tied_to < 0)
            status = heed_store_write(store, name, HEED_TYPE_REAL, tensor->n_dims, tensor->dims,
                                      row->values + tensor->offset, false, error);
    }
    return status;
}

static heed_status write_state(heed_store *store, const heed_checkpoint_state *state, heed_error *error) {
    const struct {
        const char *key, *text;
    } texts[] = {{"config", state->config_text}, {"data_digest", state->data_digest}, {"kernel", state->kernel},
                 {"hdf5", heed_store_library()}, {"blis", heed_gemm_version()},       {"mpi", heed_comm_library()}};
    heed_status status = heed_store_write_kind(store, KIND, FORMAT, error);
    for (size_t i = 0; i < sizeof texts / sizeof *texts && status == HEED_OK; i++)
        status = heed_store_write_text(store, "/", texts[i].key, texts[i].text ? texts[i].text : "", error);
    if (status == HEED_OK)
        status = heed_store_write_int(store, "/", "step", (int64_t)state->step, error);
    if (status == HEED_OK)
        status = heed_store_write_int(store, "/", "best_step", (int64_t)state->best_step, error);
    if (status == HEED_OK)
        status = heed_store_write_number(store, "/", "valid_loss", state->valid_loss, error);
    if (status == HEED_OK)
        status = heed_store_write_number(store, "/", "best_loss", state->best_loss, error);
    if (status == HEED_OK)
        status = heedi_guard_write(store, &state->guard, error);
    if (status == HEED_OK && state->unfinished)
        status = heed_store_write(store, UNFINISHED, HEED_TYPE_FLOAT64, 1, &n_figures, state->figures, false, error);
    return status;
}

heed_status heed_checkpoint_write(const char *folder, const heed_checkpoint_state *state,
                                  const heed_checkpoint_arenas *arenas, const heed_tokenizer *tokenizer,
                                  heed_error *error) {
    char path[HEED_PATH_MAX];
    arena_row rows[3];
    heed_store *store = NULL;
    arena_rows(rows, arenas);
    heed_status status = heedi_make_folder(folder, error);
    if (status == HEED_OK)
        status = heedi_step_path(path, folder, state->step, error);
    if (status == HEED_OK)
        status = heed_store_create(&store, path, error);
    if (status != HEED_OK)
        return status;
    status = write_state(store, state, error);
    if (status == HEED_OK)
        status = heed_tokenizer_write(tokenizer, store, "/tokenizer", error);
    if (status == HEED_OK && state->source_tokenizer)
        status = heed_tokenizer_write(state->source_tokenizer, store, "/source_tokenizer", error);
    for (int i = 0; i < 3 && status == HEED_OK; i++)
        status = write_arena(store, arenas->params, &rows[i], error);
    if (status == HEED_OK)
        return heed_store_seal(store, error);
    heed_store_discard(store);
    return status;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

static heed_status read_short_text(heed_store *store, const char *key, char *value, size_t bytes, heed_error *error) {
    char *text = NULL;
    const heed_status status = heed_store_read_text(store, "/", key, bytes - 1, &text, error);
    if (status == HEED_OK)
        strcpy(value, text);
    free(text);
    return status;
}

static heed_status read_step(heed_store *store, const char *key, uint64_t *step, heed_error *error) {
    int64_t value = 0;
    const heed_status status = heed_store_read_int(store, "/", key, &value, error);
    if (status == HEED_OK && value < 0)
        return heed_fail(error, HEED_DATA, "%s: %s = %lld: expected 0 or more", heed_store_path(store), key,
                         (long long)value);
    *step = (uint64_t)value;
    return status;
}

static heed_status read_state(heed_store *store, heed_checkpoint_state *state, heed_error *error) {
    heed_status status = heed_store_check_kind(store, KIND, FORMAT, error);
    if (status == HEED_OK)
        status = heed_store_read_text(store, "/", "config", CONFIG_BYTES, &state->config_text, error);
    if (status == HEED_OK)
        status = read_short_text(store, "data_digest", state->data_digest, sizeof state->data_digest, error);
    if (status == HEED_OK)
        status = read_short_text(store, "kernel", state->kernel, sizeof state->kernel, error);
    if (status == HEED_OK)
        status = read_step(store, "step", &state->step, error);
    if (status == HEED_OK)
        status = read_step(store, "best_step", &state->best_step, error);
    if (status == HEED_OK)
        status = heed_store_read_number(store, "/", "valid_loss", &state->valid_loss, error);
    if (status == HEED_OK)
        status = heed_store_read_number(store, "/", "best_loss", &state->best_loss, error);
    if (status == HEED_OK)
        status = heedi_guard_read(store, &state->guard, error);
    state->unfinished = heed_store_has(store, UNFINISHED);
    if (status == HEED_OK && state->unfinished)
        status = heed_store_read(store, UNFINISHED, HEED_TYPE_FLOAT64, 1, &n_figures, state->figures, error);
    return status;
}

heed_status heed_checkpoint_read_state(const char *path, heed_checkpoint_state *state, heed_error *error) {
    heed_store *store;
    *state = (heed_checkpoint_state){0};
    heed_status status = heed_store_open(&store, path, true, error);
    if (status != HEED_OK)
        return status;
    status = read_state(store, state, error);
    heed_store_close(store);
    if (status != HEED_OK)
        heed_checkpoint_state_reset(state);
    return status;
}

void heed_checkpoint_state_reset(heed_checkpoint_state *state) {
    free(state->config_text);
    *state = (heed_checkpoint_state){0};
}

/* The index of the first value that is not finite, or n. */
static size_t first_not_finite(const real *values, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return i;
    return n;
}

static heed_status read_arena(heed_store *store, const heed_params *params, const arena_row *row, heed_error *error) {
    heed_status status = HEED_OK;
    for (size_t t = 0; t < params->n_tensors && status == HEED_OK; t++) {
        const heed_tensor *tensor = &params->tensors[t];
        real *values = row->values + tensor->offset;
        char name[128];
        snprintf(name, sizeof name, "%s/%s", row->group, tensor->name);
        if (tensor->tied_to >= 0)
            continue;
        status = heed_store_read(store, name, HEED_TYPE_REAL, tensor->n_dims, tensor->dims, values, error);
        const size_t bad = status == HEED_OK ? first_not_finite(values, tensor->size) : tensor->size;
        if (bad < tensor->size)
            status = heed_fail(error, HEED_DATA, "%s: %s: element %zu is %g: expected finite numbers",
                               heed_store_path(store), name, bad, (double)values[bad]);
    }
    return status;
}

typedef struct expected {
    heed_store *store;
    const heed_params *params;
    const char *group;
} expected;

static heed_status check_known(void *context, const char *name, const heed_array *array, heed_error *error) {
    const expected *is = context;
    const int tensor = heed_params_find(is->params, name + strlen(is->group) + 1);
    (void)array;
    if (tensor >= 0 && is->params->tensors[tensor].tied_to < 0)
        return HEED_OK;
    heed_fail(error, HEED_DATA, "%s: %s: the model has no such tensor", heed_store_path(is->store), name);
    return heed_hint(error, "the checkpoint belongs to another model configuration");
}

heed_status heed_checkpoint_read(const char *path, const heed_checkpoint_arenas *arenas, heed_tokenizer **tokenizer,
                                 heed_error *error) {
    heed_store *store;
    arena_row rows[3];
    arena_rows(rows, arenas);
    heed_status status = heed_store_open(&store, path, true, error);
    if (status != HEED_OK)
        return status;
    status = heed_store_check_kind(store, KIND, FORMAT, error);
    for (int i = 0; i < 3 && status == HEED_OK; i++) {
        expected is = {store, arenas->params, rows[i].group};
        if (!rows[i].values)
            continue;
        status = read_arena(store, arenas->params, &rows[i], error);
        if (status == HEED_OK)
            status = heed_store_each(store, rows[i].group, check_known, &is, error);
    }
    if (status == HEED_OK && tokenizer)
        status = heed_tokenizer_read(tokenizer, store, "/tokenizer", error);
    heed_store_close(store);
    return status;
}
