/* What is written is read back, number by number; who is best is chosen on one half and told from the other. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "heed/probe_file.h"

static const heed_probe_sizes sizes = {
    .sites = 2, .heads = 3, .windows = 4, .positions = 5, .probes = 2, .time = 5, .bytes = 6};

static void make(heed_probe *probe) {
    heed_error error = HEED_ERROR_INIT;
    assert_int_equal(heed_probe_alloc(probe, &sizes, &error), HEED_OK);
    probe->config_text = strdup("[model]\nlayers = 2\n");
    strcpy(probe->checkpoint, "runs/x/checkpoints/step-00000007.h5");
    probe->step = 7;
    for (int w = 0; w < 4; w++)
        probe->window[w] = 1 << w;
    probe->site_kind[1] = HEED_SITE_CROSS;
    probe->probe_length[0] = 5;
    for (int i = 0; i < 18; i++)
        probe->previous[i] = i;
    for (int i = 0; i < 50; i++)
        probe->rollout[i] = (float)(0.01 * i);
    memcpy(probe->token_text, "whale", 5);
    probe->token[9] = -1;
    probe->window_loss[3] = 1.25;
}

static void read_back(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    heed_probe written, read;
    make(&written);
    if (heed_probe_write(&written, "probe.h5", &error) != HEED_OK ||
        heed_probe_read(&read, "probe.h5", &error) != HEED_OK)
        fail_msg("%s", error.message);
    assert_memory_equal(&read.sizes, &sizes, sizeof sizes);
    assert_int_equal(read.step, 7);
    assert_string_equal(read.checkpoint, written.checkpoint);
    assert_string_equal(read.config_text, written.config_text);
    assert_memory_equal(read.window, written.window, 4 * sizeof *read.window);
    assert_memory_equal(read.site_kind, written.site_kind, 2 * sizeof *read.site_kind);
    assert_memory_equal(read.previous, written.previous, 18 * sizeof *read.previous);
    assert_memory_equal(read.rollout, written.rollout, 50 * sizeof *read.rollout);
    assert_memory_equal(read.token_text, written.token_text, 60);
    assert_memory_equal(read.token, written.token, 10 * sizeof *read.token);
    assert_true(isnan(read.loss[0]) && isnan(read.window_loss[0]) && read.window_loss[3] == 1.25);
    assert_string_equal(heed_probe_site_name(read.site_kind[1]), "cross");
    heed_probe_reset(&read);
    heed_probe_reset(&written);
}

static void best_is_told_from_the_other_half(void **state) {
    (void)state;
    heed_probe probe;
    heed_probe_pick pick;
    make(&probe);
    double values[18];
    for (int i = 0; i < 18; i++)
        values[i] = NAN;
    assert_false(heed_probe_best(&pick, &probe, values, 1));
    values[0 * 6 + 2] = 100; /* all sequences: not looked at */
    values[1 * 6 + 4] = 3, values[1 * 6 + 1] = 2, values[1 * 6 + 5] = 3;
    values[2 * 6 + 4] = 0.5, values[2 * 6 + 1] = 9;
    assert_true(heed_probe_best(&pick, &probe, values, 1));
    assert_int_equal(pick.site * 3 + pick.head, 4);
    assert_true(pick.chosen == 3 && pick.reported == 0.5);
    assert_true(heed_probe_best(&pick, &probe, values, -1));
    assert_int_equal(pick.site * 3 + pick.head, 1);
    assert_true(pick.chosen == 2 && pick.reported == 9);
    heed_probe_reset(&probe);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_back),
        cmocka_unit_test(best_is_told_from_the_other_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
