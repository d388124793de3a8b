/* The table is written down once, in the order in which data flows forward; every other module walks it.
 *
 * Offsets are counted in elements and are the same in single and double precision: starts are multiples of 16 elements
 * (64 bytes of float). A gradient arena is the parameter arena followed by one row for each second use of a tied
 * tensor, so that both uses can be reduced on their own and added afterwards block by block. */
#include "heed/params.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heed/arena.h"
#include "heed/nn/attention_table.h"
#include "heed/rng.h"
#include "heed/variant.h"

#define START 16 /* elements: a tensor starts at a multiple */

static size_t round_up(size_t n, size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

/* Adds a row; a bias of a model without biases is no row. dims end with 0. */
static void add(heed_params *params, heed_tensor_role role, const size_t dims[4], const char *format, int layer) {
    heed_tensor *tensor = &params->tensors[params->n_tensors++];
    *tensor = (heed_tensor){.role = role, .size = 1, .tied_to = -1};
    snprintf(tensor->name, sizeof tensor->name, format, layer);
    while (dims[tensor->n_dims]) {
        tensor->dims[tensor->n_dims] = dims[tensor->n_dims];
        tensor->size *= dims[tensor->n_dims++];
    }
}

static void add_matrix(heed_params *params, heed_tensor_role role, size_t out, size_t in, const char *format,
                       int layer) {
    add(params, role, (size_t[4]){out, in}, format, layer);
}

static void add_vector(heed_params *params, heed_tensor_role role, size_t n, const char *format, int layer) {
    add(params, role, (size_t[4]){n}, format, layer);
}

static void add_norm(heed_params *params, bool bias, size_t width, const char *gain, const char *bias_format,
                     int layer) {
    add_vector(params, HEED_ROLE_GAIN, width, gain, layer);
    if (bias)
        add_vector(params, HEED_ROLE_BIAS, width, bias_format, layer);
}

/* The last tensor's first elements stay as initialised. */
static void freeze(heed_params *params, const heed_variant *variant, size_t n) {
    params->tensors[params->n_tensors - 1].frozen = variant->frozen ? n : 0;
}

/* A table of scores starts as zeros, and nothing pulls it back there: as a bias does. */
static void add_attention(heed_params *params, const heed_config *config, int layer) {
    const size_t width = (size_t)config->model.width, heads = (size_t)config->model.heads;
    const heed_variant *variant = heed_variant_of(config);
    const bool bias = config->model.bias;
    add_norm(params, bias, width, "block.%d.norm1.gain", "block.%d.norm1.bias", layer);
    if (variant->table)
        add(params, HEED_ROLE_BIAS, (size_t[4]){heads, heed_attention_table_size((size_t)config->model.time)},
            "block.%d.attention.table", layer);
    add_matrix(params, HEED_ROLE_MATRIX, 3 * width, width, "block.%d.attention.qkv.weight", layer);
    freeze(params, variant, 2 * width * width);
    if (bias) {
        add_vector(params, HEED_ROLE_BIAS, 3 * width, "block.%d.attention.qkv.bias", layer);
        freeze(params, variant, 2 * width);
    }
    add_matrix(params, HEED_ROLE_RESIDUAL, width, width, "block.%d.attention.out.weight", layer);
    if (bias)
        add_vector(params, HEED_ROLE_BIAS, width, "block.%d.attention.out.bias", layer);
}

static void add_block(heed_params *params, const heed_config *config, int layer) {
    const size_t width = (size_t)config->model.width, hidden = (size_t)config->model.hidden;
    const bool bias = config->model.bias, network = heed_variant_of(config)->network;
    if (!network)
        add_attention(params, config, layer);
    add_norm(params, bias, width, "block.%d.norm2.gain", "block.%d.norm2.bias", layer);
    add_matrix(params, HEED_ROLE_MATRIX, hidden, network ? (size_t)config->model.time * width : width,
               "block.%d.mlp.up.weight", layer);
    if (bias)
        add_vector(params, HEED_ROLE_BIAS, hidden, "block.%d.mlp.up.bias", layer);
    add_matrix(params, HEED_ROLE_RESIDUAL, width, hidden, "block.%d.mlp.down.weight", layer);
    if (bias)
        add_vector(params, HEED_ROLE_BIAS, width, "block.%d.mlp.down.bias", layer);
}

static void add_decoder(heed_params *params, const heed_config *config, size_t vocab) {
    const size_t width = (size_t)config->model.width;
    add_matrix(params, HEED_ROLE_TABLE, vocab, width, "token.weight", 0);
    if (config->model.positions == HEED_LEARNED)
        add_matrix(params, HEED_ROLE_TABLE, (size_t)config->model.time, width, "position.weight", 0);
    for (int layer = 0; layer < config->model.layers; layer++)
        add_block(params, config, layer);
    add_norm(params, config->model.bias, width, "norm.gain", "norm.bias", 0);
    add_matrix(params, HEED_ROLE_MATRIX, vocab, width, "output.weight", 0);
    if (config->model.tied)
        params->tensors[params->n_tensors - 1].tied_to = heed_params_find(params, "token.weight");
}

/* Gives every tensor its place, in table order. */
static void lay_out(heed_params *params) {
    size_t end = 0;
    for (size_t i = 0; i < params->n_tensors; i++) {
        heed_tensor *tensor = &params->tensors[i];
        if (tensor->tied_to >= 0)
            continue;
        bool shared = false;
        for (size_t j = 0; j < params->n_tensors; j++)
            shared = shared || params->tensors[j].tied_to == (int)i;
        const size_t multiple = shared ? HEED_BLOCK : START;
        tensor->offset = tensor->gradient = round_up(end, multiple);
        end = round_up(tensor->offset + tensor->size, multiple);
        params->n_parameters += tensor->size;
        params->n_trained += tensor->size - tensor->frozen;
    }
    params->n_elements = params->n_gradient = round_up(end, HEED_BLOCK);
    for (size_t i = 0; i < params->n_tensors; i++) {
        heed_tensor *tensor = &params->tensors[i];
        if (tensor->tied_to < 0)
            continue;
        tensor->offset = params->tensors[tensor->tied_to].offset;
        tensor->gradient = params->n_gradient;
        params->n_gradient += round_up(tensor->size, HEED_BLOCK);
    }
}

/* A bound on the elements of the whole table, in double so that it cannot overflow. */
static double size_bound(const heed_config *config, size_t vocab) {
    const double width = (double)config->model.width, hidden = (double)config->model.hidden;
    const double time = (double)config->model.time, heads = (double)config->model.heads;
    const heed_variant *variant = heed_variant_of(config);
    const double extra = variant->table ? heads * time * (time + 1) / 2 : variant->network ? time * width * hidden : 0;
    const double block = 4 * width * width + 2 * width * hidden + 10 * width + hidden + extra + 13 * START;
    return 3 * (double)vocab * width + (double)config->model.time * width + (double)config->model.layers * block +
           8 * HEED_BLOCK;
}

heed_status heed_params_create(heed_params **params, const heed_config *config, size_t vocab, size_t source_vocab,
                               heed_error *error) {
    *params = NULL;
    HEED_CHECK(source_vocab == 0);
    if (vocab == 0)
        return heed_fail(error, HEED_CONFIG, "model: a vocabulary of 0 tokens");
    if (size_bound(config, vocab) * (double)sizeof(real) > (double)PTRDIFF_MAX / 16) {
        heed_fail(error, HEED_CONFIG, "model: %.3g parameters do not fit into any machine's memory",
                  size_bound(config, vocab));
        return heed_hint(error, "lower model.width, model.layers or model.time");
    }
    const size_t most = 16 + 13 * (size_t)config->model.layers;
    heed_params *made = calloc(1, sizeof *made);
    heed_tensor *tensors = calloc(most, sizeof *tensors);
    if (!made || !tensors) {
        free(made);
        free(tensors);
        return heed_fail(error, HEED_MEMORY, "model: no memory for a table of %zu tensors", most);
    }
    made->tensors = tensors;
    add_decoder(made, config, vocab);
    HEED_CHECK(made->n_tensors <= most);
    lay_out(made);
    *params = made;
    return HEED_OK;
}

void heed_params_destroy(heed_params *params) {
    if (!params)
        return;
    free(params->tensors);
    free(params);
}

int heed_params_find(const heed_params *params, const char *name) {
    for (size_t i = 0; i < params->n_tensors; i++)
        if (strcmp(params->tensors[i].name, name) == 0)
            return (int)i;
    return -1;
}
