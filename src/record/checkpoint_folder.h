#ifndef HEED_RECORD_CHECKPOINT_FOLDER_H
#define HEED_RECORD_CHECKPOINT_FOLDER_H

#include <stddef.h>

#include "heed/status.h"

/* Removes all checkpoints of folder but the newest `keep` and the one with the lowest validation loss (of equals the
 * earliest). Errors: HEED_IO, HEED_MEMORY. */
heed_status heedi_checkpoint_prune(const char *folder, size_t keep, heed_error *error);

#endif
