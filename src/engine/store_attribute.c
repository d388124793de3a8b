/* Attributes: writing and reading scalars that belong to a file, a group or an array. */
#include <hdf5.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heed/version.h"
#include "store_private.h"

static heed_status write_attribute(heed_store *store, const char *object, const char *key, hid_t on_disk,
                                   hid_t in_memory, const void *value, heed_error *error) {
    heed_status status = HEED_OK;
    const hid_t space = H5Screate(H5S_SCALAR), owner = heedi_store_object(store, object);
    const hid_t attribute =
        owner < 0 ? H5I_INVALID_HID : H5Acreate2(owner, key, on_disk, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0 || H5Awrite(attribute, in_memory, value) < 0 || store->disk.error) {
        char doing[128];
        snprintf(doing, sizeof doing, "attribute %s cannot be written", key);
        status = heedi_store_fail(store, object, doing, error);
    }
    H5Aclose(attribute);
    H5Sclose(space);
    return status;
}

heed_status heed_store_write_text(heed_store *store, const char *object, const char *key, const char *value,
                                  heed_error *error) {
    heedi_store_enter();
    const hid_t type = heedi_string_type(value[0] ? strlen(value) : 1);
    const heed_status status = write_attribute(store, object, key, type, type, value, error);
    H5Tclose(type);
    heedi_store_leave();
    return status;
}

heed_status heed_store_write_int(heed_store *store, const char *object, const char *key, int64_t value,
                                 heed_error *error) {
    heedi_store_enter();
    const heed_status status = write_attribute(store, object, key, H5T_STD_I64LE, H5T_NATIVE_INT64, &value, error);
    heedi_store_leave();
    return status;
}

heed_status heed_store_write_number(heed_store *store, const char *object, const char *key, double value,
                                    heed_error *error) {
    heedi_store_enter();
    const heed_status status = write_attribute(store, object, key, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value, error);
    heedi_store_leave();
    return status;
}

/* Opens a scalar attribute of the class that is expected. Call in the lock. */
static heed_status open_attribute(heed_store *store, const char *object, const char *key, H5T_class_t expected,
                                  hid_t *attribute, hid_t *type, heed_error *error) {
    bool missing;
    *attribute = *type = H5I_INVALID_HID;
    heed_status status = heedi_store_check_links(store, object, &missing, error);
    if (status != HEED_OK)
        return status;
    if (H5Aexists_by_name(store->file, object, key, H5P_DEFAULT) <= 0)
        return heed_fail(error, HEED_DATA, "%s: %s: attribute %s is missing", store->path, object, key);
    *attribute = H5Aopen_by_name(store->file, object, key, H5P_DEFAULT, H5P_DEFAULT);
    *type = H5Aget_type(*attribute);
    const hid_t space = H5Aget_space(*attribute);
    if (*attribute < 0 || *type < 0 || space < 0)
        status = heedi_store_fail(store, object, "an attribute cannot be read", error);
    else if (H5Tget_class(*type) != expected || H5Sget_simple_extent_type(space) != H5S_SCALAR ||
             (expected == H5T_STRING && H5Tis_variable_str(*type) != 0))
        status = heed_fail(error, HEED_DATA, "%s: %s: attribute %s has a type that heed does not write", store->path,
                           object, key);
    H5Sclose(space);
    return status;
}

heed_status heed_store_read_text(heed_store *store, const char *object, const char *key, size_t max_bytes, char **value,
                                 heed_error *error) {
    hid_t attribute, type;
    *value = NULL;
    heedi_store_enter();
    heed_status status = open_attribute(store, object, key, H5T_STRING, &attribute, &type, error);
    const size_t bytes = status == HEED_OK ? H5Tget_size(type) : 0;
    if (status == HEED_OK && (bytes > max_bytes || bytes > store->disk.length))
        status = heed_fail(error, HEED_DATA, "%s: %s: attribute %s is longer than %zu bytes", store->path, object, key,
                           max_bytes);
    if (status == HEED_OK && !(*value = calloc(bytes + 1, 1)))
        status = heed_fail(error, HEED_MEMORY, "%s: out of memory", store->path);
    if (status == HEED_OK && H5Aread(attribute, type, *value) < 0)
        status = heedi_store_fail(store, object, "an attribute cannot be read", error);
    if (status != HEED_OK) {
        free(*value);
        *value = NULL;
    }
    H5Tclose(type);
    H5Aclose(attribute);
    heedi_store_leave();
    return status;
}

static heed_status read_number(heed_store *store, const char *object, const char *key, H5T_class_t expected, hid_t type,
                               void *value, heed_error *error) {
    hid_t attribute, on_disk;
    heed_status status = open_attribute(store, object, key, expected, &attribute, &on_disk, error);
    if (status == HEED_OK && H5Aread(attribute, type, value) < 0)
        status = heedi_store_fail(store, object, "an attribute cannot be read", error);
    H5Tclose(on_disk);
    H5Aclose(attribute);
    return status;
}

heed_status heed_store_read_int(heed_store *store, const char *object, const char *key, int64_t *value,
                                heed_error *error) {
    heedi_store_enter();
    const heed_status status = read_number(store, object, key, H5T_INTEGER, H5T_NATIVE_INT64, value, error);
    heedi_store_leave();
    return status;
}

heed_status heed_store_read_number(heed_store *store, const char *object, const char *key, double *value,
                                   heed_error *error) {
    heedi_store_enter();
    const heed_status status = read_number(store, object, key, H5T_FLOAT, H5T_NATIVE_DOUBLE, value, error);
    heedi_store_leave();
    return status;
}

/* --- what a file is --------------------------------------------------------------------------------------------- */

heed_status heed_store_write_kind(heed_store *store, const char *kind, int64_t format, heed_error *error) {
    heed_status status = heed_store_write_text(store, "/", "heed_kind", kind, error);
    if (status == HEED_OK)
        status = heed_store_write_int(store, "/", "heed_format", format, error);
    if (status == HEED_OK)
        status = heed_store_write_text(store, "/", "heed_version", heed_version(), error);
    return status;
}

static const char *article(const char *noun) {
    return *noun && strchr("aeiou", *noun) ? "an" : "a";
}

heed_status heed_store_check_kind(heed_store *store, const char *kind, int64_t format, heed_error *error) {
    char *found = NULL;
    int64_t found_format = 0;
    heed_status status = heed_store_read_text(store, "/", "heed_kind", 64, &found, error);
    if (status == HEED_OK && strcmp(found, kind) != 0)
        status = heed_fail(error, HEED_DATA, "%s: is %s %s, not %s %s", store->path, article(found), found,
                           article(kind), kind);
    if (status == HEED_OK)
        status = heed_store_read_int(store, "/", "heed_format", &found_format, error);
    if (status == HEED_OK && (found_format < 1 || found_format > format)) {
        heed_fail(error, HEED_DATA, "%s: is %s %s of format %lld, and this heed reads formats up to %lld", store->path,
                  article(kind), kind, (long long)found_format, (long long)format);
        status = heed_hint(error, "use the heed that wrote it, or a newer one");
    }
    free(found);
    return status;
}
