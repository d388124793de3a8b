/* The layers run over fixed random inputs, once in the float build and once in the double one. */
#ifndef HEED_TESTS_NN_TWIN_CASES_H
#define HEED_TESTS_NN_TWIN_CASES_H

#include <stddef.h>

#include "heed/real.h"

/* Gets every result: n values in rows of row_length. In single precision each must lie within `ulps` units of the last
 * place of its row's largest value, as the double build has it. */
typedef void twin_emit(const char *name, double ulps, const real *values, size_t n, size_t row_length);
void twin_run(twin_emit *emit);

typedef struct twin_header { /* of a result, on its way from the double program to the float test */
    char name[64];
    size_t n;
} twin_header;

#endif
