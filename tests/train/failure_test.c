/* One rank's fault is everybody's, once: whatever fails on one rank, between which steps or in which, all ranks return
 * its error, nothing hangs, and the run can go on from its last checkpoint. Faults are put in by the linker (--wrap).
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "heed/attention_log.h"
#include "heed/metrics.h"
#include "ranks.h"
#include "small_run.h"

/* ---- faults: each happens on the last rank (or rank 0, for what only rank 0 does) when its turn comes
 * ---------------- */

typedef enum fault {
    NONE,
    READ_FAILS,
    EVAL_FAILS,
    LOSS_IS_NAN,
    METRICS_FAIL,
    A_FLUSH_FAILS,
    FLUSHES_FAIL,
    LOG_FAILS,
    LATE_LOG_FAILS,
    SAVE_FAILS,
    LAST_SAVE_FAILS
} fault;

static fault now;

static bool faulty(fault which) {
    return now == which && comm->rank == comm->size - 1;
}

heed_status __real_heed_batcher_train(heed_batcher *, uint64_t, heed_batch *, heed_error *);
heed_status __wrap_heed_batcher_train(heed_batcher *, uint64_t, heed_batch *, heed_error *);
heed_status __wrap_heed_batcher_train(heed_batcher *batcher, uint64_t step, heed_batch *batch, heed_error *error) {
    if (faulty(READ_FAILS) && step == 3)
        return heed_fail(error, HEED_IO, "made-up fault: tokens cannot be read");
    return __real_heed_batcher_train(batcher, step, batch, error);
}

heed_status __real_heed_batcher_eval(heed_batcher *, size_t, heed_batch *, heed_error *);
heed_status __wrap_heed_batcher_eval(heed_batcher *, size_t, heed_batch *, heed_error *);
heed_status __wrap_heed_batcher_eval(heed_batcher *batcher, size_t index, heed_batch *batch, heed_error *error) {
    if (faulty(EVAL_FAILS) && index == 1)
        return heed_fail(error, HEED_IO, "made-up fault: tokens cannot be read");
    return __real_heed_batcher_eval(batcher, index, batch, error);
}

void __real_heed_model_loss(heed_model *, const heed_batch *, heed_gradient *, double *, real *);
void __wrap_heed_model_loss(heed_model *, const heed_batch *, heed_gradient *, double *, real *);
void __wrap_heed_model_loss(heed_model *model, const heed_batch *batch, heed_gradient *gradient, double *sequence_loss,
                            real *token_loss) {
    __real_heed_model_loss(model, batch, gradient, sequence_loss, token_loss);
    if (faulty(LOSS_IS_NAN) && gradient && batch->step == 3)
        sequence_loss[0] = NAN;
}

heed_status __real_heed_metrics_add(heed_metrics *, const heed_step_record *, heed_error *);
heed_status __wrap_heed_metrics_add(heed_metrics *, const heed_step_record *, heed_error *);
heed_status __wrap_heed_metrics_add(heed_metrics *metrics, const heed_step_record *record, heed_error *error) {
    if (now == METRICS_FAIL && record->step == 3)
        return heed_fail(error, HEED_IO, "made-up fault: metrics cannot be written");
    return __real_heed_metrics_add(metrics, record, error);
}

static unsigned n_flushes;
heed_status __real_heed_metrics_flush(heed_metrics *, heed_error *);
heed_status __wrap_heed_metrics_flush(heed_metrics *, heed_error *);
heed_status __wrap_heed_metrics_flush(heed_metrics *metrics, heed_error *error) {
    if ((now == A_FLUSH_FAILS && n_flushes++ == 0) || now == FLUSHES_FAIL)
        return heed_fail(error, HEED_IO, "made-up fault: lines cannot be written");
    return __real_heed_metrics_flush(metrics, error);
}

static unsigned n_waits;
heed_status __real_heed_attention_log_wait(heed_attention_maps *, heed_error *);
heed_status __wrap_heed_attention_log_wait(heed_attention_maps *, heed_error *);
heed_status __wrap_heed_attention_log_wait(heed_attention_maps *maps, heed_error *error) {
    const heed_status status = __real_heed_attention_log_wait(maps, error);
    const bool late = now == LATE_LOG_FAILS && ++n_waits > 4; /* before two logs and two checkpoints: not yet */
    return now == LOG_FAILS || late ? heed_fail(error, HEED_IO, "made-up fault: a log cannot be written") : status;
}

static unsigned n_failed_saves;
heed_status __real_heed_checkpoint_write(const char *, const heed_checkpoint_state *, const heed_checkpoint_arenas *,
                                         const heed_tokenizer *, heed_error *);
heed_status __wrap_heed_checkpoint_write(const char *, const heed_checkpoint_state *, const heed_checkpoint_arenas *,
                                         const heed_tokenizer *, heed_error *);
heed_status __wrap_heed_checkpoint_write(const char *folder, const heed_checkpoint_state *state,
                                         const heed_checkpoint_arenas *arenas, const heed_tokenizer *tokenizer,
                                         heed_error *error) {
    if ((now == SAVE_FAILS && state->step == 4) || (now == LAST_SAVE_FAILS && state->step == STEPS)) {
        n_failed_saves++;
        return heed_fail(error, HEED_IO, "made-up fault: no space left");
    }
    return __real_heed_checkpoint_write(folder, state, arenas, tokenizer, error);
}

/* ---- runs ----------------------------------------------------------------------------------------------------------
 */

static heed_status run_with(fault which, heed_error *error) {
    heed_config config;
    *error = (heed_error)HEED_ERROR_INIT;
    small_config(&config);
    assert_int_equal(heed_config_resolve(&config, error), HEED_OK);
    now = which;
    return heed_train(comm, &config, NULL, error);
}

static real *unharmed;
static size_t n_unharmed;

static int run_unharmed(void **state) {
    (void)state;
    heed_error error;
    clear_run();
    if (run_with(NONE, &error) != HEED_OK) {
        print_error("%s\n", error.message);
        return 1;
    }
    if (comm->rank == 0)
        unharmed = read_result(&n_unharmed, NULL);
    return 0;
}

/* After a fault: the same command without it. The weights must be those of an unharmed run. */
static void expect_recovery(void) {
    heed_error error;
    assert_int_equal(run_with(NONE, &error), HEED_OK);
    if (comm->rank != 0)
        return;
    size_t n_elements;
    real *weights = read_result(&n_elements, NULL);
    assert_int_equal(n_elements, n_unharmed);
    assert_memory_equal(weights, unharmed, n_elements * sizeof *weights);
    free(weights);
}

static void expect_failure(fault which, heed_status expected, const char *words, int rank) {
    heed_error error;
    clear_run();
    const heed_status status = run_with(which, &error);
    if (status != expected)
        fail_msg("rank %d: status %s: %s", comm->rank, heed_status_name(status), error.message);
    assert_int_equal(error.status, expected);
    if (!strstr(error.message, words))
        fail_msg("rank %d: no word of \"%s\": %s", comm->rank, words, error.message);
    assert_int_equal(error.rank, rank);
    expect_recovery();
}

static void batch_cannot_be_read(void **state) {
    (void)state;
    expect_failure(READ_FAILS, HEED_IO, "tokens cannot be read", comm->size - 1);
}

static void evaluation_cannot_be_read(void **state) {
    (void)state;
    expect_failure(EVAL_FAILS, HEED_IO, "tokens cannot be read", comm->size - 1);
}

static void loss_is_not_finite(void **state) {
    (void)state;
    expect_failure(LOSS_IS_NAN, HEED_NUMERIC, "the loss of sequence ", comm->size - 1);
}

static void metrics_cannot_be_written(void **state) {
    (void)state;
    expect_failure(METRICS_FAIL, HEED_IO, "metrics cannot be written", 0);
}

/* There is no checkpoint without the figures of its steps: training goes on to the next. */
static void figures_wait_for_the_disk(void **state) {
    (void)state;
    heed_error error;
    clear_run();
    n_flushes = 0;
    assert_int_equal(run_with(A_FLUSH_FAILS, &error), HEED_OK);
    assert_true(comm->rank != 0 || n_flushes > 1);
    assert_int_not_equal(access("run/checkpoints/step-00000002.h5", F_OK), 0);
    assert_int_equal(access("run/checkpoints/step-00000004.h5", F_OK), 0);
    expect_recovery();
    expect_failure(FLUSHES_FAIL, HEED_IO, "lines cannot be written", 0);
}

static void attention_log_cannot_be_written(void **state) {
    (void)state;
    expect_failure(LOG_FAILS, HEED_IO, "a log cannot be written", 0);
}

/* Only the log after the last step finds that the one before is lost: it has no maps, and no file. */
static void the_last_but_one_log_cannot_be_written(void **state) {
    (void)state;
    heed_error error;
    clear_run();
    n_waits = 0;
    assert_int_equal(run_with(LATE_LOG_FAILS, &error), HEED_IO);
    assert_non_null(strstr(error.message, "a log cannot be written"));
    assert_int_equal(error.rank, 0);
    if (comm->rank == 0) {
        assert_int_equal(access("run/checkpoints/step-00000004.h5", F_OK), 0);
        assert_int_not_equal(access("run/checkpoints/step-00000006.h5", F_OK), 0);
        assert_int_equal(access("run/attention/step-00000003.h5", F_OK), 0);
        assert_int_not_equal(access("run/attention/step-00000006.h5", F_OK), 0);
    }
    expect_recovery();
    if (comm->rank == 0)
        assert_int_equal(access("run/attention/step-00000006.h5", F_OK), 0);
}

static void last_checkpoint_cannot_be_written(void **state) {
    (void)state;
    expect_failure(LAST_SAVE_FAILS, HEED_IO, "no space left", 0);
}

/* Another checkpoint than the last: training goes on. */
static void a_checkpoint_cannot_be_written(void **state) {
    (void)state;
    heed_error error;
    clear_run();
    n_failed_saves = 0;
    assert_int_equal(run_with(SAVE_FAILS, &error), HEED_OK);
    assert_int_equal(n_failed_saves, comm->rank == 0);
    expect_recovery();
}

static int run_group(void) {
    heed_log_setup(comm->rank + 1, HEED_WARNING);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_cannot_be_read),
        cmocka_unit_test(evaluation_cannot_be_read),
        cmocka_unit_test(loss_is_not_finite),
        cmocka_unit_test(metrics_cannot_be_written),
        cmocka_unit_test(figures_wait_for_the_disk),
        cmocka_unit_test(attention_log_cannot_be_written),
        cmocka_unit_test(the_last_but_one_log_cannot_be_written),
        cmocka_unit_test(last_checkpoint_cannot_be_written),
        cmocka_unit_test(a_checkpoint_cannot_be_written),
    };
    const int failed = cmocka_run_group_tests(tests, run_unharmed, NULL);
    free(unharmed);
    return failed;
}

int main(void) {
    return test_on_ranks(&comm, run_group);
}
