/* What `heed probe` found, as text for people and as JSON. */
#ifndef HEED_CLI_PROBE_PRINT_H
#define HEED_CLI_PROBE_PRINT_H

#include "heed/probe_file.h"

void heedi_probe_print(const heed_probe *found, const char *data);

/* All figures, by the names and axes of the HDF5 file; what was not measured is null. Maps and tokens are left to that.
 * Errors: HEED_CREATE, HEED_IO, HEED_MEMORY. */
heed_status heedi_probe_write_json(const heed_probe *found, const char *path, heed_error *error);

#endif
