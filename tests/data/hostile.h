/* Stores that are well sealed but wrong, made array by array, and the sentence that whoever opens one must get. */
#ifndef HEED_TESTS_DATA_HOSTILE_H
#define HEED_TESTS_DATA_HOSTILE_H

#include <string.h>

#include "heed/store.h"

#define MAX 400

typedef struct array_of {
    const char *name;
    heed_type type;
    int n_dims; /* -1 leaves it out */
    size_t dims[2];
    int64_t value[MAX]; /* cast to type when written */
} array_of;

static inline void write_array_as(heed_store *store, const char *name, const array_of *a) {
    if (a->n_dims < 0)
        return;
    unsigned char data[8 * MAX] = {0};
    size_t n = 1;
    for (int d = 0; d < a->n_dims; d++)
        n *= a->dims[d];
    for (size_t i = 0; i < n && i < MAX; i++) {
        const double number = (double)a->value[i];
        const float single = (float)number;
        switch (a->type) {
        case HEED_TYPE_FLOAT32:
            memcpy(data + 4 * i, &single, 4);
            break;
        case HEED_TYPE_FLOAT64:
            memcpy(data + 8 * i, &number, 8);
            break;
        default: /* integers, on a machine that keeps the low bytes first */
            memcpy(data + heed_type_bytes(a->type) * i, &a->value[i], heed_type_bytes(a->type));
        }
    }
    heed_error error = HEED_ERROR_INIT;
    ok(heed_store_write(store, name, a->type, a->n_dims, a->dims, data, false, &error), &error);
}

static inline void write_array(heed_store *store, const array_of *a) {
    write_array_as(store, a->name, a);
}

/* 1 when path, changed as described, was not refused with this sentence behind its name. */
static inline int wrongly_judged(heed_status status, const heed_error *error, const char *path, const char *change,
                                 const char *sentence) {
    const size_t n = strlen(path);
    if (status == HEED_DATA && strncmp(error->message, path, n) == 0 && strncmp(error->message + n, ": ", 2) == 0 &&
        strstr(error->message, sentence) && !strpbrk(error->message, "\n\033"))
        return 0;
    print_error("%s\n  gives %s: %s\n  expected: %s\n", change, heed_status_name(status), error->message, sentence);
    return 1;
}

/* HDF5 1.10 loses the memory of an object header that it finds damaged while it reads it. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libhdf5";
}

/* The linker sends heed's calls of fsync here: hundreds of files need not reach the disk. */
int __wrap_fsync(int fd);
int __wrap_fsync(int fd) {
    (void)fd;
    return 0;
}

#endif
