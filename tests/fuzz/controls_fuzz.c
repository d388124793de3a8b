/* A file of controls under a right digest. */
#include "fuzz.h"
#include "heed/controls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    fuzz_write_sealed("controls.h5", data, bytes);
    heed_error error = HEED_ERROR_INIT;
    heed_controls controls = {.n_variants = 0};
    fuzz_expect_form(heed_controls_read(&controls, ".", &error), &error);
    heed_controls_reset(&controls);
    return 0;
}
