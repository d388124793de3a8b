/* A config's text, or, behind a '=', assignments of the command line, a line each. A text that is accepted and resolved
 * is the same again after it was printed and read. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "heed/config.h"

static heed_status read_and_resolve(heed_config *config, const char *text, heed_error *error) {
    heed_config_defaults(config);
    heed_status status = heed_config_read_text(config, "config.ini", text, error);
    if (status == HEED_OK)
        status = heed_config_resolve(config, error);
    fuzz_expect_form(status, error);
    return status;
}

static void check_text(heed_config config[2], const char *text) {
    heed_error error = HEED_ERROR_INIT;
    if (read_and_resolve(config, text, &error) != HEED_OK)
        return;
    char *printed = heed_config_text(config), key[128] = "";
    FUZZ_HOLDS(printed);
    FUZZ_HOLDS(read_and_resolve(config + 1, printed, &error) == HEED_OK);
    heed_config_compare(config, config + 1, key, sizeof key);
    FUZZ_HOLDS(!key[0]);
    free(printed);
}

static void check_assignments(heed_config *config, char *lines) {
    heed_config_defaults(config);
    for (char *line; (line = strsep(&lines, "\n"));) {
        heed_error error = HEED_ERROR_INIT;
        fuzz_expect_form(heed_config_override(config, line, &error), &error);
    }
    heed_error error = HEED_ERROR_INIT;
    fuzz_expect_form(heed_config_resolve(config, &error), &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    heed_config *config = malloc(2 * sizeof *config);
    FUZZ_HOLDS(config);
    char *text = fuzz_text(data, bytes);
    if (text[0] == '=')
        check_assignments(config, text + 1);
    else
        check_text(config, text);
    free(text);
    free(config);
    return 0;
}
