/* A checkpoint under a right digest: its state; then its weights, moments and tokenizer into the table of tensors of
 * the model that checkpoint_seed writes. */
#include <stdlib.h>

#include "fuzz.h"
#include "heed/checkpoint.h"

static heed_checkpoint_arenas arenas;

static void make_arenas(void) {
    static heed_params *params;
    heed_error error = HEED_ERROR_INIT;
    heed_config *config = malloc(sizeof *config);
    FUZZ_HOLDS(config);
    heed_config_defaults(config);
    config->model.layers = 1, config->model.heads = 2, config->model.width = 8, config->model.time = 8;
    FUZZ_HOLDS(heed_config_resolve(config, &error) == HEED_OK);
    FUZZ_HOLDS(heed_params_create(&params, config, 11, 0, &error) == HEED_OK);
    arenas.params = params;
    arenas.weights = calloc(params->n_elements, sizeof(real));
    arenas.m = calloc(params->n_elements, sizeof(real));
    arenas.v = calloc(params->n_elements, sizeof(real));
    FUZZ_HOLDS(arenas.weights && arenas.m && arenas.v);
    free(config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (!arenas.params)
        make_arenas();
    fuzz_write_sealed("step-00000001.h5", data, bytes);
    heed_error error = HEED_ERROR_INIT;
    heed_checkpoint_state state;
    const heed_status status = heed_checkpoint_read_state("step-00000001.h5", &state, &error);
    fuzz_expect_form(status, &error);
    if (status == HEED_OK)
        heed_checkpoint_state_reset(&state);
    error = (heed_error)HEED_ERROR_INIT;
    heed_tokenizer *tokenizer = NULL;
    fuzz_expect_form(heed_checkpoint_read("step-00000001.h5", &arenas, &tokenizer, &error), &error);
    heed_tokenizer_destroy(tokenizer);
    char path[HEED_PATH_MAX];
    error = (heed_error)HEED_ERROR_INIT;
    fuzz_expect_form(heed_checkpoint_newest(".", path, &error), &error);
    return 0;
}
