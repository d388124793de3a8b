/* The one door to BLIS: matrix products in row-major terms, checked before BLIS sees them (it ends the process on bad
 * arguments), with the same bits for any number of threads, rows, or calling context. BLIS's micro-kernels run under
 * loops and packing of our own, in place of its AVX-512 one a tile of ours with the same bits; where a BLIS does not
 * offer them, under its own loops with the small-matrix path switched off, whose bits depend on both.
 *
 * BLIS 0.9 reads the processor's brand string and falls back to slow kernels on processors and virtual machines that it
 * does not know (1.5 to 5 times slower). heed looks at the CPU's features instead and names the kernel to BLIS before
 * it starts, unless the user did with BLIS_ARCH_TYPE. */
#ifndef HEED_GEMM_H
#define HEED_GEMM_H

#include <stdbool.h>
#include <stddef.h>

#include "heed/real.h"
#include "heed/status.h"

/* Instruction-set levels for which BLIS has a kernel that we choose between, lowest first. */
typedef enum heed_gemm_level { HEED_GEMM_GENERIC, HEED_GEMM_AVX2, HEED_GEMM_AVX512, HEED_GEMM_USER } heed_gemm_level;

/* The best level that this processor can run; HEED_GEMM_USER when BLIS_ARCH_TYPE is set. Does not start BLIS. */
heed_gemm_level heed_gemm_best(void);

/* Starts BLIS with the kernel of that level (all ranks pass the lowest of their best levels) and n_threads threads a
 * product, and lets its pool of memory grow to the size that it will ever have. Call once, before any product.
 * Errors: HEED_UNAVAILABLE, HEED_MEMORY. Not collective. */
heed_status heed_gemm_open(heed_gemm_level level, int n_threads, heed_error *error);
void heed_gemm_close(void);

/* Name of the kernel that runs ("skx", "haswell", ...), version of the library, threads a product. */
const char *heed_gemm_kernel(void);
const char *heed_gemm_version(void);
int heed_gemm_threads(void);

/* C = alpha op(A) op(B) + beta C, op(X) = X or X^T.
 * Shapes: op(A) (m, k), op(B) (k, n), C (m, n), rows stride_x elements apart (stride_x >= length of a stored row).
 * beta is 0, which overwrites C whatever it held, or 1, which adds to it; no other value, since with those two the bits
 * of an element do not depend on which rows and columns are computed in the same call. Inside a parallel region
 * of at most as many threads as gemm was opened with a product uses one. Not collective. Cannot fail: bad shapes are
 * bugs of ours. */
void heed_gemm(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, real alpha, const real *a,
               size_t stride_a, const real *b, size_t stride_b, real beta, real *c, size_t stride_c);

/* C = Z + (row + op(A) op(B)): every row of the product joins `row` (n), and their sum Z (m, n); either may be NULL.
 * Overwrites C, which is neither Z nor a factor. The bits are those of C = row, C += op(A) op(B), C = Z + C; where the
 * micro-kernel is our own the additions cost no way through memory. Otherwise as heed_gemm. */
void heed_gemm_add(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, const real *a, size_t stride_a,
                   const real *b, size_t stride_b, const real *row, const real *z, size_t stride_z, real *c,
                   size_t stride_c);

/* A run of k that is a product of its own, and how many additions close behind it. */
typedef struct heed_gemm_part {
    size_t k, n_additions;
} heed_gemm_part;

/* C = the sum of the parts' products A_i^T B_i (A (k, m) and B (k, n), rows stride_x apart, part i the next parts[i].k
 * of them) in the order of a stack: each product is put on it, then n_additions times the two on top become their sum;
 * at the end one is left. Overwrites C. The bits are those of making the products by heed_gemm and adding them, the
 * time is that of one product, since sums are made in the nearest cache, tile by tile. Returns false, and has done
 * nothing, where it cannot: a part is empty, there are more than HEED_GEMM_MOST_PARTS, parts that must wait for each
 * other are together longer than four of the kernel's blocks of k, more than eight sums wait at once, or BLIS does not
 * offer its micro-kernels. Otherwise as heed_gemm. */
#define HEED_GEMM_MOST_PARTS 64
bool heed_gemm_sum(size_t m, size_t n, const heed_gemm_part *parts, size_t n_parts, const real *a, size_t stride_a,
                   const real *b, size_t stride_b, real *c, size_t stride_c);

/* Floating-point operations (2 m n k each) of all products of this process so far, for `heed bench` and the share of
 * the peak. */
double heed_gemm_flops(void);

/* Measures one product C = A B of that shape for `seconds` or longer, by BLIS's own loops: the best GF/s of its
 * repetitions, on n_threads; 0 when memory is short. */
double heed_gemm_rate(size_t m, size_t n, size_t k, int n_threads, double seconds);

/* The shapes (m, n, k) over which the peak is measured. */
#define HEED_PEAK_SHAPES 3
extern const size_t heed_peak_shapes[HEED_PEAK_SHAPES][3];

/* The matrix-product peak in GF/s of heed's own threads and loops, for a start that must be short: the first of those
 * shapes alone, about 0.02 s. `heed bench` takes its time over all of them, with BLIS's loops. */
double heed_gemm_peak(void);

/* Memory that heed_gemm_peak takes while it measures. Not collective. */
size_t heed_gemm_peak_bytes(void);

#endif
