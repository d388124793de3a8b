/* The functions of base/vmath.h in single precision against the C library in double: over a sweep of the float bit
 * patterns, and at the places where such functions break.
 *
 * The sweep takes every 1009th pattern. Given the stride 1 it takes every one from 2^-28 to 2^7, where the functions do
 * something, and every 1009th below and above, where they are constant but for rounding. */
#include <float.h>

#include "nn_testing.h"

#include "base/vmath.h"

static uint32_t sweep_stride = 1009;

/* Distance in units of the last place of the correctly rounded result, where subnormals have the last place 2^-149. */
static double ulps(float got, double expected) {
    if (isnan(expected))
        return isnan(got) ? 0 : INFINITY;
    if (fabs(expected) >= 0x1.ffffffp127) /* rounds to infinity */
        return isinf(got) && signbit(got) == signbit(expected) ? 0 : INFINITY;
    int exponent;
    frexp(expected, &exponent);
    return fabs((double)got - expected) / ldexp(1, exponent - 24 < -149 ? -149 : exponent - 24);
}

static double exact_logistic(double x) {
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static double exact_logistic_density(double x) {
    return exp(-fabs(x)) / ((1 + exp(-fabs(x))) * (1 + exp(-fabs(x))));
}

static double exact_cdf(double x) {
    return 0.5 * erfc(-x * 0.70710678118654752440);
}

static double exact_density(double x) {
    return 0.39894228040143267794 * exp(-0.5 * x * x);
}

static float logistic(float x) {
    float slope;
    return heedi_logistic(&slope, x);
}

static float logistic_density(float x) {
    float value;
    heedi_logistic(&value, x);
    return value;
}

static float cdf(float x) {
    return heedi_normal_at(x).cdf;
}

static float density(float x) {
    return isnan(x) ? x : heedi_normal_at(x).density; /* of a NaN only the cdf is one */
}

static const struct {
    const char *name;
    float (*ours)(float);
    double (*exact)(double);
    double bound; /* ULP, as promised in vmath.h */
} functions[] = {
    {"exp", heedi_exp, exp, 1.02},
    {"logistic", logistic, exact_logistic, 3},
    {"logistic density", logistic_density, exact_logistic_density, 5},
    {"normal cdf", cdf, exact_cdf, 7},
    {"normal density", density, exact_density, 3},
};

static void errors_stay_within_their_bounds(void **state) {
    (void)state;
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        double worst = 0;
#pragma omp parallel for reduction(max : worst)
        for (uint32_t block = 0; block < 512; block++) { /* a block: sign and exponent */
            const uint32_t exponent = block & 255;
            const uint32_t stride = exponent >= 127 - 28 && exponent < 127 + 7 ? sweep_stride : 1009;
            for (uint32_t low = 0; low < 1 << 23; low += stride) {
                const uint32_t bits = block << 23 | low;
                float x;
                memcpy(&x, &bits, sizeof x);
                const double error = ulps(functions[f].ours(x), functions[f].exact((double)x));
                worst = error > worst ? error : worst;
            }
        }
        print_message("%s: %.3f ULP\n", functions[f].name, worst);
        if (!(worst <= functions[f].bound))
            fail_msg("%s: %.3f ULP, bound %.3f", functions[f].name, worst, functions[f].bound);
    }
}

static void extremes_are_right(void **state) {
    (void)state;
    const float at[] = {
        0.0f,        -0.0f,       INFINITY,   -INFINITY,  NAN,       FLT_MAX, -FLT_MAX,
        FLT_MIN,     -FLT_MIN,    0x1p-149f,  -0x1p-149f, 88.72283f, /* the largest x with a finite exponential */
        88.72284f,   89.0f,       -87.33654f,                        /* results turn subnormal */
        -87.33655f,  -103.97207f,                                    /* and 0 */
        -103.97209f, -105.0f,     14.5f,      -14.5f,     -14.17f};
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++)
        for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
            const double error = ulps(functions[f].ours(at[i]), functions[f].exact((double)at[i]));
            if (!(error <= functions[f].bound))
                fail_msg("%s(%.9g) = %.9g", functions[f].name, (double)at[i], (double)functions[f].ours(at[i]));
        }
    assert_true(heedi_exp(0.0f) == 1.0f && heedi_exp(-0.0f) == 1.0f);
    assert_true(logistic(0.0f) == 0.5f);
}

static void exponentials_of_softmax_have_the_same_bits(void **state) {
    (void)state;
    uint32_t n_different = 0;
#pragma omp parallel for reduction(+ : n_different)
    for (uint32_t block = 0; block < 512; block++)
        for (uint32_t low = 0; low < 1 << 23; low += sweep_stride) {
            const uint32_t bits = block << 23 | low;
            float x;
            memcpy(&x, &bits, sizeof x);
            const float ours = heedi_exp_falling(x), expected = heedi_exp(x);
            const bool same = isnan(expected) ? isnan(ours) : memcmp(&ours, &expected, sizeof ours) == 0;
            n_different += !(x > 43) && !same;
        }
    assert_int_equal(n_different, 0);
}

int main(int argc, char **argv) {
    if (argc > 1)
        sweep_stride = (uint32_t)strtoul(argv[1], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_stay_within_their_bounds),
        cmocka_unit_test(extremes_are_right),
        cmocka_unit_test(exponentials_of_softmax_have_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
