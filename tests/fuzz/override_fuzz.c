/* Assignments of the command line, a line each. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "heed/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    heed_config *config = malloc(sizeof *config);
    FUZZ_HOLDS(config);
    heed_config_defaults(config);
    char *text = fuzz_text(data, bytes), *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));) {
        heed_error error = HEED_ERROR_INIT;
        fuzz_expect_form(heed_config_override(config, line, &error), &error);
    }
    heed_error error = HEED_ERROR_INIT;
    fuzz_expect_form(heed_config_resolve(config, &error), &error);
    free(text);
    free(config);
    return 0;
}
