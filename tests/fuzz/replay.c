/* Hands every file of the folders that it is given to a fuzz target, once. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static uint8_t *slurp(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    FUZZ_HOLDS(file && fseek(file, 0, SEEK_END) == 0);
    *bytes = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(*bytes ? *bytes : 1); /* no more, so that a byte too many is noticed */
    FUZZ_HOLDS(data && fread(data, 1, *bytes, file) == *bytes);
    fclose(file);
    return data;
}

int main(int n_arguments, char **arguments) {
    size_t n = 0;
    for (int i = 1; i < n_arguments; i++) {
        struct dirent **entries;
        char *folder = realpath(arguments[i], NULL); /* the target changes the working folder */
        const int n_entries = folder ? scandir(folder, &entries, NULL, alphasort) : 0;
        for (int k = 0; k < n_entries; k++) {
            char path[4096];
            size_t bytes;
            snprintf(path, sizeof path, "%s/%s", folder, entries[k]->d_name);
            if (entries[k]->d_name[0] != '.') {
                uint8_t *data = slurp(path, &bytes);
                LLVMFuzzerTestOneInput(data, bytes);
                free(data);
                n++;
            }
            free(entries[k]);
        }
        if (n_entries > 0)
            free(entries);
        free(folder);
    }
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    printf("%zu inputs replayed\n", n);
    return n > 0 ? 0 : 1;
}
