/* What the ranks did, moment by moment, as a file that Perfetto (https://ui.perfetto.dev) and Chrome show: one row a
 * rank with its stages, and above it the buckets of gradients that are under way meanwhile.
 *
 * The format is Chrome's Trace Event Format (JSON): complete events for stages, pairs of asynchronous events for
 * messages. */
#ifndef HEED_TRACE_H
#define HEED_TRACE_H

#include "heed/comm.h"
#include "heed/status.h"

/* Every rank keeps its list of marks (heed/stage.h) from here on, 16 MB at most. Errors: HEED_MEMORY, HEED_PEER.
 * Collective. */
heed_status heed_trace_start(heed_comm *comm, heed_error *error);

/* Gathers the lists and lets rank 0 write them to path, which is replaced; ends the lists. Says so when the run was
 * longer than the list. Errors: HEED_CREATE, HEED_IO, HEED_MEMORY, HEED_PEER. Collective. */
heed_status heed_trace_finish(heed_comm *comm, const char *path, heed_error *error);

#endif
