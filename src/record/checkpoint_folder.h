#ifndef HEED_RECORD_CHECKPOINT_FOLDER_H
#define HEED_RECORD_CHECKPOINT_FOLDER_H

#include <stddef.h>
#include <stdint.h>

#include "heed/checkpoint.h"
#include "heed/status.h"

/* Validation losses of checkpoints, so that none is opened twice for its own. Ownership: heedi_losses_reset. */
typedef struct heedi_losses {
    uint64_t *step;
    double *loss; /* NaN: it has none, or cannot be read */
    size_t n;
} heedi_losses;
/* Adds a loss, or replaces that of the same step. Errors: HEED_MEMORY. */
heed_status heedi_losses_tell(heedi_losses *losses, uint64_t step, double loss, heed_error *error);
void heedi_losses_reset(heedi_losses *losses);

/* Removes all checkpoints of folder but the newest `keep`, the one with the lowest validation loss (of equals the
 * earliest), and those of phases. Reads losses that are not known yet. Errors: HEED_IO, HEED_MEMORY. */
heed_status heedi_checkpoint_prune(const char *folder, size_t keep, const heed_checkpoint_phases *phases,
                                   heedi_losses *losses, heed_error *error);

#endif
