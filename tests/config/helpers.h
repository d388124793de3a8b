/* Shared by the tests of config. */
#ifndef HEED_TESTS_CONFIG_HELPERS_H
#define HEED_TESTS_CONFIG_HELPERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/table.h"

#define NO_ERROR ((heed_error)HEED_ERROR_INIT)

/* One line, as every message must be. */
static inline void assert_one_line(const heed_error *error) {
    assert_true(error->message[0]);
    assert_null(strpbrk(error->message, "\n\r"));
    assert_null(strpbrk(error->hint, "\n\r"));
}

/* text is refused with exactly this message and hint. */
#define assert_refused(text, expected_message, expected_hint)                                                          \
    do {                                                                                                               \
        heed_config refused_;                                                                                          \
        heed_error error_ = NO_ERROR;                                                                                  \
        heed_config_defaults(&refused_);                                                                               \
        assert_int_equal(heed_config_read_text(&refused_, "a.ini", text, &error_), HEED_CONFIG);                       \
        assert_string_equal(error_.message, expected_message);                                                         \
        assert_string_equal(error_.hint, expected_hint);                                                               \
    } while (0)

#endif
