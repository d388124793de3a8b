/* netCDF-4 dimension scales, by the attributes of HDF5's dimension scale specification: an array lists the scales of
 * its axes (DIMENSION_LIST), a scale lists the axes that it belongs to (REFERENCE_LIST). HDF5's own H5DSattach_scale
 * writes a scale's list anew with each axis; here each list is written once, which takes a third of the time. */
#include <hdf5.h>
#include <hdf5_hl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_private.h"

/* What netCDF knows a dimension without values by: 53 letters and the length in 10. */
static bool plain_dimension(char label[80], hid_t array) {
    const hid_t space = H5Dget_space(array);
    const hssize_t length = H5Sget_simple_extent_npoints(space);
    H5Sclose(space);
    snprintf(label, 80, "This is a netCDF dimension but not a netCDF variable.%10lld", (long long)length);
    return length >= 0;
}

heed_status heed_store_make_scale(heed_store *store, const char *scale, bool has_values, heed_error *error) {
    heedi_store_enter();
    heed_status status = HEED_OK;
    char label[80];
    const hid_t array = heedi_store_object(store, scale);
    if (array < 0 || !plain_dimension(label, array) || H5DSset_scale(array, has_values ? scale : label) < 0 ||
        store->disk.error)
        status = heedi_store_fail(store, scale, "cannot be made a dimension scale", error);
    heedi_store_leave();
    return status;
}

/* An axis that a scale belongs to, as REFERENCE_LIST has it. */
typedef struct axis {
    hobj_ref_t array;
    int dimension;
} axis;

static bool refer(hobj_ref_t *reference, heed_store *store, const char *name) {
    const hid_t object = heedi_store_object(store, name);
    return object >= 0 && H5Rcreate(reference, object, ".", H5R_OBJECT, H5I_INVALID_HID) >= 0;
}

/* A list as an attribute of an object. */
static bool write_list(heed_store *store, const char *object, const char *key, hid_t type, size_t n, const void *list) {
    const hsize_t extent = n;
    const hid_t owner = heedi_store_object(store, object), space = H5Screate_simple(1, &extent, NULL);
    const hid_t attribute = owner < 0 || space < 0 || type < 0
                                ? H5I_INVALID_HID
                                : H5Acreate2(owner, key, type, space, H5P_DEFAULT, H5P_DEFAULT);
    const bool ok = attribute >= 0 && H5Awrite(attribute, type, list) >= 0;
    H5Aclose(attribute);
    H5Sclose(space);
    return ok;
}

static int n_axes(const heed_scaled_array *array) {
    int n = 0;
    while (n < HEED_STORE_MAX_DIMS && array->scale[n])
        n++;
    return n;
}

static bool write_dimension_list(heed_store *store, const heed_scaled_array *array) {
    hobj_ref_t scale[HEED_STORE_MAX_DIMS];
    hvl_t list[HEED_STORE_MAX_DIMS];
    const int n = n_axes(array);
    bool ok = true;
    for (int d = 0; d < n && ok; d++) {
        ok = refer(&scale[d], store, array->scale[d]);
        list[d] = (hvl_t){1, &scale[d]};
    }
    const hid_t type = H5Tvlen_create(H5T_STD_REF_OBJ);
    ok = ok && (n == 0 || write_list(store, array->name, "DIMENSION_LIST", type, (size_t)n, list));
    H5Tclose(type);
    return ok;
}

static bool write_reference_list(heed_store *store, const char *scale, const axis *axes, size_t n) {
    const hid_t type = H5Tcreate(H5T_COMPOUND, sizeof(axis));
    const bool ok = H5Tinsert(type, "dataset", HOFFSET(axis, array), H5T_STD_REF_OBJ) >= 0 &&
                    H5Tinsert(type, "dimension", HOFFSET(axis, dimension), H5T_NATIVE_INT) >= 0 &&
                    write_list(store, scale, "REFERENCE_LIST", type, n, axes);
    H5Tclose(type);
    return ok;
}

static bool stands_before(const heed_scaled_array *arrays, size_t i, int d) {
    for (size_t j = 0; j <= i; j++)
        for (int e = 0; e < (j < i ? n_axes(&arrays[j]) : d); e++)
            if (strcmp(arrays[j].scale[e], arrays[i].scale[d]) == 0)
                return true;
    return false;
}

/* The axes of all arrays that belong to a scale; room: for all axes. */
static size_t axes_of(axis *axes, const char *scale, const heed_scaled_array *arrays, const hobj_ref_t *references,
                      size_t n_arrays) {
    size_t n = 0;
    for (size_t i = 0; i < n_arrays; i++)
        for (int d = 0; d < n_axes(&arrays[i]); d++)
            if (strcmp(arrays[i].scale[d], scale) == 0)
                axes[n++] = (axis){references[i], d};
    return n;
}

heed_status heed_store_attach_scales(heed_store *store, const heed_scaled_array *arrays, size_t n_arrays,
                                     heed_error *error) {
    heedi_store_enter();
    heed_status status = HEED_OK;
    hobj_ref_t *references = calloc(n_arrays + 1, sizeof *references);
    axis *axes = calloc(n_arrays * HEED_STORE_MAX_DIMS + 1, sizeof *axes);
    if (!references || !axes)
        status = heed_fail(error, HEED_MEMORY, "%s: out of memory", store->path);
    for (size_t i = 0; i < n_arrays && status == HEED_OK; i++)
        if (!refer(&references[i], store, arrays[i].name) || !write_dimension_list(store, &arrays[i]) ||
            store->disk.error)
            status = heedi_store_fail(store, arrays[i].name, "cannot be given dimension scales", error);
    for (size_t i = 0; i < n_arrays && status == HEED_OK; i++)
        for (int d = 0; d < n_axes(&arrays[i]) && status == HEED_OK; d++) {
            const char *scale = arrays[i].scale[d];
            if (stands_before(arrays, i, d))
                continue;
            const size_t n = axes_of(axes, scale, arrays, references, n_arrays);
            if (!write_reference_list(store, scale, axes, n) || store->disk.error)
                status = heedi_store_fail(store, scale, "cannot be made the scale of an axis", error);
        }
    free(axes);
    free(references);
    heedi_store_leave();
    return status;
}
