#include "cli/cli.h"

#include <sys/stat.h>

/* A new file of ours must not replace something by accident: not what it is made from, and nothing else unless asked
 * to. */
heed_status heedi_check_output(const char *output, bool force, char *const *inputs, int n_inputs, heed_error *error) {
    struct stat there, input;
    if (stat(output, &there) != 0)
        return HEED_OK;
    for (int i = 0; i < n_inputs; i++) {
        if (stat(inputs[i], &input) == 0 && input.st_dev == there.st_dev && input.st_ino == there.st_ino)
            return heed_fail(error, HEED_USAGE, "%s: is an input, and cannot be the output too", output);
    }
    if (S_ISDIR(there.st_mode))
        return heed_fail(error, HEED_CREATE, "%s: is a folder", output);
    if (force)
        return HEED_OK;
    heed_fail(error, HEED_CREATE, "%s: exists already", output);
    return heed_hint(error, "--force replaces it");
}
