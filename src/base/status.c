#include "heed/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name;
    int exit_status;
    const char *meaning;
} table[] = {
#define ROW(name, exit_status, meaning) {#name, exit_status, meaning},
    HEED_STATUS_TABLE(ROW)
#undef ROW
};

static void (*end_all_ranks)(int exit_status);

/* One fault, one line: what a file or a library put into the text cannot break it, nor steer a terminal. */
static void format_line(char *line, size_t bytes, const char *format, va_list arguments) {
    vsnprintf(line, bytes, format, arguments);
    for (char *c = line; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
}

heed_status heed_fail(heed_error *error, heed_status status, const char *format, ...) {
    if (error && error->status == HEED_OK) {
        va_list arguments;
        va_start(arguments, format);
        format_line(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
        error->status = status;
    }
    return status;
}

heed_status heed_hint(heed_error *error, const char *format, ...) {
    if (!error)
        return HEED_OK;
    if (error->status != HEED_OK && !error->hint[0]) {
        va_list arguments;
        va_start(arguments, format);
        format_line(error->hint, sizeof error->hint, format, arguments);
        va_end(arguments);
    }
    return error->status;
}

int heed_status_exit(heed_status status) {
    return status < HEED_STATUS_COUNT ? table[status].exit_status : table[HEED_INTERNAL].exit_status;
}

const char *heed_status_meaning(heed_status status) {
    return status < HEED_STATUS_COUNT ? table[status].meaning : "unknown status";
}

const char *heed_status_name(heed_status status) {
    return status < HEED_STATUS_COUNT ? table[status].name : "?";
}

void heed_bug_handler(void (*handler)(int exit_status)) {
    end_all_ranks = handler;
}

void heed_bug(const char *file, int line, const char *condition) {
    fprintf(stderr, "heed: %s:%d: internal check failed: %s (please report this)\n", file, line, condition);
    fflush(stderr);
    if (end_all_ranks)
        end_all_ranks(table[HEED_INTERNAL].exit_status);
    exit(table[HEED_INTERNAL].exit_status);
}
