/* Gradients of a made-up model, its every leaf a random number of (tensor, element, grain), must come out of the
 * exchange with the bits of a serial sum along the tree: for every number of ranks and grains, for buckets of any size,
 * with tied rows. So must the norm, the updated parameters on every rank, and the moments that are gathered for a
 * checkpoint. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/shared.h"
#include "heed/gradsync.h"
#include "heed/optimizer.h"
#include "pretend.h"
#include "ranks.h"
#include "train/gradsync_state.h"

enum { MOST_GRAINS = 13, N_TENSORS = 7, EMPTY_GRAIN = 2 };

static heed_comm *comm;

/* ---- a table of tensors: a tied table (two more uses), vectors that share a block, a matrix over several
 * ------------- */

static heed_tensor tensors[N_TENSORS];

static heed_params make_params(void) {
    const size_t table = 2 * HEED_BLOCK + 100, tied_blocks = 3 * HEED_BLOCK;
    const struct {
        heed_tensor_role role;
        size_t size, offset, gradient;
        int tied_to;
    } rows[N_TENSORS] = {
        {HEED_ROLE_TABLE, table, 0, 0, -1},
        {HEED_ROLE_GAIN, 50, tied_blocks, tied_blocks, -1},
        {HEED_ROLE_MATRIX, 4 * HEED_BLOCK + 33, tied_blocks + 64, tied_blocks + 64, -1},
        {HEED_ROLE_BIAS, 7, tied_blocks + 64 + 4 * HEED_BLOCK + 48, tied_blocks + 64 + 4 * HEED_BLOCK + 48, -1},
        {HEED_ROLE_MATRIX, 2 * HEED_BLOCK, 8 * HEED_BLOCK, 8 * HEED_BLOCK, -1},
        {HEED_ROLE_TABLE, table, 0, 10 * HEED_BLOCK, 0},
        {HEED_ROLE_MATRIX, table, 0, 13 * HEED_BLOCK, 0},
    };
    for (int i = 0; i < N_TENSORS; i++)
        tensors[i] = (heed_tensor){.role = rows[i].role,
                                   .n_dims = rows[i].size > 50 ? 2 : 1,
                                   .size = rows[i].size,
                                   .offset = rows[i].offset,
                                   .gradient = rows[i].gradient,
                                   .tied_to = rows[i].tied_to};
    return (heed_params){
        .n_tensors = N_TENSORS, .tensors = tensors, .n_elements = 10 * HEED_BLOCK, .n_gradient = 16 * HEED_BLOCK};
}

/* ---- leaves ---------------------------------------------------------------------------------------------------- */

/* A cheap hash (splitmix64's last rounds): exponents differ widely, so that the order of additions shows. */
static real leaf_value(size_t tensor, size_t element, size_t grain, uint32_t step) {
    uint64_t x = (element << 16 | tensor << 12 | grain << 4 | step) * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    return (real)((double)(int32_t)x * (double)(1u << (x >> 60)));
}

typedef struct leaf_context {
    size_t tensor, first_grain;
    uint32_t step;
} leaf_context;

static void leaf(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    const leaf_context *c = context;
    (void)first_row, (void)n_rows;
    for (size_t i = 0; i < tensors[c->tensor].size; i++)
        d[0][i] = leaf_value(c->tensor, i, c->first_grain + grain, c->step);
}

/* What backward does: from output to input, tied rows where they are used. */
static void backward(heed_gradient *gradient, size_t n_grains, uint32_t step) {
    static const size_t order[N_TENSORS] = {6, 4, 3, 2, 1, 5, 0};
    const size_t first = n_grains * (size_t)comm->rank / (size_t)comm->size;
    const size_t count = n_grains * (size_t)(comm->rank + 1) / (size_t)comm->size - first;
    size_t first_row[MOST_GRAINS + 1] = {0}, first_of[MOST_GRAINS + 1] = {0};
    for (size_t g = 0; g < count; g++) {
        first_of[g + 1] = first_of[g] + (first + g != EMPTY_GRAIN); /* a sequence of one row, or none */
        first_row[first_of[g + 1]] = first_of[g + 1];
    }
    const heed_ragged rows = {.n_rows = first_of[count],
                              .n_sequences = first_of[count],
                              .max_length = 1,
                              .first_row = first_row,
                              .n_grains = count,
                              .first_grain = first,
                              .first_of = first_of};
    for (size_t i = 0; i < N_TENSORS; i++) {
        leaf_context context = {order[i], first, step};
        heed_gradient_sum(gradient, &rows, &order[i], 1, leaf, &context);
    }
}

/* ---- the serial reference --------------------------------------------------------------------------------------- */

static real serial_node(size_t tensor, size_t element, size_t first, size_t count, uint32_t step) {
    if (count == 1)
        return first == EMPTY_GRAIN ? 0 : leaf_value(tensor, element, first, step);
    size_t left = 1;
    while (left * 2 < count)
        left *= 2;
    return serial_node(tensor, element, first, left, step) +
           serial_node(tensor, element, first + left, count - left, step);
}

static void serial_gradient(const heed_params *params, size_t n_grains, uint32_t step, real *g) {
    memset(g, 0, params->n_elements * sizeof *g);
    for (size_t i = 0; i < N_TENSORS; i++) /* own rows come before those tied to them */
        for (size_t e = 0; e < tensors[i].size; e++) {
            const real value = serial_node(i, e, 0, n_grains, step);
            real *to = &g[tensors[i].offset + e];
            *to = tensors[i].tied_to < 0 ? value : *to + value;
        }
}

static double plain_norm(const real *g, size_t count, double divisor) {
    long double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (long double)g[i] * g[i];
    return (double)(sqrtl(sum) / divisor);
}

/* ---- the tests ----------------------------------------------------------------------------------------------------
 */

static void expect_same(const char *what, const real *is, const real *should, size_t count, size_t n_grains,
                        size_t blocks) {
    for (size_t i = 0; i < count; i++)
        if (memcmp(&is[i], &should[i], sizeof *is))
            fail_msg("%s, rank %d of %d, %zu grains, %zu blocks a bucket, element %zu: %.9g is not %.9g", what,
                     comm->rank, comm->size, n_grains, blocks, i, (double)is[i], (double)should[i]);
}

typedef struct arenas {
    real *g, *w, *m, *v; /* serial */
    real *sync_g, *sync_w, *sync_m, *sync_v;
} arenas;

static double first_norm[MOST_GRAINS + 1]; /* by grains: of the first bucket size */

static void one_step(heed_gradsync *sync, const heed_config *config, const heed_params *params, const arenas *a,
                     size_t n_grains, size_t blocks, uint32_t step) {
    const size_t n = params->n_elements;
    const bool root = comm->rank == 0;
    heed_error error = HEED_ERROR_INIT;
    double norm;
    serial_gradient(params, n_grains, step, a->g);
    heed_gradsync_begin(sync);
    backward(heed_gradsync_gradient(sync), n_grains, step);
    assert_int_equal(heed_gradsync_finish(sync, 3.0, &norm, &error), HEED_OK);
    assert_int_equal(heed_gradsync_gather_gradient(sync, root ? a->sync_g : NULL, &error), HEED_OK);
    if (root)
        expect_same("gradient", a->sync_g, a->g, n, n_grains, blocks);
    const double plain = plain_norm(a->g, n, 3.0);
    if (!(fabs(norm / plain - 1) < 1e-14))
        fail_msg("norm %.17g is not %.17g", norm, plain);
    if (step == 0 && first_norm[n_grains] == 0)
        first_norm[n_grains] = norm;
    if (step == 0 && norm != first_norm[n_grains])
        fail_msg("norm %.17g, other buckets %.17g", norm, first_norm[n_grains]);

    heed_optimizer_update(config, params, a->w, 0, n, a->g, a->m, a->v, 0.1, 0.01, step);
    assert_int_equal(heed_gradsync_update(sync, a->sync_w, 0.1, 0.01, step, &error), HEED_OK);
    for (size_t end = 1; end < n; end *= 2) { /* as a forward pass asks, some of it more than once */
        heed_gradsync_await(sync, end);
        expect_same("first weights", a->sync_w, a->w, end, n_grains, blocks);
    }
    assert_int_equal(heed_gradsync_complete(sync, &error), HEED_OK);
    expect_same("weights", a->sync_w, a->w, n, n_grains, blocks);
    assert_int_equal(heed_gradsync_gather_moments(sync, root ? a->sync_m : NULL, root ? a->sync_v : NULL, &error),
                     HEED_OK);
    if (root && a->m)
        expect_same("m", a->sync_m, a->m, n, n_grains, blocks);
    if (root && a->v)
        expect_same("v", a->sync_v, a->v, n, n_grains, blocks);
}

static void run(heed_config *config, size_t n_grains, size_t blocks) {
    heed_error error = HEED_ERROR_INIT;
    const heed_params params = make_params();
    const size_t n = params.n_elements;
    const int moments = heed_optimizer_moments(config);
    config->train.batch = 2 * (int64_t)n_grains;
    config->train.grain = 2;
    real *memory = calloc(8 * n, sizeof *memory);
    const arenas a = {.g = memory,
                      .w = memory + n,
                      .m = moments > 0 ? memory + 2 * n : NULL,
                      .v = moments > 1 ? memory + 3 * n : NULL,
                      .sync_g = memory + 4 * n,
                      .sync_w = memory + 5 * n,
                      .sync_m = memory + 6 * n,
                      .sync_v = memory + 7 * n};
    for (size_t i = 0; i < N_TENSORS; i++)
        for (size_t e = 0; e < tensors[i].size; e++)
            a.w[tensors[i].offset + e] = leaf_value(i, e, 99, 9);
    memcpy(a.sync_w, a.w, n * sizeof *a.w);

    heed_gradsync *sync, *again;
    assert_int_equal(heed_gradsync_create(&sync, comm, &params, config, blocks, &error), HEED_OK);
    for (uint32_t step = 0; step < 2; step++)
        one_step(sync, config, &params, &a, n_grains, blocks, step);

    /* another object that is given the moments goes on with the same bits, with buckets of its own */
    assert_int_equal(heed_gradsync_create(&again, comm, &params, config, blocks + 1, &error), HEED_OK);
    const bool root = comm->rank == 0;
    assert_int_equal(heed_gradsync_scatter_moments(again, root ? a.sync_m : NULL, root ? a.sync_v : NULL, &error),
                     HEED_OK);
    one_step(again, config, &params, &a, n_grains, blocks + 1, 2);
    heed_gradsync_destroy(sync);
    heed_gradsync_destroy(again);
    free(memory);
}

static heed_config adamw(void) {
    heed_config config = {0};
    config.train.optimizer = HEED_ADAMW;
    config.train.beta1 = 0.9, config.train.beta2 = 0.99, config.train.eps = 1e-8, config.train.weight_decay = 0.1;
    return config;
}

static void every_number_of_grains(void **state) {
    (void)state;
    heed_config config = adamw();
    for (size_t n_grains = (size_t)comm->size; n_grains <= MOST_GRAINS; n_grains++)
        run(&config, n_grains, 1 + n_grains % 3);
}

static void sizes_of_buckets(void **state) {
    (void)state;
    heed_config config = adamw();
    for (size_t blocks = 0; blocks <= 11; blocks = blocks * 2 + 1)
        run(&config, 12, blocks);
}

static void sgd_has_fewer_moments(void **state) {
    (void)state;
    heed_config config = {0};
    config.train.optimizer = HEED_SGD;
    run(&config, 8, 2);
    config.train.momentum = 0.9;
    run(&config, 8, 2);
}

/* Backward goes through the table of tensors from its end. A bucket leaves with the last of its tensors, also where
 * tied rows lie elsewhere in the arena than in the table: those of the encoder's tokens hold nobody up. */
static void finished_buckets_leave_at_once(void **state) {
    (void)state;
    for (int kind = HEED_DECODER; kind <= HEED_ENCODER_DECODER; kind++) {
        heed_config config;
        heed_error error = HEED_ERROR_INIT;
        heed_params *params;
        heed_gradsync *sync;
        double norm;
        heed_config_defaults(&config);
        config.model.kind = (heed_model_kind)kind, config.model.tied = true;
        config.model.layers = 2, config.model.width = 64, config.model.heads = 2, config.model.hidden = 256;
        config.train.batch = 8, config.train.grain = 1;
        assert_int_equal(heed_params_create(&params, &config, 100, 0, &error), HEED_OK);
        assert_int_equal(heed_gradsync_create(&sync, comm, params, &config, 1, &error), HEED_OK);
        heed_gradsync_begin(sync);
        for (size_t i = params->n_tensors; i-- > 0;) {
            size_t unfinished = 0;
            heedi_rounds_tensor_is_ready(sync, i);
            for (size_t b = 0; b < sync->plan.n_buckets; b++)
                unfinished += sync->pending[b] > 0;
            assert_int_equal(sync->n_started, sync->plan.n_buckets - unfinished);
        }
        assert_int_equal(heed_gradsync_finish(sync, 1.0, &norm, &error), HEED_OK);
        heed_gradsync_destroy(sync);
        heed_params_destroy(params);
    }
}

/* A rank that failed has no backward pass; nobody waits for ever, and the next step is whole again. */
static void a_failed_rank_holds_nobody_up(void **state) {
    (void)state;
    heed_config config = adamw();
    config.train.batch = 9, config.train.grain = 1;
    const heed_params params = make_params();
    heed_error error = HEED_ERROR_INIT;
    heed_gradsync *sync;
    real *g = calloc(2 * params.n_elements, sizeof *g);
    double norm;
    assert_int_equal(heed_gradsync_create(&sync, comm, &params, &config, 1, &error), HEED_OK);
    for (uint32_t step = 0; step < 2; step++) {
        heed_gradsync_begin(sync);
        if (step == 1 || comm->rank != comm->size / 2)
            backward(heed_gradsync_gradient(sync), 9, step);
        assert_int_equal(heed_gradsync_finish(sync, 1.0, &norm, &error), HEED_OK);
    }
    serial_gradient(&params, 9, 1, g);
    assert_int_equal(heed_gradsync_gather_gradient(sync, comm->rank ? NULL : g + params.n_elements, &error), HEED_OK);
    if (comm->rank == 0)
        expect_same("gradient after a failure", g + params.n_elements, g, params.n_elements, 9, 1);
    heed_gradsync_destroy(sync);
    free(g);
}

/* Several nodes with as many ranks on each: sums meet in two rounds. And nodes that differ: in one. */
static void on_nodes_of_several_ranks(void **state) {
    const heed_comm as_it_is = *comm;
    for (int per_node = 1; per_node < comm->size; per_node++) {
        pretend_nodes(comm, per_node);
        every_number_of_grains(state);
        sizes_of_buckets(state);
        a_failed_rank_holds_nobody_up(state);
        *comm = as_it_is;
    }
}

/* Where ranks of a node may not read each other's memory, messages bring the same. */
static int forbid_sharing(void **state) {
    (void)state;
    heedi_shared_allowed = false;
    return 0;
}

static int allow_sharing(void **state) {
    (void)state;
    heedi_shared_allowed = true;
    return 0;
}

#define BY_MESSAGES(test) cmocka_unit_test_setup_teardown(test, forbid_sharing, allow_sharing)

static int run_group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_of_grains),
        cmocka_unit_test(sizes_of_buckets),
        cmocka_unit_test(sgd_has_fewer_moments),
        cmocka_unit_test(a_failed_rank_holds_nobody_up),
        cmocka_unit_test(finished_buckets_leave_at_once),
        cmocka_unit_test(on_nodes_of_several_ranks),
        BY_MESSAGES(every_number_of_grains),
        BY_MESSAGES(sizes_of_buckets),
        BY_MESSAGES(a_failed_rank_holds_nobody_up),
        BY_MESSAGES(finished_buckets_leave_at_once),
        BY_MESSAGES(on_nodes_of_several_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return test_on_ranks(&comm, run_group);
}
