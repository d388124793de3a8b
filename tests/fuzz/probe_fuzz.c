/* What `heed probe` found, under a right digest. What is accepted can be written again, and is read back alike. */
#include <string.h>

#include "fuzz.h"
#include "heed/probe_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fuzz_write_sealed("probe.h5", data, bytes);
    heed_error error = HEED_ERROR_INIT;
    heed_probe probe, again;
    fuzz_expect_form(heed_probe_read(&probe, "probe.h5", &error), &error);
    if (error.status != HEED_OK)
        return 0;
    FUZZ_HOLDS(heed_probe_write(&probe, "again.h5", &error) == HEED_OK);
    FUZZ_HOLDS(heed_probe_read(&again, "again.h5", &error) == HEED_OK);
    FUZZ_HOLDS(memcmp(&probe.sizes, &again.sizes, sizeof probe.sizes) == 0 && probe.step == again.step);
    FUZZ_HOLDS(strcmp(probe.config_text, again.config_text) == 0 && strcmp(probe.checkpoint, again.checkpoint) == 0);
    heed_probe_reset(&probe);
    heed_probe_reset(&again);
    return 0;
}
