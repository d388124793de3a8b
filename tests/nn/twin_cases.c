#include "twin_cases.h"

#include "nn_testing.h"

#include "heed/nn/activation.h"
#include "heed/nn/attention.h"
#include "heed/nn/dropout.h"
#include "heed/nn/embedding.h"
#include "heed/nn/linear.h"
#include "heed/nn/loss.h"
#include "heed/nn/norm.h"

static void free_all(real **owned, size_t n) {
    for (size_t i = 0; i < n; i++)
        free(owned[i]);
}
#define FREE_ALL(...) free_all((real *[]){__VA_ARGS__}, sizeof((real *[]){__VA_ARGS__}) / sizeof(real *))

static void linear_twin(twin_emit *emit) {
    const size_t rows = 130, in = 65, out = 17;
    real *x = random_reals(rows * in, 1), *weight = random_reals(out * in, 2), *bias = random_reals(out, 3);
    real *d_y = random_reals(rows * out, 4), *y = unset_reals(rows * out), *d_x = unset_reals(rows * in);
    real *d_weight = unset_reals(out * in), *d_bias = unset_reals(out);
    heed_linear_forward(y, x, weight, bias, rows, in, out);
    heed_linear_backward_input(d_x, d_y, weight, rows, in, out, false);
    heed_linear_backward_weight(d_weight, d_bias, x, d_y, rows, in, out);
    emit("linear y", 8, y, rows * out, out);
    emit("linear d_x", 4, d_x, rows * in, in);
    emit("linear d_weight", 8, d_weight, out * in, in);
    emit("linear d_bias", 4, d_bias, out, out);
    FREE_ALL(x, weight, bias, d_y, y, d_x, d_weight, d_bias);
}

static void norm_twin(twin_emit *emit) {
    const size_t widths[] = {1, 3, 17, 65, 768}, rows = 33;
    for (size_t k = 0; k < 5; k++) {
        const size_t width = widths[k], n = rows * width;
        real *x = random_reals(n, 1), *gain = random_reals(width, 2), *bias = random_reals(width, 3);
        real *d_y = random_reals(n, 4), *y = unset_reals(n), *d_x = unset_reals(n), *mean = unset_reals(rows);
        real *rstd = unset_reals(rows), *d_gain = unset_reals(width), *d_bias = unset_reals(width);
        heed_norm_forward(y, mean, rstd, x, gain, bias, rows, width, (real)1e-5f);
        heed_norm_backward_input(d_x, d_y, x, mean, rstd, gain, rows, width, false);
        heed_norm_backward_gain(d_gain, d_bias, d_y, x, mean, rstd, rows, width);
        emit("norm y", 6, y, n, width);
        emit("norm mean", 3, mean, rows, rows);
        emit("norm rstd", 3, rstd, rows, 1);
        emit("norm d_x", 5, d_x, n, n);
        emit("norm d_gain", 4, d_gain, width, width);
        emit("norm d_bias", 4, d_bias, width, width);
        FREE_ALL(x, gain, bias, d_y, y, d_x, mean, rstd, d_gain, d_bias);
    }
}

static void activation_twin(twin_emit *emit) {
    const size_t n = 20000;
    const char *forward[] = {[HEED_GELU] = "gelu", [HEED_GELU_TANH] = "gelu_tanh", [HEED_RELU] = "relu"};
    const char *backward[] = {"gelu backward", "gelu_tanh backward", "relu backward"};
    /* GELU is judged value by value, tails included; in the tanh form an argument of -49 magnifies its own rounding. */
    const double forward_ulps[] = {[HEED_GELU] = 8, [HEED_GELU_TANH] = 128, [HEED_RELU] = 0};
    real *x = random_reals(n, 1), *d_y = random_reals(n, 2), *y = unset_reals(n), *d_x = unset_reals(n);
    for (size_t i = 0; i < n; i++)
        x[i] *= 8;
    for (int kind = 0; kind < 3; kind++) {
        heed_activation_forward((heed_activation)kind, y, x, n);
        heed_activation_backward((heed_activation)kind, d_x, d_y, x, n);
        emit(forward[kind], forward_ulps[kind], y, n, 1);
        emit(backward[kind], 2, d_x, n, n);
    }
    FREE_ALL(x, d_y, y, d_x);
}

static void token_twin(twin_emit *emit) {
    const size_t lengths[] = {9, 1, 30}, width = 34, vocab = 7, time = 30;
    ragged_memory memory;
    const heed_ragged *rows = make_ragged(&memory, 3, lengths, 3);
    const size_t n = rows->n_rows * width;
    int32_t token[40];
    for (size_t r = 0; r < rows->n_rows; r++)
        token[r] = (int32_t)(r * 5 % vocab);
    real *table = random_reals(vocab * width, 1), *positions = random_reals(time * width, 2), *y = unset_reals(n);
    real *d_y = random_reals(n, 3), *d_table = unset_reals(vocab * width), *d_positions = unset_reals(time * width);
    real *cosines = unset_reals(time * 17), *sines = unset_reals(time * 17);
    heed_embedding_forward(y, token, table, positions, rows, width, (real)1.7f);
    heed_embedding_backward_table(d_table, d_y, token, 0, rows->n_rows, vocab, width, (real)1.7f);
    heed_embedding_backward_positions(d_positions, d_y, rows, 0, time, width);
    emit("embedding y", 2, y, n, width);
    emit("embedding d_table", 4, d_table, vocab * width, width);
    emit("embedding d_positions", 2, d_positions, time * width, width);
    heed_rotary_table(cosines, sines, time, 34);
    heed_rotary(d_y, width, rows, 1, 34, cosines, sines, 0);
    emit("rotary", 4, d_y, n, width);
    heed_sinusoidal_positions(positions, time, width);
    emit("sinusoidal", 0.51, positions, time * width, 1);
    heed_dropout(y, rows, width, (real)0.25, 3, 1, 2);
    emit("dropout", 4, y, n, width);
    FREE_ALL(table, positions, y, d_y, d_table, d_positions, cosines, sines);
}

static void loss_twin(twin_emit *emit) {
    const size_t rows = 300, width = 17, vocab = 83;
    int32_t target[300];
    for (size_t r = 0; r < rows; r++)
        target[r] = (int32_t)(r * 7 % vocab);
    real *x = random_reals(rows * width, 1), *weight = random_reals(vocab * width, 2), *of = random_reals(rows, 3);
    real *loss = unset_reals(rows), *d_x = unset_reals(rows * width), *d_weight = unset_reals(vocab * width);
    real *logits = unset_reals(HEED_LOSS_BLOCK * vocab);
    heed_classifier_loss(loss, d_x, d_weight, logits, x, weight, target, of, 0, rows, width, vocab);
    emit("loss", 4, loss, rows, rows);
    emit("loss d_x", 16, d_x, rows * width, rows * width);
    emit("loss d_weight", 16, d_weight, vocab * width, vocab * width);
    FREE_ALL(x, weight, of, loss, d_x, d_weight, logits);
}

static void attention_twin(twin_emit *emit, bool causal, real dropout) {
    const size_t lengths[] = {70, 1, 129}, key_lengths[] = {33, 90, 64}, heads = 2, head_width = 24;
    ragged_memory memory, key_memory;
    const heed_ragged *rows = make_ragged(&memory, 3, lengths, 1);
    const heed_ragged *key_rows = causal ? rows : make_ragged(&key_memory, 3, key_lengths, 1);
    const size_t width = heads * head_width, n = rows->n_rows * width, n_keys = key_rows->n_rows * width;
    real *scratch = unset_reals(heed_attention_scratch(key_rows->max_length, head_width));
    const heed_attention attention = {.heads = heads,
                                      .head_width = head_width,
                                      .causal = causal,
                                      .scale = (real)0.25,
                                      .query_stride = width,
                                      .key_stride = width,
                                      .dropout = dropout,
                                      .seed = 5,
                                      .scratch = scratch};
    real *query = random_reals(n, 1), *key = random_reals(n_keys, 2), *value = random_reals(n_keys, 3);
    real *d_output = random_reals(n, 4), *output = unset_reals(n), *log_sum = unset_reals(rows->n_rows * heads);
    real *d_query = unset_reals(n), *d_key = unset_reals(n_keys), *d_value = unset_reals(n_keys);
    for (size_t i = 0; i < n; i++)
        query[i] *= 4;
    heed_attention_forward(&attention, output, log_sum, query, key, value, rows, key_rows);
    heed_attention_backward(&attention, d_query, d_key, d_value, d_output, output, log_sum, query, key, value, rows,
                            key_rows);
    emit("attention output", 16, output, n, width);
    emit("attention log_sum", 4, log_sum, rows->n_rows * heads, rows->n_rows * heads);
    emit("attention d_query", 16, d_query, n, n);
    emit("attention d_key", 16, d_key, n_keys, n_keys);
    emit("attention d_value", 16, d_value, n_keys, n_keys);
    FREE_ALL(scratch, query, key, value, d_output, output, log_sum, d_query, d_key, d_value);
}

void twin_run(twin_emit *emit) {
    linear_twin(emit);
    norm_twin(emit);
    activation_twin(emit);
    token_twin(emit);
    loss_twin(emit);
    attention_twin(emit, true, 0);
    attention_twin(emit, true, (real)0.25);
    attention_twin(emit, false, 0);
    attention_twin(emit, false, (real)0.25);
}
