/* Writes what the layers give in double precision to stdout, for twin_test. */
#include <stdio.h>
#include <stdlib.h>

#include "heed/gemm.h"
#include "twin_cases.h"

static void write_result(const char *name, double ulps, const real *values, size_t n, size_t row_length) {
    (void)ulps;
    (void)row_length;
    twin_header header = {.n = n};
    snprintf(header.name, sizeof header.name, "%s", name);
    if (fwrite(&header, sizeof header, 1, stdout) != 1 || fwrite(values, sizeof *values, n, stdout) != n)
        exit(1);
}

int main(void) {
    heed_error error = HEED_ERROR_INIT;
    if (heed_gemm_open(heed_gemm_best(), 1, &error) != HEED_OK)
        return 1;
    twin_run(write_result);
    heed_gemm_close();
    return fflush(stdout) ? 1 : 0;
}
