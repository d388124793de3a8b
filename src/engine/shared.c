/* A rank's memory begins with a name that nobody else's has: a process number means something else in a container, and
 * a descriptor may have been closed, so what was opened must say whose it is. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif
#include "heed/shared.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine/shared.h"
#include "heed/arena.h"

bool heedi_shared_allowed = true;

enum { FLAGS_AT = HEED_ALIGNMENT }; /* bytes from the base */

typedef struct segment {
    char *base;
    size_t bytes;
} segment;

/* What others need to know of a rank's memory. */
typedef struct name {
    uint64_t nonce; /* 0: there is none */
    uint64_t bytes;
    int64_t process, descriptor;
} name;

struct heed_shared {
    int rank, size;
    size_t memory_at;  /* bytes from the base */
    segment *segments; /* (ranks) */
};

static void unmap(heed_shared *shared) {
    for (int r = 0; shared->segments && r < shared->size; r++)
        if (shared->segments[r].base)
            munmap(shared->segments[r].base, shared->segments[r].bytes);
}

#if defined(__linux__) && defined(MFD_CLOEXEC)

static uint64_t make_nonce(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return ((uint64_t)getpid() << 40 ^ (uint64_t)now.tv_sec * 1000000000u ^ (uint64_t)now.tv_nsec) | 1;
}

/* Maps a descriptor's memory; NULL where that cannot be. */
static char *map(int descriptor, size_t bytes, int protection) {
    void *base = mmap(NULL, bytes, protection, MAP_SHARED, descriptor, 0);
    return base == MAP_FAILED ? NULL : base;
}

/* May a rank have so much? A file that grows beyond the user's limit ends the process, and this memory counts as one.
 * Nor does the system refuse it more than there is, as it does with common memory, which is therefore asked for first.
 */
static bool fits(uint64_t bytes) {
    struct rlimit limit;
    if (bytes == 0 || bytes > PTRDIFF_MAX || getrlimit(RLIMIT_FSIZE, &limit) != 0 || bytes > limit.rlim_cur)
        return false;
    void *common = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return common != MAP_FAILED && munmap(common, bytes) == 0;
}

/* This rank's memory. All of it is reserved at once: a page that is missing later would end the process. */
static int make_mine(heed_shared *shared, name *mine) {
    segment *s = &shared->segments[shared->rank];
    const int descriptor = fits(mine->bytes) ? memfd_create("heed", MFD_CLOEXEC) : -1;
    if (descriptor < 0)
        return -1;
    if (posix_fallocate(descriptor, 0, (off_t)mine->bytes) == 0)
        s->base = map(descriptor, mine->bytes, PROT_READ | PROT_WRITE);
    if (!s->base)
        return descriptor;
#ifdef MADV_HUGEPAGE
    madvise(s->base, mine->bytes, MADV_HUGEPAGE); /* advice, as for what follows: what becomes of it does not matter */
#endif
#ifdef MADV_POPULATE_WRITE
    madvise(s->base, mine->bytes, MADV_POPULATE_WRITE);
#endif
    s->bytes = mine->bytes;
    mine->nonce = make_nonce();
    mine->process = getpid();
    mine->descriptor = descriptor;
    memcpy(s->base, &mine->nonce, sizeof mine->nonce);
    return descriptor;
}

static bool open_other(segment *s, const name *other) {
    char path[64];
    struct stat about;
    uint64_t nonce;
    snprintf(path, sizeof path, "/proc/%lld/fd/%lld", (long long)other->process, (long long)other->descriptor);
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return false;
    if (fstat(descriptor, &about) == 0 && S_ISREG(about.st_mode) && (uint64_t)about.st_size == other->bytes)
        s->base = map(descriptor, other->bytes, PROT_READ);
    close(descriptor);
    if (!s->base)
        return false;
    s->bytes = other->bytes;
    memcpy(&nonce, s->base, sizeof nonce);
    return nonce == other->nonce;
}

static bool open_others(heed_shared *shared, const name *names) {
    bool all = true;
    for (int r = 0; r < shared->size && all; r++)
        all = names[r].nonce != 0 && (r == shared->rank || open_other(&shared->segments[r], &names[r]));
    return all;
}

#else

static int make_mine(heed_shared *shared, name *mine) {
    (void)shared, (void)mine;
    return -1;
}

static bool open_others(heed_shared *shared, const name *names) {
    (void)shared, (void)names;
    return false;
}

#endif

/* Room for what is known of the ranks. */
typedef struct tables {
    name *names;
    size_t *bytes, *offset;
} tables;

static bool make_tables(tables *t, heed_shared *shared) {
    const size_t size = (size_t)shared->size;
    *t = (tables){calloc(size, sizeof *t->names), calloc(size, sizeof *t->bytes), calloc(size, sizeof *t->offset)};
    shared->segments = calloc(size, sizeof *shared->segments);
    for (size_t r = 0; t->bytes && t->offset && r < size; r++) {
        t->bytes[r] = sizeof *t->names;
        t->offset[r] = r * sizeof *t->names;
    }
    return t->names && t->bytes && t->offset && shared->segments;
}

static void free_tables(tables *t) {
    free(t->names);
    free(t->bytes);
    free(t->offset);
}

/* `able`: whether all of it has worked on all ranks. */
static heed_status share(heed_shared *shared, heed_comm *comm, const tables *t, bool *able, heed_error *error) {
    name *mine = &t->names[shared->rank];
    const int descriptor = heedi_shared_allowed ? make_mine(shared, mine) : -1;
    heed_status status = heed_comm_allgather(comm, mine, t->names, t->bytes, t->offset, error);
    double unable = status != HEED_OK || !open_others(shared, t->names);
    if (status == HEED_OK)
        status = heed_comm_max(comm, &unable, 1, error); /* behind it nobody opens the descriptor any more */
    if (descriptor >= 0)
        close(descriptor);
    *able = unable == 0;
    return status;
}

heed_status heed_shared_open(heed_shared **shared, heed_comm *comm, size_t bytes, size_t n_flags, heed_error *error) {
    heed_shared *made = calloc(1, sizeof *made);
    tables t = {0};
    bool able = false;
    *shared = NULL;
    if (made) {
        *made = (heed_shared){.rank = comm->rank, .size = comm->size};
        made->memory_at = heed_aligned(FLAGS_AT + heed_bytes(n_flags, sizeof(uint64_t)));
    }
    double short_of_memory = !made || !make_tables(&t, made);
    heed_status status = heed_comm_max(comm, &short_of_memory, 1, error);
    if (status == HEED_OK && short_of_memory == 0) {
        if (bytes <= PTRDIFF_MAX - made->memory_at)
            t.names[comm->rank].bytes = made->memory_at + bytes;
        status = share(made, comm, &t, &able, error);
    }
    free_tables(&t);
    if (able)
        *shared = made;
    else
        heed_shared_close(made);
    return status;
}

void heed_shared_close(heed_shared *shared) {
    if (!shared)
        return;
    unmap(shared);
    free(shared->segments);
    free(shared);
}

void *heed_shared_mine(const heed_shared *shared) {
    return shared->segments[shared->rank].base + shared->memory_at;
}

const void *heed_shared_of(const heed_shared *shared, int rank) {
    HEED_CHECK(rank >= 0 && rank < shared->size);
    return shared->segments[rank].base + shared->memory_at;
}

static _Atomic uint64_t *flags_of(const heed_shared *shared, int rank) {
    return (_Atomic uint64_t *)(void *)(shared->segments[rank].base + FLAGS_AT);
}

void heed_shared_set(heed_shared *shared, size_t flag, uint64_t value) {
    atomic_store_explicit(&flags_of(shared, shared->rank)[flag], value, memory_order_release);
}

uint64_t heed_shared_flag(const heed_shared *shared, int rank, size_t flag) {
    return atomic_load_explicit(&flags_of(shared, rank)[flag], memory_order_acquire);
}
