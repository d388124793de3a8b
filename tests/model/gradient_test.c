/* The gradient tree: whatever run of grains a rank holds, completing the tree gives the same bits. */
#include "fixture.h"

static size_t largest_power_below(size_t n) {
    size_t power = 1;
    while (2 * power < n)
        power *= 2;
    return power;
}

static bool is_node(size_t lo, size_t n, heed_node node) {
    if (node.first == lo && node.count == n)
        return true;
    if (n == 1)
        return false;
    const size_t left = largest_power_below(n);
    return node.first < lo + left ? is_node(lo, left, node) : is_node(lo + left, n - left, node);
}

/* The node whose child `node` is. */
static heed_node parent(size_t lo, size_t n, heed_node node) {
    const size_t left = largest_power_below(n);
    const bool is_left = node.first < lo + left;
    const heed_node child = is_left ? (heed_node){lo, left} : (heed_node){lo + left, n - left};
    if (child.first == node.first && child.count == node.count)
        return (heed_node){lo, n};
    return parent(child.first, child.count, node);
}

static void covers_are_maximal_and_complete(void **state) {
    (void)state;
    for (size_t n = 1; n <= 40; n++)
        for (size_t first = 0; first <= n; first++)
            for (size_t count = 0; first + count <= n; count++) {
                heed_node cover[HEED_MAX_COVER];
                const size_t n_cover = heed_tree_cover(cover, first, count, n);
                size_t next = first;
                for (size_t i = 0; i < n_cover; i++) {
                    assert_int_equal(cover[i].first, next);
                    assert_true(is_node(0, n, cover[i]));
                    if (cover[i].count < n) {
                        const heed_node up = parent(0, n, cover[i]);
                        assert_false(up.first >= first && up.first + up.count <= first + count);
                    }
                    next += cover[i].count;
                }
                assert_int_equal(next, first + count);
            }
}

static void powers_of_two_need_one_partial(void **state) {
    (void)state;
    for (size_t grains = 1; grains <= 64; grains *= 2)
        for (size_t ranks = 1; ranks <= grains; ranks *= 2)
            for (size_t rank = 0; rank < ranks; rank++) {
                heed_node cover[HEED_MAX_COVER];
                assert_int_equal(heed_tree_cover(cover, grains / ranks * rank, grains / ranks, grains), 1);
            }
}

static void cover_of_many_grains_fits(void **state) {
    (void)state;
    heed_node cover[HEED_MAX_COVER];
    const size_t n = ((size_t)1 << 32) - 1;
    const size_t n_cover = heed_tree_cover(cover, 1, n - 2, n);
    assert_true(n_cover > 0 && n_cover <= HEED_MAX_COVER);
}

/* --- sums over grains ------------------------------------------------------------------------------------------- */

#define MAX_GRAINS 24

/* A leaf without meaning: numbers of very different size that depend on the grain's rows and the element. */
typedef struct leaf_context {
    const heed_params *params;
    const size_t *tensors;
    size_t n_tensors;
    const heed_batch *batch;
    size_t calls, last_grain;
} leaf_context;

static void any_leaf(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    leaf_context *leaf = context;
    assert_true(n_rows > 0);
    assert_true(leaf->calls == 0 || grain > leaf->last_grain);
    leaf->calls++;
    leaf->last_grain = grain;
    const size_t rows = heed_grain_row(&leaf->batch->rows, grain + 1) - first_row;
    assert_int_equal(rows, n_rows);
    const uint32_t global = (uint32_t)(leaf->batch->rows.first_grain + grain);
    for (size_t t = 0; t < leaf->n_tensors; t++) {
        const size_t size = leaf->params->tensors[leaf->tensors[t]].size;
        for (size_t i = 0; i < size; i++) {
            const double u = test_uniform(17 + global, (uint32_t)(leaf->tensors[t] * 65536 + i));
            d[t][i] = (real)((u - 0.5) * (1 << 10 * (i % 3)));
        }
    }
}

/* Sums two groups of tensors over grains [first, first + count) into partials. */
static void sum_rank(heed_gradient *gradient, const heed_params *params, const heed_batch *batch, size_t n_busy) {
    const size_t groups[2][2] = {
        {(size_t)heed_params_find(params, "block.0.mlp.up.weight"),
         (size_t)heed_params_find(params, "block.0.mlp.up.bias")},
        {(size_t)heed_params_find(params, "norm.gain"), (size_t)heed_params_find(params, "norm.bias")}};
    for (int g = 0; g < 2; g++) {
        leaf_context context = {params, groups[g], 2, batch, 0, 0};
        heed_gradient_sum(gradient, &batch->rows, groups[g], 2, any_leaf, &context);
        assert_int_equal(context.calls, n_busy);
    }
}

/* The whole sum when `ranks` ranks hold the grains in the given proportion. */
static void sum_over_ranks(real *sum, const heed_params *params, const test_batch *whole, size_t ranks, bool uneven) {
    heed_error error = HEED_ERROR_INIT;
    heed_gradient *gradient[MAX_GRAINS];
    test_partial partials[256];
    size_t n_partials = 0, next = 0;
    for (size_t r = 0; r < ranks; r++) {
        size_t end = whole->n_grains * (r + 1) / ranks;
        if (uneven && r + 1 < ranks) /* any contiguous deal must do */
            end = next + (size_t)(test_uniform(5, (uint32_t)(ranks * 64 + r)) * (double)(whole->n_grains - next + 1));
        size_t row[65] = {0}, of[65] = {0};
        const heed_batch view = test_batch_view(whole, next, end - next, row, of);
        size_t n_busy = 0;
        for (size_t g = 0; g < end - next; g++)
            n_busy += heed_grain_row(&view.rows, g + 1) > heed_grain_row(&view.rows, g);
        assert_int_equal(heed_gradient_create(&gradient[r], params, next, end - next, whole->n_grains, &error),
                         HEED_OK);
        sum_rank(gradient[r], params, &view, n_busy);
        const heed_node *nodes;
        const size_t n_nodes = heed_gradient_nodes(gradient[r], &nodes);
        for (size_t i = 0; i < n_nodes; i++)
            partials[n_partials++] = (test_partial){nodes[i], heed_gradient_partial(gradient[r], i)};
        next = end;
    }
    test_complete(sum, partials, n_partials, 0, whole->n_grains, params->n_gradient);
    for (size_t r = 0; r < ranks; r++)
        heed_gradient_destroy(gradient[r]);
}

static void sums_do_not_depend_on_the_ranks(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    const heed_config config = small_config();
    heed_params *params;
    assert_int_equal(heed_params_create(&params, &config, 7, 0, &error), HEED_OK);
    const size_t bytes = params->n_gradient * sizeof(real);
    real *one = malloc(bytes), *many = malloc(bytes);
    static test_batch whole;
    for (size_t grains = 1; grains <= 13; grains++) {
        size_t lengths[MAX_GRAINS + 1] = {0};
        for (size_t g = 0; g < grains; g++)
            lengths[g] = 1 + g % 4;
        test_batch_fill(&whole, lengths, 1, 7, false, 1);
        for (size_t g = 0; grains > 2 && g < 2; g++) /* the last two grains are empty */
            whole.first_of[grains - g] = grains - 2;
        sum_over_ranks(one, params, &whole, 1, false);
        for (size_t ranks = 2; ranks <= grains; ranks++)
            for (int uneven = 0; uneven < 2; uneven++) {
                sum_over_ranks(many, params, &whole, ranks, uneven);
                assert_memory_equal(one, many, bytes);
            }
    }
    free(one);
    free(many);
    heed_params_destroy(params);
}

/* Against the definition: leaves as partials of one grain each. */
static void one_rank_sums_the_definition(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    const heed_config config = small_config();
    heed_params *params;
    assert_int_equal(heed_params_create(&params, &config, 7, 0, &error), HEED_OK);
    static test_batch whole;
    size_t lengths[12] = {2, 1, 3, 2, 1, 1, 4, 2, 2, 1, 1, 0};
    test_batch_fill(&whole, lengths, 1, 7, false, 1);
    const size_t n = whole.n_grains;
    const size_t tensor = (size_t)heed_params_find(params, "block.1.attention.out.weight");
    const size_t size = params->tensors[tensor].size;
    real *leaves = malloc(n * size * sizeof *leaves), *expected = malloc(size * sizeof *expected);
    test_partial partials[64];
    for (size_t g = 0; g < n; g++) {
        leaf_context context = {params, &tensor, 1, &whole.batch, 0, 0};
        real *d = leaves + g * size;
        any_leaf(&context, &d, whole.first_row[g], lengths[g], g);
        partials[g] = (test_partial){{g, 1}, d};
    }
    test_complete(expected, partials, n, 0, n, size);
    heed_gradient *gradient;
    assert_int_equal(heed_gradient_create(&gradient, params, 0, n, n, &error), HEED_OK);
    leaf_context context = {params, &tensor, 1, &whole.batch, 0, 0};
    heed_gradient_sum(gradient, &whole.batch.rows, &tensor, 1, any_leaf, &context);
    assert_memory_equal(heed_gradient_partial(gradient, 0) + params->tensors[tensor].gradient, expected,
                        size * sizeof(real));
    heed_gradient_destroy(gradient);
    free(leaves);
    free(expected);
    heed_params_destroy(params);
}

/* Rows of a table that the grain's tokens use, in the whole table or in the list of used rows alone. */
typedef struct table_context {
    const test_batch *batch;
    size_t n, width;
    const int32_t *place; /* of a token in the array */
} table_context;

static void table_leaf(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    const table_context *table = context;
    (void)grain;
    memset(d[0], 0, table->n * table->width * sizeof(real));
    for (size_t r = first_row; r < first_row + n_rows; r++)
        for (size_t c = 0; c < table->width; c++)
            d[0][(size_t)table->place[table->batch->token[r]] * table->width + c] +=
                (real)(test_uniform(90, (uint32_t)(r * table->width + c)) - 0.5);
}

/* Entries that are used, none used, first and last among them or not: the bits of the whole table. */
static void entries_sum_like_the_whole_table(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    heed_config config = small_config();
    config.model.tied = true;
    enum { VOCAB = 40 };
    heed_params *params;
    assert_int_equal(heed_params_create(&params, &config, VOCAB, 0, &error), HEED_OK);
    const size_t tensor = (size_t)heed_params_find(params, "token.weight"), grains = 7;
    const heed_tensor *row = &params->tensors[tensor];
    static test_batch whole;
    for (uint32_t round = 0; round < 6; round++) {
        test_batch_fill(&whole, (size_t[]){2, 1, 3, 2, 1, 4, 1, 0}, 1, round == 0 ? 1 : VOCAB, false, round);
        if (round == 1)
            whole.token[3] = VOCAB - 1;
        if (round == 2) /* a rank without tokens */
            memset(whole.first_of, 0, sizeof whole.first_of);
        int32_t every[VOCAB], place[VOCAB], used[VOCAB];
        size_t n_used = 0;
        for (int32_t v = 0; v < VOCAB; v++) {
            bool occurs = false;
            for (size_t r = 0; r < heed_grain_row(&whole.batch.rows, grains); r++)
                occurs = occurs || whole.token[r] == v;
            every[v] = v;
            place[v] = occurs ? (int32_t)n_used : -1;
            if (occurs)
                used[n_used++] = v;
        }
        heed_gradient *a, *b, *gaps; /* the last one's zeros are left to clear_gaps, piece by piece */
        assert_int_equal(heed_gradient_create(&a, params, 0, grains, grains, &error), HEED_OK);
        assert_int_equal(heed_gradient_create(&b, params, 0, grains, grains, &error), HEED_OK);
        assert_int_equal(heed_gradient_create(&gaps, params, 0, grains, grains, &error), HEED_OK);
        heed_gradient_leave_gaps(gaps);
        memset(heed_gradient_partial(b, 0) + row->gradient, 0xff, row->size * sizeof(real));
        memset(heed_gradient_partial(gaps, 0) + row->gradient, 0xff, row->size * sizeof(real));
        table_context all = {&whole, VOCAB, row->dims[1], every}, some = {&whole, n_used, row->dims[1], place};
        heed_gradient_sum(a, &whole.batch.rows, &tensor, 1, table_leaf, &all);
        heed_gradient_sum_entries(b, &whole.batch.rows, tensor, used, n_used, table_leaf, &some);
        assert_memory_equal(heed_gradient_partial(a, 0) + row->gradient, heed_gradient_partial(b, 0) + row->gradient,
                            row->size * sizeof(real));
        heed_gradient_sum_entries(gaps, &whole.batch.rows, tensor, used, n_used, table_leaf, &some);
        const bool same = !memcmp(heed_gradient_partial(a, 0) + row->gradient,
                                  heed_gradient_partial(gaps, 0) + row->gradient, row->size * sizeof(real));
        assert_int_equal(same, n_used == VOCAB);
        const size_t piece = 1 + 37 * round, width = row->dims[1];
        for (size_t first = 0; first < row->size; first += piece) {
            const size_t end = first + piece < row->size ? first + piece : row->size;
            bool occurs = false;
            for (size_t entry = first / width; entry * width < end; entry++)
                occurs = occurs || place[entry] >= 0;
            assert_int_equal(heed_gradient_clear_gaps(gaps, row->gradient + first, piece), occurs);
            if (!occurs) /* it left them as they were */
                memset(heed_gradient_partial(gaps, 0) + row->gradient + first, 0, (end - first) * sizeof(real));
        }
        assert_memory_equal(heed_gradient_partial(a, 0) + row->gradient, heed_gradient_partial(gaps, 0) + row->gradient,
                            row->size * sizeof(real));
        heed_gradient_destroy(a);
        heed_gradient_destroy(b);
        heed_gradient_destroy(gaps);
    }
    heed_params_destroy(params);
}

typedef struct listener {
    const heed_gradient *gradient;
    const heed_params *params;
    size_t heard[8], n_heard;
    real value[8]; /* of the tensor's last element when it became ready */
} listener;

static void hear(void *context, size_t tensor) {
    listener *ear = context;
    const heed_tensor *row = &ear->params->tensors[tensor];
    assert_true(ear->n_heard < 8);
    ear->value[ear->n_heard] = heed_gradient_partial(ear->gradient, 0)[row->gradient + row->size - 1];
    ear->heard[ear->n_heard++] = tensor;
}

/* Each tensor is reported once, in order, and when its sum is complete. */
static void tensors_become_ready_when_complete(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    const heed_config config = small_config();
    heed_params *params;
    assert_int_equal(heed_params_create(&params, &config, 7, 0, &error), HEED_OK);
    static test_batch whole;
    test_batch_fill(&whole, (size_t[]){2, 1, 3, 2, 0}, 1, 7, false, 1);
    heed_gradient *gradient;
    assert_int_equal(heed_gradient_create(&gradient, params, 0, 4, 4, &error), HEED_OK);
    listener ear = {.gradient = gradient, .params = params};
    heed_gradient_listen(gradient, hear, &ear);
    sum_rank(gradient, params, &whole.batch, 4);
    static const char *const expected[] = {"block.0.mlp.up.weight", "block.0.mlp.up.bias", "norm.gain", "norm.bias"};
    assert_int_equal(ear.n_heard, 4);
    for (size_t i = 0; i < 4; i++) {
        const heed_tensor *row = &params->tensors[ear.heard[i]];
        assert_string_equal(row->name, expected[i]);
        assert_true(ear.value[i] == heed_gradient_partial(gradient, 0)[row->gradient + row->size - 1]);
        assert_true(ear.value[i] != 0);
    }
    heed_gradient_destroy(gradient);
    heed_params_destroy(params);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(covers_are_maximal_and_complete),  cmocka_unit_test(powers_of_two_need_one_partial),
        cmocka_unit_test(cover_of_many_grains_fits),        cmocka_unit_test(sums_do_not_depend_on_the_ranks),
        cmocka_unit_test(one_rank_sums_the_definition),     cmocka_unit_test(tensors_become_ready_when_complete),
        cmocka_unit_test(entries_sum_like_the_whole_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
