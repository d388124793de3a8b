/* The trailer: the last 32 bytes of every file.
 *
 *     8 bytes   "HEEDEND1"
 *     8 bytes   how many bytes lie before the trailer, little-endian
 *    16 bytes   XXH3-128 of those bytes, in canonical (big-endian) order
 *
 * It lies behind HDF5's own end of file, where every HDF5 reader ignores it. */
#include <hdf5.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define XXH_STATIC_LINKING_ONLY /* for a digest state on the stack */
#include <xxhash.h>

#include "store_private.h"

static const char magic[8] = {'H', 'E', 'E', 'D', 'E', 'N', 'D', '1'};

static bool digest_of(heedi_disk *disk, unsigned char digest[HEEDI_DIGEST_BYTES]) {
    unsigned char block[1 << 16];
    XXH3_state_t state;
    const size_t in_memory = heedi_disk_in_memory(disk, disk->length);
    XXH3_128bits_reset(&state);
    if (in_memory > 0)
        XXH3_128bits_update(&state, disk->image, in_memory);
    for (uint64_t at = in_memory; at < disk->length; at += sizeof block) {
        const uint64_t left = disk->length - at;
        const size_t bytes = left < sizeof block ? (size_t)left : sizeof block;
        if (!heedi_disk_read(disk, at, block, bytes))
            return false;
        XXH3_128bits_update(&state, block, bytes);
    }
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
    memcpy(digest, canonical.digest, HEEDI_DIGEST_BYTES);
    return true;
}

bool heedi_trailer_write(heedi_disk *disk, unsigned char digest[HEEDI_DIGEST_BYTES]) {
    unsigned char trailer[HEEDI_TRAILER_BYTES];
    memcpy(trailer, magic, sizeof magic);
    for (int i = 0; i < 8; i++)
        trailer[8 + i] = (unsigned char)(disk->length >> 8 * i);
    if (disk->error || !digest_of(disk, digest) || !heedi_disk_settle(disk))
        return false;
    memcpy(trailer + 16, digest, HEEDI_DIGEST_BYTES);
    return heedi_disk_write(disk, disk->length, trailer, sizeof trailer);
}

static heed_status no_trailer(heedi_disk *disk, const char *path, uint64_t size, heed_error *error) {
    static const unsigned char hdf5[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    unsigned char start[8];
    if (size >= sizeof start && heedi_disk_read(disk, 0, start, sizeof start) && memcmp(start, hdf5, sizeof hdf5) == 0)
        return heed_fail(error, HEED_DATA, "%s: has no trailer: it is cut short, or an HDF5 file of another program",
                         path);
    return heed_fail(error, HEED_DATA, "%s: is not a file of heed", path);
}

heed_status heedi_trailer_check(heedi_disk *disk, const char *path, bool verify,
                                unsigned char digest[HEEDI_DIGEST_BYTES], heed_error *error) {
    struct stat file;
    if (fstat(disk->fd, &file) != 0)
        return heed_fail(error, HEED_IO, "%s: %s", path, strerror(errno));
    if (!S_ISREG(file.st_mode))
        return heed_fail(error, HEED_DATA, "%s: is not a regular file", path);
    if (file.st_size == 0)
        return heed_fail(error, HEED_DATA, "%s: is empty", path);
    const uint64_t size = (uint64_t)file.st_size;
    unsigned char trailer[HEEDI_TRAILER_BYTES] = {0};
    if (size >= sizeof trailer && !heedi_disk_read(disk, size - sizeof trailer, trailer, sizeof trailer))
        return heed_fail(error, HEED_IO, "%s: %s", path, strerror(disk->error));
    if (memcmp(trailer, magic, sizeof magic) != 0)
        return no_trailer(disk, path, size, error);
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | trailer[8 + i];
    if (length != size - sizeof trailer)
        return heed_fail(error, HEED_DATA, "%s: has %llu bytes before its trailer, which speaks of %llu: it is damaged",
                         path, (unsigned long long)(size - sizeof trailer), (unsigned long long)length);
    disk->length = length;
    memcpy(digest, trailer + 16, HEEDI_DIGEST_BYTES);
    unsigned char found[HEEDI_DIGEST_BYTES];
    if (!verify)
        return HEED_OK;
    if (!digest_of(disk, found))
        return heed_fail(error, HEED_IO, "%s: %s", path, strerror(disk->error));
    if (memcmp(found, digest, sizeof found) != 0)
        return heed_fail(error, HEED_DATA, "%s: its digest differs: it is damaged, or was changed after it was written",
                         path);
    return HEED_OK;
}
