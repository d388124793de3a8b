#include "heed/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

size_t heed_aligned(size_t bytes) {
    if (bytes > PTRDIFF_MAX - HEED_ALIGNMENT)
        return SIZE_MAX;
    return (bytes + HEED_ALIGNMENT - 1) / HEED_ALIGNMENT * HEED_ALIGNMENT;
}

size_t heed_in_huge_pages(size_t bytes) {
    if (bytes > PTRDIFF_MAX - HEED_HUGE_PAGE_BYTES)
        return SIZE_MAX;
    return (bytes + HEED_HUGE_PAGE_BYTES - 1) / HEED_HUGE_PAGE_BYTES * HEED_HUGE_PAGE_BYTES;
}

size_t heed_bytes(size_t count, size_t size) {
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? SIZE_MAX : bytes;
}

/* An arena is touched all over, at once. Huge pages, where the kernel has them for those that ask, save all but one in
 * 512 page faults; a tail that fills none stays in small pages, so that hardly more is taken than was asked for. And
 * one call for all pages costs a virtual machine a thirtieth of a fault for each. */
enum { HUGE_PAGE = HEED_HUGE_PAGE_BYTES };

/* Bytes from a base at HUGE_PAGE on that shall lie in huge pages. May exceed bytes, by little. */
static size_t huge_part(size_t bytes) {
    const size_t whole = bytes / HUGE_PAGE * HUGE_PAGE;
    return whole && whole < bytes && whole + HUGE_PAGE - bytes <= bytes / 64 ? whole + HUGE_PAGE : whole;
}

static void *allocate(size_t bytes) {
    void *base = NULL;
    const size_t huge = huge_part(bytes);
    if (!huge)
        return aligned_alloc(HEED_ALIGNMENT, bytes);
    return posix_memalign(&base, HUGE_PAGE, huge > bytes ? huge : bytes) == 0 ? base : NULL;
}

/* Advice: what becomes of it does not matter, since all is written to anyway. */
static void map_pages(char *base, size_t bytes) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const size_t before = (page - (uintptr_t)base % page) % page;
#ifdef MADV_HUGEPAGE
    if (huge_part(bytes))
        madvise(base, huge_part(bytes), MADV_HUGEPAGE);
#endif
#ifdef MADV_POPULATE_WRITE
    if (bytes > before + page)
        madvise(base + before, (bytes - before) / page * page, MADV_POPULATE_WRITE);
#endif
}

heed_status heed_arena_init(heed_arena *arena, size_t capacity_bytes, const char *what, heed_error *error) {
    const size_t bytes = heed_aligned(capacity_bytes ? capacity_bytes : 1);
    *arena = (heed_arena){0};
    void *base = bytes == SIZE_MAX ? NULL : allocate(bytes);
    if (!base) {
        heed_fail(error, HEED_MEMORY, "%s: cannot get %.1f MB of memory", what, (double)capacity_bytes * 1e-6);
        return heed_hint(error, "use a smaller model or batch, or more nodes");
    }
    map_pages(base, bytes);
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
