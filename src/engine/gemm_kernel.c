#include "engine/gemm_kernel.h"

#include <blis.h>

#include "heed/arena.h"
#include "heed/multiversion.h"

heedi_kernel_facts heedi_kernel;

#ifdef HEED_BLIS_KERNELS

#ifdef HEED_DOUBLE
typedef dgemm_ukr_ft micro_kernel;
#define NUMBER BLIS_DOUBLE
#else
typedef sgemm_ukr_ft micro_kernel;
#define NUMBER BLIS_FLOAT
#endif

static struct {
    cntx_t *context;
    micro_kernel kernel;
} micro;

void heedi_kernel_open(void) {
    cntx_t *context = bli_gks_query_cntx();
    heedi_kernel_facts k = {
        .likes_rows = bli_cntx_l3_nat_ukr_prefers_rows_dt(NUMBER, BLIS_GEMM_UKR, context),
        .left_width = (size_t)bli_cntx_get_blksz_def_dt(NUMBER, BLIS_MR, context),
        .right_width = (size_t)bli_cntx_get_blksz_def_dt(NUMBER, BLIS_NR, context),
        .left_stride = (size_t)bli_cntx_get_blksz_max_dt(NUMBER, BLIS_MR, context),
        .right_stride = (size_t)bli_cntx_get_blksz_max_dt(NUMBER, BLIS_NR, context),
        .left_at_once = (size_t)bli_cntx_get_blksz_def_dt(NUMBER, BLIS_MC, context),
        .k_block = (size_t)bli_cntx_get_blksz_def_dt(NUMBER, BLIS_KC, context),
    };
    k.own = heedi_tile_usable() && bli_arch_query_id() == BLIS_ARCH_SKX && !k.likes_rows &&
            k.left_width == HEEDI_TILE_LEFT && k.left_stride == HEEDI_TILE_LEFT && k.right_width == HEEDI_TILE_RIGHT &&
            k.right_stride == HEEDI_TILE_RIGHT;
    micro.context = context;
    micro.kernel = (micro_kernel)bli_cntx_get_l3_nat_ukr_dt(NUMBER, BLIS_GEMM_UKR, context);
    heedi_kernel = k;
}

/* Strip by strip along the direction in which both are contiguous. */
HEED_MULTIVERSION void heedi_add_tile(heedi_tile_place to, heedi_tile_place from, size_t rows, size_t columns) {
    const bool by_rows = heedi_kernel.likes_rows;
    const size_t n_strips = by_rows ? rows : columns, length = by_rows ? columns : rows;
    const size_t to_strip = by_rows ? to.left : to.right, from_strip = by_rows ? from.left : from.right;
    for (size_t s = 0; s < n_strips; s++)
#pragma omp simd
        for (size_t i = 0; i < length; i++)
            to.at[s * to_strip + i] += from.at[s * from_strip + i];
}

static void multiply_by_blis(const heedi_tile_place *c, size_t rows, size_t columns, real alpha,
                             const heedi_tile_operands *o, bool add) {
    auxinfo_t next = {0};
    real beta = add ? 1 : 0;
    /* BLIS reads its operands through pointers to non-const and leaves them alone. */
    real *l = (real *)o->left, *r = (real *)o->right.at;
    bli_auxinfo_set_next_a(l + o->k * heedi_kernel.left_stride, &next);
    bli_auxinfo_set_next_b(r, &next);
    micro.kernel((dim_t)rows, (dim_t)columns, (dim_t)o->k, &alpha, l, r, &beta, c->at, (inc_t)c->left, (inc_t)c->right,
                 &next, micro.context);
}

/* A narrow tile takes its strips as they lie. */
static bool is_rest(size_t columns, const heedi_strips *right) {
    return columns == HEEDI_TILE_REST && right->k_step == 1;
}

/* A tile at an edge is made by itself, with what the panels' zeros give, and its part of C taken from it. */
static void multiply_edge(const heedi_tile_place *c, size_t rows, size_t columns, real alpha,
                          const heedi_tile_operands *o, const heedi_tile_terms *terms, const heedi_ahead *ahead) {
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

void heedi_multiply_tile(const heedi_tile_place *c, size_t rows, size_t columns, real alpha,
                         const heedi_tile_operands *o, const heedi_tile_terms *terms, const heedi_ahead *ahead) {
    if (!heedi_kernel.own)
        multiply_by_blis(c, rows, columns, alpha, o, terms->first);
    else if (rows == HEEDI_TILE_LEFT && (columns == HEEDI_TILE_RIGHT || is_rest(columns, &o->right)))
        heedi_tile(c->at, c->right, columns, alpha, o, terms, ahead);
    else
        multiply_edge(c, rows, columns, alpha, o, terms, ahead);
}

#else

void heedi_kernel_open(void) {}

void heedi_multiply_tile(const heedi_tile_place *c, size_t rows, size_t columns, real alpha,
                         const heedi_tile_operands *o, const heedi_tile_terms *terms, const heedi_ahead *ahead) {
    (void)c, (void)rows, (void)columns, (void)alpha, (void)o, (void)terms, (void)ahead;
    heed_bug(__FILE__, __LINE__, "this BLIS offers no micro-kernels");
}

void heedi_add_tile(heedi_tile_place to, heedi_tile_place from, size_t rows, size_t columns) {
    (void)to, (void)from, (void)rows, (void)columns;
}

#endif
