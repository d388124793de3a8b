/* Where a checkpoint keeps a guard: arrays /guard/suspect, /guard/skipped and /guard/losses, each only if there is any.
 */
#ifndef HEED_RECORD_GUARD_H
#define HEED_RECORD_GUARD_H

#include "heed/guard.h"
#include "heed/status.h"
#include "heed/store.h"

/* Errors: HEED_IO. */
heed_status heedi_guard_write(heed_store *store, const heed_guard *guard, heed_error *error);
/* Errors: HEED_DATA. */
heed_status heedi_guard_read(heed_store *store, heed_guard *guard, heed_error *error);

#endif
