/* A bit of memory that flips by itself on one rank, in its own shard and in another's, in parameters and in moments, in
 * a step or on the way between ranks: found in the same step, the rank named, and healed without a trace. Faults are
 * put in by the linker (--wrap). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "heed/optimizer.h"
#include "ranks.h"
#include "small_run.h"

/* ---- faults ------------------------------------------------------------------------------------------------------ */

typedef enum place { NOWHERE, PARAMETERS, MOMENTS, ON_THE_WAY, AT_A_SAVE } place;

static struct {
    place where;
    int rank;
    size_t element;
} fault;

static real *moments;

static void flip(real *value) {
    uint32_t bits;
    memcpy(&bits, value, sizeof bits);
    bits ^= 1u << 20;
    memcpy(value, &bits, sizeof bits);
    fault.where = NOWHERE; /* once */
}

void __real_heed_model_backward(heed_model *, const heed_batch *, heed_gradient *);
void __wrap_heed_model_backward(heed_model *, const heed_batch *, heed_gradient *);
void __wrap_heed_model_backward(heed_model *model, const heed_batch *batch, heed_gradient *gradient) {
    __real_heed_model_backward(model, batch, gradient);
    if (comm->rank != fault.rank || batch->step != 3)
        return;
    if (fault.where == PARAMETERS)
        flip(heed_model_weights(model) + fault.element);
    if (fault.where == MOMENTS)
        flip(moments);
}

/* What other ranks sent arrives in the last updates before step 4, and one element not as it was sent. */
heed_status __real_heed_gradsync_update(heed_gradsync *, real *, double, double, uint64_t, heed_error *);
heed_status __wrap_heed_gradsync_update(heed_gradsync *, real *, double, double, uint64_t, heed_error *);
heed_status __wrap_heed_gradsync_update(heed_gradsync *sync, real *weights, double scale, double rate, uint64_t step,
                                        heed_error *error) {
    const heed_status status = __real_heed_gradsync_update(sync, weights, scale, rate, step, error);
    if (fault.where == ON_THE_WAY && comm->rank == fault.rank && step == 3) {
        assert_int_equal(heed_gradsync_complete(sync, error), HEED_OK); /* or it would be overwritten yet */
        flip(weights + fault.element);
    }
    return status;
}

void __real_heed_optimizer_update(const heed_config *, const heed_params *, real *, size_t, size_t, const real *,
                                  real *, real *, double, double, uint64_t);
void __wrap_heed_optimizer_update(const heed_config *, const heed_params *, real *, size_t, size_t, const real *,
                                  real *, real *, double, double, uint64_t);
void __wrap_heed_optimizer_update(const heed_config *config, const heed_params *params, real *weights, size_t first,
                                  size_t count, const real *g, real *m, real *v, double scale, double rate,
                                  uint64_t step) {
    if (count)
        moments = v + count / 2;
    __real_heed_optimizer_update(config, params, weights, first, count, g, m, v, scale, rate, step);
}

/* Between the end of a step and its checkpoint. */
void __real_heed_model_forward(heed_model *, const heed_batch *, heed_pass);
void __wrap_heed_model_forward(heed_model *, const heed_batch *, heed_pass);
void __wrap_heed_model_forward(heed_model *model, const heed_batch *batch, heed_pass pass) {
    __real_heed_model_forward(model, batch, pass);
    if (fault.where == AT_A_SAVE && pass == HEED_PASS_EVAL && comm->rank == fault.rank)
        flip(heed_model_weights(model) + fault.element);
}

/* ---- runs -------------------------------------------------------------------------------------------------------- */

static heed_status run(heed_on_corruption policy, int64_t every, heed_error *error) {
    heed_config config;
    *error = (heed_error)HEED_ERROR_INIT;
    clear_run();
    small_config(&config);
    config.log.attention_every = 0;
    config.train.on_corruption = policy;
    config.train.verify_every = every;
    assert_int_equal(heed_config_resolve(&config, error), HEED_OK);
    assert_int_equal(heed_comm_barrier(comm, error), HEED_OK);
    return heed_train(comm, &config, NULL, error);
}

static real *unharmed;
static size_t n_elements;

static int run_unharmed(void **state) {
    (void)state;
    heed_error error;
    if (run(HEED_ON_CORRUPTION_STOP, 1, &error) != HEED_OK) {
        print_error("%s\n", error.message);
        return 1;
    }
    if (comm->rank == 0)
        unharmed = read_result(&n_elements, NULL);
    double n = (double)n_elements;
    heed_comm_max(comm, &n, 1, &error);
    n_elements = (size_t)n;
    return n_elements < 3 * HEED_BLOCK; /* a block for each of three ranks */
}

static bool leaves_no_trace(void) {
    if (comm->rank != 0)
        return true;
    size_t n;
    real *weights = read_result(&n, NULL);
    const bool same = memcmp(weights, unharmed, n_elements * sizeof *weights) == 0;
    free(weights);
    return same;
}

/* Elements of different shards, where there are several ranks: own and others' of every rank. */
static void bit_flips(place at, const char *words) {
    const size_t blocks = n_elements / HEED_BLOCK;
    for (int rank = 0; rank < comm->size; rank++) {
        for (size_t third = 0; third < 3; third++) {
            heed_error error;
            char expected[512];
            const size_t element = blocks * third / 3 * HEED_BLOCK + 3;
            fault.where = at, fault.rank = rank, fault.element = element;
            snprintf(expected, sizeof expected, words, rank, comm->host);
            const heed_status status = run(HEED_ON_CORRUPTION_STOP, 1, &error);
            if (status != HEED_CORRUPT || error.rank != rank || !strstr(error.message, expected))
                fail_msg("rank %d element %zu: %s, rank %d: %s", rank, element, heed_status_name(status), error.rank,
                         error.message);
            fault.where = at;
            if (run(HEED_ON_CORRUPTION_HEAL, 1, &error) != HEED_OK)
                fail_msg("%s", error.message);
            assert_true(leaves_no_trace());
            if (at == MOMENTS)
                break;
        }
    }
}

static void parameter(void **state) {
    (void)state;
    bit_flips(PARAMETERS, "memory of rank %d on %s changed by itself: a parameter in ");
}

static void moment(void **state) {
    (void)state;
    bit_flips(MOMENTS, "memory of rank %d on %s changed by itself: a moment of its shard");
}

static void before_a_save(void **state) {
    (void)state;
    bit_flips(AT_A_SAVE, "memory of rank %d on %s changed by itself: a parameter in ");
}

static void on_the_way(void **state) {
    (void)state;
    if (comm->size < 3)
        return; /* nobody could tell whose copy is right */
    bit_flips(ON_THE_WAY, "parameters of rank %d on %s changed on their way or in its memory");
}

/* Every second step is verified: a flip in one that is not goes unseen, as documented. */
static void unseen(void **state) {
    (void)state;
    heed_error error;
    fault.where = PARAMETERS, fault.rank = 0, fault.element = 3;
    assert_int_equal(run(HEED_ON_CORRUPTION_STOP, 2, &error), HEED_OK);
    fault.where = PARAMETERS;
    assert_int_equal(run(HEED_ON_CORRUPTION_STOP, 3, &error), HEED_CORRUPT);
}

static int run_group(void) {
    heed_log_setup(comm->rank + 1, HEED_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameter),  cmocka_unit_test(moment), cmocka_unit_test(before_a_save),
        cmocka_unit_test(on_the_way), cmocka_unit_test(unseen),
    };
    const int failed = cmocka_run_group_tests(tests, run_unharmed, NULL);
    free(unharmed);
    return failed;
}

int main(void) {
    return test_on_ranks(&comm, run_group);
}
