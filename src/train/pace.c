#include "train/pace.h"

#include <math.h>

#include "train/tally.h"

static double *seconds_of(const heed_trainer *trainer) {
    return trainer->tally + trainer->config->train.batch + HEEDI_TALLY_COUNTS;
}

void heedi_pace_part_done(heed_trainer *trainer) {
    if (trainer->together > 0.0)
        seconds_of(trainer)[trainer->comm->rank] = heed_seconds() - trainer->together;
}

void heedi_pace_together(heed_trainer *trainer) {
    trainer->together = heed_seconds();
}

static double grains_of(const heed_trainer *trainer, int rank) {
    const int64_t n_grains = trainer->config->train.batch / trainer->config->train.grain, size = trainer->comm->size;
    return (double)(n_grains * (rank + 1) / size - n_grains * rank / size);
}

/* Seconds a grain of the middle rank: of an even number the quicker one. By counting, as nothing may be allocated. */
static double middle(const heed_trainer *trainer) {
    const double *seconds = seconds_of(trainer);
    const int size = trainer->comm->size;
    for (int r = 0; r < size; r++) {
        const double mine = seconds[r] / grains_of(trainer, r);
        int below = 0, equal = 0;
        for (int other = 0; other < size; other++) {
            const double its = seconds[other] / grains_of(trainer, other);
            below += its < mine;
            equal += its == mine;
        }
        if (below <= (size - 1) / 2 && (size - 1) / 2 < below + equal)
            return mine;
    }
    return 0.0;
}

heedi_pace heedi_pace_judge(const heed_trainer *trainer, double *late) {
    const double *seconds = seconds_of(trainer), a_grain = middle(trainer), memory = 1.0 / 32.0;
    heedi_pace pace = {.slowest = 0};
    double sum = 0.0;
    for (int r = 0; r < trainer->comm->size; r++) {
        sum += seconds[r];
        pace.slowest = seconds[r] > seconds[pace.slowest] ? r : pace.slowest;
        const double usual = a_grain * grains_of(trainer, r);
        late[r] += memory * (seconds[r] - usual - late[r]);
        if (r == 0 || late[r] > pace.latest) {
            pace.latest = late[r];
            pace.latest_rank = r;
            pace.share = usual > 0.0 ? late[r] / usual : 0.0;
        }
    }
    pace.waited = seconds[pace.slowest] - sum / trainer->comm->size;
    return pace;
}
