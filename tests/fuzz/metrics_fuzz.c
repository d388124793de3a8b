/* metrics.jsonl: read as a curve; then opened to go on behind step 10, after which it has no later line and no torn
 * one. */
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "heed/metrics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fuzz_write("metrics.jsonl", data, bytes);
    fuzz_write("timing.jsonl", data, bytes);
    heed_error error = HEED_ERROR_INIT;
    heed_curve curve;
    fuzz_expect_form(heed_curve_read(&curve, ".", &error), &error);
    heed_curve_reset(&curve);

    error = (heed_error)HEED_ERROR_INIT;
    heed_metrics *metrics = NULL;
    const heed_status status = heed_metrics_open(&metrics, ".", 10, &error);
    fuzz_expect_form(status, &error);
    if (status != HEED_OK)
        return 0;
    const heed_step_record record = {.step = 11, .valid_loss = NAN, .seconds = 1};
    FUZZ_HOLDS(heed_metrics_add(metrics, &record, &error) == HEED_OK);
    heed_metrics_close(metrics);
    FILE *file = fopen("metrics.jsonl", "r");
    FUZZ_HOLDS(file && fseek(file, -1, SEEK_END) == 0 && fgetc(file) == '\n');
    fclose(file);
    return 0;
}
