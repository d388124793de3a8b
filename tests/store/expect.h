/* A call that must succeed, and one that must fail with one clear line. Both name their last argument &error. */
#ifndef HEED_TESTS_STORE_EXPECT_H
#define HEED_TESTS_STORE_EXPECT_H

#include <string.h>

#include "heed/status.h"

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        heed_error error = HEED_ERROR_INIT;                                                                            \
        if ((call) != HEED_OK)                                                                                         \
            fail_msg("%s: %s", #call, error.message);                                                                  \
    } while (0)

/* part must be in the message. */
#define FAILS(wanted, part, call)                                                                                      \
    do {                                                                                                               \
        heed_error error = HEED_ERROR_INIT;                                                                            \
        const heed_status status = (call);                                                                             \
        if (status != (wanted) || error.status != status || !strstr(error.message, part) ||                            \
            strchr(error.message, '\n'))                                                                               \
            fail_msg("%s: %s, \"%s\": expected %s, \"%s\"", #call, heed_status_name(status), error.message,            \
                     heed_status_name(wanted), part);                                                                  \
    } while (0)

#endif
