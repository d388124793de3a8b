/* Writing the chunks of an array compressed. HDF5's own deflate filter lets zlib search for repeated strings; in
 * numbers it finds little but the runs of zeros that the shuffle lays side by side. ISA-L deflates maps of attention in
 * a quarter of the time that zlib takes for runs alone (Z_RLE), and they become 14 % larger; its level 2 is faster than
 * its level 1, with the same size. Where heed was built without ISA-L, zlib does it. Any reader of HDF5 reads both. */
#include <hdf5.h>

#include <errno.h>
#include <string.h>

#ifdef HEED_ISAL
#include <isa-l/igzip_lib.h>
#else
#include <zlib.h>
#endif

#include "heed/arena.h"
#include "store_private.h"

#define UNPACKED 2u /* a chunk whose second filter, deflate after the shuffle, was left out */

/* HDF5's shuffle: the first bytes of all n elements, then the second ones, and so on. Elements from n_there on are 0.
 */
static void shuffle(unsigned char *restrict to, const unsigned char *restrict from, size_t n_there, size_t n,
                    size_t element_bytes) {
    for (size_t b = 0; b < element_bytes; b++) {
        for (size_t i = 0; i < n_there; i++)
            to[b * n + i] = from[i * element_bytes + b];
        memset(to + b * n + n_there, 0, n - n_there);
    }
}

/* --- one chunk -------------------------------------------------------------------------------------------------- */

#ifdef HEED_ISAL

#define TABLES_BYTES ISAL_DEF_LVL2_DEFAULT

typedef struct packer {
    struct isal_zstream stream;
    uint8_t *tables; /* (TABLES_BYTES) */
} packer;

static bool packer_begin(packer *p, void *tables) {
    p->tables = tables;
    return true;
}

static void packer_end(packer *p) {
    (void)p;
}

/* The bytes that n plain ones take, or 0 where that is more than room. */
static size_t pack(packer *p, unsigned char *to, size_t room, unsigned char *plain, size_t n) {
    isal_deflate_init(&p->stream); /* ISA-L's reset would leave out the next chunk's header */
    p->stream.level = 2;
    p->stream.level_buf = p->tables;
    p->stream.level_buf_size = ISAL_DEF_LVL2_DEFAULT;
    p->stream.gzip_flag = IGZIP_ZLIB;
    p->stream.end_of_stream = 1;
    p->stream.next_in = plain, p->stream.avail_in = (uint32_t)n;
    p->stream.next_out = to, p->stream.avail_out = (uint32_t)room;
    const bool done = isal_deflate(&p->stream) == COMP_OK && p->stream.internal_state.state == ZSTATE_END;
    return done ? p->stream.total_out : 0;
}

#else

#define MOST_WINDOW 15 /* zlib's largest sizes */
#define MOST_MEMORY 9

#define TABLES_BYTES 0 /* zlib's are its own */

typedef z_stream packer;

static bool packer_begin(packer *p, void *tables) {
    (void)tables;
    return deflateInit2(p, HEEDI_DEFLATE_LEVEL, Z_DEFLATED, MOST_WINDOW, MOST_MEMORY, Z_RLE) == Z_OK;
}

static void packer_end(packer *p) {
    deflateEnd(p);
}

/* The bytes that n plain ones take, or 0 where that is more than room. */
static size_t pack(packer *p, unsigned char *to, size_t room, unsigned char *plain, size_t n) {
    p->next_in = plain, p->avail_in = (uInt)n;
    p->next_out = to, p->avail_out = (uInt)room;
    return deflateReset(p) == Z_OK && deflate(p, Z_FINISH) == Z_STREAM_END ? p->total_out : 0;
}

#endif

/* --- all chunks ------------------------------------------------------------------------------------------------- */

/* Elements of a run of dimensions. */
static size_t product(const hsize_t *size, int from, int end) {
    size_t n = 1;
    for (int d = from; d < end; d++)
        n *= size[d];
    return n;
}

/* Room for a chunk shuffled and packed, which stays with the store: most files have more arrays of the same kind. Whole
 * huge pages, because the memory of a log is not used for a hundred steps, and small pages come back slowly. */
static bool divide_room(heed_store *store, size_t bytes, unsigned char **shuffled, unsigned char **packed,
                        unsigned char **tables) {
    const size_t one = heed_aligned(bytes), all = heed_in_huge_pages(2 * one + heed_aligned(TABLES_BYTES));
    heed_error ignored = HEED_ERROR_INIT;
    if (store->chunks.capacity_bytes < all) {
        heed_arena_reset(&store->chunks);
        if (heed_arena_init(&store->chunks, all, "a chunk", &ignored) != HEED_OK)
            return false;
    }
    store->chunks.used_bytes = 0;
    *shuffled = heed_arena_take(&store->chunks, one);
    *packed = heed_arena_take(&store->chunks, one);
    *tables = heed_arena_take(&store->chunks, TABLES_BYTES);
    return true;
}

bool heedi_store_put_chunks(heed_store *store, hid_t array, const heedi_chunks *form, size_t first, size_t count,
                            const void *data) {
    const int n_dims = form->n_dims;
    int divided = n_dims - 1; /* the dimension of which a chunk has a part; chunks have all of those behind it */
    while (divided > 0 && form->chunk[divided] == form->dims[divided])
        divided--;
    const size_t row = product(form->dims, 1, n_dims), end = (first + count) * row;
    const size_t line = product(form->dims, divided, n_dims), elements = product(form->chunk, 0, n_dims);
    const size_t size = form->element_bytes, bytes = elements * size;
    packer deflater = {0};
    unsigned char *shuffled, *packed, *tables;
    bool ok = divide_room(store, bytes, &shuffled, &packed, &tables) && packer_begin(&deflater, tables);
    if (!ok)
        store->disk.error = ENOMEM; /* HDF5 has no word for it */
    for (size_t at = first * row; ok && at < end;) {
        const size_t left = line - at % line, n = left < elements ? left : elements;
        const unsigned char *from = (const unsigned char *)data + (at - first * row) * size;
        hsize_t place[HEED_STORE_MAX_DIMS];
        for (int d = 0; d < n_dims; d++)
            place[d] = at / product(form->dims, d + 1, n_dims) % form->dims[d];
        shuffle(shuffled, from, n, elements, size); /* the last chunk of a line is stored whole */
        const size_t used = pack(&deflater, packed, bytes, shuffled, bytes);
        ok = H5Dwrite_chunk(array, H5P_DEFAULT, used > 0 ? 0 : UNPACKED, place, used > 0 ? used : bytes,
                            used > 0 ? packed : shuffled) >= 0;
        at += n;
    }
    packer_end(&deflater);
    return ok;
}
