#include "heed/probe_file.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heed/arena.h"
#include "heed/store.h"
#include "record/netcdf.h"
#include "record/piece_text.h"

#define FORMAT 1
#define TEXT_BYTES ((size_t)1 << 20)

#define TYPE_OF(type)                                                                                                  \
    _Generic((type){0}, double                                                                                         \
             : HEED_TYPE_FLOAT64, float                                                                                \
             : HEED_TYPE_FLOAT32, int64_t                                                                              \
             : HEED_TYPE_INT64, int32_t                                                                                \
             : HEED_TYPE_INT32, uint8_t                                                                                \
             : HEED_TYPE_UINT8, char                                                                                   \
             : HEED_TYPE_CHAR)

static const heedi_netcdf_array table[] = {
#define ROW(type, name, axes, unit, meaning) {#name, TYPE_OF(type), axes, unit, meaning},
    HEED_PROBE_TABLE(ROW)
#undef ROW
};
enum { N_ARRAYS = sizeof table / sizeof *table };

/* Where the pointer to each array is kept. */
static const size_t member[N_ARRAYS] = {
#define OFFSET(type, name, axes, unit, meaning) offsetof(heed_probe, name),
    HEED_PROBE_TABLE(OFFSET)
#undef OFFSET
};

static void *get(const heed_probe *probe, size_t array) {
    void *data;
    memcpy(&data, (const char *)probe + member[array], sizeof data);
    return data;
}

static void set(heed_probe *probe, size_t array, void *data) {
    memcpy((char *)probe + member[array], &data, sizeof data);
}

static size_t size_of(char axis, const heed_probe_sizes *sizes) {
    switch (axis) {
    case 'a':
        return HEED_PROBE_SAMPLES;
    case 's':
        return sizes->sites;
    case 'h':
        return sizes->heads;
    case 'w':
        return sizes->windows;
    case 'p':
        return sizes->positions;
    case 'r':
        return sizes->probes;
    case 'b':
        return sizes->bytes;
    default:
        return sizes->time;
    }
}

static int shape_of(size_t dims[HEED_STORE_MAX_DIMS], size_t *n_elements, size_t array, const heed_probe_sizes *sizes) {
    int n_dims = 0;
    *n_elements = 1;
    for (; table[array].axes[n_dims]; n_dims++) {
        dims[n_dims] = size_of(table[array].axes[n_dims], sizes);
        *n_elements = heed_bytes(*n_elements, dims[n_dims]);
    }
    return n_dims;
}

size_t heed_probe_length(const heed_probe *probe, char axis) {
    return size_of(axis, &probe->sizes);
}

const char *heed_probe_site_name(int64_t kind) {
    static const char *const names[] = {"self", "encoder", "cross"};
    return kind >= 0 && kind < HEED_SITE_KINDS ? names[kind] : "?";
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

static heed_status alloc_array(heed_probe *probe, size_t array, heed_error *error) {
    size_t dims[HEED_STORE_MAX_DIMS], n;
    shape_of(dims, &n, array, &probe->sizes);
    void *data = calloc(n + (n == 0), heed_type_bytes(table[array].type));
    set(probe, array, data);
    return data ? HEED_OK : heed_fail(error, HEED_MEMORY, "probe: no memory for %s", table[array].name);
}

heed_status heed_probe_alloc(heed_probe *probe, const heed_probe_sizes *sizes, heed_error *error) {
    *probe = (heed_probe){.sizes = *sizes};
    for (size_t i = 0; i < N_ARRAYS; i++) {
        size_t dims[HEED_STORE_MAX_DIMS], n;
        if (alloc_array(probe, i, error) != HEED_OK)
            return error->status;
        shape_of(dims, &n, i, sizes);
        for (size_t k = 0; k < n && table[i].type == HEED_TYPE_FLOAT64; k++)
            ((double *)get(probe, i))[k] = NAN;
        for (size_t k = 0; k < n && i < HEED_PROBE_COORDINATES && table[i].type == HEED_TYPE_INT64; k++)
            ((int64_t *)get(probe, i))[k] = (int64_t)k;
    }
    return HEED_OK;
}

heed_status heed_probe_set_text(heed_probe *probe, const heed_tokenizer *tokenizer, heed_error *error) {
    const size_t n = probe->sizes.probes * probe->sizes.time;
    char **text = calloc(n + 1, sizeof *text);
    size_t longest = 1;
    bool complete = text != NULL;
    for (size_t i = 0; i < n && complete; i++) {
        size_t bytes = 0;
        const char *piece = probe->token[i] >= 0 ? heed_tokenizer_piece(tokenizer, probe->token[i], &bytes) : NULL;
        text[i] = heedi_piece_text(piece ? piece : "", piece ? bytes : 0);
        complete = text[i] != NULL;
        longest = complete && strlen(text[i]) > longest ? strlen(text[i]) : longest;
    }
    char *all = calloc(n + 1, longest);
    uint8_t *token_byte = calloc(longest, 1);
    complete = complete && all && token_byte;
    for (size_t i = 0; i < n && text; i++) {
        if (complete)
            memcpy(all + i * longest, text[i], strlen(text[i]));
        free(text[i]);
    }
    free(text);
    free(probe->token_text);
    free(probe->token_byte);
    probe->token_text = all;
    probe->token_byte = token_byte;
    probe->sizes.bytes = longest;
    return complete ? HEED_OK : heed_fail(error, HEED_MEMORY, "probe: no memory for the text of %zu tokens", n);
}

void heed_probe_reset(heed_probe *probe) {
    for (size_t i = 0; i < N_ARRAYS; i++)
        free(get(probe, i));
    free(probe->config_text);
    *probe = (heed_probe){0};
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static heed_status write_attributes(heed_store *store, const heed_probe *probe, heed_error *error) {
    heed_status status = heed_store_write_kind(store, HEED_PROBE_KIND, FORMAT, error);
    if (status == HEED_OK)
        status = heed_store_write_text(store, "/", "Conventions", "CF-1.8", error);
    if (status == HEED_OK)
        status = heed_store_write_text(store, "/", "title", "What a transformer uses, found by intervention", error);
    if (status == HEED_OK)
        status = heed_store_write_text(store, "/", "checkpoint", probe->checkpoint, error);
    if (status == HEED_OK)
        status = heed_store_write_int(store, "/", "step", probe->step, error);
    if (status == HEED_OK)
        status = heed_store_write_text(store, "/", "config", probe->config_text, error);
    return status;
}

heed_status heed_probe_write(const heed_probe *probe, const char *path, heed_error *error) {
    heed_store *store;
    heed_status status = heed_store_create(&store, path, error);
    if (status != HEED_OK)
        return status;
    for (size_t i = 0; i < N_ARRAYS && status == HEED_OK; i++) {
        size_t dims[HEED_STORE_MAX_DIMS], n;
        const int n_dims = shape_of(dims, &n, i, &probe->sizes);
        status = heed_store_write(store, table[i].name, table[i].type, n_dims, dims, get(probe, i),
                                  table[i].type == HEED_TYPE_FLOAT32, error);
    }
    if (status == HEED_OK)
        status = write_attributes(store, probe, error);
    if (status == HEED_OK)
        status = heedi_netcdf_annotate(store, table, N_ARRAYS, HEED_PROBE_COORDINATES, error);
    if (status == HEED_OK)
        return heed_store_seal(store, error);
    heed_store_discard(store);
    return status;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static heed_status read_length(heed_store *store, const char *coordinate, size_t *length, heed_error *error) {
    heed_array array;
    const heed_status status = heed_store_describe(store, coordinate, &array, error);
    if (status != HEED_OK)
        return status;
    if (array.n_dims != 1 || array.dims[0] == 0)
        return heed_fail(error, HEED_DATA, "%s: %s: not of one dimension", heed_store_path(store), coordinate);
    *length = array.dims[0];
    return HEED_OK;
}

static heed_status read_sizes(heed_store *store, heed_probe_sizes *sizes, heed_error *error) {
    size_t *const lengths[] = {&sizes->sites,  &sizes->heads, &sizes->windows, &sizes->positions,
                               &sizes->probes, &sizes->time,  &sizes->bytes};
    static const char *const coordinates[] = {"site", "head", "window", "position", "probe", "query", "token_byte"};
    heed_status status = HEED_OK;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths && status == HEED_OK; i++)
        status = read_length(store, coordinates[i], lengths[i], error);
    return status;
}

/* Memory only for what is there: describe holds an array's claim against the file's size. */
static heed_status read_array(heed_probe *probe, heed_store *store, size_t array, heed_error *error) {
    size_t dims[HEED_STORE_MAX_DIMS], n;
    heed_array found;
    const int n_dims = shape_of(dims, &n, array, &probe->sizes);
    heed_status status = heed_store_describe(store, table[array].name, &found, error);
    if (status != HEED_OK)
        return status;
    bool same = found.n_dims == n_dims;
    for (int d = 0; d < n_dims && same; d++)
        same = found.dims[d] == dims[d];
    if (!same)
        return heed_fail(error, HEED_DATA, "%s: %s: does not fit the coordinates", heed_store_path(store),
                         table[array].name);
    status = alloc_array(probe, array, error);
    return status == HEED_OK
               ? heed_store_read(store, table[array].name, table[array].type, n_dims, dims, get(probe, array), error)
               : status;
}

static heed_status fail_value(const heed_store *store, const char *name, heed_error *error) {
    return heed_fail(error, HEED_DATA, "%s: %s: holds a value that heed does not write", heed_store_path(store), name);
}

/* What others index by must be what heed writes; measured numbers may be any. */
static heed_status check_values(const heed_probe *probe, const heed_store *store, heed_error *error) {
    const heed_probe_sizes *sizes = &probe->sizes;
    for (size_t i = 0; i < HEED_PROBE_COORDINATES; i++) {
        const bool counts = table[i].type == HEED_TYPE_INT64 && table[i].axes[0] != 'w';
        for (size_t k = 0; counts && k < size_of(table[i].axes[0], sizes); k++)
            if (((const int64_t *)get(probe, i))[k] != (int64_t)k)
                return fail_value(store, table[i].name, error);
    }
    for (size_t w = 0; w < sizes->windows; w++)
        if (probe->window[w] < 1 || (w > 0 && probe->window[w] <= probe->window[w - 1]))
            return fail_value(store, "window", error);
    for (size_t s = 0; s < sizes->sites; s++)
        if (probe->site_kind[s] < 0 || probe->site_kind[s] >= HEED_SITE_KINDS)
            return fail_value(store, "site_kind", error);
        else if (probe->site_layer[s] < 0 || probe->site_layer[s] >= (int64_t)sizes->sites)
            return fail_value(store, "site_layer", error);
    for (size_t r = 0; r < sizes->probes; r++)
        if (probe->probe_length[r] < 0 || probe->probe_length[r] > (int64_t)sizes->time)
            return fail_value(store, "probe_length", error);
    return HEED_OK;
}

static heed_status read_attributes(heed_probe *probe, heed_store *store, heed_error *error) {
    char *checkpoint = NULL;
    heed_status status = heed_store_read_int(store, "/", "step", &probe->step, error);
    if (status == HEED_OK && probe->step < 0)
        status = fail_value(store, "step", error);
    if (status == HEED_OK)
        status = heed_store_read_text(store, "/", "config", TEXT_BYTES, &probe->config_text, error);
    if (status == HEED_OK)
        status = heed_store_read_text(store, "/", "checkpoint", sizeof probe->checkpoint - 1, &checkpoint, error);
    if (status == HEED_OK)
        snprintf(probe->checkpoint, sizeof probe->checkpoint, "%s", checkpoint);
    free(checkpoint);
    return status;
}

heed_status heed_probe_read(heed_probe *probe, const char *path, heed_error *error) {
    heed_store *store;
    *probe = (heed_probe){0};
    heed_status status = heed_store_open(&store, path, true, error);
    if (status != HEED_OK)
        return status;
    status = heed_store_check_kind(store, HEED_PROBE_KIND, FORMAT, error);
    if (status == HEED_OK)
        status = read_sizes(store, &probe->sizes, error);
    for (size_t i = 0; i < N_ARRAYS && status == HEED_OK; i++)
        status = read_array(probe, store, i, error);
    if (status == HEED_OK)
        status = check_values(probe, store, error);
    if (status == HEED_OK)
        status = read_attributes(probe, store, error);
    heed_store_close(store);
    if (status != HEED_OK)
        heed_probe_reset(probe);
    return status;
}

bool heed_probe_best(heed_probe_pick *pick, const heed_probe *probe, const double *values, int sign) {
    const size_t n = probe->sizes.sites * probe->sizes.heads;
    const double *chosen = values + HEED_PROBE_CHOSEN_ON * n, *reported = values + HEED_PROBE_REPORTED_ON * n;
    size_t best = n;
    for (size_t i = 0; i < n; i++)
        if (!isnan(chosen[i]) && (best == n || sign * chosen[i] > sign * chosen[best]))
            best = i;
    if (best == n)
        return false;
    *pick = (heed_probe_pick){best / probe->sizes.heads, best % probe->sizes.heads, chosen[best], reported[best]};
    return true;
}
