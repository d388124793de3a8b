/* Files of one JSON object a line and a step, as metrics.jsonl: one write(2) a line, so that a killed run leaves at
 * most one torn line, which the next start cuts off.
 *
 * A line that cannot be written (a full disk, a quota, a network) waits in memory, in front of those that follow, and
 * is tried again with every line and before every checkpoint: training goes on meanwhile. */
#ifndef HEED_RECORD_LINES_H
#define HEED_RECORD_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/config.h"
#include "heed/status.h"

enum {
    HEEDI_LINE_BYTES = 512,
    HEEDI_WAITING_BYTES = 1 << 20 /* of lines that wait: some 5000 steps */
};

typedef struct heedi_lines {
    int fd; /* -1: not open */
    char path[HEED_PATH_MAX + 16];
    char *waiting; /* (HEEDI_WAITING_BYTES), the first n_waiting used */
    size_t n_waiting;
    bool told; /* that lines wait */
} heedi_lines;

/* Opens run_dir/name for appending, after cutting it before its first line that is torn, not ours, or of step `end` or
 * a later one. Errors: HEED_CREATE, HEED_IO, HEED_MEMORY. Ownership: heedi_lines_close, which tries once more to write
 * lines that wait. */
heed_status heedi_lines_open(heedi_lines *file, const char *run_dir, const char *name, uint64_t end, heed_error *error);
void heedi_lines_close(heedi_lines *file);

/* Writes lines that wait. Errors: HEED_IO: they wait on. */
heed_status heedi_lines_flush(heedi_lines *file, heed_error *error);
/* Makes what was written durable. Errors: HEED_IO: nobody knows what is on the disk now; not to be tried again. */
heed_status heedi_lines_sync(const heedi_lines *file, heed_error *error);

/* A line under construction. Allocates nothing. JSON has no NaN and no infinity: they become null. */
typedef struct heedi_line {
    char text[HEEDI_LINE_BYTES];
    size_t used;
} heedi_line;
__attribute__((format(printf, 2, 3))) void heedi_line_add(heedi_line *line, const char *format, ...);
void heedi_line_number(heedi_line *line, const char *key, double value);

/* Closes the object and appends it; that lines wait is warned of once. Allocates nothing. Errors: HEED_IO: there is no
 * room for more lines that wait. */
heed_status heedi_lines_put(heedi_lines *file, heedi_line *line, heed_error *error);

#endif
