#include "heed/log.h"

#include <stdarg.h>

static struct {
    int rank;
    heed_level shown;
    FILE *copy;
} speaker = {0, HEED_INFO, NULL};

void heed_log_setup(int rank, heed_level shown) {
    speaker.rank = rank;
    speaker.shown = shown;
}

void heed_log_copy(FILE *file) {
    speaker.copy = file;
}

void heed_say(heed_level level, const char *format, ...) {
    if (level < speaker.shown || (speaker.rank != 0 && level < HEED_WARNING))
        return;
    char line[2048]; /* one write per line: ranks' lines never mix */
    int used = snprintf(line, sizeof line, "heed: %s", level == HEED_WARNING ? "warning: " : "");
    va_list arguments;
    va_start(arguments, format);
    const int added = vsnprintf(line + used, sizeof line - (size_t)used - 1, format, arguments);
    va_end(arguments);
    used += added < 0 ? 0 : added;
    if (used > (int)sizeof line - 2)
        used = (int)sizeof line - 2;
    line[used++] = '\n';
    fwrite(line, 1, (size_t)used, stderr);
    if (speaker.copy) {
        fwrite(line, 1, (size_t)used, speaker.copy);
        fflush(speaker.copy);
    }
}
