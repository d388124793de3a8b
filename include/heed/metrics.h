/* metrics.jsonl: one JSON object a step with figures that are the same bits for every number of ranks and threads
 * (step, epoch, tokens, loss, gradient_norm, learning_rate; left_out at steps that changed nothing; valid_loss and
 * valid_accuracy at evaluation steps). timing.jsonl: one a step with the rest (seconds, tokens_per_second,
 * share_of_peak). Numbers are printed with 17 digits, so text equality is bit equality. Rank 0 writes. */
#ifndef HEED_METRICS_H
#define HEED_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/status.h"

typedef struct heed_metrics heed_metrics;

typedef struct heed_step_record {
    uint64_t step, epoch;
    double tokens; /* in this step */
    double loss;   /* nats per token */
    double gradient_norm, learning_rate;
    double valid_loss;     /* NaN = not evaluated */
    double valid_accuracy; /* written beside it */
    double seconds;
    double share_of_peak; /* NaN = unknown */
    double waited;        /* seconds that ranks waited for the slowest, on average */
    int slowest;          /* which rank that was */
    bool left_out;        /* the step changed nothing */
} heed_step_record;

/* Opens both files for appending after cutting lines of steps > last_step (and a torn last line). Errors: HEED_CREATE,
 * HEED_IO. */
heed_status heed_metrics_open(heed_metrics **metrics, const char *run_dir, uint64_t last_step, heed_error *error);
/* Appends. Allocates nothing. A line that cannot be written waits in memory for the next add or flush, and is warned
 * of; close tries it for the last time. Errors: HEED_IO: 1 MiB of lines wait already. */
heed_status heed_metrics_add(heed_metrics *metrics, const heed_step_record *record, heed_error *error);
/* Before a checkpoint: flush writes the lines that wait (errors: HEED_IO: they wait on), sync makes all durable
 * (errors: HEED_IO: what is on the disk is not known any more). */
heed_status heed_metrics_flush(heed_metrics *metrics, heed_error *error);
heed_status heed_metrics_sync(heed_metrics *metrics, heed_error *error);
void heed_metrics_close(heed_metrics *metrics);

/* What a run's evaluations found, in the order of their steps. */
typedef struct heed_curve {
    size_t n_points;
    uint64_t *step; /* (n_points), and so on */
    double *loss, *accuracy;
} heed_curve;

/* Reads run_dir/metrics.jsonl. A line that is no object of metrics is HEED_DATA, but for a torn last one. A number that
 * was not finite reads as NaN. Errors: HEED_NOT_FOUND, HEED_DATA, HEED_MEMORY. Ownership: heed_curve_reset. Not
 * collective. */
heed_status heed_curve_read(heed_curve *curve, const char *run_dir, heed_error *error);
void heed_curve_reset(heed_curve *curve);

/* A run's training losses in a bounded number of points. */
typedef struct heed_loss_curve {
    size_t n_points;
    uint64_t width;   /* successive steps that a point is the mean of; the last point may have fewer */
    uint64_t *step;   /* (n_points): the last of them */
    double *loss;     /* (n_points): their mean, nats a token */
    uint64_t n_steps; /* that were read */
    double tokens;    /* in them */
} heed_loss_curve;

/* Reads run_dir/metrics.jsonl into at most `most` points (even, at least 2): the width doubles whenever they would be
 * more. Errors: those of heed_curve_read. Ownership: heed_loss_curve_reset. Not collective. */
heed_status heed_loss_curve_read(heed_loss_curve *curve, const char *run_dir, size_t most, heed_error *error);
void heed_loss_curve_reset(heed_loss_curve *curve);

#endif
