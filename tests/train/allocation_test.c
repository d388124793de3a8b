/* Between the second and the last step nothing is allocated, but in steps that log, evaluate or save. malloc and its
 * kin are this program's own here, and heed_step is wrapped by the linker, so that whatever happens from the start of
 * one step to the start of the next counts for the former. The checkpoint writer's thread may allocate while it saves;
 * all others count.
 *
 * With one rank the count must be zero. With more, MPI libraries allocate as they like (their count is printed); calls
 * from our own code must not. */
#include <dlfcn.h>
#include <errno.h>
#include <ftw.h>
#include <omp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "heed/log.h"
#include "heed/train.h"
#include "pretend.h"
#include "ranks.h"

enum { STEPS = 21, EVAL_EVERY = 7, SAVE_EVERY = 6, LOG_EVERY = 5, MOST_SEEN = 64 };

/* ---- counting ---------------------------------------------------------------------------------------------------- */

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
extern char __executable_start, etext;

static pthread_t main_thread;
static volatile int counting;
static struct {
    uint64_t step;
    size_t bytes;
    void *caller;
} seen[MOST_SEEN];
static unsigned n_seen;
static uint64_t step_now;

static void count(size_t bytes, void *caller) {
    if (!counting || (!pthread_equal(pthread_self(), main_thread) && !omp_in_parallel()))
        return;
    const unsigned i = __atomic_fetch_add(&n_seen, 1, __ATOMIC_RELAXED);
    if (i < MOST_SEEN) {
        seen[i].step = step_now;
        seen[i].bytes = bytes;
        seen[i].caller = caller;
    }
}

void *malloc(size_t bytes) {
    count(bytes, __builtin_return_address(0));
    return __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes) {
    count(n * bytes, __builtin_return_address(0));
    return __libc_calloc(n, bytes);
}

void *realloc(void *old, size_t bytes) {
    count(bytes, __builtin_return_address(0));
    return __libc_realloc(old, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    count(bytes, __builtin_return_address(0));
    return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **memory, size_t alignment, size_t bytes) {
    count(bytes, __builtin_return_address(0));
    *memory = __libc_memalign(alignment, bytes);
    return *memory ? 0 : ENOMEM;
}

static bool is_ours(const void *caller) {
    return (const char *)caller >= &__executable_start && (const char *)caller < &etext;
}

/* Step number `step` (from 0) and what follows until the next one. */
static bool may_allocate(uint64_t step) {
    const uint64_t done = step + 1;
    return step < 2 || done == STEPS || step % LOG_EVERY == 0 || done % EVAL_EVERY == 0 || done % SAVE_EVERY == 0;
}

heed_status __real_heed_step(heed_trainer *trainer, heed_step_result *result, heed_error *error);
heed_status __wrap_heed_step(heed_trainer *trainer, heed_step_result *result, heed_error *error);

static unsigned n_strict_steps;

heed_status __wrap_heed_step(heed_trainer *trainer, heed_step_result *result, heed_error *error) {
    step_now = trainer->step;
    counting = !may_allocate(step_now);
    n_strict_steps += counting != 0;
    return __real_heed_step(trainer, result, error);
}

/* ---- a run ---------------------------------------------------------------------------------------------------------
 */

static heed_comm *comm;

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info, (void)kind, (void)where;
    return remove(path);
}

static void write_text(void) {
    nftw("run", remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    FILE *file = fopen("book.txt", "w");
    assert_non_null(file);
    for (unsigned i = 0; i < 3000; i++)
        fputc((int)('a' + i * i / 7 % 23), file);
    assert_int_equal(fclose(file), 0);
}

static heed_config small(heed_model_kind kind) {
    heed_config config;
    heed_error error = HEED_ERROR_INIT;
    heed_config_defaults(&config);
    snprintf(config.run.dir, sizeof config.run.dir, "run");
    config.model.kind = kind;
    if (kind == HEED_DECODER)
        snprintf(config.data.text, sizeof config.data.text, "book.txt");
    else
        config.data.task = HEED_TASK_REVERSE, config.data.task_length = 9, config.model.norm = HEED_POST_NORM;
    config.model.width = 36, config.model.heads = 4, config.model.layers = 2, config.model.time = 16;
    config.model.dropout = 0.1;
    config.train.steps = STEPS, config.train.batch = 12, config.train.grain = 1, config.train.warmup = 3;
    config.train.threads = 1 + (comm->size == 1);
    config.eval.every = EVAL_EVERY, config.checkpoint.every = SAVE_EVERY, config.log.attention_every = LOG_EVERY;
    assert_int_equal(heed_config_resolve(&config, &error), HEED_OK);
    return config;
}

static unsigned n_steps_watched;

static void on_step(void *context, const heed_progress *progress) {
    (void)context;
    n_steps_watched += progress->step > 0;
}

static void watch_allocations(heed_model_kind kind) {
    heed_error error = HEED_ERROR_INIT;
    if (comm->rank == 0)
        write_text();
    n_steps_watched = n_strict_steps = n_seen = 0;
    const heed_config config = small(kind);
    const heed_watch watch = {on_step, NULL};
    main_thread = pthread_self();
    const heed_status status = heed_train(comm, &config, &watch, &error);
    counting = 0;
    if (status != HEED_OK)
        fail_msg("%s", error.message);
    assert_int_equal(n_steps_watched, comm->rank == 0 ? STEPS : 0);
    assert_in_range(n_strict_steps, 6, STEPS);

    unsigned n_ours = 0;
    for (unsigned i = 0; i < n_seen && i < MOST_SEEN; i++) {
        Dl_info where = {0};
        dladdr(seen[i].caller, &where);
        const bool ours = is_ours(seen[i].caller);
        n_ours += ours;
        if (ours || comm->size == 1)
            print_message("rank %d, step %d: %zu bytes for %p of %s\n", comm->rank, (int)seen[i].step + 1,
                          seen[i].bytes, seen[i].caller, ours ? "heed" : where.dli_fname);
    }
    print_message("rank %d: %u allocations in %u steps, %u of them by heed\n", comm->rank, n_seen, n_strict_steps,
                  n_ours);
    assert_int_equal(n_ours, 0);
    if (comm->size == 1)
        assert_int_equal(n_seen, 0);
}

static void nothing_is_allocated_between_steps(void **state) {
    (void)state;
    watch_allocations(HEED_DECODER);
}

static void nor_with_an_encoder(void **state) {
    (void)state;
    watch_allocations(HEED_ENCODER_DECODER);
}

static int run_group(void) {
    if (comm->size == 4)
        pretend_nodes(comm, 2);
    heed_log_setup(comm->rank, HEED_WARNING);
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_allocated_between_steps),
                                       cmocka_unit_test(nor_with_an_encoder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return test_on_ranks(&comm, run_group);
}
