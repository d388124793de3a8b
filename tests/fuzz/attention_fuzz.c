/* An attention log under a right digest: merged with itself under another step, and read for credit. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "heed/attention_log.h"
#include "record/attention_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fuzz_write("metrics.jsonl", "", 0);
    mkdir("attention", 0700);
    fuzz_write_sealed("attention/step-00000000.h5", data, bytes);
    heed_error error = HEED_ERROR_INIT;
    fuzz_expect_form(heed_attention_log_merge(".", HEED_SELF_ATTENTION, "merged.h5", &error), &error);
    unlink("merged.h5");

    error = (heed_error)HEED_ERROR_INIT;
    heedi_log_reader log = {.n_logs = 0};
    heed_status status = heedi_log_reader_open(&log, ".", HEED_SELF_ATTENTION, &error);
    if (status == HEED_OK)
        status = heedi_log_reader_truth(&log, &error);
    fuzz_expect_form(status, &error);
    const size_t n = status == HEED_OK ? heedi_log_reader_elements(&log) : 0;
    if (n > 0 && n < 1 << 20) {
        float *map = malloc(n * sizeof *map);
        FUZZ_HOLDS(map);
        fuzz_expect_form(heedi_log_reader_read(&log, 0, HEEDI_MAP_CREDIT, map, &error), &error);
        free(map);
    }
    heedi_log_reader_close(&log);
    return 0;
}
