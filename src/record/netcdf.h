/* The netCDF-4 form of our files for xarray: a table of arrays whose axes are letters. The first rows are the
 * coordinates, one for each letter. */
#ifndef HEED_RECORD_NETCDF_H
#define HEED_RECORD_NETCDF_H

#include "heed/store.h"

typedef struct heedi_netcdf_array {
    const char *name;
    heed_type type;
    const char *axes; /* a letter each */
    const char *units;
    const char *meaning;
} heedi_netcdf_array;

/* What readers need beside the arrays, once these are there: dimension scales, the attributes long_name, units and, of
 * text, _Encoding. A coordinate of type UINT8 is a dimension without values. Errors: HEED_IO. */
heed_status heedi_netcdf_annotate(heed_store *store, const heedi_netcdf_array *table, size_t n_arrays,
                                  size_t n_coordinates, heed_error *error);

#endif
