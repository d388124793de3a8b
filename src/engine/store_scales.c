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

#define DOING "cannot be given its dimension scales"

/* Failures are told where they happen: the next call into HDF5 forgets them. */
static heed_status refer(hobj_ref_t *reference, heed_store *store, const char *name, heed_error *error) {
    const hid_t object = heedi_store_object(store, name);
    return object >= 0 && H5Rcreate(reference, object, ".", H5R_OBJECT, H5I_INVALID_HID) >= 0
               ? HEED_OK
               : heedi_store_fail(store, name, DOING, error);
}

/* A list as an attribute of an object. */
static heed_status write_list(heed_store *store, const char *object, const char *key, hid_t type, size_t n,
                              const void *list, heed_error *error) {
    const hsize_t extent = n;
    heed_status status = HEED_OK;
    const hid_t owner = heedi_store_object(store, object), space = H5Screate_simple(1, &extent, NULL);
    const hid_t attribute = owner < 0 || space < 0 || type < 0
                                ? H5I_INVALID_HID
                                : H5Acreate2(owner, key, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0 || H5Awrite(attribute, type, list) < 0 || store->disk.error)
        status = heedi_store_fail(store, object, DOING, error);
    H5Aclose(attribute);
    H5Sclose(space);
    return status;
}

static int n_axes(const heed_scaled_array *array) {
    int n = 0;
    while (n < HEED_STORE_MAX_DIMS && array->scale[n])
        n++;
    return n;
}

static heed_status write_dimension_list(heed_store *store, const heed_scaled_array *array, heed_error *error) {
    hobj_ref_t scale[HEED_STORE_MAX_DIMS];
    hvl_t list[HEED_STORE_MAX_DIMS];
    const int n = n_axes(array);
    heed_status status = HEED_OK;
    for (int d = 0; d < n && status == HEED_OK; d++) {
        status = refer(&scale[d], store, array->scale[d], error);
        list[d] = (hvl_t){1, &scale[d]};
    }
    if (status != HEED_OK || n == 0)
        return status;
    const hid_t type = H5Tvlen_create(H5T_STD_REF_OBJ);
    status = write_list(store, array->name, "DIMENSION_LIST", type, (size_t)n, list, error);
    H5Tclose(type);
    return status;
}

static heed_status write_reference_list(heed_store *store, const char *scale, const axis *axes, size_t n,
                                        heed_error *error) {
    heed_status status = HEED_OK;
    const hid_t type = H5Tcreate(H5T_COMPOUND, sizeof(axis));
    if (H5Tinsert(type, "dataset", HOFFSET(axis, array), H5T_STD_REF_OBJ) < 0 ||
        H5Tinsert(type, "dimension", HOFFSET(axis, dimension), H5T_NATIVE_INT) < 0)
        status = heedi_store_fail(store, scale, DOING, error);
    else
        status = write_list(store, scale, "REFERENCE_LIST", type, n, axes, error);
    H5Tclose(type);
    return status;
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
                axes[n].array = references[i], axes[n++].dimension = d; /* the padding between stays 0 */
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
    for (size_t i = 0; i < n_arrays && status == HEED_OK; i++) {
        status = refer(&references[i], store, arrays[i].name, error);
        if (status == HEED_OK)
            status = write_dimension_list(store, &arrays[i], error);
    }
    for (size_t i = 0; i < n_arrays && status == HEED_OK; i++)
        for (int d = 0; d < n_axes(&arrays[i]) && status == HEED_OK; d++) {
            const char *scale = arrays[i].scale[d];
            if (!stands_before(arrays, i, d))
                status =
                    write_reference_list(store, scale, axes, axes_of(axes, scale, arrays, references, n_arrays), error);
        }
    free(axes);
    free(references);
    heedi_store_leave();
    return status;
}
