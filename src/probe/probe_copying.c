/* Copying, from the weights alone (Elhage et al. 2021). With token embeddings E (vocab, width), classifier U (vocab,
 * width), a head's W_v (head_width, width) and W_o (width, head_width), gains g of the norms and C, which takes the
 * mean off, a token that is attended to moves the logits by
 *
 *   U g_end C W_o W_v g_layer C E^T      (vocab, vocab)
 *
 * whose eigenvalues, but for zeros, are those of the small (W_v g_layer C) (E^T U) (g_end C W_o). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "heed/gemm.h"
#include "probe/eigenvalues.h"
#include "probe/probing.h"

typedef struct circuit {
    const heed_params *params;
    const real *weights;
    size_t width, head_width, vocab;
    real *tokens;               /* (width, width): E^T U */
    double *in, *through, *out; /* (head_width, width), (head_width, width), (width, head_width) */
    double complex *small, *values;
} circuit;

/* NULL when there is no such tensor. */
static const real *tensor(const circuit *c, const char *name) {
    const int found = heed_params_find(c->params, name);
    return found < 0 ? NULL : c->weights + c->params->tensors[found].offset;
}

static const real *layer_tensor(const circuit *c, size_t layer, const char *name) {
    char full[96];
    snprintf(full, sizeof full, "block.%zu.%s", layer, name);
    return tensor(c, full);
}

/* Takes the mean over width off: x (width) elements `stride` apart. */
static void centre(double *x, size_t width, size_t stride) {
    double mean = 0;
    for (size_t i = 0; i < width; i++)
        mean += x[i * stride] / (double)width;
    for (size_t i = 0; i < width; i++)
        x[i * stride] -= mean;
}

static double copying_of(circuit *c, const real *value, const real *out, const real *gain, const real *gain_end) {
    const size_t width = c->width, n = c->head_width;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < width; k++)
            c->in[i * width + k] = (double)value[i * width + k] * (double)gain[k];
        centre(c->in + i * width, width, 1);
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < width; k++)
            c->out[k * n + i] = (double)out[k * width + i];
        centre(c->out + i, width, n);
        for (size_t k = 0; k < width; k++)
            c->out[k * n + i] *= (double)gain_end[k];
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < width; k++) {
            double sum = 0;
            for (size_t m = 0; m < width; m++)
                sum += c->in[i * width + m] * (double)c->tokens[m * width + k];
            c->through[i * width + k] = sum;
        }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t k = 0; k < width; k++)
                sum += c->through[i * width + k] * c->out[k * n + j];
            c->small[i * n + j] = sum;
        }
    if (!heedi_eigenvalues(c->values, c->small, n))
        return NAN;
    double sum = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        sum += creal(c->values[i]);
        size += cabs(c->values[i]);
    }
    return size > 0 ? sum / size : NAN;
}

static heed_status alloc(circuit *c, heed_error *error) {
    const size_t width = c->width, n = c->head_width;
    c->tokens = calloc(width * width, sizeof *c->tokens);
    c->in = calloc(n * width, sizeof *c->in);
    c->through = calloc(n * width, sizeof *c->through);
    c->out = calloc(n * width, sizeof *c->out);
    c->small = calloc(n * n, sizeof *c->small);
    c->values = calloc(n, sizeof *c->values);
    if (c->tokens && c->in && c->through && c->out && c->small && c->values)
        return HEED_OK;
    return heed_fail(error, HEED_MEMORY, "probe: no memory for the circuits of heads of width %zu", n);
}

/* All heads of a layer. */
static void fill_layer(circuit *c, size_t heads, size_t layer, double *copying) {
    const size_t width = c->width;
    const real *qkv = layer_tensor(c, layer, "attention.qkv.weight"),
               *out = layer_tensor(c, layer, "attention.out.weight");
    const real *gain = layer_tensor(c, layer, "norm1.gain"), *gain_end = tensor(c, "norm.gain");
    for (size_t h = 0; h < heads && qkv && out && gain && gain_end; h++)
        copying[h] =
            copying_of(c, qkv + (2 * width + h * c->head_width) * width, out + h * c->head_width, gain, gain_end);
}

heed_status heedi_probe_copying(const heedi_probing *p, double *copying, heed_error *error) {
    const heed_probe_subject *subject = p->subject;
    circuit c = {.params = heed_model_params(subject->model),
                 .weights = heed_model_weights(subject->model),
                 .width = p->heads * p->head_width,
                 .head_width = p->head_width,
                 .vocab = heed_model_vocab(subject->model)};
    const real *token = tensor(&c, "token.weight"), *output = tensor(&c, "output.weight");
    const bool reads_norm = subject->config->model.norm == HEED_PRE_NORM; /* else the stream */
    if (alloc(&c, error) == HEED_OK && token && output && reads_norm) {
        heed_gemm(true, false, c.width, c.width, c.vocab, 1, token, c.width, output, c.width, 0, c.tokens, c.width);
        for (size_t s = 0; s < p->sites; s++)
            if (p->found->site_kind[s] == HEED_SITE_SELF)
                fill_layer(&c, p->heads, (size_t)p->found->site_layer[s], copying + s * p->heads);
    }
    free(c.tokens);
    free(c.in);
    free(c.through);
    free(c.out);
    free(c.small);
    free(c.values);
    return error->status;
}
