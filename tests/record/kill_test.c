/* A process that saves checkpoints without pause is killed at random instants, again and again in the same folder: the
 * newest complete checkpoint loads, holds what was saved under its step, and is no older than the last one that was
 * acknowledged. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "heed/rng.h"
#include "record/sample.h"

#define KILLS 50
#define FOLDER "killed"

/* The child: goes on from the newest checkpoint, and says every step that is safe. */
static int save_for_ever(int acknowledge) {
    heed_checkpoint_writer *writer;
    heed_checkpoint_state state = {0};
    heed_error error = HEED_ERROR_INIT;
    char path[HEED_PATH_MAX];
    sample s;
    sample_create(&s, false);
    if (heed_checkpoint_newest(FOLDER, path, &error) != HEED_OK)
        return 1;
    if (path[0] && heed_checkpoint_read_state(path, &state, &error) != HEED_OK)
        return 1;
    if (heed_checkpoint_writer_create(&writer, FOLDER, 2, &error) != HEED_OK)
        return 1;
    for (uint64_t step = state.step + 1;; step++) {
        sample_fill(&s, step);
        if (heed_checkpoint_writer_start(writer, &s.state, &s.arenas, &no_figures, s.tokenizer, &error) != HEED_OK ||
            heed_checkpoint_writer_wait(writer, &error) != HEED_OK ||
            write(acknowledge, &step, sizeof step) != (ssize_t)sizeof step)
            return 1;
    }
}

static double now(void) {
    struct timespec time_now;
    clock_gettime(CLOCK_MONOTONIC, &time_now);
    return (double)time_now.tv_sec + 1e-9 * (double)time_now.tv_nsec;
}

/* Seconds that a save takes here and now. */
static double duration_of_save(sample *s) {
    const double start = now();
    for (int i = 0; i < 5; i++)
        OK(heed_checkpoint_write("timed", &s->state, &s->arenas, s->tokenizer, &error));
    return (now() - start) / 5;
}

/* Lets a child live for that long, counted from the n-th step that it acknowledges (0: from its start); the last one
 * that it did, or the one before its life. */
static uint64_t one_life(double seconds, int n, uint64_t before) {
    int ends[2];
    uint64_t step, last = before;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        if (!freopen("/dev/null", "w", stderr)) /* a line a checkpoint */
            _exit(1);
        _exit(save_for_ever(ends[1]));
    }
    close(ends[1]);
    while (n-- > 0)
        assert_int_equal(read(ends[0], &last, sizeof last), sizeof last);
    const struct timespec span = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&span, NULL);
    assert_int_equal(kill(child, SIGKILL), 0);
    int result;
    assert_true(waitpid(child, &result, 0) == child && WIFSIGNALED(result));
    while (read(ends[0], &step, sizeof step) == (ssize_t)sizeof step)
        last = step;
    close(ends[0]);
    return last;
}

static void newest_always_loads(void **unused) {
    (void)unused;
    sample expected, found;
    heed_checkpoint_state state;
    uint64_t last = 0, n_acknowledged = 0;
    int n_inside = 0;
    char path[HEED_PATH_MAX], command[256];
    sample_create(&expected, false);
    sample_create(&found, false);
    assert_int_equal(system("rm -rf " FOLDER), 0);
    const double save = duration_of_save(&expected);
    for (uint32_t k = 0; k < KILLS; k++) {
        const heed_rng rng = {.seed = (uint64_t)time(NULL), .step = k};
        const double seconds = save * 8e-6 * (double)heed_rng_below(&rng, 0, 1000000);
        const uint64_t acknowledged = one_life(seconds, k % 2 ? 3 : 0, last);
        snprintf(command, sizeof command, "ls %s/*.tmp >/dev/null 2>&1", FOLDER);
        n_inside += system(command) == 0; /* killed in the middle of a save */
        n_acknowledged += acknowledged - last;
        OK(heed_checkpoint_newest(FOLDER, path, &error));
        if (!path[0]) {
            assert_int_equal(acknowledged, 0);
            continue;
        }
        OK(heed_checkpoint_read_state(path, &state, &error));
        OK(heed_checkpoint_read(path, &found.arenas, NULL, &error));
        if (state.step < acknowledged)
            fail_msg("kill %u: step %llu was acknowledged, the newest is %llu", k, (unsigned long long)acknowledged,
                     (unsigned long long)state.step);
        sample_fill(&expected, state.step);
        assert_memory_equal(found.arenas.weights, expected.arenas.weights, found.params->n_elements * sizeof(real));
        assert_memory_equal(found.arenas.v, expected.arenas.v, found.params->n_elements * sizeof(real));
        last = state.step;
        heed_checkpoint_state_reset(&state);
    }
    print_message("%d kills, %d of them in the middle of a save, %llu acknowledged checkpoints: none torn, none lost\n",
                  KILLS, n_inside, (unsigned long long)n_acknowledged);
    assert_true(n_acknowledged > KILLS && n_inside > 0);
    sample_destroy(&expected);
    sample_destroy(&found);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(newest_always_loads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
