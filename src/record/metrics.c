/* metrics.jsonl and timing.jsonl: one line a step, one write(2) a line, so that a killed run leaves at most one torn
 * line. */
#include "heed/metrics.h"

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

#include "heed/config.h"

#define LINE_BYTES 512

typedef struct line_file {
    int fd;
    char path[HEED_PATH_MAX + 16];
} line_file;

struct heed_metrics {
    line_file metrics, timing;
};

static heed_status io_failed(const line_file *file, heed_error *error) {
    return heed_fail(error, HEED_IO, "%s: %s", file->path, strerror(errno));
}

/* Whether a line belongs to a step up to last_step. */
static bool is_kept(const char *line, uint64_t last_step) {
    uint64_t step;
    return sscanf(line, "{\"step\":%" SCNu64 ",", &step) == 1 && step <= last_step;
}

/* Cuts the file before its first line that is torn, of a later step, or not ours. */
static heed_status cut(const line_file *file, uint64_t last_step, heed_error *error) {
    FILE *stream = fopen(file->path, "re");
    if (!stream)
        return io_failed(file, error);
    char line[LINE_BYTES];
    off_t kept = 0;
    while (fgets(line, sizeof line, stream) && strchr(line, '\n') && is_kept(line, last_step))
        kept += (off_t)strlen(line);
    const bool failed = ferror(stream);
    fclose(stream);
    if (failed || ftruncate(file->fd, kept) != 0)
        return io_failed(file, error);
    return HEED_OK;
}

static heed_status open_lines(line_file *file, const char *run_dir, const char *name, uint64_t last_step,
                              heed_error *error) {
    snprintf(file->path, sizeof file->path, "%s/%s", run_dir, name);
    file->fd = open(file->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file->fd < 0)
        return heed_fail(error, HEED_CREATE, "%s: cannot be created: %s", file->path, strerror(errno));
    return cut(file, last_step, error);
}

heed_status heed_metrics_open(heed_metrics **out, const char *run_dir, uint64_t last_step, heed_error *error) {
    *out = NULL;
    if (strlen(run_dir) >= HEED_PATH_MAX)
        return heed_fail(error, HEED_CREATE, "%s: the name of this folder is too long", run_dir);
    heed_metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", run_dir);
    metrics->metrics.fd = metrics->timing.fd = -1;
    heed_status status = open_lines(&metrics->metrics, run_dir, "metrics.jsonl", last_step, error);
    if (status == HEED_OK)
        status = open_lines(&metrics->timing, run_dir, "timing.jsonl", last_step, error);
    if (status != HEED_OK)
        heed_metrics_close(metrics);
    else
        *out = metrics;
    return status;
}

typedef struct line {
    char text[LINE_BYTES];
    size_t used;
} line;

__attribute__((format(printf, 2, 3))) static void add(line *to, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int added = vsnprintf(to->text + to->used, sizeof to->text - to->used, format, arguments);
    va_end(arguments);
    HEED_CHECK(added >= 0 && to->used + (size_t)added < sizeof to->text);
    to->used += (size_t)added;
}

/* JSON has no NaN and no infinity. */
static void add_number(line *to, const char *key, double value) {
    if (isfinite(value))
        add(to, ",\"%s\":%.17g", key, value);
    else
        add(to, ",\"%s\":null", key);
}

static heed_status put(const line_file *file, line *text, heed_error *error) {
    add(text, "}\n");
    const ssize_t written = write(file->fd, text->text, text->used);
    if (written < 0)
        return io_failed(file, error);
    if ((size_t)written < text->used) { /* take back the part, so that a later line does not follow a torn one */
        const off_t end = lseek(file->fd, 0, SEEK_END);
        const bool cut_back = end >= written && ftruncate(file->fd, end - written) == 0;
        (void)cut_back; /* else the next start cuts it */
        errno = ENOSPC;
        return io_failed(file, error);
    }
    return HEED_OK;
}

heed_status heed_metrics_add(heed_metrics *metrics, const heed_step_record *record, heed_error *error) {
    line text = {.used = 0};
    add(&text, "{\"step\":%" PRIu64 ",\"epoch\":%" PRIu64, record->step, record->epoch);
    add_number(&text, "tokens", record->tokens);
    add_number(&text, "loss", record->loss);
    add_number(&text, "gradient_norm", record->gradient_norm);
    add_number(&text, "learning_rate", record->learning_rate);
    if (record->left_out)
        add(&text, ",\"left_out\":true");
    if (!isnan(record->valid_loss)) {
        add_number(&text, "valid_loss", record->valid_loss);
        add_number(&text, "valid_accuracy", record->valid_accuracy);
    }
    heed_status status = put(&metrics->metrics, &text, error);
    if (status != HEED_OK)
        return status;
    text.used = 0;
    add(&text, "{\"step\":%" PRIu64, record->step);
    add_number(&text, "seconds", record->seconds);
    add_number(&text, "tokens_per_second", record->tokens / record->seconds);
    if (!isnan(record->share_of_peak))
        add_number(&text, "share_of_peak", record->share_of_peak);
    return put(&metrics->timing, &text, error);
}

heed_status heed_metrics_sync(heed_metrics *metrics, heed_error *error) {
    if (fsync(metrics->metrics.fd) != 0)
        return io_failed(&metrics->metrics, error);
    if (fsync(metrics->timing.fd) != 0)
        return io_failed(&metrics->timing, error);
    return HEED_OK;
}

void heed_metrics_close(heed_metrics *metrics) {
    if (!metrics)
        return;
    if (metrics->metrics.fd >= 0)
        close(metrics->metrics.fd);
    if (metrics->timing.fd >= 0)
        close(metrics->timing.fd);
    free(metrics);
}
