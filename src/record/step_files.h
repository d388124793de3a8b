/* Files that carry a step in their name: folder/step-00000100.h5. */
#ifndef HEED_RECORD_STEP_FILES_H
#define HEED_RECORD_STEP_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/status.h"

/* Writes the file's path (HEED_PATH_MAX bytes). Errors: HEED_CREATE (too long). */
heed_status heedi_step_path(char *path, const char *folder, uint64_t step, heed_error *error);

/* Makes folder if it is not there. Errors: HEED_CREATE. */
heed_status heedi_make_folder(const char *folder, heed_error *error);

/* The steps of all such files in ascending order (the caller frees them); none when the folder is not there. With sweep
 * it removes left-over temporary files. Errors: HEED_IO, HEED_MEMORY. */
heed_status heedi_step_list(const char *folder, bool sweep, uint64_t **steps, size_t *n_steps, heed_error *error);

#endif
