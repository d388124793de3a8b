/* What stands between a file and us. Whoever wrote it could also have computed its digest, so it may hold anything:
 * links must lead to objects of the same file, layouts and filters must be those that heed writes, and an array may
 * claim no more than the file's bytes can hold. */
#include <hdf5.h>

#include <stdio.h>
#include <string.h>

#include "heed/arena.h"
#include "store_private.h"

#define MAX_CHUNK_BYTES ((size_t)64 << 20)
#define MAX_DEFLATE 1032 /* deflate's greatest ratio */

heed_status heedi_store_refuse(const heed_store *store, const char *name, const char *why, heed_error *error) {
    return heed_fail(error, HEED_DATA, "%s: %s: %s", store->path, name, why);
}

heed_status heedi_store_check_links(heed_store *store, const char *name, bool *missing, heed_error *error) {
    char part[HEEDI_MAX_NAME];
    *missing = false;
    if (strlen(name) >= sizeof part)
        return heedi_store_refuse(store, "(a name)", "is too long", error);
    for (const char *end = name; *end;) {
        end += *end == '/';
        end += strcspn(end, "/");
        snprintf(part, sizeof part, "%.*s", (int)(end - name), name);
        H5L_info_t link;
        if (strcmp(part, "/") == 0)
            continue;
        if (H5Lexists(store->file, part, H5P_DEFAULT) <= 0 || H5Lget_info(store->file, part, &link, H5P_DEFAULT) < 0) {
            *missing = true;
            return heedi_store_refuse(store, name, "is missing", error);
        }
        if (link.type != H5L_TYPE_HARD)
            return heedi_store_refuse(store, part, "is a soft or external link, which heed does not follow", error);
    }
    return HEED_OK;
}

/* That layout, filters and size are such as heed writes. */
static heed_status check_storage(heed_store *store, const char *name, hid_t array, const heed_array *found,
                                 size_t element_bytes, heed_error *error) {
    const hid_t creation = H5Dget_create_plist(array);
    const H5D_layout_t layout = H5Pget_layout(creation);
    const int n_filters = H5Pget_nfilters(creation);
    bool known = (layout == H5D_CONTIGUOUS || layout == H5D_CHUNKED || layout == H5D_COMPACT) && n_filters >= 0 &&
                 H5Pget_external_count(creation) == 0;
    for (int i = 0; known && i < n_filters; i++) {
        size_t n_values = 0;
        unsigned flags, config;
        char filter_name[1];
        const H5Z_filter_t filter =
            H5Pget_filter2(creation, (unsigned)i, &flags, &n_values, NULL, sizeof filter_name, filter_name, &config);
        known = filter == H5Z_FILTER_DEFLATE || filter == H5Z_FILTER_SHUFFLE || filter == H5Z_FILTER_FLETCHER32;
    }
    size_t chunk_bytes = element_bytes;
    hsize_t chunk[HEED_STORE_MAX_DIMS] = {0};
    if (layout == H5D_CHUNKED && known) {
        known = H5Pget_chunk(creation, HEED_STORE_MAX_DIMS, chunk) == found->n_dims;
        for (int d = 0; d < found->n_dims; d++)
            chunk_bytes = heed_bytes(chunk_bytes, chunk[d]);
    }
    H5Pclose(creation);
    size_t bytes = element_bytes;
    for (int d = 0; d < found->n_dims; d++)
        bytes = heed_bytes(bytes, found->dims[d]);
    const hsize_t stored = H5Dget_storage_size(array);
    if (!known)
        return heedi_store_refuse(store, name, "is stored in a way that heed does not write", error);
    if (chunk_bytes > MAX_CHUNK_BYTES && layout == H5D_CHUNKED)
        return heedi_store_refuse(store, name, "is stored in chunks that are too large", error);
    const bool fits = stored <= store->disk.length &&
                      bytes <= (layout == H5D_CHUNKED && n_filters > 0 ? heed_bytes(stored, MAX_DEFLATE) : stored);
    return fits ? HEED_OK : heedi_store_refuse(store, name, "claims more elements than the file holds", error);
}

heed_status heedi_store_open_array(heed_store *store, const char *name, hid_t *array, heed_array *found,
                                   size_t *string_bytes, heed_error *error) {
    bool missing;
    *array = H5I_INVALID_HID;
    *found = (heed_array){0};
    heed_status status = heedi_store_check_links(store, name, &missing, error);
    if (status != HEED_OK)
        return status;
    H5O_info_t info;
    if (H5Oget_info_by_name(store->file, name, &info, H5P_DEFAULT) < 0)
        return heedi_store_fail(store, name, "cannot be read", error);
    if (info.type != H5O_TYPE_DATASET)
        return heedi_store_refuse(store, name, "is not an array", error);
    *array = H5Dopen2(store->file, name, H5P_DEFAULT);
    if (*array < 0)
        return heedi_store_fail(store, name, "cannot be read", error);
    const hid_t space = H5Dget_space(*array), type = H5Dget_type(*array);
    hsize_t extent[HEED_STORE_MAX_DIMS];
    const int n_dims = H5Sget_simple_extent_ndims(space);
    const bool simple = H5Sget_simple_extent_type(space) != H5S_NULL && n_dims >= 0 && n_dims <= HEED_STORE_MAX_DIMS;
    if (!simple || H5Sget_simple_extent_dims(space, extent, NULL) < 0)
        status = heedi_store_refuse(store, name, "has a shape that heed does not write", error);
    else if (!heedi_type_find(type, &found->type))
        status = heedi_store_refuse(store, name, "has a type that heed does not write", error);
    else {
        found->n_dims = n_dims;
        for (int d = 0; d < n_dims; d++)
            found->dims[d] = extent[d];
        *string_bytes = H5Tget_size(type);
        status = check_storage(store, name, *array, found, *string_bytes, error);
    }
    H5Tclose(type);
    H5Sclose(space);
    if (status != HEED_OK) {
        H5Dclose(*array);
        *array = H5I_INVALID_HID;
    }
    return status;
}
