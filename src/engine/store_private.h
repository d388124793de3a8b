/* What the files of the store share. hdf5.h comes first, in the .c file that includes this. */
#ifndef HEED_STORE_PRIVATE_H
#define HEED_STORE_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "heed/arena.h"
#include "heed/store.h"

/* --- store_disk.c: the bytes of one file ------------------------------------------------------------------------ */

#define HEEDI_IMAGE_BYTES ((size_t)16 << 20)

typedef struct heedi_disk {
    int fd;
    bool writing;
    int error;            /* errno of the first failure, 0 = none */
    uint64_t length;      /* bytes that belong to HDF5: all that was written, or all before the trailer */
    unsigned char *image; /* of the first HEEDI_IMAGE_BYTES of a file that is written; NULL = they are in the file */
} heedi_disk;

/* Bytes that are there; false: see disk->error, which is the first failure. After one nothing is written any more. */
bool heedi_disk_read(heedi_disk *disk, uint64_t offset, void *data, size_t bytes);
bool heedi_disk_write(heedi_disk *disk, uint64_t offset, const void *data, size_t bytes);

/* Makes the file so long: cut off, or zeros at its end. What fails is in disk->error. */
void heedi_disk_cut(heedi_disk *disk, uint64_t length);

/* Of a new file, empty as yet: its beginning stays in memory, if there is some, until heedi_disk_settle writes it to
 * the file (false: see disk->error) or heedi_disk_forget drops it. */
void heedi_disk_keep_in_memory(heedi_disk *disk);
bool heedi_disk_settle(heedi_disk *disk);
void heedi_disk_forget(heedi_disk *disk);

/* How many of the bytes before this offset are in memory: they are the first ones. */
size_t heedi_disk_in_memory(const heedi_disk *disk, uint64_t offset);

/* --- store_driver.c --------------------------------------------------------------------------------------------- */

/* A file access property list by which HDF5 works on disk; negative on failure. */
hid_t heedi_disk_access(heedi_disk *disk);

/* --- store_trailer.c -------------------------------------------------------------------------------------------- */

#define HEEDI_DIGEST_BYTES 16
#define HEEDI_TRAILER_BYTES 32

/* Writes the trailer behind disk->length bytes. false: see disk->error. */
bool heedi_trailer_write(heedi_disk *disk, unsigned char digest[HEEDI_DIGEST_BYTES]);

/* Finds the trailer of the open file, sets disk->length to what lies before it and checks the digest when verify. */
heed_status heedi_trailer_check(heedi_disk *disk, const char *path, bool verify,
                                unsigned char digest[HEEDI_DIGEST_BYTES], heed_error *error);

/* --- store.c: files, the lock, messages ------------------------------------------------------------------------- */

#define HEEDI_MAX_PLACES 8

typedef struct heedi_place { /* where the rows of an array that is stored in one piece lie in the file */
    char name[64];
    heed_type type;
    uint64_t offset, n_rows, row_bytes;
} heedi_place;

#define HEEDI_MAX_NAME 256
#define HEEDI_MAX_OPEN 32

typedef struct heedi_open { /* an array or a group that is open in HDF5 */
    char name[HEEDI_MAX_NAME];
    hid_t id;
    uint64_t used; /* when it was asked for last, in askings */
} heedi_open;

struct heed_store {
    hid_t file;
    bool held; /* HDF5 did not let go of the file */
    heedi_disk disk;
    char *path, *temporary;
    dev_t device; /* of the file that was made under the temporary name ... */
    ino_t inode;  /* ... which another process that writes the same path takes for its own */
    char digest[2 * HEEDI_DIGEST_BYTES + 1];
    size_t n_places;
    heedi_place place[HEEDI_MAX_PLACES];
    heed_arena chunks; /* in which chunks are compressed; empty before the first */
    size_t n_open;     /* those used last stay open: to open one costs as much as to write little */
    uint64_t n_asked;
    heedi_open open[HEEDI_MAX_OPEN];
    char group[HEEDI_MAX_NAME]; /* that certainly is there: of the array that was made last */
};

/* Every use of HDF5 lies between the two. First come, first served, so that a thread that writes a large file
 * in many calls does not keep another from reading. */
void heedi_store_enter(void);
void heedi_store_leave(void);

/* Fails with "path: name: doing: reason", the reason being the system's if a read or write failed, else the innermost
 * one that HDF5 gives; call it before the next call into HDF5. */
heed_status heedi_store_fail(heed_store *store, const char *name, const char *doing, heed_error *error);

/* The HDF5 type of a heed_type on disk and in memory, and back (false: not one of ours). STRING has none of its own. */
hid_t heedi_type_on_disk(heed_type type);
hid_t heedi_type_in_memory(heed_type type);
bool heedi_type_find(hid_t on_disk, heed_type *type);
hid_t heedi_string_type(size_t bytes); /* to be closed */

/* --- store_open.c, of a file that is written; to be called between enter and leave -------------------------------- */

/* The array or group of this name, which stays open until HEEDI_MAX_OPEN others were asked for or the file is closed:
 * do not close it. Negative on failure. */
hid_t heedi_store_object(heed_store *store, const char *name);

/* Hands over an object that is open. false: HDF5's error stack or disk.error says why. */
bool heedi_store_keep(heed_store *store, const char *name, hid_t id);

/* Closes all of them; false if any could not be. */
bool heedi_store_let_go(heed_store *store);

/* --- store_deflate.c, to be called between enter and leave ------------------------------------------------------ */

#define HEEDI_DEFLATE_LEVEL 1

typedef struct heedi_chunks { /* of a deflated array, as heed makes them: see chunk_of in store_write.c */
    int n_dims;
    hsize_t dims[HEED_STORE_MAX_DIMS], chunk[HEED_STORE_MAX_DIMS];
    size_t element_bytes; /* the same in memory and on disk */
} heedi_chunks;

/* Writes rows [first, first + count), which are whole chunks. false: HDF5's error stack or disk.error says why. */
bool heedi_store_put_chunks(heed_store *store, hid_t array, const heedi_chunks *form, size_t first, size_t count,
                            const void *data);

/* --- store_check.c, to be called between enter and leave -------------------------------------------------------- */

heed_status heedi_store_refuse(const heed_store *store, const char *name, const char *why, heed_error *error);

/* That every part of name is there (*missing otherwise) and a hard link. */
heed_status heedi_store_check_links(heed_store *store, const char *name, bool *missing, heed_error *error);

/* Opens an array after all checks and describes it; *array is negative after a failure. */
heed_status heedi_store_open_array(heed_store *store, const char *name, hid_t *array, heed_array *found,
                                   size_t *element_bytes, heed_error *error);

#endif
