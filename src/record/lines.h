/* Files of one JSON object a line and a step, as metrics.jsonl: one write(2) a line, so that a killed run leaves at
 * most one torn line, which the next start cuts off. */
#ifndef HEED_RECORD_LINES_H
#define HEED_RECORD_LINES_H

#include <stddef.h>
#include <stdint.h>

#include "heed/config.h"
#include "heed/status.h"

enum { HEEDI_LINE_BYTES = 512 };

typedef struct heedi_lines {
    int fd; /* -1: not open */
    char path[HEED_PATH_MAX + 16];
} heedi_lines;

/* Opens run_dir/name for appending, after cutting it before its first line that is torn, not ours, or of step `end` or
 * a later one. Errors: HEED_CREATE, HEED_IO. */
heed_status heedi_lines_open(heedi_lines *file, const char *run_dir, const char *name, uint64_t end, heed_error *error);
heed_status heedi_lines_sync(const heedi_lines *file, heed_error *error);
void heedi_lines_close(heedi_lines *file);

/* A line under construction. Allocates nothing. JSON has no NaN and no infinity: they become null. */
typedef struct heedi_line {
    char text[HEEDI_LINE_BYTES];
    size_t used;
} heedi_line;
__attribute__((format(printf, 2, 3))) void heedi_line_add(heedi_line *line, const char *format, ...);
void heedi_line_number(heedi_line *line, const char *key, double value);

/* Closes the object and appends it. Errors: HEED_IO. */
heed_status heedi_lines_put(const heedi_lines *file, heedi_line *line, heed_error *error);

#endif
