/* A file of ours as JSON, for the page. */
#ifndef HEED_REPORT_STORED_H
#define HEED_REPORT_STORED_H

#include <jansson.h>

#include "heed/status.h"

/* Reads a sealed file of that kind (heed_store_check_kind) into {"arrays": {NAME: {"dims": [...], "values": [...]}},
 * "attributes": {KEY: TEXT}}: names as docs/files.md has them, values in the file's order, numbers that are not finite
 * as null. Arrays of more than HEED_REPORT_STORED_NUMBERS elements, and of bytes, are left out. texts, ended by NULL,
 * are the attributes of the file that are taken; those that are not there are left out. *json is NULL when there is no
 * such file, which is no error. Errors: HEED_DATA, HEED_MEMORY. Ownership: json_decref. */
heed_status heedi_stored_json(json_t **json, const char *path, const char *kind, int64_t format,
                              const char *const *texts, heed_error *error);

#endif
