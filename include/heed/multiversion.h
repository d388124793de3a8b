/* One binary for every node of a mixed cluster: a hot kernel marked HEED_MULTIVERSION is compiled for AVX-512, for AVX2
 * and for plain x86-64, and the loader picks one by the CPU. All versions give the same bits, because contraction is
 * off
 * (-ffp-contract=off) and a kernel fixes its own order of additions.
 *
 *   HEED_MULTIVERSION static void scale_range(real *x, real a, size_t from, size_t to) { ... }
 *
 * An OpenMP loop inside such a function is outlined and loses its versions: put `#pragma omp parallel for` into a plain
 * wrapper that calls the kernel over a range.
 *
 * The macro is empty where it cannot help or would do harm: with HEED_NATIVE (the whole build is for one machine),
 * under sanitizers (the loader's choice runs before their start), with clang, and on other architectures. */
#ifndef HEED_MULTIVERSION_H
#define HEED_MULTIVERSION_H

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && __GNUC__ >= 12 && !defined(__clang__) &&     \
    !defined(HEED_NATIVE) && !defined(HEED_SANITIZED)
#define HEED_MULTIVERSION __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define HEED_MULTIVERSION
#endif

#endif
