/* The number type of the model. The program is built in single precision; the tests build the same sources a second
 * time in double, where gradient checks and comparisons with a reference hold to far smaller tolerances. */
#ifndef HEED_REAL_H
#define HEED_REAL_H

#ifdef HEED_DOUBLE
typedef double real;
#define HEED_REAL_NAME "float64"
#else
typedef float real;
#define HEED_REAL_NAME "float32"
#endif

#endif
