#include "record/netcdf.h"

#include <stdio.h>

/* A dimension without values: netCDF knows it by this text, 53 letters and the length in 10. */
static heed_status make_plain_dimension(heed_store *store, const char *name, heed_error *error) {
    char label[80];
    heed_array array;
    const heed_status status = heed_store_describe(store, name, &array, error);
    if (status != HEED_OK)
        return status;
    snprintf(label, sizeof label, "This is a netCDF dimension but not a netCDF variable.%10zu", array.dims[0]);
    return heed_store_make_scale(store, name, label, error);
}

static heed_status annotate_array(heed_store *store, const heedi_netcdf_array *array, heed_error *error) {
    heed_status status = heed_store_write_text(store, array->name, "long_name", array->meaning, error);
    if (status == HEED_OK)
        status = heed_store_write_text(store, array->name, "units", array->units, error);
    if (status == HEED_OK && array->type == HEED_TYPE_CHAR) /* by which xarray and netCDF know UTF-8 */
        status = heed_store_write_text(store, array->name, "_Encoding", "utf-8", error);
    return status;
}

enum { MOST_ARRAYS = 64 };

static heed_status attach_scales(heed_store *store, const heedi_netcdf_array *table, size_t n_arrays,
                                 size_t n_coordinates, heed_error *error) {
    heed_scaled_array scaled[MOST_ARRAYS] = {{0}};
    HEED_CHECK(n_arrays <= MOST_ARRAYS);
    for (size_t i = n_coordinates; i < n_arrays; i++) {
        scaled[i].name = table[i].name;
        for (int d = 0; table[i].axes[d]; d++)
            for (size_t c = 0; c < n_coordinates; c++)
                if (table[c].axes[0] == table[i].axes[d])
                    scaled[i].scale[d] = table[c].name;
    }
    return heed_store_attach_scales(store, scaled + n_coordinates, n_arrays - n_coordinates, error);
}

heed_status heedi_netcdf_annotate(heed_store *store, const heedi_netcdf_array *table, size_t n_arrays,
                                  size_t n_coordinates, heed_error *error) {
    heed_status status = HEED_OK;
    for (size_t i = 0; i < n_coordinates && status == HEED_OK; i++)
        status = table[i].type == HEED_TYPE_UINT8 ? make_plain_dimension(store, table[i].name, error)
                                                  : heed_store_make_scale(store, table[i].name, table[i].name, error);
    for (size_t i = 0; i < n_arrays && status == HEED_OK; i++)
        status = annotate_array(store, &table[i], error);
    return status == HEED_OK ? attach_scales(store, table, n_arrays, n_coordinates, error) : status;
}
