/* The loops over j carry `omp simd`, without which gcc 12 breaks the arrays of sums into single numbers instead of
 * whole registers. Blocks of 4 x 16 fit the 16 registers of AVX2, blocks of 8 x 32 the 32 of AVX-512; one size for both
 * would run at two thirds of the speed on one of them. */
#include "nn/attention_product.h"

#include "heed/multiversion.h"
#include "nn/parallel.h"

/* c (rows, columns) of the product, held in registers while k runs: rows and columns are constants where this is
 * inlined. */
HEEDI_INLINE void block(real *restrict c, size_t c_row, heedi_matrix a, const real *restrict b, size_t b_row, size_t k,
                        bool add, const size_t rows, const size_t columns) {
    real sum[8][2 * HEEDI_LANES];
#pragma GCC unroll 8
    for (size_t i = 0; i < rows; i++)
#pragma omp simd
        for (size_t j = 0; j < columns; j++)
            sum[i][j] = add ? c[i * c_row + j] : 0;
    const real *low = a.at, *high = a.at + 4 * a.row;
    for (size_t p = 0; p < k; p++) {
#pragma GCC unroll 8
        for (size_t i = 0; i < rows; i++) {
            const real x = (i < 4 ? low : high)[i % 4 * a.row + p * a.column];
#pragma omp simd
            for (size_t j = 0; j < columns; j++)
                sum[i][j] = heedi_fma(x, b[p * b_row + j], sum[i][j]);
        }
    }
#pragma GCC unroll 8
    for (size_t i = 0; i < rows; i++)
#pragma omp simd
        for (size_t j = 0; j < columns; j++)
            c[i * c_row + j] = sum[i][j];
}

HEEDI_INLINE void column_of_blocks(real *c, size_t c_row, heedi_matrix a, const real *b, size_t b_row, size_t m,
                                   size_t k, bool add, const size_t rows, const size_t columns) {
    for (size_t i = 0; i < m; i += rows) {
        const heedi_matrix part = {a.at + i * a.row, a.row, a.column};
        if (add)
            block(c + i * c_row, c_row, part, b, b_row, k, true, rows, columns);
        else
            block(c + i * c_row, c_row, part, b, b_row, k, false, rows, columns);
    }
}

HEED_MULTIVERSION static void product_in_16_registers(real *c, size_t c_row, heedi_matrix a, const real *b,
                                                      size_t b_row, size_t m, size_t n, size_t k, bool add) {
    for (size_t j = 0; j < n; j += HEEDI_LANES)
        column_of_blocks(c + j, c_row, a, b + j, b_row, m, k, add, 4, HEEDI_LANES);
}

HEED_MULTIVERSION static void product_in_32_registers(real *c, size_t c_row, heedi_matrix a, const real *b,
                                                      size_t b_row, size_t m, size_t n, size_t k, bool add) {
    size_t j = 0;
    for (; j + 2 * HEEDI_LANES <= n; j += 2 * HEEDI_LANES)
        column_of_blocks(c + j, c_row, a, b + j, b_row, m, k, add, 8, 2 * HEEDI_LANES);
    if (j < n)
        column_of_blocks(c + j, c_row, a, b + j, b_row, m, k, add, 8, HEEDI_LANES);
}

/* Known when the whole build is for one instruction set, else asked of the processor. */
static bool has_32_registers(void) {
#if defined(__AVX512F__)
    return true;
#elif defined(__x86_64__) && !defined(HEED_NATIVE)
    return __builtin_cpu_supports("avx512f");
#else
    return false;
#endif
}

void heedi_product(real *c, size_t c_row, heedi_matrix a, const real *b, size_t b_row, size_t m, size_t n, size_t k,
                   bool add) {
    if (has_32_registers())
        product_in_32_registers(c, c_row, a, b, b_row, m, n, k, add);
    else
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

HEED_MULTIVERSION void heedi_transpose(real *out, const real *x, size_t width) {
    for (size_t c = 0; c < width; c += 4)
        for (size_t r = 0; r < HEEDI_LANES; r += 4)
            transpose_4(out + c * HEEDI_LANES + r, HEEDI_LANES, x + r * width + c, width);
}
