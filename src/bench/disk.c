#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/bench.h"
#include "heed/arena.h"
#include "heed/checkpoint.h"
#include "heed/optimizer.h"
#include "heed/pairs.h"

static heed_status write_and_look(const heed_config *config, const heed_checkpoint_arenas *arenas,
                                  const heedi_bench_data *data, const char *folder, heedi_disk *disk,
                                  heed_error *error) {
    heed_checkpoint_state state = {.valid_loss = 1, .best_loss = 1, .best_step = 1};
    state.source_tokenizer = data->corpus ? heed_corpus_separate_sources(data->corpus) : NULL;
    memset(state.data_digest, '0', sizeof state.data_digest - 1);
    snprintf(state.kernel, sizeof state.kernel, "%s", heed_gemm_kernel());
    char place[HEED_PATH_MAX], path[HEED_PATH_MAX + 32];
    if (snprintf(place, sizeof place, "%s/heed-plan-XXXXXX", folder) >= (int)sizeof place || !mkdtemp(place))
        return heed_fail(error, HEED_CREATE, "%s: %s", folder, strerror(errno));
    snprintf(path, sizeof path, "%s/step-00000000.h5", place);
    state.config_text = heed_config_text(config);
    if (!state.config_text)
        heed_fail(error, HEED_MEMORY, "plan: out of memory");
    const double start = heed_seconds();
    struct stat there = {0};
    if (error->status == HEED_OK && heed_checkpoint_write(place, &state, arenas, data->tokenizer, error) == HEED_OK &&
        stat(path, &there) != 0)
        heed_fail(error, HEED_IO, "%s: %s", path, strerror(errno));
    *disk = (heedi_disk){(size_t)there.st_size, heed_seconds() - start};
    free(state.config_text);
    unlink(path);
    rmdir(place);
    return error->status;
}

heed_status heedi_measure_checkpoint(const heed_config *config, const heedi_bench_data *data, const char *folder,
                                     heedi_disk *disk, heed_error *error) {
    heed_params *params = NULL;
    heed_arena arena = {0};
    if (heed_params_create(&params, config, data->sizes.vocab, data->sizes.source_vocab, error) == HEED_OK) {
        const size_t bytes = heed_aligned(params->n_elements * sizeof(real));
        const int n_moments = heed_optimizer_moments(config);
        if (heed_arena_init(&arena, (size_t)(1 + n_moments) * bytes, "a checkpoint", error) == HEED_OK) {
            const heed_checkpoint_arenas arenas = {.params = params,
                                                   .weights = heed_arena_take(&arena, bytes),
                                                   .m = n_moments > 0 ? heed_arena_take(&arena, bytes) : NULL,
                                                   .v = n_moments > 1 ? heed_arena_take(&arena, bytes) : NULL};
            write_and_look(config, &arenas, data, folder, disk, error);
        }
        heed_arena_reset(&arena);
    }
    heed_params_destroy(params);
    return error->status;
}
