#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <time.h>

#include "heed/stage.h"

static void wait_ms(long ms) {
    const struct timespec time = {.tv_nsec = ms * 1000000};
    nanosleep(&time, NULL);
}

static void attend(void) {
    HEED_IN_STAGE(ATTENTION);
    assert_int_equal(heed_stage_now(), HEED_STAGE_ATTENTION);
    heed_stage_work(7);
    wait_ms(4);
}

static void stages_nest(void **state) {
    (void)state;
    assert_int_equal(heed_stage_now(), HEED_STAGE_OTHER);
    {
        HEED_IN_STAGE(BATCH);
        attend();
        assert_int_equal(heed_stage_now(), HEED_STAGE_BATCH);
    }
    assert_int_equal(heed_stage_now(), HEED_STAGE_OTHER);
}

static void times_add_up(void **state) {
    (void)state;
    heed_stage_times times;
    heed_stage_work(1); /* nobody counts yet */
    heed_stage_times_start();
    wait_ms(3);
    attend();
    heed_stage_times_stop(&times);
    assert_true(times.seconds[HEED_STAGE_OTHER] >= 3e-3);
    assert_true(times.seconds[HEED_STAGE_ATTENTION] >= 4e-3);
    assert_true(times.seconds[HEED_STAGE_NORM] == 0);
    assert_true(times.operations[HEED_STAGE_ATTENTION] == 7);
    assert_true(times.operations[HEED_STAGE_OTHER] == 0);
    heed_stage_times_start(); /* from zero again */
    heed_stage_times_stop(&times);
    assert_true(times.seconds[HEED_STAGE_ATTENTION] == 0 && times.operations[HEED_STAGE_ATTENTION] == 0);
}

static void list_keeps_order_and_counts_what_it_misses(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    const heed_mark *marks;
    size_t n_missed;
    assert_int_equal(heed_stage_list(&marks, &n_missed), 0);
    assert_int_equal(heed_stage_list_start(5, &error), HEED_OK);
    attend();                                                /* marks 1 and 2; 0 is the start */
    heed_stage_departs(9);                                   /* 3 */
    heed_stage_arrives(9);                                   /* 4 */
    heed_stage_arrives(10);                                  /* too many */
    assert_int_equal(heed_stage_list(&marks, &n_missed), 6); /* and the end */
    assert_int_equal(n_missed, 1);
    const uint32_t values[] = {HEED_STAGE_OTHER, HEED_STAGE_ATTENTION, HEED_STAGE_OTHER, 9, 9, HEED_STAGE_OTHER};
    const uint32_t kinds[] = {HEED_MARK_STAGE,   HEED_MARK_STAGE,   HEED_MARK_STAGE,
                              HEED_MARK_DEPARTS, HEED_MARK_ARRIVES, HEED_MARK_STAGE};
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(marks[i].value, values[i]);
        assert_int_equal(marks[i].kind, kinds[i]);
        assert_true(marks[i].seconds >= 0 && (i == 0 || marks[i].seconds >= marks[i - 1].seconds));
    }
    assert_true(marks[2].seconds - marks[1].seconds >= 4e-3);
    heed_stage_list_reset();
    assert_int_equal(heed_stage_list(&marks, &n_missed), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_nest),
        cmocka_unit_test(times_add_up),
        cmocka_unit_test(list_keeps_order_and_counts_what_it_misses),
    };
    return cmocka_run_group_tests_name("stage", tests, NULL, NULL);
}
