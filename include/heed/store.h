/* The one door to HDF5: files of named arrays with dimensions, attributes and a digest.
 *
 * A file is written whole under a temporary name, closed, given a trailer (magic, length, XXH3-128 of all before it,
 * behind HDF5's own end, where every HDF5 reader ignores it), synced, renamed and its folder synced: whatever happens,
 * a name is either absent or a complete file. Opening checks the trailer before HDF5 sees the file. Names are
 * '/'-separated paths; groups are made as needed.
 *
 * HDF5 is not thread-safe: every call into it is made under one lock of this module, taken in short turns, so several
 * threads may use stores, each its own. Not collective: one rank calls. Library version bounds V110; no external links
 * or external storage are followed; H5dont_atexit. */
#ifndef HEED_STORE_H
#define HEED_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/real.h"
#include "heed/status.h"

#define HEED_STORE_MAX_DIMS 8

/* The type in memory and, but for FLOAT16 and STRING, on disk (little-endian). */
typedef enum heed_type {
    HEED_TYPE_UINT8,
    HEED_TYPE_UINT16,
    HEED_TYPE_INT32,
    HEED_TYPE_INT64,
    HEED_TYPE_UINT64,
    HEED_TYPE_FLOAT16, /* uint16_t in memory, holding IEEE 754 binary16 bits */
    HEED_TYPE_FLOAT32,
    HEED_TYPE_FLOAT64,
    HEED_TYPE_CHAR,  /* char: one byte of text; netCDF's strings are arrays of it with a dimension for the bytes */
    HEED_TYPE_STRING /* const char *: UTF-8, stored with fixed length padded by NUL */
} heed_type;
#ifdef HEED_DOUBLE
#define HEED_TYPE_REAL HEED_TYPE_FLOAT64
#else
#define HEED_TYPE_REAL HEED_TYPE_FLOAT32
#endif
size_t heed_type_bytes(heed_type type); /* in memory */
const char *heed_type_name(heed_type type);

typedef struct heed_store heed_store;

/* Memory that a file of so many bytes takes while it is written: its first 16 MiB are kept until it is sealed, and
 * their memory then for the next file, until it is given back. Any thread. */
size_t heed_store_memory_bytes(size_t file_bytes);
void heed_store_trim(void);

/* Starts writing path (as path.tmp until sealed). Errors: HEED_CREATE. Ownership: heed_store_seal or
 * heed_store_discard. */
heed_status heed_store_create(heed_store **store, const char *path, heed_error *error);

/* Writes a whole array. dims is (n_dims); a scalar has n_dims 0. deflate: chunked (chunk = the trailing dims that fit 1
 * MiB) and compressed with shuffle. Errors: HEED_IO (one line with HDF5's or the system's reason). */
heed_status heed_store_write(heed_store *store, const char *name, heed_type type, int n_dims, const size_t *dims,
                             const void *data, bool deflate, heed_error *error);

/* The same in pieces along the first dimension: reserve once, then write rows [first, first + count). */
heed_status heed_store_reserve(heed_store *store, const char *name, heed_type type, int n_dims, const size_t *dims,
                               bool deflate, heed_error *error);
heed_status heed_store_write_rows(heed_store *store, const char *name, size_t first, size_t count, const void *data,
                                  heed_error *error);

/* Attributes of an object ("/" is the file). An attribute is written once. */
heed_status heed_store_write_text(heed_store *store, const char *object, const char *key, const char *value,
                                  heed_error *error);
heed_status heed_store_write_int(heed_store *store, const char *object, const char *key, int64_t value,
                                 heed_error *error);
heed_status heed_store_write_number(heed_store *store, const char *object, const char *key, double value,
                                    heed_error *error);

/* Says in attributes of "/" what the file is: heed_kind ("checkpoint"), heed_format (counted from 1 for each kind) and
 * heed_version (the program's). check_kind: HEED_DATA unless the file is of that kind, and of that format or an earlier
 * one. */
heed_status heed_store_write_kind(heed_store *store, const char *kind, int64_t format, heed_error *error);
heed_status heed_store_check_kind(heed_store *store, const char *kind, int64_t format, heed_error *error);

/* netCDF-4 dimension scales, by which xarray and ncdump find dimensions. make_scale: the 1-d array `scale` is a
 * dimension of that name, and its coordinates if has_values. attach_scales, once for a file: axis d of each array
 * belongs to scale[d], up to the first NULL. Errors: HEED_IO, HEED_MEMORY. */
typedef struct heed_scaled_array {
    const char *name, *scale[HEED_STORE_MAX_DIMS];
} heed_scaled_array;
heed_status heed_store_make_scale(heed_store *store, const char *scale, bool has_values, heed_error *error);
heed_status heed_store_attach_scales(heed_store *store, const heed_scaled_array *arrays, size_t n_arrays,
                                     heed_error *error);

/* Publishes the file: flush, close, trailer, fsync, rename to path, fsync of the folder. The store is freed in either
 * case; after a failure the temporary file is gone and an earlier file at path is untouched. Errors: HEED_IO. */
heed_status heed_store_seal(heed_store *store, heed_error *error);
void heed_store_discard(heed_store *store);

/* Opens a sealed file for reading after its digest was verified (verify = false checks the trailer's form and length
 * only). Errors: HEED_NOT_FOUND, HEED_DATA (no trailer, truncated, digest differs, not HDF5). Ownership:
 * heed_store_close. */
heed_status heed_store_open(heed_store **store, const char *path, bool verify, heed_error *error);
void heed_store_close(heed_store *store);
const char *heed_store_path(const heed_store *store);

/* Of an open sealed file: the hex digest that its trailer tells (32 digits), and the file's size with the trailer. */
const char *heed_store_digest(const heed_store *store);
uint64_t heed_store_bytes(const heed_store *store);

typedef struct heed_array { /* what is stored under a name */
    heed_type type;
    int n_dims;
    size_t dims[HEED_STORE_MAX_DIMS];
} heed_array;

/* Whether an array of that name exists; its type and shape. Errors of describe: HEED_DATA (absent, or of a kind that is
 * not ours). */
bool heed_store_has(heed_store *store, const char *name);
heed_status heed_store_describe(heed_store *store, const char *name, heed_array *array, heed_error *error);

/* Reads a whole array into data, which holds exactly the given type and shape: anything else is HEED_DATA, with what
 * was expected and found. FLOAT32/FLOAT64 convert. For STRING data is char *[n], and the caller frees each string.
 * read_rows reads rows [first, first + count) of the first dimension; from the second call for an array that is not
 * deflated on, it takes no lock and allocates nothing. */
heed_status heed_store_read(heed_store *store, const char *name, heed_type type, int n_dims, const size_t *dims,
                            void *data, heed_error *error);
heed_status heed_store_read_rows(heed_store *store, const char *name, heed_type type, size_t first, size_t count,
                                 void *data, heed_error *error);

/* Attributes. read_text gives a string the caller frees (at most max_bytes long, else HEED_DATA). */
heed_status heed_store_read_text(heed_store *store, const char *object, const char *key, size_t max_bytes, char **value,
                                 heed_error *error);
heed_status heed_store_read_int(heed_store *store, const char *object, const char *key, int64_t *value,
                                heed_error *error);
heed_status heed_store_read_number(heed_store *store, const char *object, const char *key, double *value,
                                   heed_error *error);

/* Calls visit for every array below group, in name order; stops when it returns other than HEED_OK. */
heed_status heed_store_each(heed_store *store, const char *group,
                            heed_status (*visit)(void *context, const char *name, const heed_array *array,
                                                 heed_error *error),
                            void *context, heed_error *error);

/* The library's version in one line. */
const char *heed_store_library(void);

#endif
