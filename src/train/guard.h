/* Whether a step is fit to be taken: its loss and gradient are finite, and its loss is no spike. */
#ifndef HEED_TRAIN_GUARD_H
#define HEED_TRAIN_GUARD_H

#include "heed/train.h"

/* Judges the step whose sums all ranks hold now: the mean loss of its tokens and the norm of its gradient, the same
 * bits on every rank, and so the same decision. *leaves_out: the step is to change nothing (train.on_nonfinite,
 * train.spike_z; the log says why). Otherwise it is fit, unless an error comes back: HEED_NUMERIC, naming the rank, the
 * tensor and the grain where the first number was not finite. Collective. */
heed_status heedi_guard_judge(heed_trainer *trainer, double loss, double norm, bool *leaves_out, heed_error *error);

/* Did it fail for the first time, so that it is worth another try from the last checkpoint? */
bool heedi_guard_wants_rollback(const heed_trainer *trainer);

#endif
