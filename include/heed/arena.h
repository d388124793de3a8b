/* Memory in one piece: every large array of heed is a run of bytes in an arena, 64-byte aligned and zeroed at first.
 * Sizes are added up first (heed_arena_plan), then the arena is created once; nothing grows later. */
#ifndef HEED_ARENA_H
#define HEED_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "heed/status.h"

#define HEED_ALIGNMENT 64 /* bytes: one cache line, one AVX-512 register */
#define HEED_HUGE_PAGE_BYTES ((size_t)2 << 20)

typedef struct heed_arena {
    unsigned char *base;
    size_t capacity_bytes;
    size_t used_bytes;
} heed_arena;

/* Rounds a size up to the alignment. Sizes beyond PTRDIFF_MAX become SIZE_MAX, which no create can serve. */
size_t heed_aligned(size_t bytes);

/* Rounds a size up to whole huge pages, in which an arena of that size lies where there are any. SIZE_MAX as above. */
size_t heed_in_huge_pages(size_t bytes);

/* bytes = count * size, or SIZE_MAX where that overflows. */
size_t heed_bytes(size_t count, size_t size);

/* Allocates capacity_bytes, zeroed. what names the arena in the message.
 * Errors: HEED_MEMORY. Ownership: heed_arena_reset frees it. Not collective. */
heed_status heed_arena_init(heed_arena *arena, size_t capacity_bytes, const char *what, heed_error *error);

/* The next bytes of the arena, aligned. Running past the end is a bug of ours (HEED_CHECK). */
void *heed_arena_take(heed_arena *arena, size_t bytes);

void heed_arena_reset(heed_arena *arena);

#endif
