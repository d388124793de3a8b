/* A run's folder as a whole: is everything in it whole, and how far has it come? */
#include "cli/inspect.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "heed/config.h"

static int no_temporary(const struct dirent *entry) {
    const char *dot = strrchr(entry->d_name, '.');
    return dot && (strcmp(dot, ".h5") == 0 || strcmp(dot, ".jsonl") == 0 || strcmp(dot, ".ini") == 0);
}

/* A file in short: what fits a line of a list. */
static json_t *shorten(const json_t *found) {
    static const char *const short_ones[] = {"file",         "kind",       "step",  "first_step", "last_step",
                                             "valid_loss",   "lines",      "steps", "probes",     "train_tokens",
                                             "valid_tokens", "vocabulary", "model", "bytes",      "digest"};
    json_t *row = json_object();
    for (size_t i = 0; i < sizeof short_ones / sizeof *short_ones; i++)
        if (json_object_get(found, short_ones[i]))
            json_object_set(row, short_ones[i], json_object_get(found, short_ones[i]));
    return row;
}

static bool is(const char *path, const char *name) {
    const char *slash = strrchr(path, '/');
    return strcmp(slash ? slash + 1 : path, name) == 0;
}

static void see_file(json_t *run, const char *path, heed_error *error) {
    json_t *files = json_object_get(run, "files");
    heed_error damage = HEED_ERROR_INIT;
    json_t *found = heedi_inspect_file(path, &damage);
    if (damage.status == HEED_OK) {
        if (is(path, "config.ini"))
            json_object_set(run, "model", json_object_get(found, "model"));
        if (is(path, "metrics.jsonl"))
            json_object_set(run, "last", json_object_get(found, "last"));
        json_array_append_new(files, shorten(found));
        json_decref(found);
        return;
    }
    json_array_append_new(files, json_pack("{ss ss}", "file", path, "damage", damage.message));
    if (heed_fail(error, damage.status, "%s", damage.message) == error->status)
        heed_hint(error, "%s", damage.hint);
}

static void see_folder(json_t *run, const char *folder, heed_error *error) {
    struct dirent **entries = NULL;
    const int n_entries = scandir(folder, &entries, no_temporary, alphasort);
    for (int i = 0; i < n_entries; i++) {
        char path[HEED_PATH_MAX];
        if (snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name) < (int)sizeof path)
            see_file(run, path, error);
        free(entries[i]);
    }
    free(entries);
}

json_t *heedi_inspect_run(const char *folder, heed_error *error) {
    static const char *const parts[] = {"", "/checkpoints", "/attention", "/attention-encoder", "/attention-cross"};
    char path[HEED_PATH_MAX];
    struct stat there;
    if (snprintf(path, sizeof path, "%s/config.ini", folder) >= (int)sizeof path || stat(path, &there) != 0) {
        heed_fail(error, HEED_NOT_FOUND, "%s: no run lives in this folder, as it has no config.ini", folder);
        return NULL;
    }
    json_t *found = json_pack("{ss ss so}", "file", folder, "kind", "run", "files", json_array());
    if (!found)
        heed_fail(error, HEED_DATA, "%s: a name that is not UTF-8", folder);
    for (size_t i = 0; found && i < sizeof parts / sizeof *parts; i++)
        if (snprintf(path, sizeof path, "%s%s", folder, parts[i]) < (int)sizeof path)
            see_folder(found, path, error);
    json_t *files = json_incref(json_object_get(found, "files"));
    json_object_del(found, "files");
    json_object_set_new(found, "files", files); /* last: they are many */
    return found;
}
