/* metrics.jsonl and timing.jsonl: one line a step. */
#include "heed/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "heed/config.h"
#include "record/lines.h"

struct heed_metrics {
    heedi_lines metrics, timing;
};

heed_status heed_metrics_open(heed_metrics **out, const char *run_dir, uint64_t last_step, heed_error *error) {
    *out = NULL;
    if (strlen(run_dir) >= HEED_PATH_MAX)
        return heed_fail(error, HEED_CREATE, "%s: the name of this folder is too long", run_dir);
    heed_metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", run_dir);
    metrics->metrics.fd = metrics->timing.fd = -1;
    heed_status status = heedi_lines_open(&metrics->metrics, run_dir, "metrics.jsonl", last_step + 1, error);
    if (status == HEED_OK)
        status = heedi_lines_open(&metrics->timing, run_dir, "timing.jsonl", last_step + 1, error);
    if (status != HEED_OK)
        heed_metrics_close(metrics);
    else
        *out = metrics;
    return status;
}

heed_status heed_metrics_add(heed_metrics *metrics, const heed_step_record *record, heed_error *error) {
    heedi_line text = {.used = 0};
    heedi_line_add(&text, "{\"step\":%" PRIu64 ",\"epoch\":%" PRIu64, record->step, record->epoch);
    heedi_line_number(&text, "tokens", record->tokens);
    heedi_line_number(&text, "loss", record->loss);
    heedi_line_number(&text, "gradient_norm", record->gradient_norm);
    heedi_line_number(&text, "learning_rate", record->learning_rate);
    if (record->left_out)
        heedi_line_add(&text, ",\"left_out\":true");
    if (!isnan(record->valid_loss)) {
        heedi_line_number(&text, "valid_loss", record->valid_loss);
        heedi_line_number(&text, "valid_accuracy", record->valid_accuracy);
    }
    heed_status status = heedi_lines_put(&metrics->metrics, &text, error);
    if (status != HEED_OK)
        return status;
    text.used = 0;
    heedi_line_add(&text, "{\"step\":%" PRIu64, record->step);
    heedi_line_number(&text, "seconds", record->seconds);
    heedi_line_number(&text, "tokens_per_second", record->tokens / record->seconds);
    if (!isnan(record->share_of_peak))
        heedi_line_number(&text, "share_of_peak", record->share_of_peak);
    heedi_line_number(&text, "waited", record->waited);
    heedi_line_add(&text, ",\"slowest\":%d", record->slowest);
    return heedi_lines_put(&metrics->timing, &text, error);
}

heed_status heed_metrics_flush(heed_metrics *metrics, heed_error *error) {
    const heed_status status = heedi_lines_flush(&metrics->metrics, error);
    return status == HEED_OK ? heedi_lines_flush(&metrics->timing, error) : status;
}

heed_status heed_metrics_sync(heed_metrics *metrics, heed_error *error) {
    const heed_status status = heedi_lines_sync(&metrics->metrics, error);
    return status == HEED_OK ? heedi_lines_sync(&metrics->timing, error) : status;
}

void heed_metrics_close(heed_metrics *metrics) {
    if (!metrics)
        return;
    heedi_lines_close(&metrics->metrics);
    heedi_lines_close(&metrics->timing);
    free(metrics);
}
