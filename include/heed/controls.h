/* Matched controls: the same model trained with several variants of attention (heed/variant.h) and several seeds, on
 * the same data, for the same number of steps, with the same number of trained parameters; and the verdict on what its
 * attention is worth (heed/verdict.h).
 *
 * A run lives in run.dir/VARIANT-SEED, a folder like any other run's. What is finished stays; what is not goes on from
 * its checkpoint. The outcome is one file, run.dir/controls.h5; docs/files.md has its schema. */
#ifndef HEED_CONTROLS_H
#define HEED_CONTROLS_H

#include <stddef.h>
#include <stdint.h>

#include "heed/comm.h"
#include "heed/config.h"
#include "heed/status.h"
#include "heed/verdict.h"

typedef struct heed_controls {
    size_t n_variants, n_seeds, n_points;
    heed_attend *variant;                   /* (n_variants) */
    int64_t *seed;                          /* (n_seeds) */
    int64_t *hidden, *parameters, *trained; /* (n_variants): model.hidden, numbers in all, numbers that are trained */
    double *loss, *accuracy;                /* (n_variants, n_seeds) at the end, on validation data */
    double *optimum;                        /* (n_seeds): the least loss that is possible; NaN where it is not known */
    uint64_t *step;                         /* (n_points): when the curve was measured */
    double *curve;                          /* (n_variants, n_seeds, n_points) validation loss */
    double *fraction;                       /* (n_variants, n_seeds) recovered; NaN without none and softmax */
    heed_interval *recovered;               /* (n_variants): 95 % intervals of the fractions, each for itself */
    heed_judgement judgement;               /* UNDECIDED unless none, softmax, uniform and position are there */
} heed_controls;

/* Trains what is not trained yet, and judges. Ranks are divided into groups that each do one run at a time. config is
 * resolved. controls is filled on rank 0. Errors: those of heed_train; HEED_CONFIG for unknown variants. HEED_VERDICT,
 * with everything filled and written, when config->expect.verdict is another one. Ownership: heed_controls_reset, after
 * a failure too. Collective. */
heed_status heed_controls_run(heed_comm *comm, const heed_config *config, heed_controls *controls, heed_error *error);
void heed_controls_reset(heed_controls *controls);

/* Writes, and reads, run_dir/controls.h5. Rank 0. Errors: HEED_CREATE, HEED_IO; HEED_NOT_FOUND, HEED_DATA, HEED_MEMORY.
 */
heed_status heed_controls_write(const heed_controls *controls, const heed_config *config, heed_error *error);
heed_status heed_controls_read(heed_controls *controls, const char *run_dir, heed_error *error);

#endif
