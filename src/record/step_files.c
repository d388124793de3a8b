#include "record/step_files.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "heed/config.h"

heed_status heedi_step_path(char *path, const char *folder, uint64_t step, heed_error *error) {
    const int length = snprintf(path, HEED_PATH_MAX, "%s/step-%08" PRIu64 ".h5", folder, step);
    if (length >= HEED_PATH_MAX - 4) /* room for .tmp */
        return heed_fail(error, HEED_CREATE, "%s: the name of this folder is too long", folder);
    return HEED_OK;
}

heed_status heedi_make_folder(const char *folder, heed_error *error) {
    if (mkdir(folder, 0777) == 0 || errno == EEXIST)
        return HEED_OK;
    return heed_fail(error, HEED_CREATE, "%s: cannot be created: %s", folder, strerror(errno));
}

/* Whether name is step-<8 digits or more><ending>. */
static bool parse(const char *name, const char *ending, uint64_t *step) {
    if (strncmp(name, "step-", 5) != 0)
        return false;
    const size_t digits = strspn(name + 5, "0123456789");
    if (digits < 8 || digits > 18 || strcmp(name + 5 + digits, ending) != 0)
        return false;
    *step = strtoull(name + 5, NULL, 10);
    return true;
}

static int ascending(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

heed_status heedi_step_list(const char *folder, bool sweep, uint64_t **steps, size_t *n_steps, heed_error *error) {
    *steps = NULL;
    *n_steps = 0;
    DIR *open_folder = opendir(folder);
    if (!open_folder && errno == ENOENT)
        return HEED_OK;
    if (!open_folder)
        return heed_fail(error, HEED_IO, "%s: cannot be read: %s", folder, strerror(errno));
    heed_status status = HEED_OK;
    uint64_t step;
    errno = 0;
    for (struct dirent *entry; status == HEED_OK && (entry = readdir(open_folder)); errno = 0) {
        if (sweep && parse(entry->d_name, ".h5.tmp", &step))
            unlinkat(dirfd(open_folder), entry->d_name, 0);
        if (!parse(entry->d_name, ".h5", &step))
            continue;
        uint64_t *grown = *n_steps % 64 ? *steps : realloc(*steps, (*n_steps + 64) * sizeof **steps);
        if (!grown) {
            status = heed_fail(error, HEED_MEMORY, "%s: out of memory", folder);
            break;
        }
        *steps = grown;
        grown[(*n_steps)++] = step;
    }
    if (status == HEED_OK && errno)
        status = heed_fail(error, HEED_IO, "%s: cannot be read: %s", folder, strerror(errno));
    closedir(open_folder);
    if (*n_steps > 0)
        qsort(*steps, *n_steps, sizeof **steps, ascending);
    if (status != HEED_OK) {
        free(*steps);
        *steps = NULL;
        *n_steps = 0;
    }
    return status;
}
