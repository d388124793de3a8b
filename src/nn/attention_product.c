/* The loops over j carry `omp simd`, without which gcc 12 breaks the arrays of sums into single numbers instead of
 * whole registers. Blocks of 4 x 16 fit the 16 registers of AVX2. In single precision the 32 of AVX-512 hold blocks of
 * 8 x 32, or of 24 or 16 x 16 where there are but 16 columns: with 16 sums and more, products that wait for nothing but
 * their turn. */
#include "nn/attention_product.h"

#include "base/avx512.h"
#include "heed/multiversion.h"
#include "heed/status.h"
#include "nn/parallel.h"

/* c (rows, columns) of the product, held in registers while k runs: rows and columns are constants where this is
 * inlined. */
HEEDI_INLINE void block(real *restrict c, size_t c_row, heedi_matrix a, const real *restrict b, size_t b_row, size_t k,
                        bool add, const size_t rows, const size_t columns) {
    real sum[4][HEEDI_LANES];
#pragma GCC unroll 4
    for (size_t i = 0; i < rows; i++)
#pragma omp simd
        for (size_t j = 0; j < columns; j++)
            sum[i][j] = add ? c[i * c_row + j] : 0;
    for (size_t p = 0; p < k; p++) {
#pragma GCC unroll 4
        for (size_t i = 0; i < rows; i++) {
            const real x = a.at[i * a.row + p * a.column];
#pragma omp simd
            for (size_t j = 0; j < columns; j++)
                sum[i][j] = heedi_fma(x, b[p * b_row + j], sum[i][j]);
        }
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < rows; i++)
#pragma omp simd
        for (size_t j = 0; j < columns; j++)
            c[i * c_row + j] = sum[i][j];
}

HEED_MULTIVERSION static void product_in_16_registers(real *c, size_t c_row, heedi_matrix a, const real *b,
                                                      size_t b_row, size_t m, size_t n, size_t k, bool add) {
    for (size_t j = 0; j < n; j += HEEDI_LANES)
        for (size_t i = 0; i < m; i += 4) {
            const heedi_matrix part = {a.at + i * a.row, a.row, a.column};
            if (add)
                block(c + i * c_row + j, c_row, part, b + j, b_row, k, true, 4, HEEDI_LANES);
            else
                block(c + i * c_row + j, c_row, part, b + j, b_row, k, false, 4, HEEDI_LANES);
        }
}

#if defined(HEEDI_AVX512) && !defined(HEED_DOUBLE)

enum { MOST_ROWS = 24, GROUP = 3 }; /* of A's rows one pointer reaches three, as far as an address can be scaled */

/* The same by name: c (rows, 16 vectors). */
HEEDI_AVX512_INLINE void wide_block(real *restrict c, size_t c_row, heedi_matrix a, const real *restrict b,
                                    size_t b_row, size_t k, bool add, const size_t rows, const size_t vectors) {
    __m512 sum[MOST_ROWS][2];
    const real *strips[MOST_ROWS / GROUP];
#pragma GCC unroll 24
    for (size_t i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            sum[i][v] = add ? _mm512_loadu_ps(c + i * c_row + v * HEEDI_LANES) : _mm512_setzero_ps();
#pragma GCC unroll 8
    for (size_t g = 0; g * GROUP < rows; g++)
        strips[g] = a.at + g * GROUP * a.row;
#pragma GCC unroll 2
    for (size_t p = 0; p < k; p++) {
        __m512 y[2];
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            y[v] = _mm512_loadu_ps(b + v * HEEDI_LANES);
#pragma GCC unroll 24
        for (size_t i = 0; i < rows; i++) {
            const __m512 x = _mm512_set1_ps(strips[i / GROUP][i % GROUP * a.row]);
#pragma GCC unroll 2
            for (size_t v = 0; v < vectors; v++)
                heedi_add_product(&sum[i][v], x, y[v]);
        }
        b += b_row;
#pragma GCC unroll 8
        for (size_t g = 0; g * GROUP < rows; g++)
            strips[g] += a.column;
    }
#pragma GCC unroll 24
    for (size_t i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            _mm512_storeu_ps(c + i * c_row + v * HEEDI_LANES, sum[i][v]);
}

HEEDI_AVX512_INLINE void wide_blocks(real *c, size_t c_row, heedi_matrix a, const real *b, size_t b_row, size_t m,
                                     size_t n, size_t k, bool add) {
    const size_t last = n / (2 * HEEDI_LANES) * (2 * HEEDI_LANES);
    size_t i = 0;
    for (size_t j = 0; j < last; j += 2 * HEEDI_LANES)
        for (i = 0; i < m; i += HEEDI_PRODUCT_ROWS)
            wide_block(c + i * c_row + j, c_row, (heedi_matrix){a.at + i * a.row, a.row, a.column}, b + j, b_row, k,
                       add, HEEDI_PRODUCT_ROWS, 2);
    if (last == n)
        return;
    for (i = 0; i + MOST_ROWS <= m; i += MOST_ROWS)
        wide_block(c + i * c_row + last, c_row, (heedi_matrix){a.at + i * a.row, a.row, a.column}, b + last, b_row, k,
                   add, MOST_ROWS, 1);
    for (; i + 2 * HEEDI_PRODUCT_ROWS <= m; i += 2 * HEEDI_PRODUCT_ROWS)
        wide_block(c + i * c_row + last, c_row, (heedi_matrix){a.at + i * a.row, a.row, a.column}, b + last, b_row, k,
                   add, 2 * HEEDI_PRODUCT_ROWS, 1);
    for (; i < m; i += HEEDI_PRODUCT_ROWS)
        wide_block(c + i * c_row + last, c_row, (heedi_matrix){a.at + i * a.row, a.row, a.column}, b + last, b_row, k,
                   add, HEEDI_PRODUCT_ROWS, 1);
}

/* Compiled for each step of A that is 1, which takes additions out of the loop over k. */
HEEDI_AVX512 static void product_in_32_registers(real *c, size_t c_row, heedi_matrix a, const real *b, size_t b_row,
                                                 size_t m, size_t n, size_t k, bool add) {
    if (a.column == 1)
        wide_blocks(c, c_row, (heedi_matrix){a.at, a.row, 1}, b, b_row, m, n, k, add);
    else
        wide_blocks(c, c_row, (heedi_matrix){a.at, 1, a.column}, b, b_row, m, n, k, add);
}

#endif

void heedi_product(real *c, size_t c_row, heedi_matrix a, const real *b, size_t b_row, size_t m, size_t n, size_t k,
                   bool add) {
    HEED_CHECK(a.row == 1 || a.column == 1);
#if defined(HEEDI_AVX512) && !defined(HEED_DOUBLE)
    if (heedi_has_avx512()) {
        product_in_32_registers(c, c_row, a, b, b_row, m, n, k, add);
        return;
    }
#endif
    product_in_16_registers(c, c_row, a, b, b_row, m, n, k, add);
}

/* Four by four at a time: interleaving the rows twice transposes them. */
HEEDI_INLINE void transpose_4(real *out, size_t out_row, const real *x, size_t x_row) {
    typedef real quad __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));
    const quad a = *(const quad *)x, b = *(const quad *)(x + x_row);
    const quad c = *(const quad *)(x + 2 * x_row), d = *(const quad *)(x + 3 * x_row);
    const quad ac_low = __builtin_shufflevector(a, c, 0, 4, 1, 5), ac_high = __builtin_shufflevector(a, c, 2, 6, 3, 7);
    const quad bd_low = __builtin_shufflevector(b, d, 0, 4, 1, 5), bd_high = __builtin_shufflevector(b, d, 2, 6, 3, 7);
    *(quad *)out = __builtin_shufflevector(ac_low, bd_low, 0, 4, 1, 5);
    *(quad *)(out + out_row) = __builtin_shufflevector(ac_low, bd_low, 2, 6, 3, 7);
    *(quad *)(out + 2 * out_row) = __builtin_shufflevector(ac_high, bd_high, 0, 4, 1, 5);
    *(quad *)(out + 3 * out_row) = __builtin_shufflevector(ac_high, bd_high, 2, 6, 3, 7);
}

HEED_MULTIVERSION void heedi_transpose(real *out, const real *x, size_t rows, size_t width) {
    for (size_t c = 0; c < width; c += 4)
        for (size_t r = 0; r < rows; r += 4)
            transpose_4(out + c * rows + r, rows, x + r * width + c, width);
}
