/* Reading arrays, whole or in rows, and walking over all of them. */
#include <hdf5.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_private.h"

#define MAX_DEPTH 8
#define MAX_OBJECTS 1000000

bool heed_store_has(heed_store *store, const char *name) {
    heedi_store_enter();
    heed_error ignored = HEED_ERROR_INIT;
    bool missing;
    heedi_store_check_links(store, name, &missing, &ignored);
    heedi_store_leave();
    return !missing;
}

heed_status heed_store_describe(heed_store *store, const char *name, heed_array *array, heed_error *error) {
    heedi_store_enter();
    hid_t id;
    size_t string_bytes;
    const heed_status status = heedi_store_open_array(store, name, &id, array, &string_bytes, error);
    H5Dclose(id);
    heedi_store_leave();
    return status;
}

/* "float32 (2, 3)" */
static void shape_text(char *text, size_t bytes, heed_type type, int n_dims, const size_t *dims) {
    int used = snprintf(text, bytes, "%s (", heed_type_name(type));
    for (int d = 0; d < n_dims && (size_t)used < bytes; d++)
        used += snprintf(text + used, bytes - (size_t)used, "%s%zu", d ? ", " : "", dims[d]);
    if ((size_t)used < bytes)
        snprintf(text + used, bytes - (size_t)used, ")");
}

static bool is_float(heed_type type) {
    return type == HEED_TYPE_FLOAT32 || type == HEED_TYPE_FLOAT64;
}

static heed_status check_expected(heed_store *store, const char *name, const heed_array *found, heed_type type,
                                  int n_dims, const size_t *dims, heed_error *error) {
    bool same = (found->type == type || (is_float(found->type) && is_float(type))) && found->n_dims == n_dims;
    for (int d = 0; same && d < n_dims; d++)
        same = found->dims[d] == dims[d];
    if (same)
        return HEED_OK;
    char expected[200], is[200];
    shape_text(expected, sizeof expected, type, n_dims, dims);
    shape_text(is, sizeof is, found->type, found->n_dims, found->dims);
    return heed_fail(error, HEED_DATA, "%s: %s: expected %s, found %s", store->path, name, expected, is);
}

static void free_strings(char **text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        free(text[i]);
        text[i] = NULL;
    }
}

/* One allocated string an element. */
static heed_status read_strings(heed_store *store, const char *name, hid_t array, size_t n, size_t string_bytes,
                                char **text, heed_error *error) {
    const hid_t type = H5Dget_type(array);
    char *block = calloc(n ? n : 1, string_bytes);
    heed_status status = HEED_OK;
    memset(text, 0, n * sizeof *text);
    if (!block)
        status = heed_fail(error, HEED_MEMORY, "%s: %s: out of memory", store->path, name);
    else if (H5Dread(array, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, block) < 0)
        status = heedi_store_fail(store, name, "cannot be read", error);
    for (size_t i = 0; i < n && status == HEED_OK; i++) {
        text[i] = strndup(block + i * string_bytes, string_bytes);
        if (!text[i])
            status = heed_fail(error, HEED_MEMORY, "%s: %s: out of memory", store->path, name);
    }
    if (status != HEED_OK)
        free_strings(text, n);
    free(block);
    H5Tclose(type);
    return status;
}

heed_status heed_store_read(heed_store *store, const char *name, heed_type type, int n_dims, const size_t *dims,
                            void *data, heed_error *error) {
    hid_t array;
    heed_array found;
    size_t string_bytes, n = 1;
    heedi_store_enter();
    heed_status status = heedi_store_open_array(store, name, &array, &found, &string_bytes, error);
    if (status == HEED_OK)
        status = check_expected(store, name, &found, type, n_dims, dims, error);
    for (int d = 0; d < n_dims; d++)
        n *= dims[d];
    if (status == HEED_OK && type == HEED_TYPE_STRING)
        status = read_strings(store, name, array, n, string_bytes, data, error);
    else if (status == HEED_OK && n > 0 &&
             H5Dread(array, heedi_type_in_memory(type), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        status = heedi_store_fail(store, name, "cannot be read", error);
    H5Dclose(array);
    heedi_store_leave();
    return status;
}

/* --- rows ------------------------------------------------------------------------------------------------------- */

/* Rows of an array that lies in one piece are read past HDF5: after the first call for an array there is
 * no lock to wait for and nothing is allocated. */
static const heedi_place *find_place(const heed_store *store, const char *name, heed_type type) {
    for (size_t i = 0; i < store->n_places; i++)
        if (store->place[i].type == type && strcmp(store->place[i].name, name) == 0)
            return &store->place[i];
    return NULL;
}

static void remember_place(heed_store *store, const char *name, hid_t array, const heed_array *found) {
    const haddr_t offset = H5Dget_offset(array);
    const uint16_t one = 1;
    const bool little_endian = *(const unsigned char *)&one == 1;
    if (!little_endian || offset == HADDR_UNDEF || store->n_places == HEEDI_MAX_PLACES ||
        strlen(name) >= sizeof store->place[0].name)
        return;
    uint64_t row_bytes = heed_type_bytes(found->type);
    for (int d = 1; d < found->n_dims; d++)
        row_bytes *= found->dims[d]; /* no overflow: describe compared the product with the file's length */
    const uint64_t bytes = row_bytes * found->dims[0], length = store->disk.length;
    if (offset > length || bytes > length - offset)
        return;
    heedi_place *place = &store->place[store->n_places++];
    *place = (heedi_place){.type = found->type, .offset = offset, .n_rows = found->dims[0], .row_bytes = row_bytes};
    strcpy(place->name, name);
}

static bool get_rows(hid_t array, heed_type type, const heed_array *found, size_t first, size_t count, void *data) {
    hsize_t start[HEED_STORE_MAX_DIMS] = {first}, extent[HEED_STORE_MAX_DIMS];
    for (int d = 0; d < found->n_dims; d++)
        extent[d] = found->dims[d];
    extent[0] = count;
    const hid_t space = H5Dget_space(array), memory = H5Screate_simple(found->n_dims, extent, NULL);
    const bool ok = H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, extent, NULL) >= 0 &&
                    H5Dread(array, heedi_type_in_memory(type), memory, space, H5P_DEFAULT, data) >= 0;
    H5Sclose(memory);
    H5Sclose(space);
    return ok;
}

static heed_status outside(const heed_store *store, const char *name, size_t first, size_t count, uint64_t rows,
                           heed_error *error) {
    return heed_fail(error, HEED_DATA, "%s: %s: rows %zu to %zu lie outside of its %llu rows", store->path, name, first,
                     first + count, (unsigned long long)rows);
}

heed_status heed_store_read_rows(heed_store *store, const char *name, heed_type type, size_t first, size_t count,
                                 void *data, heed_error *error) {
    HEED_CHECK(type != HEED_TYPE_STRING);
    const heedi_place *place = find_place(store, name, type);
    if (place) {
        if (first > place->n_rows || count > place->n_rows - first)
            return outside(store, name, first, count, place->n_rows, error);
        if (!heedi_disk_read(&store->disk, place->offset + first * place->row_bytes, data, count * place->row_bytes))
            return heedi_store_fail(store, name, "cannot be read", error);
        return HEED_OK;
    }
    hid_t array;
    heed_array found;
    size_t string_bytes;
    heedi_store_enter();
    heed_status status = heedi_store_open_array(store, name, &array, &found, &string_bytes, error);
    if (status == HEED_OK)
        status = check_expected(store, name, &found, type, found.n_dims > 0 ? found.n_dims : 1, found.dims, error);
    if (status == HEED_OK && (first > found.dims[0] || count > found.dims[0] - first))
        status = outside(store, name, first, count, found.dims[0], error);
    if (status == HEED_OK && count > 0 && !get_rows(array, type, &found, first, count, data))
        status = heedi_store_fail(store, name, "cannot be read", error);
    if (status == HEED_OK && found.type == type)
        remember_place(store, name, array, &found);
    H5Dclose(array);
    heedi_store_leave();
    return status;
}

/* --- all arrays ------------------------------------------------------------------------------------------------- */

/* Names are collected first and visited after, because a visitor reads. */
typedef struct name_list {
    size_t n, objects;
    char **name;
    const char *trouble;
} name_list;

typedef struct walk {
    name_list *list;
    char prefix[HEEDI_MAX_NAME];
    int depth;
} walk;

static herr_t collect(hid_t group, const char *name, const H5L_info_t *link, void *context) {
    walk *here = context;
    name_list *list = here->list;
    walk below = {.list = list, .depth = here->depth + 1};
    const int used = snprintf(below.prefix, sizeof below.prefix, "%s/%s", here->prefix, name);
    H5O_info_t object;
    if (link->type != H5L_TYPE_HARD)
        list->trouble = "holds a soft or external link, which heed does not follow";
    else if (used >= HEEDI_MAX_NAME || below.depth > MAX_DEPTH || ++list->objects > MAX_OBJECTS)
        list->trouble = "holds more, deeper or longer names than heed writes";
    else if (H5Oget_info_by_name(group, name, &object, H5P_DEFAULT) < 0)
        list->trouble = "holds an object that cannot be read";
    else if (object.type == H5O_TYPE_GROUP)
        return H5Literate_by_name(group, name, H5_INDEX_NAME, H5_ITER_INC, NULL, collect, &below, H5P_DEFAULT);
    else if (object.type == H5O_TYPE_DATASET) {
        char **grown = list->n % 64 ? list->name : realloc(list->name, (list->n + 64) * sizeof *grown);
        list->name = grown ? grown : list->name;
        if (!grown || !(grown[list->n] = strdup(below.prefix)))
            list->trouble = "has more names than memory holds";
        else
            list->n++;
    }
    return list->trouble ? -1 : 0;
}

heed_status heed_store_each(heed_store *store, const char *group,
                            heed_status (*visit)(void *context, const char *name, const heed_array *array,
                                                 heed_error *error),
                            void *context, heed_error *error) {
    name_list list = {0};
    walk root = {.list = &list};
    bool missing;
    snprintf(root.prefix, sizeof root.prefix, "%s", strcmp(group, "/") == 0 ? "" : group);
    heedi_store_enter();
    heed_status status = heedi_store_check_links(store, group, &missing, error);
    if (status == HEED_OK &&
        H5Literate_by_name(store->file, group, H5_INDEX_NAME, H5_ITER_INC, NULL, collect, &root, H5P_DEFAULT) < 0)
        status = list.trouble ? heedi_store_refuse(store, group, list.trouble, error)
                              : heedi_store_fail(store, group, "cannot be read", error);
    heedi_store_leave();
    for (size_t i = 0; i < list.n && status == HEED_OK; i++) {
        heed_array array;
        status = heed_store_describe(store, list.name[i], &array, error);
        if (status == HEED_OK)
            status = visit(context, list.name[i], &array, error);
    }
    free_strings(list.name, list.n);
    free(list.name);
    return status;
}
