/* Forward and input gradients treat all rows of the rank together; only parameter gradients keep the bounds of grains,
 * as leaves of the gradient tree. */
#include "layer.h"

#include <stdio.h>
#include <string.h>

#include "heed/nn/dropout.h"
#include "heed/nn/linear.h"
#include "heed/nn/norm.h"

void *heedi_place_bytes(heedi_placer *placer, size_t bytes) {
    if (placer->arena)
        return heed_arena_take(placer->arena, bytes);
    if (__builtin_add_overflow(placer->bytes, heed_aligned(bytes), &placer->bytes))
        placer->bytes = SIZE_MAX;
    return NULL;
}

real *heedi_place(heedi_placer *placer, size_t rows, size_t width) {
    return heedi_place_bytes(placer, heed_bytes(heed_bytes(rows, width), sizeof(real)));
}

int32_t *heedi_place_indices(heedi_placer *placer, size_t n) {
    return heedi_place_bytes(placer, heed_bytes(n, sizeof(int32_t)));
}

static int find(const heed_params *params, const char *layer, const char *part) {
    char name[128];
    snprintf(name, sizeof name, "%s.%s", layer, part);
    return heed_params_find(params, name);
}

heedi_linear heedi_linear_find(const heed_params *params, const real *weights, const char *name) {
    const int weight = find(params, name, "weight"), bias = find(params, name, "bias");
    HEED_CHECK(weight >= 0);
    const heed_tensor *tensor = &params->tensors[weight];
    heedi_linear linear = {.tensors = {(size_t)weight},
                           .n_tensors = 1,
                           .in = tensor->dims[1],
                           .out = tensor->dims[0],
                           .end = tensor->offset + tensor->size,
                           .frozen = {tensor->frozen},
                           .weight = weights + tensor->offset};
    if (bias >= 0) {
        linear.frozen[1] = params->tensors[bias].frozen;
        linear.tensors[linear.n_tensors++] = (size_t)bias;
        linear.bias = weights + params->tensors[bias].offset;
        linear.end = params->tensors[bias].offset + params->tensors[bias].size;
    }
    return linear;
}

heedi_norm heedi_norm_find(const heed_params *params, const real *weights, const char *name) {
    const int gain = find(params, name, "gain"), bias = find(params, name, "bias");
    HEED_CHECK(gain >= 0);
    const heed_tensor *tensor = &params->tensors[gain];
    heedi_norm norm = {.tensors = {(size_t)gain},
                       .n_tensors = 1,
                       .width = tensor->dims[0],
                       .end = tensor->offset + tensor->size,
                       .gain = weights + tensor->offset};
    if (bias >= 0) {
        norm.tensors[norm.n_tensors++] = (size_t)bias;
        norm.bias = weights + params->tensors[bias].offset;
        norm.end = params->tensors[bias].offset + params->tensors[bias].size;
    }
    return norm;
}

void heedi_need(const heedi_pass *pass, size_t end) {
    if (pass->needed)
        pass->needed(pass->needed_context, end);
}

void heedi_linear_forward(const heedi_pass *pass, const heedi_linear *linear, real *y, const real *x) {
    heedi_linear_forward_add(pass, linear, y, NULL, x);
}

void heedi_linear_forward_add(const heedi_pass *pass, const heedi_linear *linear, real *y, const real *z,
                              const real *x) {
    heedi_need(pass, linear->end); /* its block has asked already: this is an occasion to move the others on */
    heed_linear_forward_add(y, z, x, linear->weight, linear->bias, pass->rows->n_rows, linear->in, linear->out);
}

/* What a leaf needs to know beside its rows. */
typedef struct linear_leaf {
    const heedi_linear *linear;
    const real *x, *d_y;
} linear_leaf;

static void sum_weight(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    const linear_leaf *leaf = context;
    const heedi_linear *linear = leaf->linear;
    (void)grain;
    heed_linear_backward_weight(d[0], NULL, leaf->x + first_row * linear->in, leaf->d_y + first_row * linear->out,
                                n_rows, linear->in, linear->out);
    memset(d[0], 0, linear->frozen[0] * sizeof(real));
}

static bool sum_weights(void *context, real *d, size_t first_row, const heed_gemm_part *parts, size_t n_parts,
                        size_t grain) {
    const linear_leaf *leaf = context;
    const heedi_linear *linear = leaf->linear;
    (void)grain;
    if (!heed_linear_backward_weight_sum(d, leaf->x + first_row * linear->in, leaf->d_y + first_row * linear->out,
                                         parts, n_parts, linear->in, linear->out))
        return false;
    memset(d, 0, linear->frozen[0] * sizeof(real));
    return true;
}

static void sum_bias(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    const linear_leaf *leaf = context;
    const heedi_linear *linear = leaf->linear;
    (void)grain;
    heed_linear_backward_weight(NULL, d[0], leaf->x + first_row * linear->in, leaf->d_y + first_row * linear->out,
                                n_rows, linear->in, linear->out);
    memset(d[0], 0, linear->frozen[1] * sizeof(real));
}

static void linear_backward(const heedi_pass *pass, const heedi_linear *linear, real *d_x, const real *d_y,
                            const real *x, bool add) {
    const heed_ragged *rows = pass->rows;
    linear_leaf leaf = {linear, x, d_y};
    if (pass->gradient)
        heed_gradient_sum_matrix(pass->gradient, rows, linear->tensors[0], sum_weight, sum_weights, &leaf);
    if (pass->gradient && linear->bias)
        heed_gradient_sum(pass->gradient, rows, &linear->tensors[1], 1, sum_bias, &leaf);
    heed_linear_backward_input(d_x, d_y, linear->weight, rows->n_rows, linear->in, linear->out, add);
}

void heedi_linear_backward(const heedi_pass *pass, const heedi_linear *linear, real *d_x, const real *d_y,
                           const real *x) {
    linear_backward(pass, linear, d_x, d_y, x, false);
}

void heedi_linear_backward_add(const heedi_pass *pass, const heedi_linear *linear, real *d_x, const real *d_y,
                               const real *x) {
    linear_backward(pass, linear, d_x, d_y, x, true);
}

void heedi_norm_forward(const heedi_pass *pass, const heedi_norm *norm, real *y, real *mean, real *rstd,
                        const real *x) {
    heed_norm_forward(y, mean, rstd, x, norm->gain, norm->bias, pass->rows->n_rows, norm->width,
                      (real)pass->config->model.norm_eps);
}

enum { ENOUGH_OF_A_GRAIN = 32768 }; /* elements: less is done sooner with all grains' rows at once, by all threads */

typedef struct norm_leaf {
    const heedi_norm *norm;
    real *d_x;
    const real *x, *d_y, *mean, *rstd;
    bool add, goes_on;
} norm_leaf;

static void backward_rows(const norm_leaf *leaf, size_t first_row, size_t n_rows) {
    const size_t width = leaf->norm->width, at = first_row * width;
    heed_norm_backward_input(leaf->d_x + at, leaf->d_y + at, leaf->x + at, leaf->mean + first_row,
                             leaf->rstd + first_row, leaf->norm->gain, n_rows, width, leaf->add);
}

/* A large grain's rows go on to the input's gradient, while they are in the cache: every row belongs to one grain. */
static void sum_norm(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    const norm_leaf *leaf = context;
    const size_t width = leaf->norm->width, at = first_row * width;
    (void)grain;
    heed_norm_backward_gain(d[0], leaf->norm->bias ? d[1] : NULL, leaf->d_y + at, leaf->x + at, leaf->mean + first_row,
                            leaf->rstd + first_row, n_rows, width);
    if (leaf->goes_on)
        backward_rows(leaf, first_row, n_rows);
}

void heedi_norm_backward(const heedi_pass *pass, const heedi_norm *norm, real *d_x, const real *d_y, const real *x,
                         const real *mean, const real *rstd, bool add) {
    const heed_ragged *rows = pass->rows;
    const bool large = rows->n_rows * norm->width >= rows->n_grains * ENOUGH_OF_A_GRAIN;
    norm_leaf leaf = {norm, d_x, x, d_y, mean, rstd, add, pass->gradient && large};
    if (pass->gradient)
        heed_gradient_sum(pass->gradient, rows, norm->tensors, norm->n_tensors, sum_norm, &leaf);
    if (!leaf.goes_on)
        backward_rows(&leaf, 0, rows->n_rows);
}

bool heedi_drops(const heedi_pass *pass) {
    return pass->kind == HEED_PASS_TRAIN && pass->config->model.dropout > 0;
}

void heedi_drop(const heedi_pass *pass, real *x, uint32_t site) {
    if (heedi_drops(pass))
        heed_dropout(x, pass->rows, (size_t)pass->config->model.width, (real)pass->config->model.dropout,
                     (uint64_t)pass->config->run.seed, site, pass->batch->step);
}
