/* Writing the chunks of an array compressed. HDF5's own deflate filter lets zlib search for repeated strings; in
 * numbers it finds little but the runs of zeros that the shuffle lays side by side. Deflated by runs alone (Z_RLE),
 * maps of attention become 9 % smaller in a third of the time. Any reader of HDF5 reads them. */
#include <hdf5.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "heed/arena.h"
#include "store_private.h"

#define MOST_WINDOW 15 /* zlib's largest sizes */
#define MOST_MEMORY 9

/* HDF5's shuffle: the first bytes of all elements, then the second ones, and so on. */
static void shuffle(unsigned char *restrict to, const unsigned char *restrict from, size_t n, size_t element_bytes) {
    for (size_t b = 0; b < element_bytes; b++)
        for (size_t i = 0; i < n; i++)
            to[b * n + i] = from[i * element_bytes + b];
}

/* The bytes that n plain ones take; 0 on failure. */
static size_t deflate_runs(z_stream *stream, unsigned char *to, size_t room, unsigned char *plain, size_t n) {
    stream->next_in = plain, stream->avail_in = (uInt)n;
    stream->next_out = to, stream->avail_out = (uInt)room;
    return deflateReset(stream) == Z_OK && deflate(stream, Z_FINISH) == Z_STREAM_END ? stream->total_out : 0;
}

/* Elements of a run of dimensions. */
static size_t product(const hsize_t *size, int from, int end) {
    size_t n = 1;
    for (int d = from; d < end; d++)
        n *= size[d];
    return n;
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
    z_stream stream = {0};
    if (deflateInit2(&stream, HEEDI_DEFLATE_LEVEL, Z_DEFLATED, MOST_WINDOW, MOST_MEMORY, Z_RLE) != Z_OK) {
        store->disk.error = ENOMEM; /* HDF5 has no word for it */
        return false;
    }
    const size_t room = deflateBound(&stream, (uLong)bytes);
    unsigned char *plain = malloc(bytes), *shuffled = malloc(bytes), *packed = malloc(room);
    bool ok = plain && shuffled && packed;
    if (!ok)
        store->disk.error = ENOMEM;
    for (size_t at = first * row; ok && at < end;) {
        const size_t left = line - at % line, n = left < elements ? left : elements;
        hsize_t place[HEED_STORE_MAX_DIMS];
        for (int d = 0; d < n_dims; d++)
            place[d] = at / product(form->dims, d + 1, n_dims) % form->dims[d];
        memcpy(plain, (const unsigned char *)data + (at - first * row) * size, n * size);
        memset(plain + n * size, 0, bytes - n * size); /* the last chunk of a line is stored whole */
        shuffle(shuffled, plain, elements, size);
        const size_t used = deflate_runs(&stream, packed, room, shuffled, bytes);
        HEED_CHECK(used > 0); /* room is enough for any bytes */
        ok = H5Dwrite_chunk(array, H5P_DEFAULT, 0, place, used, packed) >= 0;
        at += n;
    }
    free(packed);
    free(shuffled);
    free(plain);
    deflateEnd(&stream);
    return ok;
}
