/* A rank that is slow in every step is measured and named. It sleeps by the linker's doing (--wrap). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "ranks.h"
#include "small_run.h"

enum { MANY_STEPS = 80, NAP_MILLISECONDS = 60 };

void __real_heed_model_backward(heed_model *, const heed_batch *, heed_gradient *);
void __wrap_heed_model_backward(heed_model *, const heed_batch *, heed_gradient *);
void __wrap_heed_model_backward(heed_model *model, const heed_batch *batch, heed_gradient *gradient) {
    __real_heed_model_backward(model, batch, gradient);
    const struct timespec nap = {0, NAP_MILLISECONDS * 1000000L};
    if (comm->rank == 1)
        nanosleep(&nap, NULL);
}

static void slow_rank_is_named(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    heed_config config;
    clear_run();
    small_config(&config);
    config.train.steps = MANY_STEPS;
    config.log.attention_every = config.eval.every = config.checkpoint.every = 0;
    assert_int_equal(heed_config_resolve(&config, &error), HEED_OK);
    assert_int_equal(heed_comm_barrier(comm, &error), HEED_OK);
    if (heed_train(comm, &config, NULL, &error) != HEED_OK)
        fail_msg("%s", error.message);
    if (comm->rank != 0)
        return;
    char line[1024], words[320];
    unsigned n_named = 0, n_slowest = 0, n_lines = 0;
    snprintf(words, sizeof words, "rank 1 on %s is late in every step: ", comm->host);
    FILE *file = fopen("run/log.txt", "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file))
        n_named += strstr(line, words) != NULL;
    fclose(file);
    file = fopen("run/timing.jsonl", "r");
    assert_non_null(file);
    double waited = 0.0;
    for (; fgets(line, sizeof line, file); n_lines++) {
        const char *at = strstr(line, "\"waited\":");
        assert_non_null(at);
        waited += atof(at + 9) / MANY_STEPS;
        n_slowest += strstr(line, "\"slowest\":1}") != NULL;
    }
    fclose(file);
    assert_int_equal(n_named, 1);
    assert_int_equal(n_lines, MANY_STEPS);
    assert_true(n_slowest >= MANY_STEPS / 2);
    assert_true(waited > 1e-3 * NAP_MILLISECONDS / 4); /* of three ranks two wait */
}

static int run_group(void) {
    heed_log_setup(comm->rank + 1, HEED_ERROR);
    const struct CMUnitTest tests[] = {cmocka_unit_test(slow_rank_is_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return test_on_ranks(&comm, run_group);
}
