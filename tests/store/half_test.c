/* binary16 against the definition of rounding to nearest even, over every half and the floats between them. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heed/rng.h"
#include "heed/store.h"

/* The value of the nearest half, by the definition. */
static double nearest(float x) {
    int exponent;
    frexp((double)x, &exponent);
    const double last_place = exponent < -13 ? 0x1p-24 : ldexp(1, exponent - 11);
    const double rounded = nearbyint((double)x / last_place) * last_place;
    return fabs(rounded) > 65504 ? copysign(INFINITY, rounded) : rounded;
}

static void check(float x) {
    const float found = heed_half_value(heed_half_from(x));
    if (!((double)found == nearest(x) && signbit(found) == signbit(x)))
        fail_msg("%a: %a, expected %a", (double)x, (double)found, nearest(x));
}

static void every_half_and_its_neighbours(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x7c00; h++) {
        const float x = heed_half_value((uint16_t)h),
                    next = h == 0x7bff ? 65536.0f : heed_half_value((uint16_t)(h + 1));
        const float middle = (float)(0.5 * ((double)x + (double)next));
        assert_int_equal(heed_half_from(x), h);
        assert_int_equal(heed_half_from(-x), h | 0x8000);
        const float near[] = {x, nextafterf(x, INFINITY), nextafterf(middle, 0), middle, nextafterf(middle, INFINITY)};
        for (size_t i = 0; i < sizeof near / sizeof *near; i++) {
            check(near[i]);
            check(-near[i]);
        }
    }
    assert_int_equal(heed_half_from(INFINITY), 0x7c00);
    assert_int_equal(heed_half_from(-FLT_MAX), 0xfc00);
    assert_true(isnan(heed_half_value(heed_half_from(NAN))));
    assert_true(isinf(heed_half_value(0x7c00)) && isnan(heed_half_value(0x7c01)));
}

static void floats_of_all_sizes(void **state) {
    (void)state;
    const heed_rng rng = {.seed = 1};
    for (uint32_t i = 0; i < 500000; i++) {
        uint32_t words[4];
        heed_rng_block(words, &rng, i);
        for (int k = 0; k < 4; k++) {
            float x;
            memcpy(&x, &words[k], sizeof x);
            if (isfinite(x))
                check(x);
        }
    }
}

static void packing_uses_the_whole_range(void **state) {
    (void)state;
    real x[1001];
    uint16_t half[1001];
    for (int power = -140; power <= 100; power += 20) { /* credits lie far below binary16's own range */
        for (size_t i = 0; i < 1001; i++)
            x[i] = (real)ldexp(sin(0.1 * (double)i), power);
        const double scale = (double)heed_half_pack(half, x, 1001);
        const double largest = ldexp(1, power);
        for (size_t i = 0; i < 1001; i++) {
            const double found = (double)heed_half_value(half[i]) * scale;
            const double tolerance = fabs((double)x[i]) * 0x1.01p-11 + largest * 0x1p-36 + 0x1p-149;
            if (!(fabs(found - (double)x[i]) <= tolerance))
                fail_msg("2^%d, %zu: %a, expected %a", power, i, found, (double)x[i]);
        }
    }
}

static void packing_meets_zeros_and_what_is_not_finite(void **state) {
    (void)state;
    real x[40] = {0};
    uint16_t half[40];
    assert_true(heed_half_pack(half, x, 40) == 1);
    for (int i = 0; i < 40; i++)
        assert_int_equal(half[i], 0);
    x[3] = 2;
    x[20] = NAN;
    x[39] = -INFINITY;
    assert_true(heed_half_pack(half, x, 40) == 0x1p-13f); /* of the finite ones */
    assert_true(heed_half_value(half[3]) == 0x1p14f);
    assert_true(isnan(heed_half_value(half[20])));
    assert_true(heed_half_value(half[39]) == -INFINITY);
    heed_half_pack_as(half, x, 4, 0.5f);
    assert_true(heed_half_value(half[3]) == 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_and_its_neighbours),
        cmocka_unit_test(floats_of_all_sizes),
        cmocka_unit_test(packing_uses_the_whole_range),
        cmocka_unit_test(packing_meets_zeros_and_what_is_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
