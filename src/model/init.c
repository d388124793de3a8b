/* Every number is drawn by its own counter, so any thread may fill any part. */
#include <math.h>
#include <string.h>

#include "heed/params.h"
#include "heed/rng.h"

/* Where element pairs (normal) and quadruples (uniform) of a tensor find their random words. */
static heed_rng source(const heed_config *config, size_t tensor, size_t block) {
    return (heed_rng){.seed = (uint64_t)config->run.seed,
                      .purpose = HEED_PURPOSE_INIT,
                      .site = (uint32_t)tensor,
                      .sequence = (uint32_t)(block >> 32)};
}

static void fill(real *weights, size_t n, real value) {
    for (size_t i = 0; i < n; i++)
        weights[i] = value;
}

static void fill_normal(real *weights, size_t n, const heed_config *config, size_t tensor, double std) {
#pragma omp parallel for schedule(static)
    for (size_t pair = 0; pair < (n + 1) / 2; pair++) {
        const heed_rng rng = source(config, tensor, pair);
        double z[2];
        heed_rng_normal(z, &rng, (uint32_t)pair);
        weights[2 * pair] = (real)(std * z[0]);
        if (2 * pair + 1 < n)
            weights[2 * pair + 1] = (real)(std * z[1]);
    }
}

static void fill_uniform(real *weights, size_t n, const heed_config *config, size_t tensor, double bound) {
#pragma omp parallel for schedule(static)
    for (size_t four = 0; four < (n + 3) / 4; four++) {
        const heed_rng rng = source(config, tensor, four);
        uint32_t words[4];
        heed_rng_block(words, &rng, (uint32_t)four);
        for (size_t i = 0; i < 4 && 4 * four + i < n; i++)
            weights[4 * four + i] = (real)(bound * (((double)words[i] + 0.5) * 0x1p-31 - 1.0));
    }
}

/* Inputs of the matrix that a bias belongs to: the row before it, or 0 for a norm's bias. */
static size_t fan_in_of_bias(const heed_params *params, size_t tensor) {
    const heed_tensor *before = &params->tensors[tensor - 1];
    return before->role == HEED_ROLE_MATRIX || before->role == HEED_ROLE_RESIDUAL ? before->dims[1] : 0;
}

/* How often the stack that a tensor belongs to writes to its stream. */
static double n_branches(const heed_tensor *tensor, const heed_config *config) {
    const size_t n_encoder = heed_encoder_layers(config);
    if (strncmp(tensor->name, "encoder.", 8) == 0)
        return 2.0 * (double)n_encoder;
    return (n_encoder > 0 ? 3.0 : 2.0) * (double)config->model.layers;
}

static void init_gpt2(const heed_params *params, size_t i, real *weights, const heed_config *config) {
    const heed_tensor *tensor = &params->tensors[i];
    const double std = config->model.init_std;
    if (tensor->role == HEED_ROLE_TABLE || tensor->role == HEED_ROLE_MATRIX)
        fill_normal(weights, tensor->size, config, i, std);
    else if (tensor->role == HEED_ROLE_RESIDUAL)
        fill_normal(weights, tensor->size, config, i, std / sqrt(n_branches(tensor, config)));
}

static void init_xavier(const heed_params *params, size_t i, real *weights, const heed_config *config) {
    const heed_tensor *tensor = &params->tensors[i];
    if (tensor->role == HEED_ROLE_TABLE)
        fill_normal(weights, tensor->size, config, i, config->model.init_std);
    else if (tensor->role == HEED_ROLE_MATRIX || tensor->role == HEED_ROLE_RESIDUAL)
        fill_uniform(weights, tensor->size, config, i, sqrt(6.0 / (double)(tensor->dims[0] + tensor->dims[1])));
}

static void init_uniform_fan_in(const heed_params *params, size_t i, real *weights, const heed_config *config) {
    const heed_tensor *tensor = &params->tensors[i];
    size_t fan_in = 0;
    if (tensor->role == HEED_ROLE_TABLE)
        fill_normal(weights, tensor->size, config, i, 1.0);
    else if (tensor->role == HEED_ROLE_MATRIX || tensor->role == HEED_ROLE_RESIDUAL)
        fan_in = tensor->dims[1];
    else if (tensor->role == HEED_ROLE_BIAS)
        fan_in = fan_in_of_bias(params, i);
    if (fan_in > 0)
        fill_uniform(weights, tensor->size, config, i, 1.0 / sqrt((double)fan_in));
}

void heed_params_init(const heed_params *params, real *weights, const heed_config *config) {
    fill(weights, params->n_elements, 0);
    for (size_t i = 0; i < params->n_tensors; i++) {
        const heed_tensor *tensor = &params->tensors[i];
        if (tensor->tied_to >= 0)
            continue;
        if (tensor->role == HEED_ROLE_GAIN)
            fill(weights + tensor->offset, tensor->size, 1);
        switch (config->model.init) {
        case HEED_INIT_GPT2:
            init_gpt2(params, i, weights + tensor->offset, config);
            break;
        case HEED_INIT_XAVIER:
            init_xavier(params, i, weights + tensor->offset, config);
            break;
        case HEED_INIT_UNIFORM_FAN_IN:
            init_uniform_fan_in(params, i, weights + tensor->offset, config);
            break;
        }
    }
}
