/* Products against plain loops in double, and their bits against themselves: for any number of threads and any cut of
 * the rows or columns, in and out of parallel regions, on the kernel that the argument names (generic, avx2, avx512).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>
#include <omp.h>

#include "heed/gemm.h"
#include "heed/rng.h"

enum { SKIPPED = 77, MOST_PARTS = 11 };

static heed_gemm_level level;

/* m, n, k: odd, thin, smaller and larger than the blocks that a product is cut into; the last two with whole panels
 * that can be read in place, and ends of narrow tiles. */
static const size_t shapes[][3] = {{1, 1, 1},     {1, 7, 5},     {7, 1, 9},    {5, 3, 0},     {13, 17, 19},
                                   {64, 64, 64},  {97, 1, 33},   {1, 130, 40}, {129, 65, 31}, {31, 257, 127},
                                   {515, 13, 40}, {40, 33, 900}, {90, 83, 7},  {40, 96, 800}, {20, 3200, 33}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* One product's operands. Rows are wider than they need be, with bytes between that no product may touch. */
typedef struct product {
    bool transpose_a, transpose_b;
    size_t m, n, k, stride_a, stride_b, stride_c;
    real alpha, beta, *a, *b, *c;
} product;

static real *random_matrix(size_t n, uint32_t site) {
    real *x = malloc(n * sizeof *x);
    const heed_rng rng = {.seed = 11, .purpose = HEED_PURPOSE_TEST, .site = site};
    for (size_t i = 0; i < n; i++) {
        double pair[2];
        heed_rng_normal(pair, &rng, (uint32_t)(i / 2));
        x[i] = (real)pair[i % 2];
    }
    return x;
}

static product product_new(const size_t shape[3], int transposes, real alpha, real beta) {
    product p = {.transpose_a = transposes & 1,
                 .transpose_b = transposes & 2,
                 .m = shape[0],
                 .n = shape[1],
                 .k = shape[2],
                 .alpha = alpha,
                 .beta = beta};
    p.stride_a = (p.transpose_a ? p.m : p.k) + 3;
    p.stride_b = (p.transpose_b ? p.k : p.n) + 1;
    p.stride_c = p.n + 5;
    p.a = random_matrix((p.transpose_a ? p.k : p.m) * p.stride_a, 1);
    p.b = random_matrix((p.transpose_b ? p.n : p.k) * p.stride_b, 2);
    p.c = random_matrix(p.m * p.stride_c, 3);
    return p;
}

static void product_free(product *p) {
    free(p->a);
    free(p->b);
    free(p->c);
}

static void multiply(const product *p, real *c) {
    heed_gemm(p->transpose_a, p->transpose_b, p->m, p->n, p->k, p->alpha, p->a, p->stride_a, p->b, p->stride_b, p->beta,
              c, p->stride_c);
}

/* Rows [row, row + n_rows) and columns [column, column + n_columns) of the product alone. */
static void multiply_part(const product *p, real *c, size_t row, size_t n_rows, size_t column, size_t n_columns) {
    heed_gemm(p->transpose_a, p->transpose_b, n_rows, n_columns, p->k, p->alpha,
              p->a + (p->transpose_a ? row : row * p->stride_a), p->stride_a,
              p->b + (p->transpose_b ? column * p->stride_b : column), p->stride_b, p->beta,
              c + row * p->stride_c + column, p->stride_c);
}

static real *copy_of_c(const product *p) {
    real *c = malloc(p->m * p->stride_c * sizeof *c);
    memcpy(c, p->c, p->m * p->stride_c * sizeof *c);
    return c;
}

static void assert_same_bits(const product *p, const real *x, const real *y) {
    assert_memory_equal(x, y, p->m * p->stride_c * sizeof *x);
}

static void reopen(int n_threads) {
    heed_error error = HEED_ERROR_INIT;
    heed_gemm_close();
    assert_int_equal(heed_gemm_open(level, n_threads, &error), HEED_OK);
    assert_int_equal(heed_gemm_threads(), n_threads);
}

/* --- values ----------------------------------------------------------------------------------------------------- */

/* The sum's exact value and the sum of the terms' sizes, which bounds what rounding can do. */
static void reference(const product *p, size_t i, size_t j, double *value, double *size) {
    *value = *size = 0;
    for (size_t l = 0; l < p->k; l++) {
        const double a = p->transpose_a ? p->a[l * p->stride_a + i] : p->a[i * p->stride_a + l];
        const double b = p->transpose_b ? p->b[j * p->stride_b + l] : p->b[l * p->stride_b + j];
        *value += a * b;
        *size += fabs(a * b);
    }
    const double c = p->beta == 0 ? 0 : (double)p->beta * p->c[i * p->stride_c + j];
    *value = (double)p->alpha * *value + c;
    *size = fabs((double)p->alpha) * *size + fabs(c);
}

static void check_values(const product *p, const real *c) {
    const double unit = sizeof(real) == 4 ? 0x1p-24 : 0x1p-52; /* the loops in double round as well */
    for (size_t i = 0; i < p->m; i++) {
        for (size_t j = 0; j < p->n; j++) {
            double value, size;
            reference(p, i, j, &value, &size);
            assert_true(fabs(c[i * p->stride_c + j] - value) <= (double)(p->k + 4) * unit * size);
        }
        const real *gap = c + i * p->stride_c + p->n;
        assert_memory_equal(gap, p->c + i * p->stride_c + p->n, (p->stride_c - p->n) * sizeof *gap);
    }
}

static void products_match_plain_loops(void **state) {
    (void)state;
    static const real factors[][2] = {{1, 0}, {1, 1}, {(real)-0.3, 1}};
    for (size_t s = 0; s < N_SHAPES; s++)
        for (int transposes = 0; transposes < 4; transposes++)
            for (size_t f = 0; f < 3; f++) {
                product p = product_new(shapes[s], transposes, factors[f][0], factors[f][1]);
                real *c = copy_of_c(&p);
                multiply(&p, c);
                check_values(&p, c);
                free(c);
                product_free(&p);
            }
}

static void beta_zero_overwrites_even_nan(void **state) {
    (void)state;
    for (size_t s = 0; s < N_SHAPES; s++) {
        product p = product_new(shapes[s], 0, 1, 0);
        real *c = copy_of_c(&p);
        for (size_t i = 0; i < p.m; i++)
            for (size_t j = 0; j < p.n; j++)
                c[i * p.stride_c + j] = (real)NAN;
        multiply(&p, c);
        check_values(&p, c);
        free(c);
        product_free(&p);
    }
}

/* --- bits ------------------------------------------------------------------------------------------------------- */

/* Calls check with each shape, transposes, and the factors that layers use: overwrite, scaled overwrite, accumulate. */
static void for_each_product(void (*check)(product *p, const real *whole)) {
    static const real factors[][2] = {{1, 0}, {(real)0.3, 0}, {1, 1}, {(real)0.3, 1}};
    for (size_t s = 0; s < N_SHAPES; s++)
        for (int transposes = 0; transposes < 4; transposes++)
            for (size_t f = 0; f < 4; f++) {
                product p = product_new(shapes[s], transposes, factors[f][0], factors[f][1]);
                real *whole = copy_of_c(&p);
                multiply(&p, whole);
                check(&p, whole);
                free(whole);
                product_free(&p);
            }
}

static void check_rows(product *p, const real *whole) {
    static const size_t parts[] = {5, 24, 100};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        real *c = copy_of_c(p);
        for (size_t row = 0; row < p->m; row += parts[i])
            multiply_part(p, c, row, row + parts[i] < p->m ? parts[i] : p->m - row, 0, p->n);
        assert_same_bits(p, whole, c);
        free(c);
    }
}

static void check_columns(product *p, const real *whole) {
    static const size_t parts[] = {5, 32};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        real *c = copy_of_c(p);
        for (size_t column = 0; column < p->n; column += parts[i])
            multiply_part(p, c, 0, p->m, column, column + parts[i] < p->n ? parts[i] : p->n - column);
        assert_same_bits(p, whole, c);
        free(c);
    }
}

static void bits_do_not_depend_on_the_cut_of_rows(void **state) {
    (void)state;
    for_each_product(check_rows);
}

static void bits_do_not_depend_on_the_cut_of_columns(void **state) {
    (void)state;
    for_each_product(check_columns);
}

static void check_parallel_region(product *p, const real *whole) {
    enum { N = 4 };
    real *c[N];
    for (int i = 0; i < N; i++)
        c[i] = copy_of_c(p);
#pragma omp parallel for num_threads(3) schedule(static, 1)
    for (int i = 0; i < N; i++)
        multiply(p, c[i]);
    for (int i = 0; i < N; i++) {
        assert_same_bits(p, whole, c[i]);
        free(c[i]);
    }
}

static void bits_are_the_same_in_parallel_regions(void **state) {
    (void)state;
    reopen(3);
    for_each_product(check_parallel_region);
    reopen(1);
}

/* The shapes, and one large enough that every thread gets a share. */
static void bits_do_not_depend_on_threads(void **state) {
    (void)state;
    static const size_t large[3] = {150, 1500, 450};
    enum { N = 4 * (N_SHAPES + 1) };
    real *one[N] = {NULL};
    for (int threads = 1; threads <= 3; threads++) {
        reopen(threads);
        for (size_t i = 0; i < N; i++) {
            product p = product_new(i / 4 < N_SHAPES ? shapes[i / 4] : large, (int)(i % 4), 1, 1);
            real *c = copy_of_c(&p);
            multiply(&p, c);
            if (threads == 1) {
                one[i] = c;
            } else {
                assert_same_bits(&p, one[i], c);
                free(c);
            }
            product_free(&p);
        }
    }
    for (size_t i = 0; i < N; i++)
        free(one[i]);
    reopen(1);
}

/* --- what products are added to ----------------------------------------------------------------------------------- */

/* C = row, C += A B, C = Z + C, one after the other. */
static void add_by_steps(const product *p, const real *row, const real *z, real *c) {
    product step = *p;
    step.beta = row ? 1 : 0;
    for (size_t i = 0; row && i < p->m; i++)
        memcpy(c + i * p->stride_c, row, p->n * sizeof *c);
    multiply(&step, c);
    for (size_t i = 0; z && i < p->m; i++)
        for (size_t j = 0; j < p->n; j++)
            c[i * p->stride_c + j] = z[i * (p->n + 2) + j] + c[i * p->stride_c + j];
}

static void check_additions(product *p, const real *whole) {
    (void)whole;
    if (p->alpha != 1 || p->beta != 0)
        return;
    real *row = random_matrix(p->n, 4), *z = random_matrix(p->m * (p->n + 2), 5);
    for (int terms = 0; terms < 4; terms++) {
        const real *the_row = terms & 1 ? row : NULL, *the_z = terms & 2 ? z : NULL;
        real *expected = copy_of_c(p), *c = copy_of_c(p);
        add_by_steps(p, the_row, the_z, expected);
        heed_gemm_add(p->transpose_a, p->transpose_b, p->m, p->n, p->k, p->a, p->stride_a, p->b, p->stride_b, the_row,
                      the_z, p->n + 2, c, p->stride_c);
        assert_same_bits(p, expected, c);
        free(expected);
        free(c);
    }
    free(row);
    free(z);
}

static void additions_have_the_bits_of_steps(void **state) {
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        reopen(threads);
        for_each_product(check_additions);
    }
    reopen(1);
}

/* --- bookkeeping ------------------------------------------------------------------------------------------------ */

/* The sum of parts [first, first + count) of a product, each made by itself and added in pairs; marks the additions. */
static void sum_by_pairs(const product *p, heed_gemm_part *parts, size_t first, size_t count, real *c) {
    if (count == 1) {
        size_t k = 0;
        for (size_t i = 0; i < first; i++)
            k += parts[i].k;
        heed_gemm(true, false, p->m, p->n, parts[first].k, 1, p->a + k * p->stride_a, p->stride_a,
                  p->b + k * p->stride_b, p->stride_b, 0, c, p->stride_c);
        return;
    }
    const size_t left = (count + 1) / 2;
    real *right = calloc(p->m * p->stride_c, sizeof *right);
    sum_by_pairs(p, parts, first, left, c);
    sum_by_pairs(p, parts, first + left, count - left, right);
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++)
            c[i * p->stride_c + j] += right[i * p->stride_c + j];
    free(right);
    parts[first + count - 1].n_additions++;
}

/* A sum whose part i has k[i] of k; false where it could not be made at once. */
static bool sum_has_the_bits_of_products_that_are_added(size_t m, size_t n, const size_t *k, size_t n_parts) {
    heed_gemm_part parts[MOST_PARTS] = {{0}};
    size_t all = 0;
    for (size_t i = 0; i < n_parts; i++)
        all += parts[i].k = k[i];
    product p = product_new((size_t[]){m, n, all}, 1, 1, 0);
    real *apart = calloc(p.m * p.stride_c, sizeof *apart), *sum = calloc(p.m * p.stride_c, sizeof *sum);
    sum_by_pairs(&p, parts, 0, n_parts, apart);
    const bool made = heed_gemm_sum(p.m, p.n, parts, n_parts, p.a, p.stride_a, p.b, p.stride_b, sum, p.stride_c);
    if (made)
        assert_same_bits(&p, sum, apart);
    free(apart);
    free(sum);
    product_free(&p);
    return made;
}

static void sums_have_the_bits_of_products_that_are_added(void **state) {
    (void)state;
    static const size_t sizes[][2] = {{1, 1}, {33, 13}, {64, 96}, {515, 40}};
    unsigned n_made = 0;
    for (int n_threads = 1; n_threads <= 2; n_threads++) {
        reopen(n_threads);
        for (size_t n_parts = 1; n_parts <= MOST_PARTS; n_parts++)
            for (size_t s = 0; s < 4; s++) {
                size_t k[MOST_PARTS];
                for (size_t i = 0; i < n_parts; i++)
                    k[i] = 1 + (7 * i + 3 * s) % 23;
                n_made += sum_has_the_bits_of_products_that_are_added(sizes[s][0], sizes[s][1], k, n_parts);
            }
    }
    print_message("%u of 88 sums made at once\n", n_made);
    assert_true(n_made == 0 || n_made == 88);
    const bool can = n_made > 0;
    /* More of k than a block of the kernel's has: parts that are longer than it, and blocks of parts one behind the
     * other, cut where one sum is left. Four parts that must wait for each other may be too much for the memory. */
    assert_int_equal(can, sum_has_the_bits_of_products_that_are_added(100, 61, (size_t[]){500, 390, 7}, 3));
    assert_int_equal(can, sum_has_the_bits_of_products_that_are_added(
                              70, 65, (size_t[]){256, 256, 256, 256, 100, 100, 100, 100}, 8));
    assert_int_equal(can, sum_has_the_bits_of_products_that_are_added(60, 1100, (size_t[]){256, 256, 100}, 3));
    assert_int_equal(can, sum_has_the_bits_of_products_that_are_added(300, 50, (size_t[]){130, 130, 130, 130}, 4));
    assert_false(
        sum_has_the_bits_of_products_that_are_added(3, 5, (size_t[]){9, 9, 9, 9, 20000, 20000, 20000, 20000}, 8));
    heed_gemm_part empty[2] = {{3, 0}, {0, 1}};
    real x[3] = {1, 2, 3}, y = 5;
    assert_false(heed_gemm_sum(1, 1, empty, 2, x, 1, x, 1, &y, 1));
    assert_true(y == 5);
}

static void operations_are_counted(void **state) {
    (void)state;
    const size_t shape[3] = {3, 2, 4};
    product p = product_new(shape, 0, 1, 0);
    reopen(3);
    const double before = heed_gemm_flops();
#pragma omp parallel num_threads(3)
    {
        real *c = copy_of_c(&p);
        for (int i = 0; i < 3000; i++)
            multiply(&p, c);
        free(c);
    }
    assert_true(heed_gemm_flops() - before == 3 * 3000 * 2.0 * 3 * 2 * 4);
    product_free(&p);
    reopen(1);
}

static void the_named_kernel_runs(void **state) {
    (void)state;
#ifdef __x86_64__
    static const char *const names[] = {"generic", "haswell", "skx"};
    assert_string_equal(heed_gemm_kernel(), names[level]);
    assert_null(getenv("BLIS_ARCH_TYPE")); /* not left behind for child processes */
#endif
    assert_true(strlen(heed_gemm_version()) > 0);
}

int main(int n_arguments, char **arguments) {
    static const char *const names[] = {"generic", "avx2", "avx512"};
    unsetenv("BLIS_ARCH_TYPE");
    for (int i = 0; n_arguments > 1 && i < 3; i++)
        if (strcmp(arguments[1], names[i]) == 0)
            level = (heed_gemm_level)i;
    if (level > heed_gemm_best()) {
        printf("skipped: this processor has no %s\n", names[level]);
        return SKIPPED;
    }
    heed_error error = HEED_ERROR_INIT;
    if (heed_gemm_open(level, 1, &error)) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_match_plain_loops),
        cmocka_unit_test(beta_zero_overwrites_even_nan),
        cmocka_unit_test(bits_do_not_depend_on_the_cut_of_rows),
        cmocka_unit_test(bits_do_not_depend_on_the_cut_of_columns),
        cmocka_unit_test(bits_are_the_same_in_parallel_regions),
        cmocka_unit_test(bits_do_not_depend_on_threads),
        cmocka_unit_test(sums_have_the_bits_of_products_that_are_added),
        cmocka_unit_test(additions_have_the_bits_of_steps),
        cmocka_unit_test(operations_are_counted),
        cmocka_unit_test(the_named_kernel_runs),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    heed_gemm_close();
    return failed;
}
