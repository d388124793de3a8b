/* Steps that go wrong: a number that is not finite, or a spike of the loss, on one rank. All ranks decide alike in the
 * same step and name the rank and the tensor; the result has the same bits after rolling back, resuming, and at another
 * number of ranks. Faults are put in by the linker (--wrap). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "heed/metrics.h"
#include "pretend.h"
#include "ranks.h"
#include "small_run.h"

/* ---- faults ------------------------------------------------------------------------------------------------------ */

/* In the batch of the step `at`; the gradient of one element of a tensor becomes `value` on one rank, or the loss of
 * one sequence grows. */
static struct {
    uint64_t at;   /* counted from 1; 0: none */
    uint64_t last; /* and in all further steps to this one */
    int times;     /* that it happens, or -1: always */
    int rank;
    const char *tensor;
    size_t element;
    real value;
    int sequence; /* whose loss becomes loss, wherever it is computed; -1: none */
    double loss;
} fault;

static const heed_params *params;
static uint64_t step_now, n_passes; /* passes of training */
static bool fires;

static bool is_at_fault(void) {
    return fault.at && step_now >= fault.at && step_now <= (fault.last ? fault.last : fault.at) && fault.times != 0;
}

void __real_heed_model_loss(heed_model *, const heed_batch *, heed_gradient *, double *, real *);
void __wrap_heed_model_loss(heed_model *, const heed_batch *, heed_gradient *, double *, real *);
void __wrap_heed_model_loss(heed_model *model, const heed_batch *batch, heed_gradient *gradient, double *sequence_loss,
                            real *token_loss) {
    params = heed_model_params(model);
    n_passes += gradient != NULL;
    step_now = batch->step + 1;
    fires = gradient && is_at_fault();
    if (fires && fault.times > 0)
        fault.times--;
    __real_heed_model_loss(model, batch, gradient, sequence_loss, token_loss);
    for (size_t s = 0; fires && s < batch->rows.n_sequences; s++)
        if ((int)batch->rows.sequence[s] == fault.sequence)
            sequence_loss[s] = fault.loss;
}

/* The tensor is complete on this rank, and about to be sent. */
void __real_heed_gradient_listen(heed_gradient *, heed_gradient_ready *, void *);
void __wrap_heed_gradient_listen(heed_gradient *, heed_gradient_ready *, void *);
static heed_gradient_ready *tell;
static void *listener;
static heed_gradient *gradients;

static void spoil(size_t tensor) {
    const heed_tensor *t = &params->tensors[tensor];
    if (fires && fault.tensor && comm->rank == fault.rank && strcmp(t->name, fault.tensor) == 0)
        heed_gradient_partial(gradients, 0)[t->gradient + fault.element] = fault.value;
}

static void is_ready(void *context, size_t tensor) {
    (void)context;
    spoil(tensor);
    if (tell)
        tell(listener, tensor);
}

void __wrap_heed_gradient_listen(heed_gradient *gradient, heed_gradient_ready *ready, void *context) {
    tell = ready;
    listener = context;
    gradients = gradient;
    __real_heed_gradient_listen(gradient, is_ready, NULL);
}

/* One rank alone listens to nobody: it is made to. */
heed_status __real_heed_gradient_create_in(void *, heed_gradient **, const heed_params *, size_t, size_t, size_t,
                                           heed_error *);
heed_status __wrap_heed_gradient_create_in(void *, heed_gradient **, const heed_params *, size_t, size_t, size_t,
                                           heed_error *);
heed_status __wrap_heed_gradient_create_in(void *partials, heed_gradient **gradient, const heed_params *table,
                                           size_t first, size_t count, size_t n_grains, heed_error *error) {
    const heed_status status = __real_heed_gradient_create_in(partials, gradient, table, first, count, n_grains, error);
    tell = NULL;
    gradients = *gradient;
    if (status == HEED_OK)
        __real_heed_gradient_listen(*gradient, is_ready, NULL);
    return status;
}

/* Figures that the disk loses, in the background. */
static bool figures_are_lost;
heed_status __real_heed_metrics_sync(heed_metrics *, heed_error *);
heed_status __wrap_heed_metrics_sync(heed_metrics *, heed_error *);
heed_status __wrap_heed_metrics_sync(heed_metrics *metrics, heed_error *error) {
    if (!figures_are_lost)
        return __real_heed_metrics_sync(metrics, error);
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL); /* the next steps do not hear of it */
    return heed_fail(error, HEED_IO, "run/metrics.jsonl: lost");
}

/* ---- runs -------------------------------------------------------------------------------------------------------- */

typedef struct outcome {
    heed_status status;
    heed_error error;
    size_t n_elements;
    real *weights; /* rank 0 */
    heed_guard guard;
    char figures[8192]; /* metrics.jsonl */
} outcome;

static heed_config config;

static uint64_t stop_at;
static void stop_behind(void *context, const heed_progress *progress) {
    (void)context;
    if (progress->step + 1 == stop_at)
        heed_train_request_stop();
}

static void set(heed_on_nonfinite policy) {
    small_config(&config);
    config.train.on_nonfinite = policy;
    config.log.attention_every = 0;
    memset(&fault, 0, sizeof fault);
    fault.sequence = -1;
    fault.times = -1;
    stop_at = 0;
}

static void go_on(outcome *result) {
    const heed_watch watch = {stop_behind, NULL};
    heed_error error = HEED_ERROR_INIT;
    heed_config resolved = config;
    assert_int_equal(heed_config_resolve(&resolved, &error), HEED_OK);
    result->error = error;
    result->status = heed_train(comm, &resolved, stop_at ? &watch : NULL, &result->error);
    stop_at = 0;
}

static void finish(outcome *result) {
    if (result->status != HEED_OK)
        fail_msg("rank %d: %s: %s", comm->rank, heed_status_name(result->status), result->error.message);
    result->weights = NULL;
    if (comm->rank != 0)
        return;
    result->weights = read_result(&result->n_elements, &result->guard);
    FILE *file = fopen("run/metrics.jsonl", "r");
    assert_non_null(file);
    const size_t n = fread(result->figures, 1, sizeof result->figures - 1, file);
    result->figures[n] = '\0';
    fclose(file);
}

static outcome run(void) {
    static outcome result;
    clear_run();
    assert_int_equal(heed_comm_barrier(comm, NULL), HEED_OK);
    go_on(&result);
    return result;
}

static outcome run_to_the_end(void) {
    outcome result = run();
    finish(&result);
    return result;
}

static void assert_same(const outcome *a, const outcome *b) {
    if (comm->rank != 0)
        return;
    assert_int_equal(a->n_elements, b->n_elements);
    assert_memory_equal(a->weights, b->weights, a->n_elements * sizeof *a->weights);
    assert_memory_equal(&a->guard, &b->guard, sizeof a->guard);
    assert_string_equal(a->figures, b->figures);
}

static void forget(outcome *result) {
    free(result->weights);
    result->weights = NULL;
}

/* ---- a gradient that is not finite ------------------------------------------------------------------------------- */

static void a_gradient_is_named(void **state) {
    (void)state;
    static const struct {
        const char *tensor;
        size_t element;
        real value;
        const char *words;
    } cases[] = {{"block.0.mlp.up.weight", 0, NAN, "element 0, is nan"},
                 {"block.0.mlp.up.weight", 1023, INFINITY, "element 1023, is inf"},
                 {"block.0.attention.qkv.weight", 400, -INFINITY, "element 400, is -inf"},
                 {"token.weight", 367, NAN, "element 367, is nan"},
                 {"norm.gain", 15, NAN, "element 15, is nan"},
                 {"position.weight", 7, NAN, "element 7, is nan"},
                 {"output.weight", 200, NAN, "element 200, is nan"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int rank = (int)i % comm->size;
        set(HEED_ON_NONFINITE_STOP);
        fault.at = 4, fault.rank = rank;
        fault.tensor = cases[i].tensor, fault.element = cases[i].element, fault.value = cases[i].value;
        const outcome result = run();
        char words[512];
        snprintf(words, sizeof words, "on rank %d on %s the gradient of %s, %s in the sum of grains", rank, comm->host,
                 cases[i].tensor, cases[i].words);
        assert_int_equal(result.status, HEED_NUMERIC);
        assert_int_equal(result.error.rank, rank);
        if (!strstr(result.error.message, "step 4: loss = ") || !strstr(result.error.message, words))
            fail_msg("no word of '%s': %s", words, result.error.message);
    }
}

static void skipped(void **state) {
    (void)state;
    set(HEED_ON_NONFINITE_SKIP);
    outcome unharmed = run_to_the_end();
    fault.at = 4, fault.rank = comm->size - 1, fault.tensor = "block.0.mlp.up.weight", fault.value = NAN;
    outcome whole = run_to_the_end();
    if (comm->rank == 0) {
        assert_int_equal(whole.guard.n_skipped, 1);
        assert_int_equal(whole.guard.skipped[0], 4);
        assert_non_null(strstr(whole.figures, "\"left_out\":true"));
        assert_memory_not_equal(whole.weights, unharmed.weights, whole.n_elements * sizeof *whole.weights);
    }
    for (uint64_t at = 3; at <= 5; at++) { /* stopped before, at and behind the step */
        set(HEED_ON_NONFINITE_SKIP);
        fault.at = 4, fault.rank = comm->size - 1, fault.tensor = "block.0.mlp.up.weight", fault.value = NAN;
        stop_at = at;
        outcome resumed = run();
        assert_int_equal(resumed.status, HEED_STOPPED);
        if (at > 4) /* the batch is remembered, even if it would be good now */
            fault.at = 0;
        go_on(&resumed);
        finish(&resumed);
        assert_same(&whole, &resumed);
        forget(&resumed);
    }
    forget(&whole);
    forget(&unharmed);
}

static void rolled_back(void **state) {
    (void)state;
    set(HEED_ON_NONFINITE_ROLLBACK);
    outcome unharmed = run_to_the_end();
    for (uint64_t at = 1; at <= STEPS; at += at < 3 ? 1 : 3) { /* before the first checkpoint, too */
        set(HEED_ON_NONFINITE_ROLLBACK);
        fault.at = at, fault.rank = comm->size - 1, fault.tensor = "token.weight", fault.value = NAN;
        fault.times = 1; /* memory was at fault, not the batch: nothing remains of it */
        outcome healed = run_to_the_end();
        assert_same(&unharmed, &healed);
        forget(&healed);

        fault.times = -1; /* the batch is at fault: it is left out at the second time */
        outcome twice = run_to_the_end();
        config.train.on_nonfinite = HEED_ON_NONFINITE_SKIP;
        outcome once = run_to_the_end();
        assert_same(&once, &twice);
        if (comm->rank == 0)
            assert_int_equal(twice.guard.skipped[0], at);
        forget(&twice);
        forget(&once);
    }
    forget(&unharmed);
}

/* Nobody else would hear of it: the checkpoint that the run goes back to knows nothing of them. */
static void no_rolling_back_without_figures(void **state) {
    (void)state;
    set(HEED_ON_NONFINITE_ROLLBACK);
    fault.at = (uint64_t)config.checkpoint.every + 1, fault.tensor = "token.weight", fault.value = NAN, fault.times = 1;
    figures_are_lost = true;
    n_passes = 0;
    const outcome result = run();
    figures_are_lost = false;
    assert_int_equal(n_passes, fault.at);
    assert_int_equal(result.status, HEED_IO);
    assert_string_equal(result.error.message, "run/metrics.jsonl: lost");
}

static void diverged(void **state) {
    (void)state;
    for (heed_on_nonfinite policy = HEED_ON_NONFINITE_SKIP; policy <= HEED_ON_NONFINITE_ROLLBACK; policy++) {
        set(policy);
        config.train.steps = 40;
        fault.at = 3, fault.last = 40, fault.sequence = 5, fault.loss = INFINITY;
        const outcome result = run();
        assert_int_equal(result.status, HEED_NUMERIC);
        assert_int_equal(result.error.rank, comm->size - 1);
        if (!strstr(result.error.message, "training diverged, 8 steps in a row were left out: step 11: loss = inf") ||
            !strstr(result.error.message, "the loss of sequence 5 (grain 5) is inf"))
            fail_msg("%s", result.error.message);
    }
}

/* ---- a spike of the loss ----------------------------------------------------------------------------------------- */

static void spike_is_left_out(void **state) {
    (void)state;
    set(HEED_ON_NONFINITE_STOP);
    config.train.spike_window = 3;
    fault.at = 5, fault.sequence = 1, fault.loss = 1e4;
    outcome taken = run_to_the_end();
    config.train.spike_z = 6;
    outcome whole = run_to_the_end();
    if (comm->rank == 0) {
        assert_int_equal(taken.guard.n_skipped, 0);
        assert_int_equal(taken.guard.n_losses, 0);
        assert_int_equal(whole.guard.n_skipped, 1);
        assert_int_equal(whole.guard.skipped[0], 5);
        assert_int_equal(whole.guard.n_losses, 3);
    }
    for (uint64_t at = 3; at <= 5; at++) {
        stop_at = at;
        outcome resumed = run();
        assert_int_equal(resumed.status, HEED_STOPPED);
        go_on(&resumed);
        finish(&resumed);
        assert_same(&whole, &resumed);
        forget(&resumed);
    }
    forget(&taken);
    forget(&whole);
}

/* ---- stopped while evaluating ------------------------------------------------------------------------------------ */

static unsigned n_batches_left; /* until somebody wants to stop; 0: nobody */
static unsigned n_evaluated;

heed_status __real_heed_batcher_eval(heed_batcher *, size_t, heed_batch *, heed_error *);
heed_status __wrap_heed_batcher_eval(heed_batcher *, size_t, heed_batch *, heed_error *);
heed_status __wrap_heed_batcher_eval(heed_batcher *batcher, size_t index, heed_batch *batch, heed_error *error) {
    n_evaluated++;
    if (n_batches_left && --n_batches_left == 0 && comm->rank == comm->size - 1)
        heed_train_request_stop();
    return __real_heed_batcher_eval(batcher, index, batch, error);
}

static void stopped_in_an_evaluation(void **state) {
    (void)state;
    set(HEED_ON_NONFINITE_STOP);
    n_evaluated = 0;
    outcome whole = run_to_the_end();
    const unsigned each = n_evaluated / 2; /* after step 4 and after step 6 */
    assert_true(each >= 3);
    for (unsigned evaluation = 0; evaluation < 2; evaluation++) {
        n_evaluated = 0;
        n_batches_left = evaluation * each + 1;
        outcome resumed = run();
        assert_int_equal(resumed.status, HEED_STOPPED);
        assert_int_equal(n_evaluated, evaluation * each + 2); /* one more batch, and it was told to all */
        go_on(&resumed);
        finish(&resumed);
        assert_same(&whole, &resumed);
        forget(&resumed);
    }
    forget(&whole);
}

/* ---- the number of ranks ----------------------------------------------------------------------------------------- */

static void ranks_do_not_matter(void **state) {
    (void)state;
    heed_comm *const all = comm;
    heed_error error = HEED_ERROR_INIT;
    heed_comm *one;
    assert_int_equal(heed_comm_part(all, 1, &one, &error), HEED_OK);
    set(HEED_ON_NONFINITE_ROLLBACK);
    config.train.spike_window = 2, config.train.spike_z = 6;
    fault.at = 3, fault.sequence = 4, fault.loss = NAN;
    outcome alone = {0};
    if (one) {
        comm = one;
        alone = run_to_the_end();
        comm = all;
    }
    assert_int_equal(heed_comm_barrier(all, &error), HEED_OK);
    outcome together = run_to_the_end();
    assert_same(&alone, &together);
    forget(&alone);
    forget(&together);
    if (one)
        heed_comm_close(one);
}

static int run_group(void) {
    heed_log_setup(comm->rank + 1, HEED_ERROR);
    if (comm->size == 4) /* what is summed is then a node's, but the rank is still named */
        pretend_nodes(comm, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gradient_is_named),
        cmocka_unit_test(skipped),
        cmocka_unit_test(rolled_back),
        cmocka_unit_test(no_rolling_back_without_figures),
        cmocka_unit_test(diverged),
        cmocka_unit_test(spike_is_left_out),
        cmocka_unit_test(stopped_in_an_evaluation),
        cmocka_unit_test(ranks_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return test_on_ranks(&comm, run_group);
}
