/* Every layer against PyTorch's values and gradients (torch_vectors.txt, made by make_vectors.py): in double to 1e-12
 * of the array's largest value, in float to 1e-6. */
#include "nn_testing.h"

#include "heed/gemm.h"
#include "heed/nn/activation.h"
#include "heed/nn/attention.h"
#include "heed/nn/embedding.h"
#include "heed/nn/linear.h"
#include "heed/nn/loss.h"
#include "heed/nn/norm.h"

#ifdef HEED_DOUBLE
#define TOLERANCE 1e-12
#else
#define TOLERANCE 1e-6
#endif

#define MAX_ARRAYS 128

static struct {
    char name[64];
    size_t n;
    double *expected;
    real *values; /* rounded to real, for use as input */
} arrays[MAX_ARRAYS];
static size_t n_arrays, n_compared;

static void read_arrays(void) {
    FILE *file = fopen(HEED_SOURCE_DIR "/tests/nn/torch_vectors.txt", "r");
    assert_non_null(file);
    for (; fscanf(file, "%63s %zu", arrays[n_arrays].name, &arrays[n_arrays].n) == 2; n_arrays++) {
        assert_true(n_arrays + 1 < MAX_ARRAYS);
        const size_t n = arrays[n_arrays].n;
        arrays[n_arrays].expected = calloc(n, sizeof(double));
        arrays[n_arrays].values = calloc(n, sizeof(real));
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(fscanf(file, "%lf", &arrays[n_arrays].expected[i]), 1);
            arrays[n_arrays].values[i] = (real)arrays[n_arrays].expected[i];
        }
    }
    fclose(file);
}

static size_t find(const char *layer, const char *what) {
    char name[64];
    snprintf(name, sizeof name, "%s.%s", layer, what);
    for (size_t i = 0; i < n_arrays; i++)
        if (!strcmp(arrays[i].name, name))
            return i;
    fail_msg("%s is not among the vectors", name);
    return 0;
}

static real *given(const char *layer, const char *what) {
    return arrays[find(layer, what)].values;
}

/* An array for the result that is called `what`. */
static real *result(const char *layer, const char *what) {
    return unset_reals(arrays[find(layer, what)].n);
}

/* Compares and frees it. */
static void expect(const char *layer, const char *what, real *values) {
    const size_t k = find(layer, what);
    double largest = 1e-30, error = 0;
    for (size_t i = 0; i < arrays[k].n; i++) {
        const double e = fabs((double)values[i] - arrays[k].expected[i]);
        largest = fmax(largest, fabs(arrays[k].expected[i]));
        error = isnan(e) ? INFINITY : fmax(error, e);
    }
    if (!(error <= TOLERANCE * largest))
        fail_msg("%s: off by %.3g of %.3g", arrays[k].name, error, largest);
    n_compared++;
    free(values);
}

static void linear_agrees(void **state) {
    (void)state;
    const char *l = "linear";
    real *y = result(l, "y"), *d_x = result(l, "x"), *d_weight = result(l, "weight"), *d_bias = result(l, "bias");
    heed_linear_forward(y, given(l, "x"), given(l, "weight"), given(l, "bias"), 5, 7, 3);
    heed_linear_backward_input(d_x, given(l, "d_y"), given(l, "weight"), 5, 7, 3, false);
    heed_linear_backward_weight(d_weight, d_bias, given(l, "x"), given(l, "d_y"), 5, 7, 3);
    expect(l, "y", y);
    expect(l, "d_x", d_x);
    expect(l, "d_weight", d_weight);
    expect(l, "d_bias", d_bias);
}

static void check_norm(const char *l, size_t rows, size_t width, bool with_bias) {
    real *y = result(l, "y"), *d_x = result(l, "x"), *d_gain = result(l, "gain"), *d_bias = unset_reals(width);
    real mean[8], rstd[8];
    const real *x = given(l, "x"), *gain = given(l, "gain"), *d_y = given(l, "d_y");
    heed_norm_forward(y, mean, rstd, x, gain, with_bias ? given(l, "bias") : NULL, rows, width, (real)1e-5);
    heed_norm_backward_input(d_x, d_y, x, mean, rstd, gain, rows, width, false);
    heed_norm_backward_gain(d_gain, with_bias ? d_bias : NULL, d_y, x, mean, rstd, rows, width);
    expect(l, "y", y);
    expect(l, "d_x", d_x);
    expect(l, "d_gain", d_gain);
    if (with_bias)
        expect(l, "d_bias", d_bias);
    else
        free(d_bias);
}

static void norm_agrees(void **state) {
    (void)state;
    check_norm("norm", 4, 7, true);
    check_norm("norm_no_bias", 3, 19, false);
}

static void activation_agrees(void **state) {
    (void)state;
    const char *names[] = {[HEED_GELU] = "gelu", [HEED_GELU_TANH] = "gelu_tanh", [HEED_RELU] = "relu"};
    for (int kind = 0; kind < 3; kind++) {
        const char *l = names[kind];
        real *y = result(l, "y"), *d_x = result(l, "x");
        heed_activation_forward((heed_activation)kind, y, given(l, "x"), 61);
        heed_activation_backward((heed_activation)kind, d_x, given(l, "d_y"), given(l, "x"), 61);
        expect(l, "y", y);
        expect(l, "d_x", d_x);
    }
}

static void embedding_agrees(void **state) {
    (void)state;
    const char *l = "embedding";
    const int32_t token[] = {1, 0, 4, 1, 4, 4, 2};
    ragged_memory memory;
    const heed_ragged *rows = make_ragged(&memory, 2, (const size_t[]){4, 3}, 2);
    real *y = result(l, "y"), *d_table = result(l, "table"), *d_positions = result(l, "positions");
    heed_embedding_forward(y, token, given(l, "table"), given(l, "positions"), rows, 6, (real)1.5);
    heed_embedding_backward_table(d_table, given(l, "d_y"), token, 0, 7, 5, 6, (real)1.5);
    heed_embedding_backward_positions(d_positions, given(l, "d_y"), rows, 0, 4, 6);
    expect(l, "y", y);
    expect(l, "d_table", d_table);
    expect(l, "d_positions", d_positions);
}

static void positions_agree(void **state) {
    (void)state;
    real *table = result("sinusoidal", "table");
    heed_sinusoidal_positions(table, 9, 10);
    expect("sinusoidal", "table", table);

    ragged_memory memory;
    const heed_ragged *rows = make_ragged(&memory, 1, (const size_t[]){9}, 1);
    real cosines[9 * 5], sines[9 * 5];
    heed_rotary_table(cosines, sines, 9, 10);
    real *y = result("rotary", "y"), *d_x = result("rotary", "x");
    memcpy(y, given("rotary", "x"), 180 * sizeof *y);
    memcpy(d_x, given("rotary", "d_y"), 180 * sizeof *d_x);
    heed_rotary(y, 20, rows, 2, 10, cosines, sines, 0);
    heed_rotary(d_x, 20, rows, 2, 10, cosines, sines, 1);
    expect("rotary", "y", y);
    expect("rotary", "d_x", d_x);
}

static void check_attention(const char *l, const size_t *lengths, const size_t *key_lengths, bool causal) {
    ragged_memory memory, key_memory;
    const heed_ragged *rows = make_ragged(&memory, 3, lengths, 1);
    const heed_ragged *key_rows = causal ? rows : make_ragged(&key_memory, 3, key_lengths, 1);
    real *scratch = unset_reals(heed_attention_scratch(key_rows->max_length, 3)), log_sum[200];
    const heed_attention attention = {.heads = 2,
                                      .head_width = 3,
                                      .causal = causal,
                                      .scale = (real)0.5,
                                      .query_stride = 6,
                                      .key_stride = 6,
                                      .scratch = scratch};
    real *y = result(l, "y"), *d_query = result(l, "query"), *d_key = result(l, "key"), *d_value = result(l, "value");
    const real *query = given(l, "query"), *key = given(l, "key"), *value = given(l, "value");
    heed_attention_forward(&attention, y, log_sum, query, key, value, rows, key_rows);
    heed_attention_backward(&attention, d_query, d_key, d_value, given(l, "d_y"), y, log_sum, query, key, value, rows,
                            key_rows);
    expect(l, "y", y);
    expect(l, "d_query", d_query);
    expect(l, "d_key", d_key);
    expect(l, "d_value", d_value);
    free(scratch);
}

static void attention_agrees(void **state) {
    (void)state;
    check_attention("attention_causal", (const size_t[]){5, 1, 3}, NULL, true);
    check_attention("attention_cross", (const size_t[]){2, 4, 3}, (const size_t[]){6, 1, 3}, false);
    check_attention("attention_long", (const size_t[]){53, 5, 33}, NULL, true);
    check_attention("attention_long_cross", (const size_t[]){40, 1, 18}, (const size_t[]){37, 20, 70}, false);
}

static void loss_agrees(void **state) {
    (void)state;
    const char *l = "loss";
    const int32_t target[] = {0, 8, 3, 3, 7, 1};
    real logits[6 * 9], *y = result(l, "y"), *d_x = result(l, "x"), *d_weight = result(l, "weight");
    heed_classifier_loss(y, d_x, d_weight, logits, given(l, "x"), given(l, "weight"), target, given(l, "token_weight"),
                         0, 6, 5, 9);
    expect(l, "y", y);
    expect(l, "d_x", d_x);
    expect(l, "d_weight", d_weight);
}

/* Every output and gradient in the file was asked for. */
static void nothing_was_left_out(void **state) {
    (void)state;
    size_t n_results = 0;
    for (size_t i = 0; i < n_arrays; i++) {
        const char *what = strchr(arrays[i].name, '.') + 1;
        n_results += !strcmp(what, "y") || !strcmp(what, "table") || (!strncmp(what, "d_", 2) && strcmp(what, "d_y"));
    }
    assert_int_equal(n_compared + 1, n_results); /* embedding.table is an input */
}

static int clean_up(void **state) {
    (void)state;
    for (size_t i = 0; i < n_arrays; i++) {
        free(arrays[i].expected);
        free(arrays[i].values);
    }
    return 0;
}

int main(void) {
    heed_error error = HEED_ERROR_INIT;
    if (heed_gemm_open(heed_gemm_best(), 1, &error) != HEED_OK)
        return 1;
    read_arrays();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_agrees),    cmocka_unit_test(norm_agrees),          cmocka_unit_test(activation_agrees),
        cmocka_unit_test(embedding_agrees), cmocka_unit_test(positions_agree),      cmocka_unit_test(attention_agrees),
        cmocka_unit_test(loss_agrees),      cmocka_unit_test(nothing_was_left_out),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, clean_up);
    heed_gemm_close();
    return failed;
}
