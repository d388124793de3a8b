/* What ranks tell each other once a step: the loss of every sequence of the global batch, how many ranks failed, how
 * many want to stop, and how long each took. A sequence's loss comes from one rank alone, so that the sum over ranks is
 * exact, and losses are then added in the order of sequences: the same bits for any number of ranks. */
#ifndef HEED_TRAIN_TALLY_H
#define HEED_TRAIN_TALLY_H

#include <stdbool.h>

#include "heed/batch.h"
#include "heed/comm.h"
#include "heed/config.h"

/* Behind the losses: these counts, and then for every rank the seconds that it took for its part (train/pace.h). There
 * are no more ranks than grains, for which heed_tally_size has room. */
enum { HEEDI_TALLY_FAILURES, HEEDI_TALLY_STOPS, HEEDI_TALLY_COUNTS };

/* Clears the tally and returns where the losses of this rank's sequences go. */
double *heedi_tally_begin(double *tally, const heed_config *config, const heed_batch *batch);

/* Sums the tally over ranks. failed: this rank's own error, if any; stop: this rank's wish, then that of any rank.
 * *loss is the sum over all sequences. When any rank failed, all return its error. Collective. */
heed_status heedi_tally_sum(double *tally, const heed_config *config, heed_comm *comm, const heed_error *failed,
                            bool *stop, double *loss, heed_error *error);

#endif
