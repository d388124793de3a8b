/* Two things decide whether a product has the same bits everywhere, and both are settled here:
 *
 * - the loops. BLIS sends small and thin products to a second family of kernels (sup), whose order of additions depends
 * on the number of rows and of threads. Ours (gemm_blocks.c) never do; where this BLIS does not let us call its
 * micro-kernels, every call passes a runtime object in which that path is off. Either way an element of C is always the
 * same sum: blocks of k in order, one fused chain per block. The peak that `heed bench` measures is that of
 * BLIS's own loops.
 * - the kernel. Which one runs is fixed once, before bli_init, and named by heed_gemm_kernel. */
#include "heed/gemm.h"

#include <omp.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <blis.h>

#include "engine/gemm_blocks.h"
#include "engine/gemm_kernel.h"
#include "engine/gemm_sum.h"
#include "heed/arena.h"
#include "heed/comm.h"
#include "heed/log.h"
#include "heed/stage.h"

static const char choice[] = "BLIS_ARCH_TYPE"; /* BLIS's own environment variable: a number of its enum arch_t */
static const double flops_per_thread = 1 << 18;
enum { ELEMENTS_WORTH_THREADS = 16384 }; /* where they are but moved */

static struct {
    bool open;
    bool blocks; /* products take our loops around BLIS's micro-kernel or our tile */
    int n_threads;
    _Atomic uint64_t flops;
} gemm;

/* --- which kernel ----------------------------------------------------------------------------------------------- */

/* The arch_t of a level in the header that we were built with, or -1 where that BLIS has no kernel for it. */
static int arch_of(heed_gemm_level level) {
#ifdef __x86_64__
#ifdef BLIS_CONFIG_SKX
    if (level == HEED_GEMM_AVX512)
        return BLIS_ARCH_SKX;
#endif
#ifdef BLIS_CONFIG_HASWELL
    if (level == HEED_GEMM_AVX2)
        return BLIS_ARCH_HASWELL;
#endif
#ifdef BLIS_CONFIG_GENERIC
    if (level == HEED_GEMM_GENERIC)
        return BLIS_ARCH_GENERIC;
#endif
#endif
    (void)level; /* elsewhere BLIS knows its processors better than we do */
    return -1;
}

static heed_gemm_level processor_level(void) {
#ifdef __x86_64__
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return HEED_GEMM_GENERIC;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        return HEED_GEMM_AVX512;
    return HEED_GEMM_AVX2;
#else
    return HEED_GEMM_GENERIC;
#endif
}

heed_gemm_level heed_gemm_best(void) {
    if (getenv(choice))
        return HEED_GEMM_USER;
    heed_gemm_level level = processor_level();
    while (level > HEED_GEMM_GENERIC && arch_of(level) < 0)
        level--;
    return level;
}

/* The numbers of arch_t change between versions of BLIS, and a wrong one is a kernel that the processor cannot run. The
 * header carries no version, but the library names its kernels: the names must be those of the header's numbers. */
static bool header_matches_library(void) {
#ifdef __x86_64__
    return strcmp(bli_arch_string(BLIS_ARCH_SKX), "skx") == 0 &&
           strcmp(bli_arch_string(BLIS_ARCH_HASWELL), "haswell") == 0 &&
           strcmp(bli_arch_string(BLIS_ARCH_GENERIC), "generic") == 0;
#else
    return false;
#endif
}

/* What the user wrote into BLIS_ARCH_TYPE, refused where BLIS would end the process or the processor would. */
static heed_status check_users_choice(const char *text, heed_error *error) {
    char *end;
    const long arch = strtol(text, &end, 10);
    if (end == text || *end || arch < 0 || arch >= BLIS_NUM_ARCHS) {
        heed_fail(error, HEED_UNAVAILABLE, "environment: %s = %s: not the number of a kernel of BLIS %s", choice, text,
                  bli_info_get_version_str());
        return heed_hint(error, "unset it, and heed chooses by the processor");
    }
    for (heed_gemm_level level = HEED_GEMM_AVX2; level <= HEED_GEMM_AVX512; level++)
        if (arch == arch_of(level) && level > processor_level()) {
            heed_fail(error, HEED_UNAVAILABLE, "environment: %s = %s: this processor cannot run the kernel %s", choice,
                      text, bli_arch_string((arch_t)arch));
            return heed_hint(error, "unset it, and heed chooses by the processor");
        }
    return HEED_OK;
}

static void multiply(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, real alpha, const real *a,
                     size_t stride_a, const real *b, size_t stride_b, real beta, real *c, size_t stride_c,
                     int n_threads);

/* BLIS packs into blocks of a pool that grows by 17 MB or so when all are in use at once, which is a matter of luck: it
 * can happen in the thousandth step. Here as many products as can ever be under way run at the same time, each for
 * longer than a processor's time slice, so that the pool has its size before the first step. */
static heed_status warm_up(int n_threads, heed_error *error) {
    const size_t m = 256, n = 768, k = 2048, c_size = heed_aligned(m * n * sizeof(real)) / sizeof(real);
    heed_arena arena;
    const size_t bytes = (heed_aligned(m * k * sizeof(real)) + heed_aligned(k * n * sizeof(real)));
    heed_status status = heed_arena_init(&arena, bytes + (size_t)n_threads * c_size * sizeof(real),
                                         "matrix products that warm up", error);
    if (status)
        return status;
    const real *a = heed_arena_take(&arena, m * k * sizeof(real));
    const real *b = heed_arena_take(&arena, k * n * sizeof(real));
    real *c = heed_arena_take(&arena, (size_t)n_threads * c_size * sizeof(real));
#pragma omp parallel num_threads(n_threads)
    {
        real *mine = c + (size_t)omp_get_thread_num() * c_size;
#pragma omp barrier
        multiply(false, false, m, n, k, 1, a, k, b, n, 0, mine, n, 1);
    }
    heed_arena_reset(&arena);
    return HEED_OK;
}

heed_status heed_gemm_open(heed_gemm_level level, int n_threads, heed_error *error) {
    HEED_CHECK(!gemm.open && n_threads >= 1);
    const char *users_choice = getenv(choice);
    bool named = false;
    if (users_choice && header_matches_library()) {
        heed_status status = check_users_choice(users_choice, error);
        if (status)
            return status;
    } else if (!users_choice && arch_of(level) >= 0) {
        if (header_matches_library()) {
            char number[16];
            snprintf(number, sizeof number, "%d", arch_of(level));
            named = setenv(choice, number, 1) == 0;
        } else {
            heed_say(HEED_INFO,
                     "BLIS %s is not the one that heed was built with: leaving the choice of its kernel to it",
                     bli_info_get_version_str());
        }
    }
    bli_init(); /* reads the variable; a query before this point would end the process */
    if (named)
        unsetenv(choice);
    gemm.open = true;
    gemm.n_threads = n_threads;
    const heed_status status = heedi_blocks_open(n_threads, &gemm.blocks, error);
    return status || gemm.blocks ? status : warm_up(n_threads, error);
}

void heed_gemm_close(void) {
    if (gemm.open) {
        heedi_blocks_close();
        bli_finalize();
    }
    gemm.open = false;
}

const char *heed_gemm_kernel(void) {
    HEED_CHECK(gemm.open);
    return bli_arch_string(bli_arch_query_id());
}

const char *heed_gemm_version(void) {
    return bli_info_get_version_str();
}

int heed_gemm_threads(void) {
    return gemm.n_threads;
}

/* --- products --------------------------------------------------------------------------------------------------- */

/* Threads cost a few microseconds to gather: a small product is done sooner with fewer. The bits do not care. */
static int threads_for(double flops, int n_threads) {
    if (omp_in_parallel())
        return 1;
    const double useful = flops / flops_per_thread;
    return useful >= n_threads ? n_threads : useful < 1 ? 1 : (int)useful;
}

static void multiply(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, real alpha, const real *a,
                     size_t stride_a, const real *b, size_t stride_b, real beta, real *c, size_t stride_c,
                     int n_threads) {
    rntm_t runtime;
    bli_rntm_init(&runtime);
    bli_rntm_disable_l3_sup(&runtime);
    bli_rntm_set_num_threads(n_threads, &runtime);
    const trans_t op_a = transpose_a ? BLIS_TRANSPOSE : BLIS_NO_TRANSPOSE;
    const trans_t op_b = transpose_b ? BLIS_TRANSPOSE : BLIS_NO_TRANSPOSE;
    /* BLIS reads alpha, A, B and beta through pointers to non-const and leaves them alone. */
#ifdef HEED_DOUBLE
    bli_dgemm_ex(op_a, op_b, (dim_t)m, (dim_t)n, (dim_t)k, &alpha, (real *)a, (inc_t)stride_a, 1, (real *)b,
                 (inc_t)stride_b, 1, &beta, c, (inc_t)stride_c, 1, NULL, &runtime);
#else
    bli_sgemm_ex(op_a, op_b, (dim_t)m, (dim_t)n, (dim_t)k, &alpha, (real *)a, (inc_t)stride_a, 1, (real *)b,
                 (inc_t)stride_b, 1, &beta, c, (inc_t)stride_c, 1, NULL, &runtime);
#endif
}

/* How many threads to use for so many operations, which it counts. */
static int begin_product(double flops) {
    atomic_fetch_add_explicit(&gemm.flops, (uint64_t)flops, memory_order_relaxed);
    heed_stage_work(flops);
    return threads_for(flops, gemm.n_threads);
}

static void check_shapes(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, const real *a,
                         size_t stride_a, const real *b, size_t stride_b, const real *c, size_t stride_c) {
    const size_t most = (size_t)INT32_MAX; /* keeps every index product within 64 bits */
    HEED_CHECK(gemm.open && a && b && c);
    HEED_CHECK(m <= most && n <= most && k <= most);
    HEED_CHECK(stride_a <= most && stride_b <= most && stride_c <= most);
    HEED_CHECK(stride_a >= (transpose_a ? m : k));
    HEED_CHECK(stride_b >= (transpose_b ? k : n));
    HEED_CHECK(stride_c >= n);
}

/* C = op(A) op(B). */
static heedi_product_task task_of(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, const real *a,
                                  size_t stride_a, const real *b, size_t stride_b, real *c, size_t stride_c) {
    return (heedi_product_task){.m = m,
                                .n = n,
                                .k = k,
                                .alpha = 1,
                                .a = {a, transpose_a ? 1 : stride_a, transpose_a ? stride_a : 1},
                                .b = {b, transpose_b ? 1 : stride_b, transpose_b ? stride_b : 1},
                                .c = c,
                                .c_row = stride_c};
}

static double flops_of(size_t m, size_t n, size_t k) {
    return 2.0 * (double)m * (double)n * (double)k;
}

void heed_gemm(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, real alpha, const real *a,
               size_t stride_a, const real *b, size_t stride_b, real beta, real *c, size_t stride_c) {
    check_shapes(transpose_a, transpose_b, m, n, k, a, stride_a, b, stride_b, c, stride_c);
    HEED_CHECK(beta == 0 || beta == 1); /* BLIS rounds any other product beta C twice at an edge, once elsewhere */
    if (m == 0 || n == 0)
        return;
    const int n_threads = begin_product(flops_of(m, n, k));
    if (gemm.blocks && k > 0) {
        heedi_product_task task = task_of(transpose_a, transpose_b, m, n, k, a, stride_a, b, stride_b, c, stride_c);
        task.alpha = alpha;
        task.beta = beta;
        heedi_blocks_multiply(&task, n_threads);
    } else {
        multiply(transpose_a, transpose_b, m, n, k, alpha, a, stride_a, b, stride_b, beta, c, stride_c, n_threads);
    }
}

static void fill_rows(real *c, size_t stride_c, const real *row, size_t m, size_t n) {
#pragma omp parallel for schedule(static) if (m * n >= ELEMENTS_WORTH_THREADS)
    for (size_t r = 0; r < m; r++)
        memcpy(c + r * stride_c, row, n * sizeof *c);
}

static void add_rows(real *c, size_t stride_c, const real *z, size_t stride_z, size_t m, size_t n) {
#pragma omp parallel for schedule(static) if (m * n >= ELEMENTS_WORTH_THREADS)
    for (size_t r = 0; r < m; r++)
        for (size_t i = 0; i < n; i++)
            c[r * stride_c + i] = z[r * stride_z + i] + c[r * stride_c + i];
}

void heed_gemm_add(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, const real *a, size_t stride_a,
                   const real *b, size_t stride_b, const real *row, const real *z, size_t stride_z, real *c,
                   size_t stride_c) {
    check_shapes(transpose_a, transpose_b, m, n, k, a, stride_a, b, stride_b, c, stride_c);
    HEED_CHECK(z != c && (!z || stride_z >= n));
    if (m == 0 || n == 0)
        return;
    if (gemm.blocks && k > 0 && heedi_kernel.own) {
        heedi_product_task task = task_of(transpose_a, transpose_b, m, n, k, a, stride_a, b, stride_b, c, stride_c);
        task.row = row;
        task.z = z;
        task.z_row = stride_z;
        heedi_blocks_multiply(&task, begin_product(flops_of(m, n, k)));
        return;
    }
    if (row)
        fill_rows(c, stride_c, row, m, n);
    heed_gemm(transpose_a, transpose_b, m, n, k, 1, a, stride_a, b, stride_b, row ? 1 : 0, c, stride_c);
    if (z)
        add_rows(c, stride_c, z, stride_z, m, n);
}

bool heed_gemm_sum(size_t m, size_t n, const heed_gemm_part *parts, size_t n_parts, const real *a, size_t stride_a,
                   const real *b, size_t stride_b, real *c, size_t stride_c) {
    HEED_CHECK(gemm.open && a && b && c && stride_a >= m && stride_b >= n && stride_c >= n);
    size_t k = 0, n_additions = 0;
    bool empty = m == 0 || n == 0;
    for (size_t i = 0; i < n_parts; i++) {
        k += parts[i].k;
        n_additions += parts[i].n_additions;
        empty = empty || parts[i].k == 0;
        HEED_CHECK(n_additions <= i);
    }
    HEED_CHECK(n_additions + 1 == n_parts);
    if (empty || !gemm.blocks || !heedi_sum_takes(parts, n_parts))
        return false;
    heedi_product_task task = task_of(true, false, m, n, k, a, stride_a, b, stride_b, c, stride_c);
    task.parts = parts;
    task.n_parts = n_parts;
    heedi_blocks_multiply(&task, begin_product(flops_of(m, n, k)));
    return true;
}

double heed_gemm_flops(void) {
    return (double)atomic_load_explicit(&gemm.flops, memory_order_relaxed);
}

/* --- the peak --------------------------------------------------------------------------------------------------- */

/* Best rate of one shape over repetitions that fill budget_seconds, after one that warms caches and threads. */
static double best_rate(size_t m, size_t n, size_t k, const real *a, const real *b, real *c, int n_threads,
                        bool blis_loops, double budget_seconds) {
    const double gigaflops = 2e-9 * (double)m * (double)n * (double)k;
    const double start = heed_seconds();
    double best = 0;
    for (int repetition = 0; repetition < 2 || heed_seconds() - start < budget_seconds; repetition++) {
        const double before = heed_seconds();
        if (blis_loops)
            multiply(false, false, m, n, k, 1, a, k, b, n, 0, c, n, n_threads);
        else
            heed_gemm(false, false, m, n, k, 1, a, k, b, n, 0, c, n);
        const double rate = gigaflops / (heed_seconds() - before);
        if (rate > best)
            best = rate;
    }
    return best;
}

/* Bytes of both factors and their product. */
static size_t factor_bytes(size_t m, size_t n, size_t k) {
    return heed_aligned(m * k * sizeof(real)) + heed_aligned(k * n * sizeof(real)) + heed_aligned(m * n * sizeof(real));
}

static double measure_rate(size_t m, size_t n, size_t k, int n_threads, bool blis_loops, double seconds) {
    HEED_CHECK(gemm.open && n_threads >= 1);
    heed_arena arena;
    heed_error error = HEED_ERROR_INIT;
    const size_t sizes[] = {m * k, k * n, m * n};
    if (heed_arena_init(&arena, factor_bytes(m, n, k), "matrix products of the peak measurement", &error))
        return 0;
    real *a = heed_arena_take(&arena, sizes[0] * sizeof(real));
    real *b = heed_arena_take(&arena, sizes[1] * sizeof(real));
    real *c = heed_arena_take(&arena, sizes[2] * sizeof(real));
    for (size_t i = 0; i < sizes[0]; i++)
        a[i] = (real)(i % 7) - 3;
    for (size_t i = 0; i < sizes[1]; i++)
        b[i] = (real)(i % 5) - 2;
    const double best = best_rate(m, n, k, a, b, c, n_threads, blis_loops, seconds);
    heed_arena_reset(&arena);
    return best;
}

double heed_gemm_rate(size_t m, size_t n, size_t k, int n_threads, double seconds) {
    return measure_rate(m, n, k, n_threads, true, seconds);
}

const size_t heed_peak_shapes[HEED_PEAK_SHAPES][3] = {{1024, 768, 768}, {2048, 1536, 384}, {2048, 2048, 2048}};

/* BLIS's loops would first fetch 17 MB or more to pack into, which training never needs. */
double heed_gemm_peak(void) {
    const size_t *shape = heed_peak_shapes[0];
    return measure_rate(shape[0], shape[1], shape[2], gemm.n_threads, false, 0.02);
}

size_t heed_gemm_peak_bytes(void) {
    const size_t *shape = heed_peak_shapes[0];
    return factor_bytes(shape[0], shape[1], shape[2]);
}
