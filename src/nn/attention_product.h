/* The small matrix products of attention, and the one rearrangement that they need.
 *
 * A group of 32 queries is worked on at a time, two halves of a vector each. Arrays whose columns are those queries are
 * (n, 32); arrays whose columns are channels of a head are (n, padded), padded being the head's width rounded up to 16,
 * with zeros behind. So every product has whole vectors along its columns, and nothing needs a masked edge. */
#ifndef HEEDI_NN_ATTENTION_PRODUCT_H
#define HEEDI_NN_ATTENTION_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>

#include "heed/real.h"

#define HEEDI_PRODUCT_ROWS 8 /* m comes in multiples of this */

/* C = A B, or C += A B when add is true: c_ij = fma(a_ik, b_kj, ...) over k in ascending order, from 0 or from c_ij.
 * That order alone decides the bits; how the products are grouped into registers does not. Shapes: A (m, k), element
 * (i, k) at a[i * a_row + k * a_column], one of the steps 1; B (k, n); C (m, n); m a multiple of HEEDI_PRODUCT_ROWS, n
 * of HEEDI_LANES. */
typedef struct heedi_matrix {
    const real *at;
    size_t row, column; /* elements from one to the next */
} heedi_matrix;
void heedi_product(real *c, size_t c_row, heedi_matrix a, const real *b, size_t b_row, size_t m, size_t n, size_t k,
                   bool add);

/* out (width, rows) = x (rows, width) transposed; both multiples of 4. */
void heedi_transpose(real *out, const real *x, size_t rows, size_t width);

#endif
