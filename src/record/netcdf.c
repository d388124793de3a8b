#include "record/netcdf.h"

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
        for (int d = 0; table[i].axes[d]; d++) {
            for (size_t c = 0; c < n_coordinates; c++)
                if (table[c].axes[0] == table[i].axes[d])
                    scaled[i].scale[d] = table[c].name;
            HEED_CHECK(scaled[i].scale[d]);
        }
    }
    return heed_store_attach_scales(store, scaled + n_coordinates, n_arrays - n_coordinates, error);
}

heed_status heedi_netcdf_annotate(heed_store *store, const heedi_netcdf_array *table, size_t n_arrays,
                                  size_t n_coordinates, heed_error *error) {
    heed_status status = HEED_OK;
    for (size_t i = 0; i < n_coordinates && status == HEED_OK; i++)
        status = heed_store_make_scale(store, table[i].name, table[i].type != HEED_TYPE_UINT8, error);
    for (size_t i = 0; i < n_arrays && status == HEED_OK; i++)
        status = annotate_array(store, &table[i], error);
    return status == HEED_OK ? attach_scales(store, table, n_arrays, n_coordinates, error) : status;
}
