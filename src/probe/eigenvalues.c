#include "probe/eigenvalues.h"

#include <float.h>
#include <math.h>

enum { MOST_SWEEPS = 100 }; /* for one eigenvalue; a few are usual */

static double complex *at(double complex *a, size_t n, size_t i, size_t j) {
    return a + i * n + j;
}

/* Rows i and k of columns [from, n) become (c x + s y, -conj(s) x + c y). */
static void turn_rows(double complex *a, size_t n, size_t i, size_t k, size_t from, double c, double complex s) {
    for (size_t j = from; j < n; j++) {
        const double complex x = *at(a, n, i, j), y = *at(a, n, k, j);
        *at(a, n, i, j) = c * x + s * y;
        *at(a, n, k, j) = c * y - conj(s) * x;
    }
}

/* The same turn from the right, of rows [0, end): columns i and k become (c x + conj(s) y, -s x + c y). */
static void turn_columns(double complex *a, size_t n, size_t i, size_t k, size_t end, double c, double complex s) {
    for (size_t r = 0; r < end; r++) {
        const double complex x = *at(a, n, r, i), y = *at(a, n, r, k);
        *at(a, n, r, i) = c * x + conj(s) * y;
        *at(a, n, r, k) = c * y - s * x;
    }
}

/* The turn that makes (x, y) to (*, 0). */
static void find_turn(double complex x, double complex y, double *c, double complex *s) {
    const double size = hypot(cabs(x), cabs(y));
    *c = 1;
    *s = 0;
    if (cabs(y) == 0)
        return;
    *c = cabs(x) / size;
    *s = (cabs(x) == 0 ? 1 : x / cabs(x)) * conj(y) / size;
}

static void make_hessenberg(double complex *a, size_t n) {
    for (size_t j = 0; j + 2 < n; j++)
        for (size_t i = j + 2; i < n; i++) {
            double c;
            double complex s;
            find_turn(*at(a, n, j + 1, j), *at(a, n, i, j), &c, &s);
            turn_rows(a, n, j + 1, i, j, c, s);
            turn_columns(a, n, j + 1, i, n, c, s);
        }
}

/* The eigenvalue of the last 2 x 2 of the active block [.., last] that is nearer to its corner (Wilkinson's shift). */
static double complex shift_of(double complex *a, size_t n, size_t last) {
    const double complex p = *at(a, n, last - 1, last - 1), q = *at(a, n, last - 1, last);
    const double complex r = *at(a, n, last, last - 1), t = *at(a, n, last, last);
    const double complex half = (p - t) / 2, root = csqrt(half * half + q * r);
    const double complex up = half + root, down = half - root;
    return t + (cabs(up) < cabs(down) ? up : down);
}

/* One step H - shift = Q R, H' = R Q + shift on rows and columns [first, last]. A turn of the columns may follow as
 * soon as the turn of the next rows has read them. */
static void sweep(double complex *a, size_t n, size_t first, size_t last, double complex shift) {
    double c = 1, c_before = 1;
    double complex s = 0, s_before = 0;
    for (size_t i = first; i <= last; i++)
        *at(a, n, i, i) -= shift;
    for (size_t i = first; i < last; i++) {
        find_turn(*at(a, n, i, i), *at(a, n, i + 1, i), &c, &s);
        turn_rows(a, n, i, i + 1, i, c, s);
        if (i > first)
            turn_columns(a, n, i - 1, i, i + 1, c_before, s_before);
        c_before = c;
        s_before = s;
    }
    turn_columns(a, n, last - 1, last, last + 1, c_before, s_before);
    for (size_t i = first; i <= last; i++)
        *at(a, n, i, i) += shift;
}

static bool is_small(double complex *a, size_t n, size_t i) {
    const double around = cabs(*at(a, n, i - 1, i - 1)) + cabs(*at(a, n, i, i));
    return cabs(*at(a, n, i, i - 1)) <= DBL_EPSILON * around || cabs(*at(a, n, i, i - 1)) < DBL_MIN;
}

bool heedi_eigenvalues(double complex *values, double complex *matrix, size_t n) {
    for (size_t i = 0; i < n * n; i++)
        if (!isfinite(creal(matrix[i])) || !isfinite(cimag(matrix[i])))
            return false;
    make_hessenberg(matrix, n);
    for (size_t end = n; end > 0; end--) {
        const size_t last = end - 1;
        for (int sweeps = 0;; sweeps++) {
            size_t first = last;
            while (first > 0 && !is_small(matrix, n, first))
                first--;
            if (first == last)
                break;
            if (sweeps == MOST_SWEEPS)
                return false;
            const bool stuck = sweeps % 11 == 10; /* an unusual shift breaks a cycle */
            sweep(matrix, n, first, last,
                  stuck ? *at(matrix, n, last, last) + cabs(*at(matrix, n, last, last - 1))
                        : shift_of(matrix, n, last));
        }
        values[last] = *at(matrix, n, last, last);
    }
    return true;
}
