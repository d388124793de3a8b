#include "record/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
    snprintf(file->path, sizeof file->path, "%s/%s", run_dir, name);
    file->fd = open(file->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file->fd < 0)
        return heed_fail(error, HEED_CREATE, "%s: cannot be created: %s", file->path, strerror(errno));
    return cut(file, end, error);
}

heed_status heedi_lines_sync(const heedi_lines *file, heed_error *error) {
    return fsync(file->fd) == 0 ? HEED_OK : io_failed(file, error);
}

void heedi_lines_close(heedi_lines *file) {
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
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

heed_status heedi_lines_put(const heedi_lines *file, heedi_line *line, heed_error *error) {
    heedi_line_add(line, "}\n");
    const ssize_t written = write(file->fd, line->text, line->used);
    if (written < 0)
        return io_failed(file, error);
    if ((size_t)written < line->used) { /* take back the part, so that a later line does not follow a torn one */
        const off_t end = lseek(file->fd, 0, SEEK_END);
        const bool cut_back = end >= written && ftruncate(file->fd, end - written) == 0;
        (void)cut_back; /* else the next start cuts it */
        errno = ENOSPC;
        return io_failed(file, error);
    }
    return HEED_OK;
}
