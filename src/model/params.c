/* The table is written down once, in the order in which data flows forward; every other module walks it.
 *
 * Offsets are counted in elements and are the same in single and double precision: starts are multiples of 16 elements
 * (64 bytes of float). A gradient arena is the parameter arena followed by one row for each second use of a tied
 * tensor, so that both uses can be reduced on their own and added afterwards block by block. Where the
 * classifier is the only second use it has the place of the parameters, since its gradient is dense: of the table few
 * entries are met, and only these are added. */
#include "heed/params.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sizes.h"
#include "heed/arena.h"
#include "heed/nn/attention_table.h"
#include "heed/rng.h"
#include "heed/variant.h"

#define START 16        /* elements: a tensor starts at a multiple */
#define MOST_A_BLOCK 24 /* tensors */

/* Where rows are added: a stack of blocks, whose tensors' names begin with a prefix. */
typedef struct place {
    heed_params *params;
    const heed_config *config;
    const heed_variant *variant; /* of its attention */
    const char *prefix;
    size_t layer;
} place;

/* Adds a row. dims end with 0; part is the name behind prefix and, in_block, the block's number. */
static void add(const place *at, heed_tensor_role role, const size_t dims[4], bool in_block, const char *part) {
    heed_params *params = at->params;
    heed_tensor *tensor = &params->tensors[params->n_tensors++];
    *tensor = (heed_tensor){.role = role, .size = 1, .tied_to = -1};
    if (in_block)
        snprintf(tensor->name, sizeof tensor->name, "%sblock.%zu.%s", at->prefix, at->layer, part);
    else
        snprintf(tensor->name, sizeof tensor->name, "%s%s", at->prefix, part);
    while (dims[tensor->n_dims]) {
        tensor->dims[tensor->n_dims] = dims[tensor->n_dims];
        tensor->size *= dims[tensor->n_dims++];
    }
}

/* Tables outside of blocks. */
static void add_table(const place *at, heed_tensor_role role, size_t entries, const char *part) {
    add(at, role, (size_t[4]){entries, (size_t)at->config->model.width}, false, part);
}

/* The last tensor's first elements stay as initialised. */
static void freeze(const place *at, size_t n) {
    heed_params *params = at->params;
    params->tensors[params->n_tensors - 1].frozen = at->variant->frozen ? n : 0;
}

static void add_norm(const place *at, bool in_block, const char *name) {
    const size_t width = (size_t)at->config->model.width;
    char part[32];
    snprintf(part, sizeof part, "%s.gain", name);
    add(at, HEED_ROLE_GAIN, (size_t[4]){width}, in_block, part);
    snprintf(part, sizeof part, "%s.bias", name);
    if (at->config->model.bias)
        add(at, HEED_ROLE_BIAS, (size_t[4]){width}, in_block, part);
}

/* Of the first n_frozen outputs nothing is trained in a variant that freezes. A model without biases has none. */
static void add_linear(const place *at, heed_tensor_role role, size_t out, size_t in, size_t n_frozen,
                       const char *name) {
    char part[32];
    snprintf(part, sizeof part, "%s.weight", name);
    add(at, role, (size_t[4]){out, in}, true, part);
    freeze(at, n_frozen * in);
    if (!at->config->model.bias)
        return;
    snprintf(part, sizeof part, "%s.bias", name);
    add(at, HEED_ROLE_BIAS, (size_t[4]){out}, true, part);
    freeze(at, n_frozen);
}

/* A table of scores starts as zeros, and nothing pulls it back there: as a bias does. */
static void add_attention(const place *at) {
    const size_t width = (size_t)at->config->model.width, heads = (size_t)at->config->model.heads;
    add_norm(at, true, "norm1");
    if (at->variant->table)
        add(at, HEED_ROLE_BIAS, (size_t[4]){heads, heed_attention_table_size((size_t)at->config->model.time)}, true,
            "attention.table");
    add_linear(at, HEED_ROLE_MATRIX, 3 * width, width, 2 * width, "attention.qkv");
    add_linear(at, HEED_ROLE_RESIDUAL, width, width, 0, "attention.out");
}

/* Attention to the sources: queries from targets, keys and values from sources. */
static void add_cross(const place *at) {
    const size_t width = (size_t)at->config->model.width;
    add_norm(at, true, "norm_cross");
    add_linear(at, HEED_ROLE_MATRIX, width, width, width, "cross.query");
    add_linear(at, HEED_ROLE_MATRIX, 2 * width, width, width, "cross.kv");
    add_linear(at, HEED_ROLE_RESIDUAL, width, width, 0, "cross.out");
}

static void add_blocks(place *at, size_t n_blocks, bool crosses) {
    const heed_config *config = at->config;
    const size_t width = (size_t)config->model.width, hidden = (size_t)config->model.hidden;
    const bool network = at->variant->network;
    for (at->layer = 0; at->layer < n_blocks; at->layer++) {
        if (!network)
            add_attention(at);
        if (crosses)
            add_cross(at);
        add_norm(at, true, "norm2");
        add_linear(at, HEED_ROLE_MATRIX, hidden, network ? (size_t)config->model.time * width : width, 0, "mlp.up");
        add_linear(at, HEED_ROLE_RESIDUAL, width, hidden, 0, "mlp.down");
    }
}

static void add_stack(heed_params *params, const heed_config *config, const heed_variant *variant, const char *prefix,
                      size_t vocab, size_t n_blocks, bool crosses) {
    place at = {params, config, variant, prefix, 0};
    add_table(&at, HEED_ROLE_TABLE, vocab, "token.weight");
    if (config->model.positions == HEED_LEARNED)
        add_table(&at, HEED_ROLE_TABLE, (size_t)config->model.time, "position.weight");
    add_blocks(&at, n_blocks, crosses);
    if (config->model.norm == HEED_PRE_NORM)
        add_norm(&at, false, "norm");
}

static void tie(heed_params *params, const char *user, const char *owner) {
    params->tensors[heed_params_find(params, user)].tied_to = heed_params_find(params, owner);
}

static void add_model(heed_params *params, const heed_config *config, size_t vocab, size_t source_vocab) {
    const size_t n_encoder = heed_encoder_layers(config);
    const heed_variant *variant = heed_variant_of(config);
    const place at = {params, config, variant, "", 0};
    if (n_encoder > 0)
        add_stack(params, config, heed_variant_of_encoder(config), "encoder.", source_vocab ? source_vocab : vocab,
                  n_encoder, false);
    add_stack(params, config, variant, "", vocab, (size_t)config->model.layers, n_encoder > 0);
    add_table(&at, HEED_ROLE_MATRIX, vocab, "output.weight");
    if (!config->model.tied)
        return;
    tie(params, "output.weight", "token.weight");
    if (n_encoder > 0 && !source_vocab)
        tie(params, "encoder.token.weight", "token.weight");
}

/* Gives every tensor its place, in table order. */
static void lay_out(heed_params *params) {
    size_t end = 0, n_tied = 0;
    for (size_t i = 0; i < params->n_tensors; i++) {
        heed_tensor *tensor = &params->tensors[i];
        n_tied += tensor->tied_to >= 0;
        if (tensor->tied_to >= 0)
            continue;
        bool shared = false;
        for (size_t j = 0; j < params->n_tensors; j++)
            shared = shared || params->tensors[j].tied_to == (int)i;
        const size_t multiple = shared ? HEED_BLOCK : START;
        tensor->offset = tensor->gradient = heedi_round_up(end, multiple);
        end = heedi_round_up(tensor->offset + tensor->size, multiple);
        params->n_parameters += tensor->size;
        params->n_trained += tensor->size - tensor->frozen;
    }
    params->n_elements = params->n_gradient = heedi_round_up(end, HEED_BLOCK);
    for (size_t i = 0; i < params->n_tensors; i++) {
        heed_tensor *tensor = &params->tensors[i];
        if (tensor->tied_to < 0)
            continue;
        heed_tensor *owner = &params->tensors[tensor->tied_to];
        heed_tensor *apart = tensor->role == HEED_ROLE_MATRIX && n_tied == 1 ? owner : tensor;
        tensor->offset = tensor->gradient = owner->offset;
        apart->gradient = params->n_gradient;
        params->n_gradient += heedi_round_up(tensor->size, HEED_BLOCK);
    }
}

/* A bound on the elements of the whole table, in double so that it cannot overflow. */
static double size_bound(const heed_config *config, size_t vocab, size_t source_vocab) {
    const double width = (double)config->model.width, hidden = (double)config->model.hidden;
    const double time = (double)config->model.time, heads = (double)config->model.heads;
    const heed_variant *variant = heed_variant_of(config);
    const double extra = variant->table ? heads * time * (time + 1) / 2 : variant->network ? time * width * hidden : 0;
    const double block = 8 * width * width + 2 * width * hidden + 16 * width + hidden + extra + MOST_A_BLOCK * START;
    const double blocks = (double)(heed_encoder_layers(config) + (size_t)config->model.layers);
    return (4 * (double)vocab + (double)source_vocab + 2 * time) * width + blocks * block + 8 * HEED_BLOCK;
}

heed_status heed_params_create(heed_params **params, const heed_config *config, size_t vocab, size_t source_vocab,
                               heed_error *error) {
    *params = NULL;
    const size_t n_encoder = heed_encoder_layers(config);
    const double bound = size_bound(config, vocab, source_vocab);
    HEED_CHECK(source_vocab == 0 || n_encoder > 0);
    if (vocab == 0)
        return heed_fail(error, HEED_CONFIG, "model: a vocabulary of 0 tokens");
    if (bound * (double)sizeof(real) > (double)PTRDIFF_MAX / 16) {
        heed_fail(error, HEED_CONFIG, "model: %.3g parameters do not fit into any machine's memory", bound);
        return heed_hint(error, "lower model.width, model.layers or model.time");
    }
    const size_t most = 16 + MOST_A_BLOCK * (n_encoder + (size_t)config->model.layers);
    heed_params *made = calloc(1, sizeof *made);
    heed_tensor *tensors = calloc(most, sizeof *tensors);
    if (!made || !tensors) {
        free(made);
        free(tensors);
        return heed_fail(error, HEED_MEMORY, "model: no memory for a table of %zu tensors", most);
    }
    made->tensors = tensors;
    add_model(made, config, vocab, source_vocab);
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
