#include "heed/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

size_t heed_aligned(size_t bytes) {
    if (bytes > PTRDIFF_MAX - HEED_ALIGNMENT)
        return SIZE_MAX;
    return (bytes + HEED_ALIGNMENT - 1) / HEED_ALIGNMENT * HEED_ALIGNMENT;
}

size_t heed_bytes(size_t count, size_t size) {
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? SIZE_MAX : bytes;
}

/* Where the kernel has huge pages for those that ask: an arena is touched all over, so that they save all but one in
 * 512 page faults. The tail that fills no huge page stays in small ones: nothing is taken that was not asked for. */
enum { HUGE_PAGE = 2 << 20 };

static void *allocate(size_t bytes) {
    if (bytes < 2 * (size_t)HUGE_PAGE)
        return aligned_alloc(HEED_ALIGNMENT, bytes);
    void *base = NULL;
    if (posix_memalign(&base, HUGE_PAGE, bytes) != 0)
        return NULL;
#ifdef MADV_HUGEPAGE
    madvise(base, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* advice: what becomes of it does not matter */
#endif
    return base;
}

heed_status heed_arena_init(heed_arena *arena, size_t capacity_bytes, const char *what, heed_error *error) {
    const size_t bytes = heed_aligned(capacity_bytes ? capacity_bytes : 1);
    *arena = (heed_arena){0};
    void *base = bytes == SIZE_MAX ? NULL : allocate(bytes);
    if (!base) {
        heed_fail(error, HEED_MEMORY, "%s: cannot get %.1f MB of memory", what, (double)capacity_bytes * 1e-6);
        return heed_hint(error, "use a smaller model or batch, or more nodes");
    }
    memset(base, 0, bytes);
    arena->base = base;
    arena->capacity_bytes = bytes;
    return HEED_OK;
}

void *heed_arena_take(heed_arena *arena, size_t bytes) {
    const size_t size = heed_aligned(bytes);
    HEED_CHECK(size <= arena->capacity_bytes - arena->used_bytes);
    void *start = arena->base + arena->used_bytes;
    arena->used_bytes += size;
    return start;
}

void heed_arena_reset(heed_arena *arena) {
    free(arena->base);
    *arena = (heed_arena){0};
}
