/* Runs every layer in single precision over fixed inputs and prints one digest of the results a line. It is built
 * several times, for different instruction sets and optimisation levels, and run with different numbers of threads:
 * bits_test compares what they print.
 *
 * Within one program it checks that a value does not depend on its place in the array, nor a row on the rows around it.
 */
#include "nn_testing.h"

#include <xxhash.h>

#include "heed/gemm.h"
#include "heed/nn/activation.h"
#include "heed/nn/attention.h"
#include "heed/nn/dropout.h"
#include "heed/nn/embedding.h"
#include "heed/nn/linear.h"
#include "heed/nn/loss.h"
#include "heed/nn/norm.h"

static void digest(const char *what, size_t size, const real *values, size_t n) {
    printf("%s %zu %016llx\n", what, size, (unsigned long long)XXH3_64bits(values, n * sizeof *values));
}

static void expect_same(const char *what, size_t at, const real *a, const real *b, size_t n) {
    if (memcmp(a, b, n * sizeof *a)) {
        printf("%s: the bits depend on the place (%zu)\n", what, at);
        exit(1);
    }
}

static void free_all(real **owned, size_t n) {
    for (size_t i = 0; i < n; i++)
        free(owned[i]);
}
#define FREE_ALL(...) free_all((real *[]){__VA_ARGS__}, sizeof((real *[]){__VA_ARGS__}) / sizeof(real *))

static void activation_bits(void) {
    const char *names[] = {[HEED_GELU] = "gelu", [HEED_GELU_TANH] = "gelu_tanh", [HEED_RELU] = "relu"};
    const size_t n = 70000;
    real *x = random_reals(n, 1), *d_y = random_reals(n, 2), *y = unset_reals(n), *d_x = unset_reals(n);
    real *part = unset_reals(n), *from = unset_reals(n);
    for (size_t i = 0; i < n; i++)
        x[i] *= 9;
    for (int kind = 0; kind < 3; kind++) {
        heed_activation_forward((heed_activation)kind, y, x, n);
        heed_activation_backward((heed_activation)kind, d_x, d_y, x, n);
        digest(names[kind], n, y, n);
        digest(names[kind], n, d_x, n);
        for (size_t offset = 0; offset < 17; offset++)
            for (size_t length = 1; length < 70; length++) {
                memcpy(from + offset, x + 7, length * sizeof *x);
                heed_activation_forward((heed_activation)kind, part + offset, from + offset, length);
                expect_same(names[kind], offset, part + offset, y + 7, length);
                heed_activation_backward((heed_activation)kind, part + offset, d_y + 7, from + offset, length);
                expect_same(names[kind], offset, part + offset, d_x + 7, length);
            }
    }
    FREE_ALL(x, d_y, y, d_x, part, from);
}

static void norm_bits(size_t rows, size_t width) {
    const size_t n = rows * width, head = rows / 3;
    real *x = random_reals(n, 1), *gain = random_reals(width, 2), *bias = random_reals(width, 3);
    real *d_y = random_reals(n, 4), *y = unset_reals(n), *d_x = unset_reals(n), *mean = unset_reals(rows);
    real *rstd = unset_reals(rows), *d_gain = unset_reals(width), *d_bias = unset_reals(width), *part = unset_reals(n);
    heed_norm_forward(y, mean, rstd, x, gain, bias, rows, width, (real)1e-5);
    heed_norm_backward_input(d_x, d_y, x, mean, rstd, gain, rows, width, false);
    heed_norm_backward_gain(d_gain, d_bias, d_y, x, mean, rstd, rows, width);
    digest("norm y", width, y, n);
    digest("norm mean", width, mean, rows);
    digest("norm rstd", width, rstd, rows);
    digest("norm d_x", width, d_x, n);
    digest("norm d_gain", width, d_gain, width);
    digest("norm d_bias", width, d_bias, width);

    heed_norm_backward_input(part, d_y, x, mean, rstd, gain, head, width, false);
    heed_norm_backward_input(part + head * width, d_y + head * width, x + head * width, mean + head, rstd + head, gain,
                             rows - head, width, false);
    expect_same("norm d_x", head, part, d_x, n);
    heed_norm_forward(part, mean, rstd, x, gain, bias, head, width, (real)1e-5);
    heed_norm_forward(part + head * width, mean, rstd, x + head * width, gain, bias, rows - head, width, (real)1e-5);
    expect_same("norm y", head, part, y, n);
    heed_norm_forward(part, mean, rstd, x, gain, NULL, rows, width, (real)1e-5);
    digest("norm y without bias", width, part, n);
    FREE_ALL(x, gain, bias, d_y, y, d_x, mean, rstd, d_gain, d_bias, part);
}

static void linear_bits(size_t rows, size_t in, size_t out) {
    const size_t head = rows / 3;
    real *x = random_reals(rows * in, 1), *weight = random_reals(out * in, 2), *bias = random_reals(out, 3);
    real *d_y = random_reals(rows * out, 4), *y = unset_reals(rows * out), *d_x = unset_reals(rows * in);
    real *d_weight = unset_reals(out * in), *d_bias = unset_reals(out), *part = unset_reals(rows * (in + out));
    heed_linear_forward(y, x, weight, bias, rows, in, out);
    heed_linear_backward_input(d_x, d_y, weight, rows, in, out, false);
    heed_linear_backward_weight(d_weight, d_bias, x, d_y, rows, in, out);
    digest("linear y", out, y, rows * out);
    digest("linear d_x", out, d_x, rows * in);
    digest("linear d_weight", out, d_weight, out * in);
    digest("linear d_bias", out, d_bias, out);
    heed_linear_forward(part, x, weight, bias, head, in, out);
    heed_linear_forward(part + head * out, x + head * in, weight, bias, rows - head, in, out);
    expect_same("linear y", head, part, y, rows * out);
    heed_linear_backward_input(part, d_y, weight, head, in, out, false);
    heed_linear_backward_input(part + head * in, d_y + head * out, weight, rows - head, in, out, false);
    expect_same("linear d_x", head, part, d_x, rows * in);
    FREE_ALL(x, weight, bias, d_y, y, d_x, d_weight, d_bias, part);
}

static void token_bits(size_t width) {
    const size_t lengths[] = {90, 1, 301, 0, 77}, vocab = 11, time = 301;
    ragged_memory memory;
    const heed_ragged *rows = make_ragged(&memory, 5, lengths, 5);
    const size_t n = rows->n_rows * width;
    int32_t token[600];
    for (size_t r = 0; r < rows->n_rows; r++)
        token[r] = (int32_t)(r * 5 % vocab);
    real *table = random_reals(vocab * width, 1), *positions = random_reals(time * width, 2), *y = unset_reals(n);
    real *d_y = random_reals(n, 3), *d_table = unset_reals(vocab * width), *d_positions = unset_reals(time * width);
    real *cosines = random_reals(time * (width / 2), 4), *sines = random_reals(time * (width / 2), 5);
    heed_embedding_forward(y, token, table, positions, rows, width, (real)1.7);
    heed_embedding_backward_table(d_table, d_y, token, 0, rows->n_rows, vocab, width, (real)1.7);
    heed_embedding_backward_positions(d_positions, d_y, rows, 0, time, width);
    digest("embedding y", width, y, n);
    digest("embedding d_table", width, d_table, vocab * width);
    digest("embedding d_positions", width, d_positions, time * width);
    heed_dropout(y, rows, width, (real)0.25, 3, 1, 2);
    digest("dropout", width, y, n);
    heed_rotary(d_y, width, rows, 1, width / 2 * 2, cosines, sines, 0);
    digest("rotary", width, d_y, n);
    FREE_ALL(table, positions, y, d_y, d_table, d_positions, cosines, sines);
}

static void loss_bits(size_t rows, size_t width, size_t vocab) {
    int32_t target[600];
    for (size_t r = 0; r < rows; r++)
        target[r] = (int32_t)(r * 7 % vocab);
    real *x = random_reals(rows * width, 1), *weight = random_reals(vocab * width, 2), *of = random_reals(rows, 3);
    real *loss = unset_reals(rows), *d_x = unset_reals(rows * width), *d_weight = unset_reals(vocab * width);
    real *logits = unset_reals(HEED_LOSS_BLOCK * vocab);
    heed_classifier_loss(loss, d_x, d_weight, logits, x, weight, target, of, 0, rows, width, vocab);
    digest("loss", vocab, loss, rows);
    digest("loss d_x", vocab, d_x, rows * width);
    digest("loss d_weight", vocab, d_weight, vocab * width);
    FREE_ALL(x, weight, of, loss, d_x, d_weight, logits);
}

static void attention_bits(size_t head_width, bool causal, real dropout) {
    const size_t lengths[] = {70, 1, 129, 16}, key_lengths[] = {33, 90, 64, 1}, heads = 3;
    ragged_memory memory, key_memory;
    const heed_ragged *rows = make_ragged(&memory, 4, lengths, 1);
    const heed_ragged *key_rows = causal ? rows : make_ragged(&key_memory, 4, key_lengths, 1);
    const size_t width = heads * head_width, n = rows->n_rows * width, n_keys = key_rows->n_rows * width;
    real *scratch = unset_reals(heed_attention_scratch(key_rows->max_length, head_width));
    const heed_attention attention = {.heads = heads,
                                      .head_width = head_width,
                                      .causal = causal,
                                      .scale = (real)0.7,
                                      .query_stride = width,
                                      .key_stride = width,
                                      .dropout = dropout,
                                      .seed = 5,
                                      .scratch = scratch};
    real *query = random_reals(n, 1), *key = random_reals(n_keys, 2), *value = random_reals(n_keys, 3);
    real *d_output = random_reals(n, 4), *output = unset_reals(n), *log_sum = unset_reals(rows->n_rows * heads);
    real *d_query = unset_reals(n), *d_key = unset_reals(n_keys), *d_value = unset_reals(n_keys);
    heed_attention_forward(&attention, output, log_sum, query, key, value, rows, key_rows);
    heed_attention_backward(&attention, d_query, d_key, d_value, d_output, output, log_sum, query, key, value, rows,
                            key_rows);
    digest("attention output", head_width, output, n);
    digest("attention log_sum", head_width, log_sum, rows->n_rows * heads);
    digest("attention d_query", head_width, d_query, n);
    digest("attention d_key", head_width, d_key, n_keys);
    digest("attention d_value", head_width, d_value, n_keys);
    FREE_ALL(scratch, query, key, value, d_output, output, log_sum, d_query, d_key, d_value);
}

int main(void) {
    heed_error error = HEED_ERROR_INIT;
    if (heed_gemm_open(heed_gemm_best(), 1, &error) != HEED_OK)
        return 1;
    activation_bits();
    const size_t widths[] = {1, 15, 16, 17, 33, 130};
    for (size_t i = 0; i < 6; i++) {
        norm_bits(257, widths[i]);
        linear_bits(257, widths[i], 193 - widths[i]);
        token_bits(widths[i]);
        loss_bits(300, 40, widths[i] + 1);
    }
    for (size_t i = 0; i < 3; i++)
        for (int causal = 0; causal < 2; causal++)
            for (int dropout = 0; dropout < 2; dropout++)
                attention_bits((const size_t[]){3, 16, 65}[i], causal, (real)0.25 * (real)dropout);
    heed_gemm_close();
    return 0;
}
