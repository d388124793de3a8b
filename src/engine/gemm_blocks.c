/* A product is cut three times, as in BLIS (Van Zee and van de Geijn 2015): k into blocks, so that packed panels fit
 * the nearest caches; C's rows and columns into pieces, one a thread; a piece into tiles of the micro-kernel. A panel
 * is a strip of an operand as long as a block of k and as wide as a tile, packed so that the micro-kernel reads it
 * front to back.
 *
 * An element of C is one chain of additions a block of k, in order, and the blocks in order: neither the piece nor the
 * tile that it lies in matters. So the bits depend on k alone, not on rows, columns, threads or caller.
 *
 * Left and right are the micro-kernel's words: a kernel that likes columns computes C^T = B^T A^T, so its left operand
 * is B. */
#include "engine/gemm_blocks.h"

#include <omp.h>
#include <string.h>

#include <blis.h>

#include "heed/arena.h"
#include "heed/multiversion.h"

#ifdef HEED_BLIS_KERNELS

#ifdef HEED_DOUBLE
typedef dgemm_ukr_ft micro_kernel;
#define NUMBER BLIS_DOUBLE
#else
typedef sgemm_ukr_ft micro_kernel;
#define NUMBER BLIS_FLOAT
#endif

/* Sums that wait at once for the rest of theirs, beside C: log2 of HEED_GEMM_MOST_PARTS and one; elements of a tile. */
enum { MOST_LEVELS = 7, MOST_TILE = 1024 };

#define MOST_RIGHT 2048 /* width of the right operand's packed block, rounded up to whole panels */

static struct {
    cntx_t *context;
    micro_kernel kernel;
    size_t left_width, right_width;   /* of a tile */
    size_t left_stride, right_stride; /* elements from one k to the next in a packed panel */
    size_t left_block, right_block, k_block;
    bool likes_rows;
    heed_arena arena;
    real *packed; /* (threads, packed_size) */
    size_t packed_size;
    int n_threads;
} blocks;

static size_t round_up(size_t n, size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

static size_t left_size(void) {
    return round_up(blocks.left_block / blocks.left_width * blocks.left_stride * blocks.k_block, 16);
}

heed_status heedi_blocks_open(int n_threads, bool *usable, heed_error *error) {
    cntx_t *context = bli_gks_query_cntx();
    blocks.context = context;
    blocks.kernel = (micro_kernel)bli_cntx_get_l3_nat_ukr_dt(NUMBER, BLIS_GEMM_UKR, context);
    blocks.likes_rows = bli_cntx_l3_nat_ukr_prefers_rows_dt(NUMBER, BLIS_GEMM_UKR, context);
    blocks.left_width = (size_t)bli_cntx_get_blksz_def_dt(NUMBER, BLIS_MR, context);
    blocks.right_width = (size_t)bli_cntx_get_blksz_def_dt(NUMBER, BLIS_NR, context);
    blocks.left_stride = (size_t)bli_cntx_get_blksz_max_dt(NUMBER, BLIS_MR, context);
    blocks.right_stride = (size_t)bli_cntx_get_blksz_max_dt(NUMBER, BLIS_NR, context);
    blocks.k_block = (size_t)bli_cntx_get_blksz_def_dt(NUMBER, BLIS_KC, context);
    blocks.left_block = round_up((size_t)bli_cntx_get_blksz_def_dt(NUMBER, BLIS_MC, context), blocks.left_width);
    blocks.right_block = round_up(MOST_RIGHT, blocks.right_width);
    blocks.packed_size =
        left_size() + round_up(blocks.right_block / blocks.right_width * blocks.right_stride * blocks.k_block, 16);
    blocks.n_threads = n_threads;
    const size_t bytes = heed_bytes((size_t)n_threads, blocks.packed_size * sizeof(real));
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

enum { LINE = 16, AHEAD = 8 }; /* elements of a cache line; lines that are asked for ahead of their turn */

/* --- packing ---------------------------------------------------------------------------------------------------- */

/* Four by four: out[i * stride + j] = x[j * row + i]. */
static inline __attribute__((always_inline)) void transpose_4(real *out, size_t stride, const real *x, size_t row) {
    typedef real quad __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));
    const quad a = *(const quad *)x, b = *(const quad *)(x + row);
    const quad c = *(const quad *)(x + 2 * row), d = *(const quad *)(x + 3 * row);
    const quad ac_low = __builtin_shufflevector(a, c, 0, 4, 1, 5), ac_high = __builtin_shufflevector(a, c, 2, 6, 3, 7);
    const quad bd_low = __builtin_shufflevector(b, d, 0, 4, 1, 5), bd_high = __builtin_shufflevector(b, d, 2, 6, 3, 7);
    *(quad *)out = __builtin_shufflevector(ac_low, bd_low, 0, 4, 1, 5);
    *(quad *)(out + stride) = __builtin_shufflevector(ac_low, bd_low, 2, 6, 3, 7);
    *(quad *)(out + 2 * stride) = __builtin_shufflevector(ac_high, bd_high, 0, 4, 1, 5);
    *(quad *)(out + 3 * stride) = __builtin_shufflevector(ac_high, bd_high, 2, 6, 3, 7);
}

/* A whole panel whose k runs along memory: the strip is turned, a cache line of every row at a time. */
static inline __attribute__((always_inline)) void turn_panel(real *out, size_t stride, const real *x, size_t row,
                                                             size_t k, const size_t width) {
    size_t p = 0;
    for (; p + LINE <= k; p += LINE)
        for (size_t w = 0; w < width; w += 4) {
            for (size_t i = 0; i < 4; i++)
                __builtin_prefetch(x + (w + i) * row + p + AHEAD * LINE);
            for (size_t q = p; q < p + LINE; q += 4)
                transpose_4(out + q * stride + w, stride, x + w * row + q, row);
        }
    for (; p < k; p++)
        for (size_t w = 0; w < width; w++)
            out[p * stride + w] = x[w * row + p];
}

/* A whole panel that lies across memory. */
static inline __attribute__((always_inline)) void copy_panel(real *out, size_t stride, const real *x, size_t k_step,
                                                             size_t k, const size_t width) {
    for (size_t p = 0; p < k; p++) {
        for (size_t w = 0; w < width; w += LINE)
            __builtin_prefetch(x + (p + 4 * AHEAD) * k_step + w);
#pragma omp simd
        for (size_t w = 0; w < width; w++)
            out[p * stride + w] = x[p * k_step + w];
    }
}

/* A panel at an edge, or of an unusual width; zeros fill up. */
static void pack_edge(real *out, size_t stride, const real *x, size_t step, size_t k_step, size_t k, size_t width) {
    for (size_t p = 0; p < k; p++) {
        for (size_t w = 0; w < width; w++)
            out[p * stride + w] = x[w * step + p * k_step];
        for (size_t w = width; w < stride; w++)
            out[p * stride + w] = 0;
    }
}

#define FOR_USUAL_WIDTHS(X) X(4) X(8) X(12) X(16) X(24) X(32)

/* Panels of `width` out of n strips of x; strip w's element p is x[w * step + p * k_step], one of the steps is 1. */
HEED_MULTIVERSION static void pack(real *out, size_t width, size_t stride, const real *x, size_t step, size_t k_step,
                                   size_t n, size_t k) {
    for (size_t first = 0; first < n; first += width, out += stride * k) {
        const real *strip = x + first * step;
        if (n - first < width || stride != width) {
            pack_edge(out, stride, strip, step, k_step, k, n - first < width ? n - first : width);
            continue;
        }
        switch (width) {
#define PACK(w)                                                                                                        \
    case w:                                                                                                            \
        if (step == 1)                                                                                                 \
            copy_panel(out, w, strip, k_step, k, w);                                                                   \
        else                                                                                                           \
            turn_panel(out, w, strip, step, k, w);                                                                     \
        break;
            FOR_USUAL_WIDTHS(PACK)
#undef PACK
        default:
            pack_edge(out, stride, strip, step, k_step, k, width);
        }
    }
}

/* --- the loops -------------------------------------------------------------------------------------------------- */

/* The product in the micro-kernel's words. */
typedef struct loops {
    size_t left, right, k;
    real alpha, beta;
    const real *l, *r;
    size_t l_step, l_k, r_step, r_k; /* elements to the next strip, and along k */
    real *c;
    size_t c_left, c_right; /* elements to C's next row and column, as the kernel sees them */
    const heed_gemm_part *parts;
    size_t n_parts;
} loops;

static loops kernel_words(const heedi_product_task *t) {
    if (blocks.likes_rows)
        return (loops){t->m,        t->n,        t->k,     t->alpha, t->beta,  t->a.at, t->b.at,  t->a.row,
                       t->a.column, t->b.column, t->b.row, t->c,     t->c_row, 1,       t->parts, t->n_parts};
    return (loops){t->n,     t->m,     t->k,        t->alpha, t->beta, t->b.at,  t->a.at,  t->b.column,
                   t->b.row, t->a.row, t->a.column, t->c,     1,       t->c_row, t->parts, t->n_parts};
}

/* Where a tile of C, or of the stack of sums, lies; strides as the kernel sees them. */
typedef struct tile {
    real *at;
    size_t left, right;
} tile;

/* to += from, strip by strip along the direction in which both are contiguous. */
HEED_MULTIVERSION static void add_tile(tile to, tile from, size_t rows, size_t columns) {
    const bool by_rows = blocks.likes_rows;
    const size_t n_strips = by_rows ? rows : columns, length = by_rows ? columns : rows;
    const size_t to_strip = by_rows ? to.left : to.right, from_strip = by_rows ? from.left : from.right;
    for (size_t s = 0; s < n_strips; s++)
#pragma omp simd
        for (size_t i = 0; i < length; i++)
            to.at[s * to_strip + i] += from.at[s * from_strip + i];
}

static void multiply_tile(tile c, size_t rows, size_t columns, size_t k, real alpha, real *l, real *r, real beta,
                          auxinfo_t *next) {
    blocks.kernel((dim_t)rows, (dim_t)columns, (dim_t)k, &alpha, l, r, &beta, c.at, (inc_t)c.left, (inc_t)c.right, next,
                  blocks.context);
}

/* The stack of heed_gemm_sum for one tile, its bottom C itself. A product that is added at once goes straight on to
 * what it is added to: the kernel completes it in registers first, so the bits are the same. */
static void sum_tile(const loops *p, tile c, size_t rows, size_t columns, real *l, real *r, auxinfo_t *next) {
    real memory[MOST_LEVELS * MOST_TILE] __attribute__((aligned(HEED_ALIGNMENT)));
    tile stack[MOST_LEVELS + 1] = {c};
    for (size_t level = 0; level < MOST_LEVELS; level++)
        stack[level + 1] = (tile){&memory[level * MOST_TILE], blocks.likes_rows ? blocks.right_width : 1,
                                  blocks.likes_rows ? 1 : blocks.left_width};
    size_t height = 0;
    for (size_t i = 0; i < p->n_parts; i++) {
        const size_t k = p->parts[i].k;
        const bool joins = p->parts[i].n_additions > 0;
        multiply_tile(stack[joins ? height - 1 : height], rows, columns, k, 1, l, r, joins ? 1 : 0, next);
        height += !joins;
        for (size_t j = 1; j < p->parts[i].n_additions; j++, height--)
            add_tile(stack[height - 2], stack[height - 1], rows, columns);
        l += k * blocks.left_stride;
        r += k * blocks.right_stride;
    }
}

/* Tiles of packed left (from `left` on) and right panels. */
static void multiply_block(const loops *p, real *left_packed, size_t left, size_t n_left, real *right_packed,
                           size_t right, size_t n_right, size_t k, real beta) {
    auxinfo_t next = {0};
    const size_t left_panel = blocks.left_stride * k, right_panel = blocks.right_stride * k;
    for (size_t j = 0; j < n_right; j += blocks.right_width) {
        real *r = right_packed + j / blocks.right_width * right_panel;
        const size_t columns = n_right - j < blocks.right_width ? n_right - j : blocks.right_width;
        for (size_t i = 0; i < n_left; i += blocks.left_width) {
            real *l = left_packed + i / blocks.left_width * left_panel;
            const size_t rows = n_left - i < blocks.left_width ? n_left - i : blocks.left_width;
            const bool last = i + blocks.left_width >= n_left;
            bli_auxinfo_set_next_a(last ? left_packed : l + left_panel, &next);
            bli_auxinfo_set_next_b(last ? r + right_panel : r, &next);
            const tile c = {p->c + (left + i) * p->c_left + (right + j) * p->c_right, p->c_left, p->c_right};
            if (p->parts)
                sum_tile(p, c, rows, columns, l, r, &next);
            else
                multiply_tile(c, rows, columns, k, p->alpha, l, r, beta, &next);
        }
    }
}

/* The piece [left, left_end) x [right, right_end) of C. */
static void multiply_piece(const loops *p, size_t left, size_t left_end, size_t right, size_t right_end, real *packed) {
    real *left_packed = packed, *right_packed = packed + left_size();
    for (size_t j = right; j < right_end; j += blocks.right_block) {
        const size_t n_right = right_end - j < blocks.right_block ? right_end - j : blocks.right_block;
        for (size_t q = 0; q < p->k || q == 0; q += blocks.k_block) {
            const size_t k = p->k - q < blocks.k_block ? p->k - q : blocks.k_block;
            pack(right_packed, blocks.right_width, blocks.right_stride, p->r + j * p->r_step + q * p->r_k, p->r_step,
                 p->r_k, n_right, k);
            for (size_t i = left; i < left_end; i += blocks.left_block) {
                const size_t n_left = left_end - i < blocks.left_block ? left_end - i : blocks.left_block;
                pack(left_packed, blocks.left_width, blocks.left_stride, p->l + i * p->l_step + q * p->l_k, p->l_step,
                     p->l_k, n_left, k);
                multiply_block(p, left_packed, i, n_left, right_packed, j, n_right, k, q == 0 ? p->beta : 1);
            }
        }
    }
}

/* Threads form a grid over C that packs least: every thread packs its own strips of both operands. */
static size_t choose_grid(const loops *p, size_t n_threads) {
    size_t best = 1;
    double least = 0;
    for (size_t rows = 1; rows <= n_threads; rows++) {
        if (n_threads % rows != 0)
            continue;
        const double packed = (double)p->left / (double)rows + (double)p->right / (double)(n_threads / rows);
        if (rows == 1 || packed < least) {
            best = rows;
            least = packed;
        }
    }
    return best;
}

/* Part `index` of n_parts of n strips, in whole tiles. */
static size_t bound(size_t n, size_t width, size_t index, size_t n_parts) {
    const size_t tiles = (n + width - 1) / width, at = tiles * index / n_parts * width;
    return at < n ? at : n;
}

bool heedi_blocks_take_parts(size_t k, size_t n_parts) {
    return k <= blocks.k_block && n_parts <= HEED_GEMM_MOST_PARTS &&
           blocks.left_width * blocks.right_width <= MOST_TILE;
}

void heedi_blocks_multiply(const heedi_product_task *task, int n_threads) {
    const loops p = kernel_words(task);
    HEED_CHECK(blocks.packed);
    if (n_threads == 1) {
        const int me = omp_in_parallel() ? omp_get_thread_num() : 0;
        HEED_CHECK(me < blocks.n_threads);
        multiply_piece(&p, 0, p.left, 0, p.right, blocks.packed + (size_t)me * blocks.packed_size);
        return;
    }
#pragma omp parallel num_threads(n_threads)
    {
        const size_t n = (size_t)omp_get_num_threads(), me = (size_t)omp_get_thread_num();
        const size_t rows = choose_grid(&p, n), columns = n / rows, row = me / columns, column = me % columns;
        multiply_piece(&p, bound(p.left, blocks.left_width, row, rows), bound(p.left, blocks.left_width, row + 1, rows),
                       bound(p.right, blocks.right_width, column, columns),
                       bound(p.right, blocks.right_width, column + 1, columns),
                       blocks.packed + me * blocks.packed_size);
    }
}

#else

heed_status heedi_blocks_open(int n_threads, bool *usable, heed_error *error) {
    (void)n_threads, (void)error;
    *usable = false;
    return HEED_OK;
}

void heedi_blocks_close(void) {}

bool heedi_blocks_take_parts(size_t k, size_t n_parts) {
    (void)k, (void)n_parts;
    return false;
}

void heedi_blocks_multiply(const heedi_product_task *task, int n_threads) {
    (void)task, (void)n_threads;
    heed_bug(__FILE__, __LINE__, "this BLIS offers no micro-kernels");
}

#endif
