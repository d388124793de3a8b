/* Every layer's backward pass against five-point differences of its forward pass, in double. */
#include "nn_testing.h"

#include "heed/gemm.h"
#include "heed/nn/activation.h"
#include "heed/nn/dropout.h"
#include "heed/nn/embedding.h"
#include "heed/nn/linear.h"
#include "heed/nn/loss.h"
#include "heed/nn/norm.h"

int attention_gradient_tests(void);

/* rows = 0 only with SIZES that the layer allows */
static const size_t widths[] = {1, 3, 17, 65}, row_counts[] = {0, 1, 7};
#define N_WIDTHS 4
#define N_ROW_COUNTS 3

typedef struct linear_case {
    size_t rows, in, out;
    real *x, *weight, *bias, *y, *d_y;
} linear_case;

static real linear_loss(void *context) {
    linear_case *c = context;
    heed_linear_forward(c->y, c->x, c->weight, c->bias, c->rows, c->in, c->out);
    return dot(c->y, c->d_y, c->rows * c->out);
}

static void check_linear(size_t rows, size_t in, size_t out, bool with_bias) {
    linear_case c = {.rows = rows,
                     .in = in,
                     .out = out,
                     .x = random_reals(rows * in, 1),
                     .weight = random_reals(out * in, 2),
                     .bias = with_bias ? random_reals(out, 3) : NULL,
                     .y = unset_reals(rows * out),
                     .d_y = random_reals(rows * out, 4)};
    real *d_x = unset_reals(rows * in), *d_weight = unset_reals(out * in), *d_bias = unset_reals(out);
    heed_linear_backward_input(d_x, c.d_y, c.weight, rows, in, out, false);
    heed_linear_backward_weight(d_weight, with_bias ? d_bias : NULL, c.x, c.d_y, rows, in, out);
    check_gradient("linear d_x", c.x, rows * in, 5, d_x, linear_loss, &c);
    check_gradient("linear d_weight", c.weight, out * in, 11, d_weight, linear_loss, &c);
    if (with_bias)
        check_gradient("linear d_bias", c.bias, out, 1, d_bias, linear_loss, &c);

    real *sum = random_reals(rows * in, 5), *before = random_reals(rows * in, 5);
    heed_linear_backward_input(sum, c.d_y, c.weight, rows, in, out, true);
    for (size_t i = 0; i < rows * in; i++)
        assert_true(fabs(sum[i] - before[i] - d_x[i]) < 1e-12);
    real *owned[] = {c.x, c.weight, c.bias, c.y, c.d_y, d_x, d_weight, d_bias, sum, before};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
}

static void linear_gradients(void **state) {
    (void)state;
    for (size_t r = 0; r < N_ROW_COUNTS; r++)
        for (size_t i = 0; i < N_WIDTHS; i++)
            for (size_t o = 0; o < N_WIDTHS; o++)
                check_linear(row_counts[r], widths[i], widths[o], (i + o + r) % 3 != 0);
}

typedef struct norm_case {
    size_t rows, width;
    real *x, *gain, *bias, *y, *mean, *rstd, *d_y;
} norm_case;

static real norm_loss(void *context) {
    norm_case *c = context;
    heed_norm_forward(c->y, c->mean, c->rstd, c->x, c->gain, c->bias, c->rows, c->width, 1e-5);
    return dot(c->y, c->d_y, c->rows * c->width);
}

static void check_norm(size_t rows, size_t width, bool with_bias) {
    const size_t n = rows * width;
    norm_case c = {.rows = rows,
                   .width = width,
                   .x = random_reals(n, 1),
                   .gain = random_reals(width, 2),
                   .bias = with_bias ? random_reals(width, 3) : NULL,
                   .y = unset_reals(n),
                   .mean = unset_reals(rows),
                   .rstd = unset_reals(rows),
                   .d_y = random_reals(n, 4)};
    for (size_t i = 0; i < n; i++) /* a spread that differences of width 3e-3 resolve to 1e-7 */
        c.x[i] = 8 * c.x[i] + 5;
    real *d_x = unset_reals(n), *sum = random_reals(n, 5), *before = random_reals(n, 5);
    real *d_gain = unset_reals(width), *d_bias = unset_reals(width);
    norm_loss(&c);
    heed_norm_backward_input(d_x, c.d_y, c.x, c.mean, c.rstd, c.gain, rows, width, false);
    heed_norm_backward_input(sum, c.d_y, c.x, c.mean, c.rstd, c.gain, rows, width, true);
    heed_norm_backward_gain(d_gain, with_bias ? d_bias : NULL, c.d_y, c.x, c.mean, c.rstd, rows, width);
    for (size_t i = 0; i < n; i++)
        assert_true(sum[i] == before[i] + d_x[i]);
    check_gradient("norm d_x", c.x, n, 1, d_x, norm_loss, &c);
    check_gradient("norm d_gain", c.gain, width, 1, d_gain, norm_loss, &c);
    if (with_bias)
        check_gradient("norm d_bias", c.bias, width, 1, d_bias, norm_loss, &c);
    real *owned[] = {c.x, c.gain, c.bias, c.y, c.mean, c.rstd, c.d_y, d_x, sum, before, d_gain, d_bias};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
}

static void norm_gradients(void **state) {
    (void)state;
    for (size_t r = 0; r < N_ROW_COUNTS; r++)
        for (size_t w = 0; w < N_WIDTHS; w++)
            check_norm(row_counts[r], widths[w], (w + r) % 2 == 0);
}

typedef struct activation_case {
    heed_activation kind;
    size_t n;
    real *x, *y, *d_y;
} activation_case;

static real activation_loss(void *context) {
    activation_case *c = context;
    heed_activation_forward(c->kind, c->y, c->x, c->n);
    return dot(c->y, c->d_y, c->n);
}

static void activation_gradients(void **state) {
    (void)state;
    const char *name[] = {[HEED_GELU] = "gelu", [HEED_GELU_TANH] = "gelu_tanh", [HEED_RELU] = "relu"};
    for (int kind = 0; kind < 3; kind++)
        for (size_t n = 0; n < 135; n += 67) {
            activation_case c = {kind, n, random_reals(n, 1), unset_reals(n), random_reals(n, 2)};
            for (size_t i = 0; i < n; i++) {
                c.x[i] *= 5;
                if (fabs(c.x[i]) < 0.01) /* away from ReLU's kink */
                    c.x[i] = 0.01;
            }
            real *d_x = unset_reals(n);
            heed_activation_backward(c.kind, d_x, c.d_y, c.x, n);
            check_gradient(name[kind], c.x, n, 1, d_x, activation_loss, &c);
            /* in place */
            heed_activation_forward(c.kind, c.y, c.x, n);
            real *x = random_reals(n, 3), *d = random_reals(n, 2);
            memcpy(x, c.x, n * sizeof *x);
            heed_activation_backward(c.kind, d, d, x, n);
            heed_activation_forward(c.kind, x, x, n);
            assert_memory_equal(d, d_x, n * sizeof *d);
            assert_memory_equal(x, c.y, n * sizeof *x);
            real *owned[] = {c.x, c.y, c.d_y, d_x, x, d};
            for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
                free(owned[i]);
        }
}

typedef struct embedding_case {
    const heed_ragged *rows;
    size_t width;
    const int32_t *token;
    real *table, *positions, *y, *d_y;
} embedding_case;

#define SCALE ((real)1.7)

static real embedding_loss(void *context) {
    embedding_case *c = context;
    heed_embedding_forward(c->y, c->token, c->table, c->positions, c->rows, c->width, SCALE);
    return dot(c->y, c->d_y, c->rows->n_rows * c->width);
}

/* The whole gradient is the sum over grains, an empty one included. */
static void embedding_gradients(void **state) {
    (void)state;
    const size_t lengths[] = {4, 1, 6, 0, 0, 5}, vocab = 5, time = 7;
    for (size_t w = 0; w < N_WIDTHS; w++) {
        const size_t width = widths[w];
        ragged_memory memory;
        const heed_ragged *rows = make_ragged(&memory, 6, lengths, 2);
        int32_t token[16];
        for (size_t r = 0; r < rows->n_rows; r++)
            token[r] = (int32_t)(r * r % vocab);
        embedding_case c = {rows,
                            width,
                            token,
                            random_reals(vocab * width, 1),
                            random_reals(time * width, 2),
                            unset_reals(rows->n_rows * width),
                            random_reals(rows->n_rows * width, 3)};
        real *d_table = calloc(vocab * width, sizeof(real)), *d_positions = calloc(time * width, sizeof(real));
        for (size_t g = 0; g < rows->n_grains; g++) {
            real *part = unset_reals(vocab * width), *part_positions = unset_reals(time * width);
            const size_t from = heed_grain_row(rows, g), to = heed_grain_row(rows, g + 1);
            heed_embedding_backward_table(part, c.d_y, token, from, to - from, vocab, width, SCALE);
            heed_embedding_backward_positions(part_positions, c.d_y, rows, g, time, width);
            for (size_t i = 0; i < vocab * width; i++)
                d_table[i] += part[i];
            for (size_t i = 0; i < time * width; i++)
                d_positions[i] += part_positions[i];
            free(part);
            free(part_positions);
        }
        check_gradient("embedding d_table", c.table, vocab * width, 1, d_table, embedding_loss, &c);
        check_gradient("embedding d_positions", c.positions, time * width, 1, d_positions, embedding_loss, &c);
        real *owned[] = {c.table, c.positions, c.y, c.d_y, d_table, d_positions};
        for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
            free(owned[i]);
    }
}

typedef struct loss_case {
    size_t rows, width, vocab;
    real smoothing;
    int32_t *target;
    real *x, *weight, *weight_of, *loss, *logits;
} loss_case;

static real classifier_loss(void *context) {
    loss_case *c = context;
    heed_classifier_loss(c->loss, NULL, NULL, c->logits, c->x, c->weight, c->target, c->weight_of, c->smoothing,
                         c->rows, c->width, c->vocab);
    real sum = 0;
    for (size_t r = 0; r < c->rows; r++)
        sum += c->loss[r];
    return sum;
}

static void check_loss(size_t rows, size_t width, size_t vocab, real smoothing, size_t stride) {
    const size_t block = rows < HEED_LOSS_BLOCK ? rows : HEED_LOSS_BLOCK;
    loss_case c = {.rows = rows,
                   .width = width,
                   .vocab = vocab,
                   .smoothing = smoothing,
                   .target = calloc(rows + 1, sizeof(int32_t)),
                   .x = random_reals(rows * width, 1),
                   .weight = random_reals(vocab * width, 2),
                   .weight_of = random_reals(rows, 3),
                   .loss = unset_reals(rows),
                   .logits = unset_reals(block * vocab)};
    for (size_t r = 0; r < rows; r++) {
        c.target[r] = (int32_t)((r * r + 3) % vocab);
        c.weight_of[r] = r % 5 == 4 ? 0 : c.weight_of[r];
    }
    real *d_x = unset_reals(rows * width), *d_weight = unset_reals(vocab * width);
    heed_classifier_loss(c.loss, d_x, d_weight, c.logits, c.x, c.weight, c.target, c.weight_of, smoothing, rows, width,
                         vocab);
    check_gradient("loss d_x", c.x, rows * width, stride, d_x, classifier_loss, &c);
    check_gradient("loss d_weight", c.weight, vocab * width, stride, d_weight, classifier_loss, &c);
    for (size_t r = 0; r < rows; r++)
        assert_true(c.weight_of[r] != 0 || c.loss[r] == 0);
    real *owned[] = {c.x, c.weight, c.weight_of, c.loss, c.logits, d_x, d_weight};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
    free(c.target);
}

static void loss_gradients(void **state) {
    (void)state;
    for (size_t r = 0; r < N_ROW_COUNTS; r++)
        for (size_t w = 0; w < N_WIDTHS; w++)
            for (int smooth = 0; smooth < 2; smooth++)
                check_loss(row_counts[r], widths[w], widths[N_WIDTHS - 1 - w], smooth ? (real)0.1 : 0, 3);
    check_loss(2 * HEED_LOSS_BLOCK + 3, 3, 7, (real)0.3, 61);
}

/* Dropout and rotary positions are linear maps in place: the same function applied to d_y is the gradient. */
typedef struct linear_map_case {
    const heed_ragged *rows;
    size_t heads, head_width;
    real *x, *work, *d_y, *cosines, *sines;
} linear_map_case;

static real dropout_loss(void *context) {
    linear_map_case *c = context;
    const size_t width = c->heads * c->head_width;
    memcpy(c->work, c->x, c->rows->n_rows * width * sizeof *c->x);
    heed_dropout(c->work, c->rows, width, 0.3, 11, 2, 5);
    return dot(c->work, c->d_y, c->rows->n_rows * width);
}

static real rotary_loss(void *context) {
    linear_map_case *c = context;
    const size_t width = c->heads * c->head_width;
    memcpy(c->work, c->x, c->rows->n_rows * width * sizeof *c->x);
    heed_rotary(c->work, width, c->rows, c->heads, c->head_width, c->cosines, c->sines, 0);
    return dot(c->work, c->d_y, c->rows->n_rows * width);
}

static void dropout_and_rotary_gradients(void **state) {
    (void)state;
    const size_t lengths[] = {4, 1, 0, 6}, head_widths[] = {2, 6, 10};
    for (size_t k = 0; k < 3; k++) {
        ragged_memory memory;
        const heed_ragged *rows = make_ragged(&memory, 4, lengths, 2);
        const size_t heads = 3, head_width = head_widths[k], n = rows->n_rows * heads * head_width;
        linear_map_case c = {rows,
                             heads,
                             head_width,
                             random_reals(n, 1),
                             unset_reals(n),
                             random_reals(n, 2),
                             unset_reals(6 * head_width / 2),
                             unset_reals(6 * head_width / 2)};
        heed_rotary_table(c.cosines, c.sines, 6, head_width);
        real *d_x = random_reals(n, 2);
        heed_dropout(d_x, rows, heads * head_width, 0.3, 11, 2, 5);
        check_gradient("dropout", c.x, n, 1, d_x, dropout_loss, &c);
        memcpy(d_x, c.d_y, n * sizeof *d_x);
        heed_rotary(d_x, heads * head_width, rows, heads, head_width, c.cosines, c.sines, 1);
        check_gradient("rotary", c.x, n, 1, d_x, rotary_loss, &c);
        real *owned[] = {c.x, c.work, c.d_y, c.cosines, c.sines, d_x};
        for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
            free(owned[i]);
    }
}

int main(void) {
    heed_error error = HEED_ERROR_INIT;
    if (heed_gemm_open(heed_gemm_best(), 1, &error) != HEED_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_gradients),     cmocka_unit_test(norm_gradients),
        cmocka_unit_test(activation_gradients), cmocka_unit_test(embedding_gradients),
        cmocka_unit_test(loss_gradients),       cmocka_unit_test(dropout_and_rotary_gradients),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL) + attention_gradient_tests();
    heed_gemm_close();
    return failed;
}
