/* Writing arrays and attributes. Nothing carries a time of day, so that equal contents make equal files, within
 * one build: what is deflated depends on the library. */
#include <hdf5.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heed/arena.h"
#include "store_private.h"

#define CHUNK_BYTES ((size_t)1 << 20)
#define SMALL_ROW_BYTES ((size_t)64 << 10)
#define SLICE_BYTES ((size_t)4 << 20) /* written under one turn of the lock */

/* Objects that carry no time of day. Made once: a list of properties costs as much as an attribute. */
static hid_t without_times(hid_t class, hid_t *list) {
    if (*list < 0) {
        *list = H5Pcreate(class);
        if (*list >= 0 && H5Pset_obj_track_times(*list, false) < 0) {
            H5Pclose(*list);
            *list = H5I_INVALID_HID;
        }
    }
    return *list;
}

/* Makes the groups above name, which mostly are those of the array before. */
static bool make_groups(heed_store *store, const char *name) {
    static hid_t creation = H5I_INVALID_HID;
    const char *last = strrchr(name, '/');
    const size_t folder = last ? (size_t)(last - name) : 0;
    char path[HEEDI_MAX_NAME];
    if (folder == strlen(store->group) && strncmp(name, store->group, folder) == 0)
        return true;
    HEED_CHECK(strlen(name) < HEEDI_MAX_NAME);
    strcpy(path, name);
    bool ok = without_times(H5P_GROUP_CREATE, &creation) >= 0;
    for (char *slash = strchr(path + 1, '/'); ok && slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (H5Lexists(store->file, path, H5P_DEFAULT) <= 0) {
            const hid_t group = H5Gcreate2(store->file, path, H5P_DEFAULT, creation, H5P_DEFAULT);
            ok = group >= 0 && H5Gclose(group) >= 0;
        }
        *slash = '/';
    }
    if (ok)
        snprintf(store->group, sizeof store->group, "%.*s", (int)folder, name);
    return ok;
}

/* Whole trailing dimensions while they fit CHUNK_BYTES, then a part of the next one, then 1. Rows of the first
 * dimension share a chunk only if they are small: rows are often written one at a time. */
static void chunk_of(hsize_t *chunk, int n_dims, const size_t *dims, size_t element_bytes) {
    size_t bytes = element_bytes; /* of what was taken so far */
    for (int d = n_dims - 1; d >= 0; d--) {
        const size_t fit = d == 0 && bytes > SMALL_ROW_BYTES ? 1 : CHUNK_BYTES / bytes;
        chunk[d] = dims[d] < fit ? dims[d] : (fit > 0 ? fit : 1);
        bytes *= chunk[d];
    }
}

static size_t elements(int n_dims, const size_t *dims) {
    size_t n = 1;
    for (int d = 0; d < n_dims; d++)
        n = heed_bytes(n, dims[d]);
    return n;
}

/* How a deflated array of that type and shape is stored; to be closed. */
static hid_t deflated(hid_t type, int n_dims, const size_t *dims) {
    hsize_t chunk[HEED_STORE_MAX_DIMS];
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    chunk_of(chunk, n_dims, dims, H5Tget_size(type));
    if (creation >= 0 && H5Pset_obj_track_times(creation, false) >= 0 && H5Pset_chunk(creation, n_dims, chunk) >= 0 &&
        H5Pset_shuffle(creation) >= 0 && H5Pset_deflate(creation, HEEDI_DEFLATE_LEVEL) >= 0)
        return creation;
    H5Pclose(creation);
    return H5I_INVALID_HID;
}

/* Makes the dataset, which stays open. Negative: HDF5's error stack or disk.error says why. */
static hid_t make_array(heed_store *store, const char *name, hid_t type, int n_dims, const size_t *dims, bool deflate) {
    static hid_t in_one_piece = H5I_INVALID_HID;
    hsize_t extent[HEED_STORE_MAX_DIMS];
    for (int d = 0; d < n_dims; d++)
        extent[d] = dims[d];
    const bool packs = deflate && n_dims > 0 && elements(n_dims, dims) > 0;
    const hid_t creation = packs ? deflated(type, n_dims, dims) : without_times(H5P_DATASET_CREATE, &in_one_piece);
    const hid_t space = n_dims > 0 ? H5Screate_simple(n_dims, extent, NULL) : H5Screate(H5S_SCALAR);
    hid_t array = H5I_INVALID_HID;
    if (creation >= 0 && space >= 0 && make_groups(store, name))
        array = H5Dcreate2(store->file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    H5Sclose(space);
    if (packs)
        H5Pclose(creation);
    return array < 0 || heedi_store_keep(store, name, array) ? array : H5I_INVALID_HID;
}

heed_status heed_store_reserve(heed_store *store, const char *name, heed_type type, int n_dims, const size_t *dims,
                               bool deflate, heed_error *error) {
    HEED_CHECK(n_dims >= 0 && n_dims <= HEED_STORE_MAX_DIMS && type != HEED_TYPE_STRING);
    heedi_store_enter();
    heed_status status = HEED_OK;
    const hid_t array = make_array(store, name, heedi_type_on_disk(type), n_dims, dims, deflate);
    if (array < 0 || store->disk.error)
        status = heedi_store_fail(store, name, "cannot be written", error);
    heedi_store_leave();
    return status;
}

/* Whether rows [first, first + count) of an open array are whole chunks whose bytes need no conversion. */
static bool are_chunks(heedi_chunks *form, hid_t array, hid_t on_disk, hid_t in_memory, size_t first, size_t count) {
    const hid_t creation = H5Dget_create_plist(array), space = H5Dget_space(array);
    form->element_bytes = H5Tget_size(on_disk);
    form->n_dims = H5Sget_simple_extent_dims(space, form->dims, NULL);
    const bool chunked = H5Pget_chunk(creation, HEED_STORE_MAX_DIMS, form->chunk) == form->n_dims && form->n_dims > 0;
    H5Sclose(space);
    H5Pclose(creation);
    return chunked && H5Tequal(on_disk, in_memory) > 0 && first % form->chunk[0] == 0 &&
           (count % form->chunk[0] == 0 || first + count == form->dims[0]);
}

/* Writes rows [first, first + count) of an open array; whole for a scalar. */
static bool put_rows(hid_t array, hid_t type, size_t first, size_t count, const void *data) {
    const hid_t space = H5Dget_space(array);
    hsize_t start[HEED_STORE_MAX_DIMS] = {0}, extent[HEED_STORE_MAX_DIMS] = {1};
    const int n_dims = H5Sget_simple_extent_dims(space, extent, NULL);
    bool ok = n_dims >= 0;
    if (n_dims == 0) {
        ok = H5Dwrite(array, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0;
    } else if (ok && count > 0) {
        start[0] = first, extent[0] = count;
        const hid_t memory = H5Screate_simple(n_dims, extent, NULL);
        ok = H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, extent, NULL) >= 0 &&
             H5Dwrite(array, type, memory, space, H5P_DEFAULT, data) >= 0;
        H5Sclose(memory);
    }
    H5Sclose(space);
    return ok;
}

heed_status heed_store_write_rows(heed_store *store, const char *name, size_t first, size_t count, const void *data,
                                  heed_error *error) {
    heedi_store_enter();
    heed_status status = HEED_OK;
    heed_type type = HEED_TYPE_STRING;
    const hid_t array = heedi_store_object(store, name), on_disk = H5Dget_type(array);
    const bool known = array >= 0 && heedi_type_find(on_disk, &type) && type != HEED_TYPE_STRING;
    const hid_t in_memory = known ? heedi_type_in_memory(type) : H5I_INVALID_HID;
    heedi_chunks form;
    const bool done = known && (are_chunks(&form, array, on_disk, in_memory, first, count)
                                    ? heedi_store_put_chunks(store, array, &form, first, count, data)
                                    : put_rows(array, in_memory, first, count, data));
    if (!done || store->disk.error)
        status = heedi_store_fail(store, name, "cannot be written", error);
    H5Tclose(on_disk);
    heedi_store_leave();
    return status;
}

/* Strings of one length, padded with NUL, as one block. The caller frees it. */
static char *string_block(size_t n, const char *const *text, size_t *bytes) {
    *bytes = 1;
    for (size_t i = 0; i < n; i++)
        *bytes = strlen(text[i]) > *bytes ? strlen(text[i]) : *bytes;
    char *block = calloc(n ? n : 1, *bytes);
    for (size_t i = 0; block && i < n; i++)
        memcpy(block + i * *bytes, text[i], strlen(text[i]));
    return block;
}

hid_t heedi_string_type(size_t bytes) {
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, bytes);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

/* A new array and all that is in it. To be called between enter and leave. */
static heed_status put_whole(heed_store *store, const char *name, hid_t on_disk, hid_t in_memory, int n_dims,
                             const size_t *dims, const void *data, bool deflate, heed_error *error) {
    const hid_t array = make_array(store, name, on_disk, n_dims, dims, deflate);
    if (array < 0 || H5Dwrite(array, in_memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0 || store->disk.error)
        return heedi_store_fail(store, name, "cannot be written", error);
    return HEED_OK;
}

static heed_status write_strings(heed_store *store, const char *name, int n_dims, const size_t *dims,
                                 const char *const *text, bool deflate, heed_error *error) {
    size_t bytes;
    char *block = string_block(elements(n_dims, dims), text, &bytes);
    if (!block)
        return heed_fail(error, HEED_MEMORY, "%s: %s: out of memory", store->path, name);
    heedi_store_enter();
    const hid_t type = heedi_string_type(bytes);
    const heed_status status = put_whole(store, name, type, type, n_dims, dims, block, deflate, error);
    H5Tclose(type);
    heedi_store_leave();
    free(block);
    return status;
}

static heed_status write_whole(heed_store *store, const char *name, heed_type type, int n_dims, const size_t *dims,
                               const void *data, heed_error *error) {
    heedi_store_enter();
    const heed_status status =
        put_whole(store, name, heedi_type_on_disk(type), heedi_type_in_memory(type), n_dims, dims, data, false, error);
    heedi_store_leave();
    return status;
}

heed_status heed_store_write(heed_store *store, const char *name, heed_type type, int n_dims, const size_t *dims,
                             const void *data, bool deflate, heed_error *error) {
    if (type == HEED_TYPE_STRING)
        return write_strings(store, name, n_dims, dims, data, deflate, error);
    HEED_CHECK(n_dims >= 0 && n_dims <= HEED_STORE_MAX_DIMS);
    const size_t all_bytes = heed_bytes(elements(n_dims, dims), heed_type_bytes(type));
    if (!deflate && all_bytes > 0 && all_bytes <= SLICE_BYTES)
        return write_whole(store, name, type, n_dims, dims, data, error);
    heed_status status = heed_store_reserve(store, name, type, n_dims, dims, deflate, error);
    const size_t n_rows = n_dims > 0 ? dims[0] : 1, bytes = heed_type_bytes(type);
    const size_t row_bytes = n_dims > 0 ? elements(n_dims - 1, dims + 1) * bytes : bytes;
    if (status != HEED_OK || n_rows == 0 || row_bytes == 0)
        return status;
    size_t slice = SLICE_BYTES / row_bytes;
    if (deflate && n_dims > 0) { /* whole chunks, so that none is compressed twice */
        hsize_t chunk[HEED_STORE_MAX_DIMS];
        chunk_of(chunk, n_dims, dims, bytes);
        slice = slice > chunk[0] ? slice / chunk[0] * chunk[0] : chunk[0];
    }
    slice = slice > 0 ? slice : 1;
    for (size_t first = 0; first < n_rows && status == HEED_OK; first += slice) {
        const size_t count = n_rows - first < slice ? n_rows - first : slice;
        status = heed_store_write_rows(store, name, first, count, (const char *)data + first * row_bytes, error);
    }
    return status;
}
