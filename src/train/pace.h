/* Who do the others wait for? Every rank's time for its part of a step, from the moment when all were last together to
 * the end of its backward pass, travels with the step's tally. */
#ifndef HEED_TRAIN_PACE_H
#define HEED_TRAIN_PACE_H

#include "heed/train.h"

/* In heed_step: behind backward, and behind the last exchange. */
void heedi_pace_part_done(heed_trainer *trainer);
void heedi_pace_together(heed_trainer *trainer);

/* What the ranks of one step say, the same on all of them. late (ranks) is a moving average of how many seconds a rank
 * takes longer than the middle one would with as many grains, over some 32 steps; it is updated. */
typedef struct heedi_pace {
    int slowest;   /* rank */
    double waited; /* seconds: mean over ranks of what they waited for the slowest */
    double latest; /* seconds a step, of the rank that is late most */
    double share;  /* the same as a share of the middle rank's time */
    int latest_rank;
} heedi_pace;
heedi_pace heedi_pace_judge(const heed_trainer *trainer, double *late);

#endif
