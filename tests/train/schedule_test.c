/* Schedules against their formulas, and against PyTorch's where it has the same. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "heed/schedule.h"
#include "torch_fixture.h"

static heed_config schedule(heed_schedule_kind kind, int64_t steps, int64_t warmup) {
    heed_config config = {0};
    config.train.schedule = kind;
    config.train.steps = steps, config.train.warmup = warmup, config.train.decay = 15;
    config.train.peak_lr = 1e-3, config.train.final_lr = 1e-4;
    return config;
}

static void near(double is, double should) {
    if (!(fabs(is - should) <= 1e-15 * fabs(should) * 8))
        fail_msg("%.17g is not %.17g", is, should);
}

static void like_pytorch(void **state) {
    (void)state;
    const heed_schedule_kind kinds[] = {HEED_COSINE, HEED_LINEAR, HEED_CONSTANT};
    for (int k = 0; k < 3; k++) {
        const heed_config config = schedule(kinds[k], 50, 10);
        for (uint64_t t = 0; t < 50; t++) /* PyTorch multiplies from step to step and gathers rounding errors */
            if (fabs(heed_learning_rate(&config, t) / torch_rates[k][t] - 1.0) > 1e-13)
                fail_msg("schedule %d, step %d: %.17g, PyTorch %.17g", k, (int)t, heed_learning_rate(&config, t),
                         torch_rates[k][t]);
    }
}

static void by_formula(void **state) {
    (void)state;
    for (uint64_t t = 0; t < 200; t++) {
        const heed_config cosine = schedule(HEED_COSINE, 200, 0);
        near(heed_learning_rate(&cosine, t), 1e-4 + 9e-4 * (1 + cos(M_PI * (double)t / 200)) / 2);
        const heed_config vaswani =
            schedule(HEED_INVERSE_SQRT, 200, 40); /* width 512: their rate of 40 warm-up steps */
        const double theirs = fmin(pow((double)t + 1, -0.5), ((double)t + 1) * pow(40, -1.5));
        near(heed_learning_rate(&vaswani, t), theirs * 1e-3 / pow(40, -0.5));
        const heed_config wsd = schedule(HEED_WSD, 200, 20);
        const double past = (double)t - 185;
        near(heed_learning_rate(&wsd, t), t < 20     ? 1e-3 * ((double)t + 1) / 20
                                          : past < 0 ? 1e-3
                                                     : 1e-3 - 9e-4 * past / 15);
    }
}

static void edges(void **state) {
    (void)state;
    for (heed_schedule_kind kind = HEED_CONSTANT; kind <= HEED_WSD; kind++) {
        const heed_config all_warmup = schedule(kind, 10, 10), no_warmup = schedule(kind, 10, 0);
        near(heed_learning_rate(&all_warmup, 9), 1e-3);
        assert_true(isfinite(heed_learning_rate(&all_warmup, 10)));
        assert_true(heed_learning_rate(&no_warmup, 0) <= 1e-3 * 1.0001);
        assert_true(heed_learning_rate(&no_warmup, 100) <= 1e-3); /* past the end: the final rate */
    }
    const heed_config cosine = schedule(HEED_COSINE, 10, 0), linear = schedule(HEED_LINEAR, 10, 0);
    near(heed_learning_rate(&cosine, 10), 1e-4);
    near(heed_learning_rate(&linear, 99), 1e-4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(like_pytorch),
        cmocka_unit_test(by_formula),
        cmocka_unit_test(edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
