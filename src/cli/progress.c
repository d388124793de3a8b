/* How a run shows itself: one line that is drawn again and again on a terminal, and plain lines at round steps
 * elsewhere. Lines that stay (plain ones, and evaluations on a terminal) go through heed_say, so that log.txt has them
 * too. */
#include "cli/cli.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "heed/log.h"

#define SECONDS_BETWEEN_DRAWINGS 0.1
#define SECONDS_BETWEEN_LINES 30.0
#define LINES_A_RUN 20

static void add(char *line, size_t bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void add(char *line, size_t bytes, const char *format, ...) {
    const size_t used = strlen(line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + used, bytes - used, format, arguments);
    va_end(arguments);
}

/* "0:07", "4:05", "2:10:00". */
static void add_duration(char *line, size_t bytes, double seconds) {
    const long s = lround(seconds);
    if (s < 3600)
        add(line, bytes, "%ld:%02ld", s / 60, s % 60);
    else
        add(line, bytes, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}

/* A validation loss stays in the live line until the next one; among lines that stay it stands where it was measured.
 * The short form fits 80 columns. */
static void describe(char *line, size_t bytes, const heed_progress *progress, bool stays, bool short_form) {
    const char *gap = short_form ? " " : "  ";
    const int digits = short_form ? 3 : 4;
    *line = 0;
    add(line, bytes, "step %llu/%llu%sloss %.*f", (unsigned long long)progress->step,
        (unsigned long long)progress->steps, gap, digits, progress->loss);
    if (!isnan(progress->valid_loss) && (progress->evaluated || !stays))
        add(line, bytes, "%svalid %.*f", gap, digits, progress->valid_loss);
    add(line, bytes, "%slr %.*e", gap, short_form ? 1 : 2, progress->learning_rate);
    if (progress->tokens_per_second >= 10000)
        add(line, bytes, "%s%.1fk tok%s/s", gap, progress->tokens_per_second / 1000, short_form ? "" : "ens");
    else
        add(line, bytes, "%s%.0f tok%s/s", gap, progress->tokens_per_second, short_form ? "" : "ens");
    if (!isnan(progress->share_of_peak))
        add(line, bytes, "%s%.0f%%%s peak", gap, 100 * progress->share_of_peak, short_form ? "" : " of");
    if (!isnan(progress->seconds_left) && progress->step < progress->steps) {
        add(line, bytes, "%s", gap);
        add_duration(line, bytes, progress->seconds_left);
        add(line, bytes, " left");
    }
}

/* 1, 2 or 5 times a power of ten, so that a run of n steps has about LINES_A_RUN lines. */
static uint64_t round_stride(uint64_t steps) {
    uint64_t stride = 1;
    for (int i = 0; stride * LINES_A_RUN < steps; i++)
        stride = i % 3 == 1 ? stride / 2 * 5 : stride * 2;
    return stride;
}

/* Never as wide as the terminal: a line that wraps cannot be drawn over. */
static void draw(const heed_progress *progress) {
    struct winsize window;
    char line[256], drawn[300];
    const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0;
    const size_t width = known ? window.ws_col - 1u : 79;
    describe(line, sizeof line, progress, false, false);
    if (strlen(line) > width)
        describe(line, sizeof line, progress, false, true);
    const int length = snprintf(drawn, sizeof drawn, "\r%.*s\033[K", (int)width, line);
    fwrite(drawn, 1, (size_t)length, stderr);
}

static void on_step(void *context, const heed_progress *progress) {
    heedi_progress *shown = context;
    const double now = heed_seconds();
    bool stays = progress->evaluated || progress->step == progress->steps;
    if (!shown->terminal)
        stays = stays || progress->step % round_stride(progress->steps) == 0 ||
                now - shown->last_line > SECONDS_BETWEEN_LINES;
    if (stays) {
        char line[256];
        describe(line, sizeof line, progress, true, false);
        heed_say(HEED_INFO, "%s", line);
        shown->last_line = now;
    } else if (shown->terminal && now - shown->last_drawing > SECONDS_BETWEEN_DRAWINGS) {
        heed_log_live(true);
        draw(progress);
        shown->last_drawing = now;
    }
}

heed_watch heedi_progress_watch(heedi_progress *progress, bool quiet) {
    *progress = (heedi_progress){.terminal = !quiet && isatty(STDERR_FILENO), .last_line = heed_seconds()};
    return (heed_watch){on_step, progress};
}

void heedi_progress_end(heedi_progress *progress) {
    if (progress->terminal && progress->last_drawing > 0) {
        fputs("\r\033[K", stderr);
        heed_log_live(false);
    }
}
