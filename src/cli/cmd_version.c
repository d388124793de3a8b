/* heed version: what a bug report needs. */
#include "cli/cli.h"

#include <stdio.h>

#include "heed/gemm.h"
#include "heed/real.h"
#include "heed/store.h"
#include "heed/version.h"

static const char *level_name(heed_gemm_level level) {
    switch (level) {
    case HEED_GEMM_GENERIC:
        return "no more than the baseline";
    case HEED_GEMM_AVX2:
        return "AVX2 and FMA (x86-64-v3)";
    case HEED_GEMM_AVX512:
        return "AVX-512 (x86-64-v4)";
    case HEED_GEMM_USER:
        return "what BLIS_ARCH_TYPE says";
    }
    return "?";
}

heed_status heedi_command_version(heedi_cli *cli, heed_error *error) {
    const heedi_option options[] = {{0}};
    const heedi_syntax syntax = {
        .about = "Shows the version of heed, of the libraries that it runs on, and the matrix-product kernel that it "
                 "would use on "
                 "this machine. Put it into bug reports.",
        .examples = "  heed version\n"
                    "  heed --version\n",
        .options = options,
    };
    if (!heedi_parse(cli, &syntax, error))
        return error->status;
    const heed_gemm_level level = heed_gemm_best();
    if (heed_gemm_open(level, 1, error) != HEED_OK)
        return error->status;
    printf("heed %s, %s\n", heed_version(), HEED_REAL_NAME);
    printf("%s\n", heed_comm_library());
    printf("BLIS %s, kernel %s\n", heed_gemm_version(), heed_gemm_kernel());
    printf("%s\n", heed_store_library());
    printf("CPU with %s\n", level_name(level));
    printf("Apache License 2.0; no warranty\n");
    heed_gemm_close();
    return HEED_OK;
}
