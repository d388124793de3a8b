/* Eigenvalues of a small real matrix. Internal to src/probe. */
#ifndef HEEDI_EIGENVALUES_H
#define HEEDI_EIGENVALUES_H

#include <complex.h>
#include <stdbool.h>
#include <stddef.h>

/* values (n) = the eigenvalues of matrix (n, n), in no order, by the shifted QR algorithm on the Hessenberg form (Golub
 * and Van Loan, Matrix Computations, 7.4 and 7.5; in complex numbers, where single shifts are enough). matrix is
 * overwritten. False when it does not converge, or holds what is not finite. Takes about 20 n^3 operations. */
bool heedi_eigenvalues(double complex *values, double complex *matrix, size_t n);

#endif
