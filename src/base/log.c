#include "heed/log.h"

#include <stdarg.h>

static struct {
    int rank;
    heed_level shown;
    FILE *copy;
    bool live;
} speaker = {0, HEED_INFO, NULL, false};

void heed_log_setup(int rank, heed_level shown) {
    speaker.rank = rank;
    speaker.shown = shown;
}

void heed_log_copy(FILE *file) {
    speaker.copy = file;
}

void heed_log_live(bool live) {
    speaker.live = live;
}

void heed_say(heed_level level, const char *format, ...) {
    const bool shown = level >= speaker.shown, copied = speaker.copy && (shown || level >= HEED_INFO);
    if (!(shown || copied) || (speaker.rank != 0 && level < HEED_WARNING))
        return;
    char line[2048]; /* one write per line: ranks' lines never mix */
    const int erase = speaker.live ? snprintf(line, sizeof line, "\r\033[K") : 0;
    int used = erase + snprintf(line + erase, sizeof line - (size_t)erase, "heed: %s",
                                level == HEED_WARNING ? "warning: " : "");
    va_list arguments;
    va_start(arguments, format);
    const int added = vsnprintf(line + used, sizeof line - (size_t)used - 1, format, arguments);
    va_end(arguments);
    used += added < 0 ? 0 : added;
    if (used > (int)sizeof line - 2)
        used = (int)sizeof line - 2;
    line[used++] = '\n';
    if (shown)
        fwrite(line, 1, (size_t)used, stderr);
    if (copied) {
        fwrite(line + erase, 1, (size_t)(used - erase), speaker.copy);
        fflush(speaker.copy);
    }
}
