/* A product is cut three times, as in BLIS (Van Zee and van de Geijn 2015): k into blocks, so that packed panels fit
 * the nearest caches; C's rows and columns into pieces, one a thread; a piece into tiles of the micro-kernel. Left and
 * right are the micro-kernel's words: a kernel that likes columns computes C^T = B^T A^T, so its left operand is B.
 *
 * BLIS's micro-kernels take both operands packed. The tile of our own (gemm_tile.h) reads the right one as it lies
 * where its strips run along memory, and then the left one too where its strips lie side by side. Else a block of the
 * left one is packed, for half of the second cache, and the right one a panel at a time just before its use.
 *
 * An element of C is one chain of additions a block of k, in order, and the blocks in order: neither the piece nor the
 * tile that it lies in matters, nor whose the micro-kernel is. So the bits depend on k alone, not on rows, columns,
 * threads or caller. */
#include "engine/gemm_blocks.h"

#include <omp.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/sizes.h"
#include "engine/gemm_ahead.h"
#include "engine/gemm_kernel.h"
#include "engine/gemm_pack.h"
#include "engine/gemm_sum.h"
#include "heed/arena.h"

#ifdef HEED_BLIS_KERNELS

enum {
    LINE = 16,        /* elements of a cache line */
    MOST_RIGHT = 2048 /* width of the right operand's packed block at a whole block of k, for BLIS's micro-kernels */
};

static struct {
    size_t left_size, right_size; /* elements that may be packed at once */
    heed_arena arena;
    real *packed; /* (threads, left_size + right_size) */
    int n_threads;
} blocks;

/* Elements of half of the second cache: the rest is for what streams past. */
static size_t half_of_second_cache(void) {
#ifdef _SC_LEVEL2_CACHE_SIZE
    const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
    return bytes > 0 ? (size_t)bytes / 2 / sizeof(real) : 0;
#else
    return 0; /* not everybody's C library knows */
#endif
}

heed_status heedi_blocks_open(int n_threads, bool *usable, heed_error *error) {
    heedi_kernel_open();
    const heedi_kernel_facts *kernel = &heedi_kernel;
    const size_t most_k = HEEDI_MOST_K_BLOCKS * kernel->k_block;
    blocks.left_size = heedi_tiles(kernel->left_at_once, kernel->left_width) * kernel->left_stride * kernel->k_block;
    blocks.right_size = (MOST_RIGHT / kernel->right_width + 1) * kernel->right_stride * kernel->k_block;
    if (kernel->own) {
        blocks.left_size = heedi_max(blocks.left_size, half_of_second_cache());
        blocks.right_size = kernel->right_stride * most_k;
    }
    blocks.left_size = heedi_max(blocks.left_size, kernel->left_stride * most_k);
    blocks.left_size = heedi_round_up(blocks.left_size, LINE);
    blocks.right_size = heedi_round_up(blocks.right_size, LINE);
    blocks.n_threads = n_threads;
    const size_t bytes = heed_bytes((size_t)n_threads, (blocks.left_size + blocks.right_size) * sizeof(real));
    const heed_status status = heed_arena_init(&blocks.arena, bytes, "packed panels of matrix products", error);
    if (status == HEED_OK)
        blocks.packed = heed_arena_take(&blocks.arena, bytes);
    *usable = status == HEED_OK;
    return status;
}

void heedi_blocks_close(void) {
    heed_arena_reset(&blocks.arena);
    blocks.packed = NULL;
}

/* The product in the micro-kernel's words. */
typedef struct loops {
    size_t left, right, k;
    real alpha, beta;
    heedi_strips l, r;
    real *c;
    size_t c_left, c_right; /* elements to C's next row and column, as the kernel sees them */
    const heed_gemm_part *parts;
    size_t n_parts;
    const real *row, *z; /* of our own tile alone, whose left strips are B's */
    size_t z_row;
} loops;

static loops kernel_words(const heedi_product_task *t) {
    const heedi_strips rows_of_a = {t->a.at, t->a.row, t->a.column}, columns_of_b = {t->b.at, t->b.column, t->b.row};
    const bool rows = heedi_kernel.likes_rows;
    return (loops){.left = rows ? t->m : t->n,
                   .right = rows ? t->n : t->m,
                   .k = t->k,
                   .alpha = t->alpha,
                   .beta = t->beta,
                   .l = rows ? rows_of_a : columns_of_b,
                   .r = rows ? columns_of_b : rows_of_a,
                   .c = t->c,
                   .c_left = rows ? t->c_row : 1,
                   .c_right = rows ? 1 : t->c_row,
                   .parts = t->parts,
                   .n_parts = t->n_parts,
                   .row = t->row,
                   .z = t->z,
                   .z_row = t->z_row};
}

static heedi_strips strips_from(heedi_strips strips, size_t strip, size_t k) {
    strips.at += strip * strips.step + k * strips.k_step;
    return strips;
}

/* What is multiplied at a time: strips [left, left + n_left) and [right, right + n_right) of the operands, elements
 * [q, q + k) of k; of a sum these are its parts `sum`. */
typedef struct block {
    size_t left, n_left, right, n_right, q, k;
    heedi_sum_block sum;
    real *left_packed, *right_packed;
    heedi_strips panels; /* of the left operand: `step` elements from one to the next */
} block;

/* --- the loops --------------------------------------------------------------------------------------------------- */

/* n strips of the right operand from strip j of the block on. */
static void pack_right(const loops *p, const block *b, size_t j, size_t n) {
    heedi_pack(b->right_packed, heedi_kernel.right_width, heedi_kernel.right_stride,
               strips_from(p->r, b->right + j, b->q), n, b->k);
}

/* Makes the block's left panels ready. Strips side by side stay where they are, unless the lines that they are read by
 * fall on each other in the nearest cache, as they do at steps of 512 elements times anything. */
static void ready_left(const loops *p, block *b) {
    const heedi_strips strips = strips_from(p->l, b->left, b->q);
    const bool falls_apart = strips.step == 1 && strips.k_step % 512 != 0;
    if (heedi_kernel.own && p->r.k_step == 1 && falls_apart && b->n_left % HEEDI_TILE_LEFT == 0) {
        b->panels = (heedi_strips){strips.at, HEEDI_TILE_LEFT, strips.k_step};
        return;
    }
    heedi_pack(b->left_packed, heedi_kernel.left_width, heedi_kernel.left_stride, strips, b->n_left, b->k);
    b->panels = (heedi_strips){b->left_packed, heedi_kernel.left_stride * b->k, heedi_kernel.left_stride};
}

/* Strips of the panel at strip j of the block: an end of 4 or 8 beyond whole panels is made of narrow ones. */
static size_t right_panel(const loops *p, const block *b, size_t j) {
    const size_t n = b->n_right - j;
    const bool ends = n == HEEDI_TILE_REST || n == 2 * HEEDI_TILE_REST;
    return heedi_kernel.own && p->r.k_step == 1 && ends ? HEEDI_TILE_REST : heedi_min(n, heedi_kernel.right_width);
}

/* The last strips, too few for a tile, with zeros for those that are missing; they run along memory like the others. */
static heedi_strips fill_up(real *out, heedi_strips strips, size_t n, size_t k) {
    for (size_t w = 0; w < n; w++)
        memcpy(out + w * k, strips.at + w * strips.step, k * sizeof *out);
    memset(out + n * k, 0, (heedi_kernel.right_width - n) * k * sizeof *out);
    return (heedi_strips){out, k, 1};
}

/* Makes the panel ready that begins at strip j of the block. */
static heedi_strips ready_right(const loops *p, const block *b, size_t j, size_t width) {
    const heedi_strips strips = strips_from(p->r, b->right + j, b->q);
    if (p->r.k_step == 1)
        return width == heedi_kernel.right_width || width == HEEDI_TILE_REST
                   ? strips
                   : fill_up(b->right_packed, strips, width, b->k);
    pack_right(p, b, j, width);
    return (heedi_strips){b->right_packed, 1, heedi_kernel.right_stride};
}

/* What the tile at C's left strip i and right strip j joins: the first block of k the row, the others what those before
 * have left in C, and the last one z. */
static heedi_tile_terms terms_of(const loops *p, const block *b, const heedi_tile_place *c, size_t i, size_t j) {
    const bool last = b->q + b->k == p->k;
    heedi_tile_terms terms = {p->row ? p->row + i : NULL, p->z && last ? p->z + j * p->z_row + i : NULL, 0, p->z_row};
    if (b->q > 0 || p->beta != 0) {
        terms.first = c->at;
        terms.first_step = c->right;
    }
    return terms;
}

/* A column of tiles. */
static void multiply_panel(const loops *p, const block *b, const heedi_strips *r, size_t j, size_t columns,
                           heedi_coming *soon) {
    heedi_tile_operands o = {b->panels.at, b->panels.k_step, *r, b->k};
    heedi_tile_place c = {p->c + b->left * p->c_left + (b->right + j) * p->c_right, p->c_left, p->c_right};
    for (size_t i = 0; i < b->n_left; i += heedi_kernel.left_width) {
        const size_t rows = heedi_min(b->n_left - i, heedi_kernel.left_width);
        if (p->parts) {
            heedi_sum_tile(&b->sum, &c, rows, columns, o, soon);
        } else {
            const heedi_tile_terms terms = terms_of(p, b, &c, b->left + i, b->right + j);
            const heedi_ahead ahead = heedi_ask_for(soon);
            heedi_multiply_tile(&c, rows, columns, p->alpha, &o, &terms, &ahead);
        }
        o.left += b->panels.step;
        c.at += heedi_kernel.left_width * p->c_left;
    }
}

/* Where the right operand is packed already. */
static void multiply_packed(const loops *p, const block *b) {
    heedi_coming nothing = {0};
    for (size_t j = 0; j < b->n_right; j += heedi_kernel.right_width) {
        const real *panel = b->right_packed + j / heedi_kernel.right_width * heedi_kernel.right_stride * b->k;
        const heedi_strips r = {panel, 1, heedi_kernel.right_stride};
        multiply_panel(p, b, &r, j, heedi_min(b->n_right - j, heedi_kernel.right_width), &nothing);
    }
}

/* Where it is not. While a panel is multiplied the next one's strips are asked for; or, where all of the right ones
 * have a place in the second cache, the next block of the left ones. */
static void multiply_unpacked(const loops *p, const block *b, heedi_coming *next_left) {
    const size_t n_parts = heedi_max(1, b->sum.end - b->sum.first);
    const size_t n_tiles = heedi_tiles(b->n_left, heedi_kernel.left_width) * n_parts;
    for (size_t j = 0, next; j < b->n_right; j = next) {
        const size_t width = right_panel(p, b, j);
        const heedi_strips r = ready_right(p, b, j, width);
        next = j + width;
        heedi_coming next_right =
            heedi_coming_strips(strips_from(p->r, b->right + next, b->q),
                                heedi_min(b->n_right - next, heedi_kernel.right_width), b->k, n_tiles);
        multiply_panel(p, b, &r, j, width, next_left ? next_left : &next_right);
    }
}

/* The next block of k, behind what has been done. */
static bool next_block(const loops *p, block *b) {
    b->q += b->k;
    if (b->q >= p->k)
        return false;
    b->k = heedi_min(p->k - b->q, heedi_kernel.k_block);
    if (p->parts) {
        const bool more = heedi_sum_next(&b->sum);
        HEED_CHECK(more);
        b->k = b->sum.k;
    }
    return true;
}

/* Strips of one packed block out of n: equal shares, in whole tiles. */
static size_t share(size_t n, size_t width, size_t stride, size_t size, size_t k) {
    const size_t n_tiles = heedi_tiles(n, width), at_once = heedi_max(1, size / (stride * k));
    const size_t n_blocks = heedi_max(1, heedi_tiles(n_tiles, at_once));
    return heedi_tiles(n_tiles, n_blocks) * width;
}

/* Strips of the left operand that are multiplied at a time: what can be packed; a quarter of it where the block that
 * comes next shares the second cache with this one and all of the right operand. */
static size_t left_block(const loops *p, size_t n, size_t n_right, size_t k, bool *asks_for_next) {
    *asks_for_next = heedi_kernel.own && !p->parts && p->r.k_step == 1 && n_right * k <= blocks.left_size / 2;
    return share(n, heedi_kernel.left_width, heedi_kernel.left_stride, blocks.left_size / (*asks_for_next ? 4 : 1), k);
}

/* The block of left strips behind this one: further strips, or the first ones of the next block of k. */
static heedi_coming coming_left(const loops *p, const block *b, size_t left, size_t left_end, size_t at_once) {
    const size_t n_tiles = heedi_tiles(b->n_left, heedi_kernel.left_width) * heedi_tiles(b->n_right, HEEDI_TILE_RIGHT);
    const size_t behind = b->left + b->n_left, next_q = b->q + b->k;
    if (behind < left_end)
        return heedi_coming_strips(strips_from(p->l, behind, b->q), heedi_min(left_end - behind, at_once), b->k,
                                   n_tiles);
    return heedi_coming_strips(strips_from(p->l, left, next_q), heedi_min(left_end - left, at_once),
                               heedi_min(p->k - next_q, heedi_kernel.k_block), n_tiles);
}

/* The piece [left, left_end) x [right, right_end) of C. */
static void multiply_piece(const loops *p, size_t left, size_t left_end, size_t right, size_t right_end, real *packed) {
    block b = {.left_packed = packed,
               .right_packed = packed + blocks.left_size,
               .sum = {.parts = p->parts, .n_parts = p->n_parts}};
    if (left == left_end || right == right_end)
        return;
    while (next_block(p, &b)) {
        bool asks_for_next;
        const size_t at_once = left_block(p, left_end - left, right_end - right, b.k, &asks_for_next);
        const size_t right_block = heedi_kernel.own ? right_end - right
                                                    : share(right_end - right, heedi_kernel.right_width,
                                                            heedi_kernel.right_stride, blocks.right_size, b.k);
        for (b.right = right; b.right < right_end; b.right += right_block) {
            b.n_right = heedi_min(right_end - b.right, right_block);
            if (!heedi_kernel.own)
                pack_right(p, &b, 0, b.n_right);
            for (b.left = left; b.left < left_end; b.left += at_once) {
                b.n_left = heedi_min(left_end - b.left, at_once);
                ready_left(p, &b);
                if (!heedi_kernel.own) {
                    multiply_packed(p, &b);
                    continue;
                }
                heedi_coming next_left = coming_left(p, &b, left, left_end, at_once);
                multiply_unpacked(p, &b, asks_for_next ? &next_left : NULL);
            }
        }
    }
}

/* Threads form a grid over C that takes the least time: in clocks for each element of k a tile's multiply-adds, two
 * vectors of 16 at once, and one for each strip that a thread packs, or reads from far away, for itself. */
static size_t choose_grid(const loops *p, size_t n_threads) {
    const size_t clocks_of_tile = heedi_max(1, heedi_kernel.left_width * heedi_kernel.right_width / (2 * LINE));
    const size_t n_left = heedi_tiles(p->left, heedi_kernel.left_width),
                 n_right = heedi_tiles(p->right, heedi_kernel.right_width);
    size_t best = 1, least_clocks = SIZE_MAX;
    for (size_t rows = 1; rows <= n_threads; rows++) {
        if (n_threads % rows != 0)
            continue;
        const size_t columns = n_threads / rows;
        HEED_CHECK(columns > 0);
        const size_t clocks = heedi_tiles(n_left, rows) * heedi_tiles(n_right, columns) * clocks_of_tile +
                              p->left / rows + p->right / columns;
        if (clocks < least_clocks) {
            best = rows;
            least_clocks = clocks;
        }
    }
    return best;
}

/* Part `index` of n_parts of n strips, in whole tiles. */
static size_t bound(size_t n, size_t width, size_t index, size_t n_parts) {
    return heedi_min(heedi_tiles(n, width) * index / n_parts * width, n);
}

void heedi_blocks_multiply(const heedi_product_task *task, int n_threads) {
    const loops p = kernel_words(task);
    const size_t packed_size = blocks.left_size + blocks.right_size;
    HEED_CHECK(blocks.packed);
    if (n_threads == 1) {
        const int me = omp_in_parallel() ? omp_get_thread_num() : 0;
        HEED_CHECK(me < blocks.n_threads);
        multiply_piece(&p, 0, p.left, 0, p.right, blocks.packed + (size_t)me * packed_size);
        return;
    }
#pragma omp parallel num_threads(n_threads)
    {
        const size_t n = (size_t)omp_get_num_threads(), me = (size_t)omp_get_thread_num();
        const size_t rows = choose_grid(&p, n), columns = n / rows, row = me / columns, column = me % columns;
        multiply_piece(&p, bound(p.left, heedi_kernel.left_width, row, rows),
                       bound(p.left, heedi_kernel.left_width, row + 1, rows),
                       bound(p.right, heedi_kernel.right_width, column, columns),
                       bound(p.right, heedi_kernel.right_width, column + 1, columns), blocks.packed + me * packed_size);
    }
}

#else

heed_status heedi_blocks_open(int n_threads, bool *usable, heed_error *error) {
    (void)n_threads, (void)error;
    *usable = false;
    return HEED_OK;
}

void heedi_blocks_close(void) {}

void heedi_blocks_multiply(const heedi_product_task *task, int n_threads) {
    (void)task, (void)n_threads;
    heed_bug(__FILE__, __LINE__, "this BLIS offers no micro-kernels");
}

#endif
