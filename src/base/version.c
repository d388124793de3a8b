#include "heed/version.h"

#include "heed_describe.h" /* written by every build, see cmake/describe.cmake */

const char *heed_version(void) {
    return sizeof HEED_DESCRIBE > 1 ? HEED_VERSION " (" HEED_DESCRIBE ")" : HEED_VERSION;
}

const char *heed_version_describe(void) {
    return HEED_DESCRIBE;
}
