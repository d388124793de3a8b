/* metrics.jsonl: one JSON object a step with figures that are the same bits for every number of ranks and threads
 * (step, epoch, tokens, loss, gradient_norm, learning_rate, valid_loss at evaluation steps). timing.jsonl: one a step
 * with the rest (seconds, tokens_per_second, share_of_peak). Numbers are printed with 17 digits, so text equality is
 * bit equality. Rank 0 writes. */
#ifndef HEED_METRICS_H
#define HEED_METRICS_H

#include <stdint.h>

#include "heed/status.h"

typedef struct heed_metrics heed_metrics;

typedef struct heed_step_record {
    uint64_t step, epoch;
    double tokens; /* in this step */
    double loss;   /* nats per token */
    double gradient_norm, learning_rate;
    double valid_loss; /* NaN = not evaluated */
    double seconds;
    double share_of_peak; /* NaN = unknown */
} heed_step_record;

/* Opens both files for appending after cutting lines of steps > last_step (and a torn last line). Errors: HEED_CREATE,
 * HEED_IO. */
heed_status heed_metrics_open(heed_metrics **metrics, const char *run_dir, uint64_t last_step, heed_error *error);
/* Appends. Allocates nothing. Errors: HEED_IO. sync makes what was written durable (at checkpoints). */
heed_status heed_metrics_add(heed_metrics *metrics, const heed_step_record *record, heed_error *error);
heed_status heed_metrics_sync(heed_metrics *metrics, heed_error *error);
void heed_metrics_close(heed_metrics *metrics);

#endif
