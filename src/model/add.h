/* Adding arrays. Internal to src/model. */
#ifndef HEEDI_ADD_H
#define HEEDI_ADD_H

#include <stddef.h>

#include "heed/real.h"

/* Elements from which on it pays to wake the other threads for one pass over memory. */
#define HEEDI_WORTH_THREADS_TO_MOVE 16384

/* sum = a + b, n elements; sum may be a. */
void heedi_add(real *sum, const real *a, const real *b, size_t n);

#endif
