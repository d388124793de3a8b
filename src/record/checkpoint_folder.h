#ifndef HEED_RECORD_CHECKPOINT_FOLDER_H
#define HEED_RECORD_CHECKPOINT_FOLDER_H

#include <stddef.h>

#include "heed/checkpoint.h"
#include "heed/status.h"

/* Removes all checkpoints of folder but the newest `keep`, the one with the lowest validation loss (of equals the
 * earliest), and those of phases. Errors: HEED_IO, HEED_MEMORY. */
heed_status heedi_checkpoint_prune(const char *folder, size_t keep, const heed_checkpoint_phases *phases,
                                   heed_error *error);

#endif
