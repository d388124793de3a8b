/* make_damaged GOOD FOLDER: writes every damaged version of the file GOOD to FOLDER/0.h5, FOLDER/1.h5, ... and prints
 * what each is, one a line. The version that does not exist has its number and no file. */
#include <stdio.h>

#include "damage.h"

typedef struct shelf {
    const char *folder, *bad;
    size_t n;
} shelf;

static void keep(void *context, const char *what) {
    shelf *s = context;
    char path[4096];
    snprintf(path, sizeof path, "%s/%zu.h5", s->folder, s->n++);
    rename(s->bad, path); /* a folder or a link as well as a file; nothing, if there is none */
    printf("%s\n", what);
}

int main(int n_arguments, char **arguments) {
    if (n_arguments != 3)
        return 64;
    char bad[4096];
    snprintf(bad, sizeof bad, "%s/next.h5", arguments[2]);
    shelf s = {arguments[2], bad, 0};
    damage_each(arguments[1], bad, keep, &s);
    return 0;
}
