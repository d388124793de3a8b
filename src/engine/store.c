/* Files: made under a temporary name, sealed, opened after a check. HDF5's error stack, types and lock. */
#include <hdf5.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_private.h"

/* --- the lock --------------------------------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t turn;
    uint64_t next, serving;
} queue = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};

static hid_t half_on_disk, half_in_memory;

static hid_t half_type(hid_t order_of) {
    const hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    H5Tset_fields(type, 15, 10, 5, 0, 10);
    H5Tset_size(type, 2);
    H5Tset_ebias(type, 15);
    H5Tset_order(type, H5Tget_order(order_of));
    return type;
}

static void start_hdf5(void) {
    H5dont_atexit(); /* first of all calls: its exit handler may crash after a failure */
    H5open();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5PLset_loading_state(0); /* no filter plugins: a file cannot make us load code */
    half_on_disk = half_type(H5T_IEEE_F32LE);
    half_in_memory = half_type(H5T_NATIVE_FLOAT);
}

void heedi_store_enter(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_mutex_lock(&queue.mutex);
    const uint64_t ticket = queue.next++;
    while (queue.serving != ticket)
        pthread_cond_wait(&queue.turn, &queue.mutex);
    pthread_mutex_unlock(&queue.mutex);
    pthread_once(&once, start_hdf5);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* where HDF5 keeps an error stack per thread, this one's is new */
}

void heedi_store_leave(void) {
    pthread_mutex_lock(&queue.mutex);
    queue.serving++;
    pthread_cond_broadcast(&queue.turn);
    pthread_mutex_unlock(&queue.mutex);
}

/* --- messages --------------------------------------------------------------------------------------------------- */

static herr_t keep_innermost(unsigned n, const H5E_error2_t *entry, void *reason) {
    if (n == 0)
        snprintf(reason, 256, "%s", entry->desc ? entry->desc : "unknown reason");
    return 0;
}

heed_status heedi_store_fail(heed_store *store, const char *name, const char *doing, heed_error *error) {
    char reason[256] = "unknown reason";
    if (store->disk.error)
        snprintf(reason, sizeof reason, "%s",
                 store->disk.error == ENOMEM ? "out of memory" : strerror(store->disk.error));
    else
        H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, reason);
    const heed_status status = store->disk.error == ENOMEM                ? HEED_MEMORY
                               : store->disk.writing || store->disk.error ? HEED_IO
                                                                          : HEED_DATA;
    return heed_fail(error, status, "%s: %s%s%s: %s", store->path, name ? name : "", name ? ": " : "", doing, reason);
}

/* --- types ------------------------------------------------------------------------------------------------------ */

size_t heed_type_bytes(heed_type type) {
    static const size_t bytes[] = {1, 2, 4, 8, 8, 2, 4, 8, 1, sizeof(char *)};
    HEED_CHECK(type <= HEED_TYPE_STRING);
    return bytes[type];
}

const char *heed_type_name(heed_type type) {
    static const char *const name[] = {"uint8",   "uint16",  "int32",   "int64", "uint64",
                                       "float16", "float32", "float64", "char",  "string"};
    return type <= HEED_TYPE_STRING ? name[type] : "?";
}

hid_t heedi_type_on_disk(heed_type type) {
    const hid_t id[] = {H5T_STD_U8LE, H5T_STD_U16LE,  H5T_STD_I32LE,  H5T_STD_I64LE, H5T_STD_U64LE,
                        half_on_disk, H5T_IEEE_F32LE, H5T_IEEE_F64LE, H5T_C_S1};
    HEED_CHECK(type < HEED_TYPE_STRING);
    return id[type];
}

hid_t heedi_type_in_memory(heed_type type) {
    const hid_t id[] = {H5T_NATIVE_UINT8, H5T_NATIVE_UINT16, H5T_NATIVE_INT32,  H5T_NATIVE_INT64, H5T_NATIVE_UINT64,
                        half_in_memory,   H5T_NATIVE_FLOAT,  H5T_NATIVE_DOUBLE, H5T_C_S1};
    HEED_CHECK(type < HEED_TYPE_STRING);
    return id[type];
}

bool heedi_type_find(hid_t on_disk, heed_type *type) {
    for (int t = 0; t < HEED_TYPE_STRING; t++)
        if (H5Tequal(on_disk, heedi_type_on_disk((heed_type)t)) > 0) {
            *type = (heed_type)t;
            return true;
        }
    *type = HEED_TYPE_STRING;
    return H5Tget_class(on_disk) == H5T_STRING && H5Tis_variable_str(on_disk) == 0;
}

/* --- files ------------------------------------------------------------------------------------------------------ */

const char *heed_store_library(void) {
    static char line[64];
    unsigned major = 0, minor = 0, release = 0;
    heedi_store_enter();
    H5get_libversion(&major, &minor, &release);
    snprintf(line, sizeof line, "HDF5 %u.%u.%u", major, minor, release);
    heedi_store_leave();
    return line;
}

const char *heed_store_path(const heed_store *store) {
    return store->path;
}

const char *heed_store_digest(const heed_store *store) {
    return store->digest;
}

uint64_t heed_store_bytes(const heed_store *store) {
    return store->disk.length + HEEDI_TRAILER_BYTES;
}

/* HDF5 would end the process where the library differs from the one that heed was built with. */
static heed_status check_library(heed_error *error) {
    unsigned major = 0, minor = 0, release = 0;
    H5get_libversion(&major, &minor, &release);
    if ((major == H5_VERS_MAJOR && minor == H5_VERS_MINOR && release == H5_VERS_RELEASE) ||
        getenv("HDF5_DISABLE_VERSION_CHECK"))
        return HEED_OK;
    heed_fail(error, HEED_UNAVAILABLE, "HDF5 %u.%u.%u is not the version that heed was built with, %d.%d.%d", major,
              minor, release, H5_VERS_MAJOR, H5_VERS_MINOR, H5_VERS_RELEASE);
    return heed_hint(error, "load the other version, or build heed again");
}

static heed_store *store_new(const char *path, heed_error *error) {
    if (check_library(error) != HEED_OK)
        return NULL;
    heed_store *store = calloc(1, sizeof *store);
    if (store) {
        *store = (heed_store){.file = H5I_INVALID_HID, .disk.fd = -1, .path = strdup(path)};
        if (store->path && asprintf(&store->temporary, "%s.tmp", path) >= 0)
            return store;
        free(store->path);
        free(store);
    }
    heed_fail(error, HEED_MEMORY, "%s: out of memory", path);
    return NULL;
}

static void store_free(heed_store *store) {
    if (store->disk.fd >= 0)
        close(store->disk.fd);
    store->disk.fd = -1;
    heedi_disk_forget(&store->disk);
    heed_arena_reset(&store->chunks);
    free(store->path);
    free(store->temporary);
    if (!store->held)
        free(store);
}

static void digest_text(char *text, const unsigned char *digest) {
    for (int i = 0; i < HEEDI_DIGEST_BYTES; i++)
        sprintf(text + 2 * i, "%02x", digest[i]);
}

heed_status heed_store_create(heed_store **out, const char *path, heed_error *error) {
    *out = NULL;
    heed_store *store = store_new(path, error);
    if (!store)
        return error ? error->status : HEED_MEMORY;
    unlink(store->temporary); /* left over from a run that was killed */
    store->disk.fd = open(store->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (store->disk.fd < 0) {
        heed_fail(error, HEED_CREATE, "%s: cannot be created: %s", store->temporary, strerror(errno));
        heed_hint(error, "is the folder there, and may you write to it?");
        store_free(store);
        return HEED_CREATE;
    }
    struct stat made = {0};
    fstat(store->disk.fd, &made);
    store->device = made.st_dev, store->inode = made.st_ino;
    store->disk.writing = true;
    heedi_disk_keep_in_memory(&store->disk);
    heedi_store_enter();
    const hid_t access = heedi_disk_access(&store->disk), creation = H5Pcreate(H5P_FILE_CREATE);
    if (creation >= 0 && H5Pset_obj_track_times(creation, false) >= 0 && access >= 0)
        store->file = H5Fcreate(store->temporary, H5F_ACC_TRUNC, creation, access);
    heed_status status = HEED_OK;
    if (store->file < 0 || store->disk.error)
        status = heedi_store_fail(store, NULL, "cannot be written", error);
    H5Pclose(access);
    H5Pclose(creation);
    heedi_store_leave();
    if (status != HEED_OK)
        heed_store_discard(store);
    else
        *out = store;
    return status;
}

/* Closes HDF5's side. Should HDF5 keep hold of the file in spite of it, the store stays in memory, where our driver can
 * find it, but its descriptor is closed and nothing is written any more. */
static bool close_file(heed_store *store) {
    const bool let_go = heedi_store_let_go(store);
    store->held = store->file >= 0 && H5Fclose(store->file) < 0;
    store->file = H5I_INVALID_HID;
    return let_go && !store->held;
}

/* Does the temporary name still stand for what was made under it? */
static bool is_ours(const heed_store *store) {
    struct stat there;
    return lstat(store->temporary, &there) == 0 && there.st_dev == store->device && there.st_ino == store->inode;
}

static void remove_temporary(const heed_store *store) {
    if (is_ours(store))
        unlink(store->temporary);
}

static bool sync_file(int fd) {
    while (fsync(fd) != 0)
        if (errno != EINTR)
            return false;
    return true;
}

static bool sync_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = !slash ? strdup(".") : strndup(path, slash == path ? 1 : (size_t)(slash - path));
    const int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    free(folder);
    if (fd < 0)
        return false;
    const bool synced = sync_file(fd) || errno == EINVAL; /* EINVAL: a file system whose folders need none */
    const int saved = errno;
    close(fd);
    errno = saved;
    return synced;
}

static heed_status publish(heed_store *store, heed_error *error) {
    unsigned char digest[HEEDI_DIGEST_BYTES];
    if (!heedi_trailer_write(&store->disk, digest))
        return heed_fail(error, HEED_IO, "%s: cannot be written: %s", store->path, strerror(store->disk.error));
    if (!sync_file(store->disk.fd))
        return heed_fail(error, HEED_IO, "%s: cannot be written: fsync: %s", store->path, strerror(errno));
    const int fd = store->disk.fd;
    store->disk.fd = -1;
    if (close(fd) != 0) /* some network file systems report a full disk only now */
        return heed_fail(error, HEED_IO, "%s: cannot be written: close: %s", store->path, strerror(errno));
    if (!is_ours(store))
        return heed_fail(error, HEED_IO, "%s: another process writes it, too, and has begun later", store->path);
    if (rename(store->temporary, store->path) != 0)
        return heed_fail(error, HEED_IO, "%s: cannot be renamed from %s: %s", store->path, store->temporary,
                         strerror(errno));
    if (!sync_folder(store->path))
        return heed_fail(error, HEED_IO, "%s: its folder cannot be synced: %s", store->path, strerror(errno));
    return HEED_OK;
}

heed_status heed_store_seal(heed_store *store, heed_error *error) {
    heed_status status = HEED_OK;
    heedi_store_enter();
    if (!close_file(store) || store->disk.error)
        status = heedi_store_fail(store, NULL, "cannot be written", error);
    heedi_store_leave();
    if (status == HEED_OK)
        status = publish(store, error);
    if (status != HEED_OK)
        remove_temporary(store);
    store_free(store);
    return status;
}

void heed_store_discard(heed_store *store) {
    if (!store)
        return;
    store->disk.error = store->disk.error ? store->disk.error : ECANCELED; /* no more writes */
    heedi_store_enter();
    close_file(store);
    heedi_store_leave();
    remove_temporary(store);
    store_free(store);
}

heed_status heed_store_open(heed_store **out, const char *path, bool verify, heed_error *error) {
    *out = NULL;
    heed_store *store = store_new(path, error);
    if (!store)
        return error ? error->status : HEED_MEMORY;
    unsigned char digest[HEEDI_DIGEST_BYTES];
    heed_status status = HEED_OK;
    store->disk.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* never wait for a pipe's writer */
    if (store->disk.fd < 0)
        status = heed_fail(error, HEED_NOT_FOUND, "%s: cannot be opened: %s", path, strerror(errno));
    else
        status = heedi_trailer_check(&store->disk, path, verify, digest, error);
    if (status == HEED_OK) {
        digest_text(store->digest, digest);
        heedi_store_enter();
        const hid_t access = heedi_disk_access(&store->disk);
        if (access >= 0)
            store->file = H5Fopen(path, H5F_ACC_RDONLY, access);
        if (store->file < 0)
            status = heedi_store_fail(store, NULL, "is not an HDF5 file that can be read", error);
        H5Pclose(access);
        heedi_store_leave();
    }
    if (status != HEED_OK)
        heed_store_close(store);
    else
        *out = store;
    return status;
}

void heed_store_close(heed_store *store) {
    if (!store)
        return;
    heedi_store_enter();
    close_file(store);
    heedi_store_leave();
    store_free(store);
}
