/* Each layer in single precision against its twin in double, which runs as a program of its own (its path is the first
 * argument) because the two libraries have the same names. */
#include "nn_testing.h"

#include "heed/gemm.h"
#include "twin_cases.h"

static const char *double_program;
static FILE *expected_results;
static size_t n_compared;

static void compare_result(const char *name, double ulps, const real *values, size_t n, size_t row_length) {
    twin_header header;
    assert_int_equal(fread(&header, sizeof header, 1, expected_results), 1);
    assert_string_equal(header.name, name);
    assert_int_equal(header.n, n);
    double *expected = calloc(n, sizeof *expected), worst = 0;
    assert_int_equal(fread(expected, sizeof *expected, n, expected_results), n);
    for (size_t first = 0; first < n; first += row_length) {
        double largest = 0x1p-126, error = 0;
        for (size_t i = first; i < first + row_length; i++) {
            largest = fmax(largest, fabs(expected[i]));
            const double e = fabs((double)values[i] - expected[i]);
            error = isnan(e) ? INFINITY : fmax(error, e);
        }
        int exponent;
        frexp(largest, &exponent);
        worst = fmax(worst, error / ldexp(1, exponent - 24));
    }
    free(expected);
    n_compared++;
    print_message("%-24s %8.2f ULP, bound %g\n", name, worst, ulps);
    if (!(worst <= ulps))
        fail_msg("%s: %.2f ULP, bound %g", name, worst, ulps);
}

static void float_stays_close_to_double(void **state) {
    (void)state;
    expected_results = popen(double_program, "r");
    assert_non_null(expected_results);
    twin_run(compare_result);
    assert_int_equal(fgetc(expected_results), EOF);
    assert_int_equal(pclose(expected_results), 0);
    assert_true(n_compared > 50);
}

int main(int argc, char **argv) {
    heed_error error = HEED_ERROR_INIT;
    if (argc < 2 || heed_gemm_open(heed_gemm_best(), 1, &error) != HEED_OK)
        return 1;
    double_program = argv[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(float_stays_close_to_double)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    heed_gemm_close();
    return failed;
}
