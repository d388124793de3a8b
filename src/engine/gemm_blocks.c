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

#include <blis.h>

#include "engine/gemm_pack.h"
#include "engine/gemm_tile.h"
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

enum {
    MOST_LEVELS = 7, /* sums that wait at once for the rest of theirs, beside C: log2 of HEED_GEMM_MOST_PARTS and one */
    MOST_TILE = 1024,  /* elements of a tile */
    LINE = 16,         /* elements of a cache line */
    MOST_RIGHT = 2048, /* width of the right operand's packed block at a whole block of k, for BLIS's micro-kernels */
    MOST_K_BLOCKS = 4, /* that the parts of a sum may need at once */
    WANTED_SUM_K = 512 /* elements of k of a sum that are made at once, if it can be cut there */
};

static struct {
    cntx_t *context;
    micro_kernel kernel;
    size_t left_width, right_width;   /* of a tile */
    size_t left_stride, right_stride; /* elements from one k to the next in a packed panel */
    size_t left_size, right_size;     /* elements that may be packed at once */
    size_t k_block;
    bool likes_rows;
    bool own; /* tiles of our own */
    heed_arena arena;
    real *packed; /* (threads, left_size + right_size) */
    int n_threads;
} blocks;

static size_t round_up(size_t n, size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t most(size_t a, size_t b) {
    return a > b ? a : b;
}

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
    cntx_t *context = bli_gks_query_cntx();
    blocks.context = context;
    blocks.kernel = (micro_kernel)bli_cntx_get_l3_nat_ukr_dt(NUMBER, BLIS_GEMM_UKR, context);
    blocks.likes_rows = bli_cntx_l3_nat_ukr_prefers_rows_dt(NUMBER, BLIS_GEMM_UKR, context);
    blocks.left_width = (size_t)bli_cntx_get_blksz_def_dt(NUMBER, BLIS_MR, context);
    blocks.right_width = (size_t)bli_cntx_get_blksz_def_dt(NUMBER, BLIS_NR, context);
    blocks.left_stride = (size_t)bli_cntx_get_blksz_max_dt(NUMBER, BLIS_MR, context);
    blocks.right_stride = (size_t)bli_cntx_get_blksz_max_dt(NUMBER, BLIS_NR, context);
    blocks.k_block = (size_t)bli_cntx_get_blksz_def_dt(NUMBER, BLIS_KC, context);
    blocks.own = heedi_tile_usable() && bli_arch_query_id() == BLIS_ARCH_SKX && !blocks.likes_rows &&
                 blocks.left_width == HEEDI_TILE_LEFT && blocks.left_stride == HEEDI_TILE_LEFT &&
                 blocks.right_width == HEEDI_TILE_RIGHT && blocks.right_stride == HEEDI_TILE_RIGHT;
    const size_t most_k = MOST_K_BLOCKS * blocks.k_block;
    const size_t left = round_up((size_t)bli_cntx_get_blksz_def_dt(NUMBER, BLIS_MC, context), blocks.left_width);
    blocks.left_size = left / blocks.left_width * blocks.left_stride * blocks.k_block;
    blocks.right_size = (MOST_RIGHT / blocks.right_width + 1) * blocks.right_stride * blocks.k_block;
    if (blocks.own) {
        blocks.left_size = most(blocks.left_size, half_of_second_cache());
        blocks.right_size = blocks.right_stride * most_k;
    }
    blocks.left_size = most(blocks.left_size, blocks.left_stride * most_k);
    blocks.left_size = round_up(blocks.left_size, LINE);
    blocks.right_size = round_up(blocks.right_size, LINE);
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
    const bool rows = blocks.likes_rows;
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

/* --- what comes next --------------------------------------------------------------------------------------------- */

/* Strips that will be read soon: n runs of n_pairs pairs of cache lines. */
typedef struct coming {
    const real *at;
    size_t n, run_step, n_pairs, pair_step;
    size_t run, pair; /* the next */
    size_t at_once;   /* pairs that one tile should ask for */
} coming;

static size_t tiles(size_t n, size_t width) {
    HEED_CHECK(width > 0);
    return (n + width - 1) / width;
}

/* n strips of k elements, while n_tiles are multiplied. */
static coming coming_strips(heedi_strips strips, size_t n, size_t k, size_t n_tiles) {
    const bool along = strips.k_step == 1;
    coming c = {.at = strips.at,
                .n = along ? n : tiles(n, 2 * LINE),
                .run_step = along ? strips.step : 2 * LINE,
                .n_pairs = along ? k / (2 * LINE) : k,
                .pair_step = along ? 2 * LINE : strips.k_step};
    c.n = c.n_pairs > 0 ? c.n : 0;
    c.at_once = c.n * c.n_pairs / most(1, n_tiles) + 1;
    return c;
}

/* What the next tile asks for. */
static heedi_ahead ask_for(coming *c) {
    if (c->run == c->n)
        return (heedi_ahead){0};
    const heedi_ahead ahead = {c->at + c->run * c->run_step + c->pair * c->pair_step,
                               least(c->at_once, c->n_pairs - c->pair), c->pair_step};
    c->pair += ahead.n;
    if (c->pair == c->n_pairs) {
        c->pair = 0;
        c->run++;
    }
    return ahead;
}

/* --- tiles ------------------------------------------------------------------------------------------------------- */

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

static void multiply_by_blis(const tile *c, size_t rows, size_t columns, real alpha, const heedi_tile_operands *o,
                             bool add) {
    auxinfo_t next = {0};
    real beta = add ? 1 : 0;
    /* BLIS reads its operands through pointers to non-const and leaves them alone. */
    real *l = (real *)o->left, *r = (real *)o->right.at;
    bli_auxinfo_set_next_a(l + o->k * blocks.left_stride, &next);
    bli_auxinfo_set_next_b(r, &next);
    blocks.kernel((dim_t)rows, (dim_t)columns, (dim_t)o->k, &alpha, l, r, &beta, c->at, (inc_t)c->left, (inc_t)c->right,
                  &next, blocks.context);
}

/* A narrow tile takes its strips as they lie. */
static bool is_rest(size_t columns, const heedi_strips *right) {
    return columns == HEEDI_TILE_REST && right->k_step == 1;
}

/* A tile at an edge is made by itself, with what the panels' zeros give, and its part of C taken from it. */
static void multiply_edge(const tile *c, size_t rows, size_t columns, real alpha, const heedi_tile_operands *o,
                          const heedi_tile_terms *terms, const heedi_ahead *ahead) {
    real whole[HEEDI_TILE_RIGHT * HEEDI_TILE_LEFT] __attribute__((aligned(HEED_ALIGNMENT)));
    const size_t width = is_rest(columns, &o->right) ? HEEDI_TILE_REST : HEEDI_TILE_RIGHT;
    const heedi_tile_terms none = {0};
    heedi_tile(whole, HEEDI_TILE_LEFT, width, alpha, o, &none, ahead);
    for (size_t j = 0; j < columns; j++)
        for (size_t i = 0; i < rows; i++) {
            real sum = whole[j * HEEDI_TILE_LEFT + i];
            if (terms->first)
                sum = terms->first[j * terms->first_step + i] + sum;
            c->at[j * c->right + i] = terms->second ? terms->second[j * terms->second_step + i] + sum : sum;
        }
}

/* As heedi_tile; BLIS's kernels can add to C alone, as the first term. Operands go by pointer: a structure that is
 * written by halves and read whole waits for the store. */
static void multiply_tile(const tile *c, size_t rows, size_t columns, real alpha, const heedi_tile_operands *o,
                          const heedi_tile_terms *terms, const heedi_ahead *ahead) {
    if (!blocks.own)
        multiply_by_blis(c, rows, columns, alpha, o, terms->first);
    else if (rows == HEEDI_TILE_LEFT && (columns == HEEDI_TILE_RIGHT || is_rest(columns, &o->right)))
        heedi_tile(c->at, c->right, columns, alpha, o, terms, ahead);
    else
        multiply_edge(c, rows, columns, alpha, o, terms, ahead);
}

/* What is multiplied at a time: strips [left, left + n_left) and [right, right + n_right) of the operands, elements
 * [q, q + k) of k; of a sum these are the parts [first_part, end_part). */
typedef struct block {
    size_t left, n_left, right, n_right, q, k, first_part, end_part;
    real *left_packed, *right_packed;
    heedi_strips panels; /* of the left operand: `step` elements from one to the next */
} block;

/* The stack of heed_gemm_sum for one tile, its bottom C itself, which holds the sum of the parts before. A product that
 * is added at once goes straight on to what it is added to, with our own tile twice: the kernel completes it in
 * registers first, so the bits are the same. */
static void sum_tile(const loops *p, const block *b, const tile *c, size_t rows, size_t columns, heedi_tile_operands o,
                     coming *soon) {
    const size_t most_joined = blocks.own ? 2 : 1;
    real memory[MOST_LEVELS * MOST_TILE] __attribute__((aligned(HEED_ALIGNMENT)));
    tile stack[MOST_LEVELS + 1] = {*c};
    for (size_t level = 0; level < MOST_LEVELS; level++)
        stack[level + 1] = (tile){&memory[level * MOST_TILE], blocks.likes_rows ? blocks.right_width : 1,
                                  blocks.likes_rows ? 1 : blocks.left_width};
    size_t height = b->first_part > 0;
    for (size_t i = b->first_part; i < b->end_part; i++) {
        const heed_gemm_part part = p->parts[i];
        const size_t joined = part.k <= blocks.k_block ? least(part.n_additions, most_joined) : 0;
        const tile *to = &stack[height - joined];
        for (size_t q = 0; q < part.k; q += blocks.k_block) {
            heedi_tile_terms terms = {.first = joined > 0 || q > 0 ? to->at : NULL, .first_step = to->right};
            if (joined == 2)
                terms = (heedi_tile_terms){stack[height - 1].at, to->at, blocks.left_width, to->right};
            const heedi_ahead ahead = ask_for(soon);
            o.k = least(part.k - q, blocks.k_block);
            multiply_tile(to, rows, columns, 1, &o, &terms, &ahead);
            o.left += o.k * o.left_step;
            o.right.at += o.k * o.right.k_step;
        }
        height += 1 - joined;
        for (size_t j = joined; j < part.n_additions; j++, height--)
            add_tile(stack[height - 2], stack[height - 1], rows, columns);
    }
}

/* --- the loops --------------------------------------------------------------------------------------------------- */

/* n strips of the right operand from strip j of the block on. */
static void pack_right(const loops *p, const block *b, size_t j, size_t n) {
    heedi_pack(b->right_packed, blocks.right_width, blocks.right_stride, strips_from(p->r, b->right + j, b->q), n,
               b->k);
}

/* Makes the block's left panels ready. Strips side by side stay where they are, unless the lines that they are read by
 * fall on each other in the nearest cache, as they do at steps of 512 elements times anything. */
static void ready_left(const loops *p, block *b) {
    const heedi_strips strips = strips_from(p->l, b->left, b->q);
    const bool falls_apart = strips.step == 1 && strips.k_step % 512 != 0;
    if (blocks.own && p->r.k_step == 1 && falls_apart && b->n_left % HEEDI_TILE_LEFT == 0) {
        b->panels = (heedi_strips){strips.at, HEEDI_TILE_LEFT, strips.k_step};
        return;
    }
    heedi_pack(b->left_packed, blocks.left_width, blocks.left_stride, strips, b->n_left, b->k);
    b->panels = (heedi_strips){b->left_packed, blocks.left_stride * b->k, blocks.left_stride};
}

/* Strips of the panel at strip j of the block: an end of 4 or 8 beyond whole panels is made of narrow ones. */
static size_t right_panel(const loops *p, const block *b, size_t j) {
    const size_t n = b->n_right - j;
    const bool ends = n == HEEDI_TILE_REST || n == 2 * HEEDI_TILE_REST;
    return blocks.own && p->r.k_step == 1 && ends ? HEEDI_TILE_REST : least(n, blocks.right_width);
}

/* The last strips, too few for a tile, with zeros for those that are missing; they run along memory like the others. */
static heedi_strips fill_up(real *out, heedi_strips strips, size_t n, size_t k) {
    for (size_t w = 0; w < n; w++)
        memcpy(out + w * k, strips.at + w * strips.step, k * sizeof *out);
    memset(out + n * k, 0, (blocks.right_width - n) * k * sizeof *out);
    return (heedi_strips){out, k, 1};
}

/* Makes the panel ready that begins at strip j of the block. */
static heedi_strips ready_right(const loops *p, const block *b, size_t j, size_t width) {
    const heedi_strips strips = strips_from(p->r, b->right + j, b->q);
    if (p->r.k_step == 1)
        return width == blocks.right_width || width == HEEDI_TILE_REST ? strips
                                                                       : fill_up(b->right_packed, strips, width, b->k);
    pack_right(p, b, j, width);
    return (heedi_strips){b->right_packed, 1, blocks.right_stride};
}

/* What the tile at C's left strip i and right strip j joins: the first block of k the row, the others what those before
 * have left in C, and the last one z. */
static heedi_tile_terms terms_of(const loops *p, const block *b, const tile *c, size_t i, size_t j) {
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
                           coming *soon) {
    heedi_tile_operands o = {b->panels.at, b->panels.k_step, *r, b->k};
    tile c = {p->c + b->left * p->c_left + (b->right + j) * p->c_right, p->c_left, p->c_right};
    for (size_t i = 0; i < b->n_left; i += blocks.left_width) {
        const size_t rows = least(b->n_left - i, blocks.left_width);
        if (p->parts) {
            sum_tile(p, b, &c, rows, columns, o, soon);
        } else {
            const heedi_tile_terms terms = terms_of(p, b, &c, b->left + i, b->right + j);
            const heedi_ahead ahead = ask_for(soon);
            multiply_tile(&c, rows, columns, p->alpha, &o, &terms, &ahead);
        }
        o.left += b->panels.step;
        c.at += blocks.left_width * p->c_left;
    }
}

/* Where the right operand is packed already. */
static void multiply_packed(const loops *p, const block *b) {
    coming nothing = {0};
    for (size_t j = 0; j < b->n_right; j += blocks.right_width) {
        const real *panel = b->right_packed + j / blocks.right_width * blocks.right_stride * b->k;
        const heedi_strips r = {panel, 1, blocks.right_stride};
        multiply_panel(p, b, &r, j, least(b->n_right - j, blocks.right_width), &nothing);
    }
}

/* Where it is not. While a panel is multiplied the next one's strips are asked for; or, where all of the right ones
 * have a place in the second cache, the next block of the left ones. */
static void multiply_unpacked(const loops *p, const block *b, coming *next_left) {
    const size_t n_parts = most(1, b->end_part - b->first_part);
    const size_t n_tiles = tiles(b->n_left, blocks.left_width) * n_parts;
    for (size_t j = 0, next; j < b->n_right; j = next) {
        const size_t width = right_panel(p, b, j);
        const heedi_strips r = ready_right(p, b, j, width);
        next = j + width;
        coming next_right = coming_strips(strips_from(p->r, b->right + next, b->q),
                                          least(b->n_right - next, blocks.right_width), b->k, n_tiles);
        multiply_panel(p, b, &r, j, width, next_left ? next_left : &next_right);
    }
}

/* The next block of k, behind what has been done: of a sum as many parts as come to WANTED_SUM_K, but no fewer than
 * leave one sum, which C keeps. */
static bool next_block(const loops *p, block *b) {
    b->q += b->k;
    if (b->q >= p->k)
        return false;
    b->k = least(p->k - b->q, blocks.k_block);
    if (!p->parts)
        return true;
    b->first_part = b->end_part;
    size_t k = 0, height = b->first_part > 0;
    for (size_t i = b->first_part; i < p->n_parts; i++) {
        k += p->parts[i].k;
        if (b->end_part > b->first_part && k > WANTED_SUM_K)
            break;
        height += 1 - p->parts[i].n_additions;
        if (height == 1) {
            b->k = k;
            b->end_part = i + 1;
        }
    }
    return true;
}

/* Strips of one packed block out of n: equal shares, in whole tiles. */
static size_t share(size_t n, size_t width, size_t stride, size_t size, size_t k) {
    const size_t n_tiles = tiles(n, width), at_once = most(1, size / (stride * k));
    const size_t n_blocks = most(1, tiles(n_tiles, at_once));
    return tiles(n_tiles, n_blocks) * width;
}

/* Strips of the left operand that are multiplied at a time: what can be packed; a quarter of it where the block that
 * comes next shares the second cache with this one and all of the right operand. */
static size_t left_block(const loops *p, size_t n, size_t n_right, size_t k, bool *asks_for_next) {
    *asks_for_next = blocks.own && !p->parts && p->r.k_step == 1 && n_right * k <= blocks.left_size / 2;
    return share(n, blocks.left_width, blocks.left_stride, blocks.left_size / (*asks_for_next ? 4 : 1), k);
}

/* The block of left strips behind this one: further strips, or the first ones of the next block of k. */
static coming coming_left(const loops *p, const block *b, size_t left, size_t left_end, size_t at_once) {
    const size_t n_tiles = tiles(b->n_left, blocks.left_width) * tiles(b->n_right, HEEDI_TILE_RIGHT);
    const size_t behind = b->left + b->n_left, next_q = b->q + b->k;
    if (behind < left_end)
        return coming_strips(strips_from(p->l, behind, b->q), least(left_end - behind, at_once), b->k, n_tiles);
    return coming_strips(strips_from(p->l, left, next_q), least(left_end - left, at_once),
                         least(p->k - next_q, blocks.k_block), n_tiles);
}

/* The piece [left, left_end) x [right, right_end) of C. */
static void multiply_piece(const loops *p, size_t left, size_t left_end, size_t right, size_t right_end, real *packed) {
    block b = {.left_packed = packed, .right_packed = packed + blocks.left_size};
    if (left == left_end || right == right_end)
        return;
    while (next_block(p, &b)) {
        bool asks_for_next;
        const size_t at_once = left_block(p, left_end - left, right_end - right, b.k, &asks_for_next);
        const size_t right_block =
            blocks.own ? right_end - right
                       : share(right_end - right, blocks.right_width, blocks.right_stride, blocks.right_size, b.k);
        for (b.right = right; b.right < right_end; b.right += right_block) {
            b.n_right = least(right_end - b.right, right_block);
            if (!blocks.own)
                pack_right(p, &b, 0, b.n_right);
            for (b.left = left; b.left < left_end; b.left += at_once) {
                b.n_left = least(left_end - b.left, at_once);
                ready_left(p, &b);
                if (!blocks.own) {
                    multiply_packed(p, &b);
                    continue;
                }
                coming next_left = coming_left(p, &b, left, left_end, at_once);
                multiply_unpacked(p, &b, asks_for_next ? &next_left : NULL);
            }
        }
    }
}

/* Threads form a grid over C that takes the least time: in clocks for each element of k a tile's multiply-adds, two
 * vectors of 16 at once, and one for each strip that a thread packs for itself. */
static size_t choose_grid(const loops *p, size_t n_threads) {
    const bool in_place = blocks.own && p->r.k_step == 1;
    const size_t clocks_of_tile = most(1, blocks.left_width * blocks.right_width / (2 * LINE));
    const size_t n_left = tiles(p->left, blocks.left_width), n_right = tiles(p->right, blocks.right_width);
    size_t best = 1, least_clocks = SIZE_MAX;
    for (size_t rows = 1; rows <= n_threads; rows++) {
        if (n_threads % rows != 0)
            continue;
        const size_t columns = n_threads / rows;
        const size_t clocks = tiles(n_left, rows) * tiles(n_right, columns) * clocks_of_tile + p->left / rows +
                              (in_place ? 0 : p->right / columns);
        if (clocks < least_clocks) {
            best = rows;
            least_clocks = clocks;
        }
    }
    return best;
}

/* Part `index` of n_parts of n strips, in whole tiles. */
static size_t bound(size_t n, size_t width, size_t index, size_t n_parts) {
    return least(tiles(n, width) * index / n_parts * width, n);
}

bool heedi_blocks_take_parts(const heed_gemm_part *parts, size_t n_parts) {
    loops p = {.parts = parts, .n_parts = n_parts};
    block b = {0};
    for (size_t i = 0; i < n_parts; i++)
        p.k += parts[i].k;
    if (n_parts > HEED_GEMM_MOST_PARTS || blocks.left_width * blocks.right_width > MOST_TILE)
        return false;
    size_t height = 0;
    for (size_t i = 0; i < n_parts; i++) {
        if (height > MOST_LEVELS)
            return false;
        height += 1 - parts[i].n_additions;
    }
    while (next_block(&p, &b))
        if (b.k > MOST_K_BLOCKS * blocks.k_block)
            return false;
    return true;
}

bool heedi_blocks_take_terms(void) {
    return blocks.own;
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
        multiply_piece(&p, bound(p.left, blocks.left_width, row, rows), bound(p.left, blocks.left_width, row + 1, rows),
                       bound(p.right, blocks.right_width, column, columns),
                       bound(p.right, blocks.right_width, column + 1, columns), blocks.packed + me * packed_size);
    }
}

#else

heed_status heedi_blocks_open(int n_threads, bool *usable, heed_error *error) {
    (void)n_threads, (void)error;
    *usable = false;
    return HEED_OK;
}

void heedi_blocks_close(void) {}

bool heedi_blocks_take_parts(const heed_gemm_part *parts, size_t n_parts) {
    (void)parts, (void)n_parts;
    return false;
}

bool heedi_blocks_take_terms(void) {
    return false;
}

void heedi_blocks_multiply(const heedi_product_task *task, int n_threads) {
    (void)task, (void)n_threads;
    heed_bug(__FILE__, __LINE__, "this BLIS offers no micro-kernels");
}

#endif
