/* HDF5's way to the disk is a driver of our own, for four reasons. The digest is checked on the very bytes that HDF5
 * then reads, through one descriptor. The trailer lies beyond what HDF5 is told of the file. No locks are taken, which
 * some file systems refuse; published files never change, so none are needed. And HDF5 does not recover from a write
 * that fails: objects stay open, and its shutdown may crash. So a failed write is remembered (store_disk.c), later ones
 * are dropped, and HDF5 goes on to close in peace; whoever seals the file sees the error. */
#include <hdf5.h>
#if H5_VERSION_GE(1, 13, 2)
#include <H5FDdevelop.h>
#endif

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store_private.h"

#define MAX_ADDRESS ((haddr_t)INT64_MAX)

typedef struct driver_file {
    H5FD_t head; /* HDF5's part */
    heedi_disk *disk;
    haddr_t end; /* of the addresses that HDF5 has given out */
} driver_file;

typedef struct driver_info {
    heedi_disk *disk;
} driver_info;

static H5FD_t *driver_open(const char *name, unsigned flags, hid_t access, haddr_t max_address) {
    (void)name, (void)flags, (void)max_address;
    const driver_info *info = H5Pget_driver_info(access);
    driver_file *file = info ? calloc(1, sizeof *file) : NULL;
    if (!file) { /* HDF5 itself has no word for it */
        if (info)
            info->disk->error = ENOMEM;
        return NULL;
    }
    file->disk = info->disk;
    return &file->head;
}

static herr_t driver_close(H5FD_t *head) {
    free((driver_file *)head);
    return 0;
}

/* Buffers between HDF5 and the file, one for each array: not where the file, or its beginning, is in memory itself. */
static herr_t driver_query(const H5FD_t *head, unsigned long *flags) {
    const driver_file *file = (const driver_file *)head;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_AGGREGATE_SMALLDATA;
    if (!file || !file->disk->image)
        *flags |= H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE;
    return 0;
}

static haddr_t driver_get_eoa(const H5FD_t *head, H5FD_mem_t type) {
    (void)type;
    return ((const driver_file *)head)->end;
}

static herr_t driver_set_eoa(H5FD_t *head, H5FD_mem_t type, haddr_t end) {
    (void)type;
    ((driver_file *)head)->end = end;
    return 0;
}

static haddr_t driver_get_eof(const H5FD_t *head, H5FD_mem_t type) {
    (void)type;
    return ((const driver_file *)head)->disk->length;
}

static herr_t driver_read(H5FD_t *head, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t bytes, void *data) {
    (void)type, (void)transfer;
    heedi_disk *disk = ((driver_file *)head)->disk;
    if (address > MAX_ADDRESS || bytes > MAX_ADDRESS - address)
        return -1;
    const uint64_t inside = address < disk->length ? disk->length - address : 0;
    const size_t stored = bytes < inside ? bytes : (size_t)inside;
    memset((unsigned char *)data + stored, 0, bytes - stored); /* zeros past the end, as HDF5's own driver has it */
    return heedi_disk_read(disk, address, data, stored) ? 0 : -1;
}

static herr_t driver_write(H5FD_t *head, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t bytes,
                           const void *data) {
    (void)type, (void)transfer;
    heedi_disk *disk = ((driver_file *)head)->disk;
    if (!disk->writing || address > MAX_ADDRESS || bytes > MAX_ADDRESS - address)
        return -1;
    heedi_disk_write(disk, address, data, bytes);
    return 0;
}

static herr_t driver_truncate(H5FD_t *head, hid_t transfer, hbool_t closing) {
    (void)transfer, (void)closing;
    const driver_file *file = (const driver_file *)head;
    if (file->disk->writing)
        heedi_disk_cut(file->disk, file->end);
    return 0;
}

static const H5FD_class_t driver = {
#if H5_VERSION_GE(1, 13, 2)
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)(H5_VFD_RESERVED + 72),
#endif
    .name = "heed",
    .maxaddr = MAX_ADDRESS,
    .fc_degree = H5F_CLOSE_STRONG,
    .fapl_size = sizeof(driver_info),
    .open = driver_open,
    .close = driver_close,
    .query = driver_query,
    .get_eoa = driver_get_eoa,
    .set_eoa = driver_set_eoa,
    .get_eof = driver_get_eof,
    .read = driver_read,
    .write = driver_write,
    .truncate = driver_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

hid_t heedi_disk_access(heedi_disk *disk) {
    static hid_t id = H5I_INVALID_HID;
    const driver_info info = {disk};
    if (id < 0)
        id = H5FDregister(&driver);
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access >= 0 && (id < 0 || H5Pset_driver(access, id, &info) < 0 ||
                        H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) < 0 ||
                        H5Pset_fclose_degree(access, H5F_CLOSE_STRONG) < 0 ||
                        H5Pset_cache(access, 0, 521, (size_t)8 << 20, 0.75) < 0)) { /* 8 MiB of chunks */
        H5Pclose(access);
        return H5I_INVALID_HID;
    }
    return access;
}
