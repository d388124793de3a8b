/* `heed merge`: the log files of a run become one, row by row of the dimension `step`. What does not depend on the step
 * is taken from the first file and must be the same in all. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heed/arena.h"
#include "heed/attention_log.h"
#include "heed/config.h"
#include "record/attention_log.h"
#include "record/step_files.h"

#define CONFIG_BYTES ((size_t)1 << 20)

typedef struct merge {
    heed_attention_kind kind;
    heedi_log_sizes one, all; /* sizes of one file and of the result */
    void *kept[HEEDI_LOG_N];  /* of the first file: arrays without steps */
    void *buffer;             /* for the largest array */
    size_t buffer_bytes;
    char *config_text;
    heed_store *out;
} merge;

static bool has_steps(heedi_log_id id) {
    return heedi_log_table[id].axes[0] == 's';
}

static heed_status no_memory(const heed_store *in, heed_error *error) {
    return heed_fail(error, HEED_MEMORY, "%s: out of memory", heed_store_path(in));
}

/* The shapes of the maps and of the text say all sizes. */
static heed_status read_sizes(heed_store *in, heedi_log_sizes *sizes, heed_error *error) {
    heed_array map, text;
    heed_status status = heed_store_describe(in, heedi_log_table[HEEDI_LOG_MAP].name, &map, error);
    if (status == HEED_OK)
        status = heed_store_describe(in, heedi_log_table[HEEDI_LOG_TEXT].name, &text, error);
    if (status != HEED_OK)
        return status;
    bool whole = map.n_dims == 6 && map.dims[0] == 1 && text.n_dims == 3;
    for (int d = 0; whole && d < 6; d++)
        whole = map.dims[d] > 0 && text.dims[d % 3] > 0;
    if (!whole)
        return heed_fail(error, HEED_DATA, "%s: attention or token_text has a shape that heed does not write",
                         heed_store_path(in));
    *sizes = (heedi_log_sizes){1, map.dims[1], map.dims[2], map.dims[3], map.dims[4], text.dims[2]};
    return HEED_OK;
}

/* From the first file: sizes, and the arrays that every file repeats; in the result: room for the others. */
static heed_status begin(merge *m, heed_store *in, size_t n_steps, heed_error *error) {
    heed_status status = read_sizes(in, &m->one, error);
    if (status == HEED_OK)
        status = heed_store_read_text(in, "/", "config", CONFIG_BYTES, &m->config_text, error);
    m->all = m->one;
    m->all.steps = n_steps;
    for (int id = 0; id < heedi_log_arrays(m->kind) && status == HEED_OK; id++) {
        const heedi_netcdf_array *array = &heedi_log_table[id];
        size_t dims[HEED_STORE_MAX_DIMS], n;
        int n_dims = heedi_log_shape(dims, &n, (heedi_log_id)id, &m->one);
        const size_t bytes = heed_bytes(n, heed_type_bytes(array->type));
        heed_array found;
        status = heed_store_describe(in, array->name, &found, error); /* before memory is taken for it */
        if (status != HEED_OK)
            break;
        m->buffer_bytes = bytes > m->buffer_bytes ? bytes : m->buffer_bytes;
        if (has_steps((heedi_log_id)id)) {
            n_dims = heedi_log_shape(dims, &n, (heedi_log_id)id, &m->all);
            status = heed_store_reserve(m->out, array->name, array->type, n_dims, dims,
                                        heedi_log_deflates((heedi_log_id)id), error);
            continue;
        }
        m->kept[id] = calloc(bytes ? bytes : 1, 1);
        status = m->kept[id] ? heed_store_read(in, array->name, array->type, n_dims, dims, m->kept[id], error)
                             : no_memory(in, error);
        if (status == HEED_OK)
            status = heed_store_write(m->out, array->name, array->type, n_dims, dims, m->kept[id], false, error);
    }
    if (status == HEED_OK && !(m->buffer = malloc(m->buffer_bytes)))
        status = no_memory(in, error);
    return status;
}

/* One array of one file. */
static heed_status take(merge *m, heed_store *in, heedi_log_id id, size_t row, heed_error *error) {
    const heedi_netcdf_array *array = &heedi_log_table[id];
    size_t dims[HEED_STORE_MAX_DIMS], n;
    const int n_dims = heedi_log_shape(dims, &n, id, &m->one);
    const heed_status status = heed_store_read(in, array->name, array->type, n_dims, dims, m->buffer, error);
    if (status != HEED_OK)
        return status;
    if (has_steps(id))
        return heed_store_write_rows(m->out, array->name, row, 1, m->buffer, error);
    if (memcmp(m->buffer, m->kept[id], n * heed_type_bytes(array->type)) == 0)
        return HEED_OK;
    heed_fail(error, HEED_DATA, "%s: %s differs from that of the run's earlier log files", heed_store_path(in),
              array->name);
    return heed_hint(error, "were the probes (log.probes) changed during the run?");
}

static heed_status take_file(merge *m, const char *path, uint64_t step, size_t row, size_t n_steps, heed_error *error) {
    heed_store *in;
    int64_t found = -1;
    heed_status status = heed_store_open(&in, path, true, error);
    if (status != HEED_OK)
        return status;
    status = heed_store_check_kind(in, HEEDI_LOG_KIND, HEEDI_LOG_FORMAT, error);
    if (status == HEED_OK)
        status = heed_store_read(in, "step", HEED_TYPE_INT64, 1, (size_t[]){1}, &found, error);
    if (status == HEED_OK && found != (int64_t)step)
        status = heed_fail(error, HEED_DATA, "%s: step = %" PRId64 ": expected that of its name", path, found);
    if (status == HEED_OK && row == 0)
        status = begin(m, in, n_steps, error);
    for (int id = 0; id < heedi_log_arrays(m->kind) && status == HEED_OK; id++)
        status = take(m, in, (heedi_log_id)id, row, error);
    heed_store_close(in);
    return status;
}

static void merge_free(merge *m) {
    for (int id = 0; id < HEEDI_LOG_N; id++)
        free(m->kept[id]);
    free(m->buffer);
    free(m->config_text);
}

static heed_status log_folder(char *folder, const char *run_dir, heed_attention_kind kind, heed_error *error) {
    if (snprintf(folder, HEED_PATH_MAX, "%s/%s", run_dir, heed_attention_folder(kind)) >= HEED_PATH_MAX)
        return heed_fail(error, HEED_NOT_FOUND, "%s: the name of this folder is too long", run_dir);
    return HEED_OK;
}

heed_status heed_attention_log_merge(const char *run_dir, heed_attention_kind kind, const char *out_path,
                                     heed_error *error) {
    char folder[HEED_PATH_MAX], path[HEED_PATH_MAX];
    uint64_t *steps = NULL;
    size_t n_steps = 0;
    merge m = {.kind = kind};
    heed_status status = log_folder(folder, run_dir, kind, error);
    if (status == HEED_OK)
        status = heedi_step_list(folder, false, &steps, &n_steps, error);
    if (status == HEED_OK && n_steps == 0) {
        heed_fail(error, HEED_NOT_FOUND, "%s: holds no attention log", folder);
        status = heed_hint(error, "train with log.attention_every above 0");
    }
    if (status == HEED_OK)
        status = heed_store_create(&m.out, out_path, error);
    for (size_t row = 0; row < n_steps && status == HEED_OK; row++) {
        status = heedi_step_path(path, folder, steps[row], error);
        if (status == HEED_OK)
            status = take_file(&m, path, steps[row], row, n_steps, error);
    }
    if (status == HEED_OK)
        status = heedi_log_annotate(m.out, kind, m.config_text, error);
    if (status == HEED_OK)
        status = heed_store_seal(m.out, error);
    else
        heed_store_discard(m.out);
    merge_free(&m);
    free(steps);
    return status;
}

static heed_status cut_folder(const char *folder, uint64_t step, heed_error *error) {
    char path[HEED_PATH_MAX];
    uint64_t *steps = NULL;
    size_t n_steps = 0;
    heed_status status = heedi_step_list(folder, true, &steps, &n_steps, error);
    for (size_t i = 0; i < n_steps && status == HEED_OK; i++) {
        if (steps[i] <= step)
            continue;
        status = heedi_step_path(path, folder, steps[i], error);
        if (status == HEED_OK && unlink(path) != 0)
            status = heed_fail(error, HEED_IO, "%s: cannot be removed: %m", path);
    }
    free(steps);
    return status;
}

heed_status heed_attention_log_cut(const char *run_dir, uint64_t step, heed_error *error) {
    char folder[HEED_PATH_MAX];
    heed_status status = HEED_OK;
    for (int kind = 0; kind < HEED_N_ATTENTION_KINDS && status == HEED_OK; kind++) {
        status = log_folder(folder, run_dir, (heed_attention_kind)kind, error);
        if (status == HEED_OK)
            status = cut_folder(folder, step, error);
    }
    return status;
}
