/* The bytes of one file.
 *
 * While a file is written its first 16 MiB, as a rule all of it, stay in memory until it is sealed. HDF5 writes a file
 * in hundreds of pieces, many of them twice, and the digest takes all of it once more; in memory that costs a third of
 * what it does in the page cache, whose pages are taken one by one, written by threads of the system and freed one by
 * one when the file is removed. And what is complete can be written in whole blocks that pass the page cache by
 * (O_DIRECT), where the file system lets them. */
#include <hdf5.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store_private.h"

#define MAX_TRANSFER ((size_t)1 << 30) /* Linux moves at most 2^31 - 4096 bytes a call */
#define BLOCK 4096                     /* bytes: a multiple of what direct writes are aligned to */

/* --- in the file ------------------------------------------------------------------------------------------------ */

static bool read_file(heedi_disk *disk, uint64_t offset, void *data, size_t bytes) {
    unsigned char *to = data;
    while (bytes > 0) {
        const ssize_t n = pread(disk->fd, to, bytes < MAX_TRANSFER ? bytes : MAX_TRANSFER, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) { /* callers ask for what is there: an end before it means that the file was cut just now */
            disk->error = disk->error ? disk->error : (n < 0 ? errno : EIO);
            return false;
        }
        to += n, offset += (uint64_t)n, bytes -= (size_t)n;
    }
    return true;
}

/* Bytes that were written, less than asked for after a failure: see disk->error. */
static size_t write_file(heedi_disk *disk, uint64_t offset, const void *data, size_t bytes) {
    size_t done = 0;
    while (done < bytes && !disk->error) {
        const size_t left = bytes - done;
        const ssize_t n = pwrite(disk->fd, (const unsigned char *)data + done,
                                 left < MAX_TRANSFER ? left : MAX_TRANSFER, (off_t)(offset + done));
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            disk->error = n < 0 ? errno : ENOSPC;
    }
    return done;
}

/* --- in memory -------------------------------------------------------------------------------------------------- */

size_t heed_store_memory_bytes(size_t file_bytes) {
    const size_t bytes = heed_in_huge_pages(file_bytes);
    return bytes < HEEDI_IMAGE_BYTES ? bytes : HEEDI_IMAGE_BYTES;
}

/* Of files that were written, one image is kept for the next one: on a virtual machine fresh pages cost as much as all
 * that is done with them. */
static _Atomic(unsigned char *) spare;

/* Pages are there from when they are written to. */
static unsigned char *map_image(void) {
    const size_t huge = HEED_HUGE_PAGE_BYTES;
    unsigned char *start = mmap(NULL, HEEDI_IMAGE_BYTES + huge, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED)
        return NULL;
    const size_t before = (huge - (uintptr_t)start % huge) % huge;
    unsigned char *image = start + before;
    if (before > 0)
        munmap(start, before);
    munmap(image + HEEDI_IMAGE_BYTES, huge - before);
#ifdef MADV_HUGEPAGE
    madvise(image, HEEDI_IMAGE_BYTES, MADV_HUGEPAGE); /* advice: what becomes of it does not matter */
#endif
    return image;
}

void heedi_disk_keep_in_memory(heedi_disk *disk) {
    unsigned char *image = atomic_exchange(&spare, NULL);
    disk->image = image ? image : map_image(); /* NULL: then all is written at once */
}

void heedi_disk_forget(heedi_disk *disk) {
    unsigned char *none = NULL;
    if (disk->image && !atomic_compare_exchange_strong(&spare, &none, disk->image))
        munmap(disk->image, HEEDI_IMAGE_BYTES);
    disk->image = NULL;
}

void heed_store_trim(void) {
    unsigned char *image = atomic_exchange(&spare, NULL);
    if (image)
        munmap(image, HEEDI_IMAGE_BYTES);
}

size_t heedi_disk_in_memory(const heedi_disk *disk, uint64_t offset) {
    return !disk->image ? 0 : offset < HEEDI_IMAGE_BYTES ? (size_t)offset : HEEDI_IMAGE_BYTES;
}

/* What is skipped reads as zeros, as in a file. */
static void skip_to(heedi_disk *disk, uint64_t end) {
    const size_t from = heedi_disk_in_memory(disk, disk->length), to = heedi_disk_in_memory(disk, end);
    if (from < to)
        memset(disk->image + from, 0, to - from);
}

/* The image's whole blocks go directly to the disk if they can, what is left by the page cache. */
static void write_image(heedi_disk *disk) {
    const size_t bytes = heedi_disk_in_memory(disk, disk->length);
    size_t done = 0;
#ifdef O_DIRECT
    const int flags = fcntl(disk->fd, F_GETFL);
    if (bytes >= BLOCK && !disk->error && flags >= 0 && fcntl(disk->fd, F_SETFL, flags | O_DIRECT) == 0) {
        done = write_file(disk, 0, disk->image, bytes / BLOCK * BLOCK);
        if (disk->error == EINVAL || disk->error == EOPNOTSUPP) /* larger blocks, or no direct way after all */
            disk->error = 0;
        if (fcntl(disk->fd, F_SETFL, flags) != 0)
            disk->error = disk->error ? disk->error : errno;
    }
#endif
    write_file(disk, done, disk->image + done, bytes - done);
}

/* --- either ----------------------------------------------------------------------------------------------------- */

bool heedi_disk_read(heedi_disk *disk, uint64_t offset, void *data, size_t bytes) {
    const size_t kept = heedi_disk_in_memory(disk, offset + bytes) - heedi_disk_in_memory(disk, offset);
    if (kept > 0)
        memcpy(data, disk->image + offset, kept);
    return read_file(disk, offset + kept, (unsigned char *)data + kept, bytes - kept);
}

bool heedi_disk_write(heedi_disk *disk, uint64_t offset, const void *data, size_t bytes) {
    if (disk->error)
        return false;
    const size_t kept = heedi_disk_in_memory(disk, offset + bytes) - heedi_disk_in_memory(disk, offset);
    skip_to(disk, offset);
    if (kept > 0)
        memcpy(disk->image + offset, data, kept);
    const uint64_t end =
        offset + kept + write_file(disk, offset + kept, (const unsigned char *)data + kept, bytes - kept);
    if (!disk->error && end > disk->length)
        disk->length = end;
    return !disk->error;
}

void heedi_disk_cut(heedi_disk *disk, uint64_t length) {
    if (disk->error || length == disk->length)
        return;
    const uint64_t longest = length > disk->length ? length : disk->length;
    skip_to(disk, length);
    if (heedi_disk_in_memory(disk, longest) < longest && ftruncate(disk->fd, (off_t)length) != 0)
        disk->error = errno;
    disk->length = length;
}

bool heedi_disk_settle(heedi_disk *disk) {
    if (disk->image)
        write_image(disk);
    heedi_disk_forget(disk);
    return !disk->error;
}
