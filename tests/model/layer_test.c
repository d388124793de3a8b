/* A norm's gradients, grain by grain or all rows at once: the same bits, in place or not. */
#include "fixture.h"

#include "heed/nn/norm.h"
#include "model/layer.h"

enum { WIDTH = 64, MOST_ROWS = 2048, N_GRAINS = 3 };

static void fill(real *x, size_t n, uint32_t site) {
    for (size_t i = 0; i < n; i++)
        x[i] = (real)(test_uniform(site, (uint32_t)i) - 0.4);
}

static void check(const size_t *lengths, bool add, bool in_place, bool with_gradient) {
    static test_batch made;
    static real x[MOST_ROWS * WIDTH], d_y[MOST_ROWS * WIDTH], d_x[MOST_ROWS * WIDTH], expected[MOST_ROWS * WIDTH];
    static real y[MOST_ROWS * WIDTH], mean[MOST_ROWS], rstd[MOST_ROWS], sum[N_GRAINS][2][WIDTH];
    heed_error error = HEED_ERROR_INIT;
    heed_config config = small_config();
    config.model.width = WIDTH;
    config.model.heads = 4;
    heed_params *params;
    heed_gradient *gradient;
    assert_int_equal(heed_params_create(&params, &config, 7, 0, &error), HEED_OK);
    assert_int_equal(heed_gradient_create(&gradient, params, 0, N_GRAINS, N_GRAINS, &error), HEED_OK);
    real *weights = malloc(params->n_elements * sizeof(real));
    fill(weights, params->n_elements, 1);
    test_batch_fill(&made, lengths, 1, 7, false, 2);
    assert_int_equal(made.n_grains, N_GRAINS);
    const heed_ragged *rows = &made.batch.rows;
    fill(x, rows->n_rows * WIDTH, 3);
    fill(d_y, rows->n_rows * WIDTH, 4);
    fill(d_x, rows->n_rows * WIDTH, 5);
    memcpy(expected, d_x, sizeof d_x);
    const heedi_norm norm = heedi_norm_find(params, weights, "norm");
    heed_norm_forward(y, mean, rstd, x, norm.gain, norm.bias, rows->n_rows, WIDTH, (real)1e-5);
    heed_norm_backward_input(expected, d_y, x, mean, rstd, norm.gain, rows->n_rows, WIDTH, add);
    for (size_t g = 0; g < N_GRAINS; g++) {
        const size_t from = heed_grain_row(rows, g), n = heed_grain_row(rows, g + 1) - from;
        heed_norm_backward_gain(sum[g][0], sum[g][1], d_y + from * WIDTH, x + from * WIDTH, mean + from, rstd + from, n,
                                WIDTH);
    }

    const heedi_pass pass = {.config = &config, .rows = rows, .gradient = with_gradient ? gradient : NULL};
    real *out = in_place ? d_y : d_x;
    heedi_norm_backward(&pass, &norm, out, d_y, x, mean, rstd, add);
    assert_memory_equal(out, expected, rows->n_rows * WIDTH * sizeof(real));
    for (size_t t = 0; with_gradient && t < 2; t++) {
        const real *total = heed_gradient_partial(gradient, 0) + params->tensors[norm.tensors[t]].gradient;
        for (size_t i = 0; i < WIDTH; i++)
            assert_true(total[i] == (sum[0][t][i] + sum[1][t][i]) + sum[2][t][i]);
    }
    free(weights);
    heed_gradient_destroy(gradient);
    heed_params_destroy(params);
}

static void norm_backward_is_that_of_all_rows(void **state) {
    (void)state;
    static const size_t small[] = {5, 9, 7, 0}, large[] = {600, 1, 1300, 0};
    for (int flags = 0; flags < 4; flags++)
        for (int size = 0; size < 2; size++)
            check(size ? large : small, flags == 1, flags == 2, flags != 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(norm_backward_is_that_of_all_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
