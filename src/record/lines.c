#include "record/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heed/log.h"

static heed_status io_failed(const heedi_lines *file, heed_error *error) {
    return heed_fail(error, HEED_IO, "%s: %s", file->path, strerror(errno));
}

/* Whether a line belongs to a step before `end`. */
static bool is_kept(const char *line, uint64_t end) {
    uint64_t step;
    return sscanf(line, "{\"step\":%" SCNu64 ",", &step) == 1 && step < end;
}

static heed_status cut(const heedi_lines *file, uint64_t end, heed_error *error) {
    FILE *stream = fopen(file->path, "re");
    if (!stream)
        return io_failed(file, error);
    char line[HEEDI_LINE_BYTES];
    off_t kept = 0;
    while (fgets(line, sizeof line, stream) && strchr(line, '\n') && is_kept(line, end))
        kept += (off_t)strlen(line);
    const bool failed = ferror(stream);
    fclose(stream);
    if (failed || ftruncate(file->fd, kept) != 0)
        return io_failed(file, error);
    return HEED_OK;
}

heed_status heedi_lines_open(heedi_lines *file, const char *run_dir, const char *name, uint64_t end,
                             heed_error *error) {
    *file = (heedi_lines){.fd = -1};
    snprintf(file->path, sizeof file->path, "%s/%s", run_dir, name);
    file->fd = open(file->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file->fd < 0)
        return heed_fail(error, HEED_CREATE, "%s: cannot be created: %s", file->path, strerror(errno));
    file->waiting = malloc(HEEDI_WAITING_BYTES);
    if (!file->waiting)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", file->path);
    return cut(file, end, error);
}

heed_status heedi_lines_sync(const heedi_lines *file, heed_error *error) {
    return fsync(file->fd) == 0 ? HEED_OK : io_failed(file, error);
}

void heedi_lines_close(heedi_lines *file) {
    heed_error lost = HEED_ERROR_INIT; /* the run that goes on makes these steps again: their checkpoint waited too */
    if (file->n_waiting > 0)
        heedi_lines_flush(file, &lost);
    if (file->fd >= 0)
        close(file->fd);
    free(file->waiting);
    *file = (heedi_lines){.fd = -1};
}

void heedi_line_add(heedi_line *line, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int added = vsnprintf(line->text + line->used, sizeof line->text - line->used, format, arguments);
    va_end(arguments);
    HEED_CHECK(added >= 0 && line->used + (size_t)added < sizeof line->text);
    line->used += (size_t)added;
}

void heedi_line_number(heedi_line *line, const char *key, double value) {
    if (isfinite(value))
        heedi_line_add(line, ",\"%s\":%.17g", key, value);
    else
        heedi_line_add(line, ",\"%s\":null", key);
}

heed_status heedi_lines_flush(heedi_lines *file, heed_error *error) {
    while (file->n_waiting > 0) {
        const ssize_t written = write(file->fd, file->waiting, file->n_waiting);
        if (written <= 0) {
            errno = written == 0 ? ENOSPC : errno;
            return io_failed(file, error);
        }
        file->n_waiting -= (size_t)written; /* a part of a line is completed by the next write */
        memmove(file->waiting, file->waiting + written, file->n_waiting);
    }
    file->told = false;
    return HEED_OK;
}

heed_status heedi_lines_put(heedi_lines *file, heedi_line *line, heed_error *error) {
    heed_error trouble = HEED_ERROR_INIT;
    heedi_line_add(line, "}\n");
    if (line->used > HEEDI_WAITING_BYTES - file->n_waiting && heedi_lines_flush(file, error) != HEED_OK)
        return HEED_IO;
    memcpy(file->waiting + file->n_waiting, line->text, line->used);
    file->n_waiting += line->used;
    if (heedi_lines_flush(file, &trouble) != HEED_OK && !file->told) {
        file->told = true;
        heed_say(HEED_WARNING, "%s (training goes on; the line waits until it can be written)", trouble.message);
    }
    return HEED_OK;
}
