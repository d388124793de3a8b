/* Attention's backward pass against five-point differences, and inspect against both passes, in double. */
#include "nn_testing.h"

#include "heed/nn/attention.h"

int attention_gradient_tests(void);

/* Queries, keys and values are columns of wider rows, as in a (rows, 3 width) product; what lies between must stay as
 * it is. */
typedef struct attention_case {
    heed_attention attention;
    const heed_ragged *query_rows, *key_rows;
    real *query, *key, *value, *output, *log_sum, *d_output;
    real *d_query, *d_key, *d_value;
    ragged_memory query_memory, key_memory;
} attention_case;

typedef struct attention_shape {
    size_t n_sequences, lengths[4], key_lengths[4];
    size_t heads, head_width;
    bool causal, own_keys; /* causal attention has the queries' rows as keys unless own_keys is set */
    double dropout;
    size_t stride; /* of the elements that differences are taken at */
} attention_shape;

#define BETWEEN 5 /* columns after the used ones */

static void attention_init(attention_case *c, const attention_shape *shape) {
    const size_t width = shape->heads * shape->head_width;
    c->query_rows = make_ragged(&c->query_memory, shape->n_sequences, shape->lengths, 2);
    c->key_rows = shape->causal && !shape->own_keys
                      ? c->query_rows
                      : make_ragged(&c->key_memory, shape->n_sequences, shape->key_lengths, 2);
    c->attention = (heed_attention){.heads = shape->heads,
                                    .head_width = shape->head_width,
                                    .causal = shape->causal,
                                    .scale = (real)0.7,
                                    .query_stride = width + BETWEEN,
                                    .key_stride = 2 * width + BETWEEN,
                                    .dropout = (real)shape->dropout,
                                    .seed = 9,
                                    .site = 4,
                                    .step = 2};
    const size_t queries = c->query_rows->n_rows, keys = c->key_rows->n_rows;
    c->attention.scratch = unset_reals(heed_attention_scratch(c->key_rows->max_length, shape->head_width));
    c->query = random_reals(queries * c->attention.query_stride, 1);
    c->key = random_reals(keys * c->attention.key_stride, 2);
    c->value = c->key + width;
    c->output = unset_reals(queries * width);
    c->log_sum = unset_reals(queries * shape->heads);
    c->d_output = random_reals(queries * width, 3);
    c->d_query = random_reals(queries * c->attention.query_stride, 4);
    c->d_key = random_reals(keys * c->attention.key_stride, 5);
    c->d_value = c->d_key + width;
}

static void attention_free(attention_case *c) {
    real *owned[] = {c->attention.scratch, c->query, c->key, c->output, c->log_sum, c->d_output, c->d_query, c->d_key};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        free(owned[i]);
}

static real attention_loss(void *context) {
    attention_case *c = context;
    heed_attention_forward(&c->attention, c->output, c->log_sum, c->query, c->key, c->value, c->query_rows,
                           c->key_rows);
    return dot(c->output, c->d_output, c->query_rows->n_rows * c->attention.heads * c->attention.head_width);
}

/* The columns that attention does not own: d of them must be what it was. Then they are set to zero, which is their
 * gradient. */
static void check_between(real *d, size_t rows, size_t used, size_t stride, uint64_t seed) {
    real *before = random_reals(rows * stride, seed);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = used; i < stride; i++) {
            assert_true(d[r * stride + i] == before[r * stride + i]);
            d[r * stride + i] = 0;
        }
    free(before);
}

static void check_attention(const attention_shape *shape) {
    attention_case c;
    attention_init(&c, shape);
    const heed_attention *a = &c.attention;
    const size_t width = a->heads * a->head_width;
    attention_loss(&c);
    heed_attention_backward(a, c.d_query, c.d_key, c.d_value, c.d_output, c.output, c.log_sum, c.query, c.key, c.value,
                            c.query_rows, c.key_rows);
    const size_t queries = c.query_rows->n_rows, keys = c.key_rows->n_rows;
    check_between(c.d_query, queries, width, a->query_stride, 4);
    check_between(c.d_key, keys, 2 * width, a->key_stride, 5);
    check_gradient("attention d_query", c.query, queries * a->query_stride, shape->stride, c.d_query, attention_loss,
                   &c);
    check_gradient("attention d_key, d_value", c.key, keys * a->key_stride, shape->stride, c.d_key, attention_loss, &c);
    attention_free(&c);
}

static void attention_gradients(void **state) {
    (void)state;
    const size_t head_widths[] = {1, 3, 17, 65};
    for (size_t w = 0; w < 4; w++)
        for (int causal = 0; causal < 2; causal++)
            for (int dropout = 0; dropout < 2; dropout++)
                check_attention(&(attention_shape){.n_sequences = 4,
                                                   .lengths = {5, 1, 0, 7},
                                                   .key_lengths = {3, 8, 0, 1},
                                                   .heads = 1 + w % 2,
                                                   .head_width = head_widths[w],
                                                   .causal = causal,
                                                   .dropout = 0.4 * dropout,
                                                   .stride = 1 + w});
}

/* Lengths around the bounds of groups and blocks; causal with fewer and with more keys than queries, too. */
static void attention_gradients_of_several_groups(void **state) {
    (void)state;
    for (int causal = 0; causal < 3; causal++)
        check_attention(&(attention_shape){.n_sequences = 3,
                                           .lengths = {64, 65, 121},
                                           .key_lengths = {63, 130, 17},
                                           .heads = 2,
                                           .head_width = 3,
                                           .causal = causal > 0,
                                           .own_keys = causal == 2,
                                           .dropout = 0.2,
                                           .stride = 23});
}

/* Weights sum to one over what is visible; weights times values is the output; credit is minus the score's gradient,
 * taken by differences of one score through a key column that only this pair has (head_width 1 leaves no choice: so the
 * check is on sums, sum_j credit_ij k_j = -d_q_i / scale). */
static void inspect_agrees_with_both_passes(void **state) {
    (void)state;
    const attention_shape shapes[] = {
        {.n_sequences = 2, .lengths = {70, 9}, .heads = 2, .head_width = 5, .causal = true},
        {.n_sequences = 2, .lengths = {7, 66}, .key_lengths = {67, 4}, .heads = 3, .head_width = 2},
    };
    for (size_t k = 0; k < 2; k++) {
        attention_case c;
        attention_init(&c, &shapes[k]);
        const heed_attention *a = &c.attention;
        const size_t width = a->heads * a->head_width, hw = a->head_width;
        attention_loss(&c);
        heed_attention_backward(a, c.d_query, c.d_key, c.d_value, c.d_output, c.output, c.log_sum, c.query, c.key,
                                c.value, c.query_rows, c.key_rows);
        for (size_t s = 0; s < 2; s++)
            for (size_t h = 0; h < a->heads; h++) {
                const size_t n = heed_length(c.query_rows, s), m = heed_length(c.key_rows, s);
                real *weights = unset_reals(n * m), *advantage = unset_reals(n * m), *credit = unset_reals(n * m);
                real *alone = unset_reals(n * m);
                heed_attention_inspect(a, weights, advantage, credit, c.d_output, c.output, c.query, c.key, c.value,
                                       c.query_rows, c.key_rows, s, h);
                heed_attention_inspect(a, alone, NULL, NULL, NULL, NULL, c.query, c.key, c.value, c.query_rows,
                                       c.key_rows, s, h);
                assert_memory_equal(alone, weights, n * m * sizeof *alone);
                heed_attention_inspect(a, weights, NULL, alone, c.d_output, c.output, c.query, c.key, c.value,
                                       c.query_rows, c.key_rows, s, h);
                assert_memory_equal(alone, credit, n * m * sizeof *alone);
                for (size_t i = 0; i < n; i++) {
                    const size_t row = c.query_rows->first_row[s] + i, keys_at = c.key_rows->first_row[s];
                    double sum = 0, net = 0;
                    for (size_t j = 0; j < m; j++) {
                        sum += weights[i * m + j];
                        net += credit[i * m + j];
                        assert_true(credit[i * m + j] == weights[i * m + j] * advantage[i * m + j]);
                        if (a->causal && j > i)
                            assert_true(weights[i * m + j] == 0 && advantage[i * m + j] == 0);
                    }
                    assert_true(fabs(sum - 1) < 1e-13);
                    assert_true(fabs(net) < 1e-13);
                    for (size_t e = 0; e < hw; e++) {
                        double out = 0, d_q = 0;
                        for (size_t j = 0; j < m; j++) {
                            out += weights[i * m + j] * c.value[(keys_at + j) * a->key_stride + h * hw + e];
                            d_q -= a->scale * credit[i * m + j] * c.key[(keys_at + j) * a->key_stride + h * hw + e];
                        }
                        assert_true(fabs(out - c.output[row * width + h * hw + e]) < 1e-13);
                        assert_true(fabs(d_q - c.d_query[row * a->query_stride + h * hw + e]) < 1e-13);
                    }
                }
                real *owned[] = {weights, advantage, credit, alone};
                for (size_t i = 0; i < 4; i++)
                    free(owned[i]);
            }
        attention_free(&c);
    }
}

int attention_gradient_tests(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_gradients),
        cmocka_unit_test(attention_gradients_of_several_groups),
        cmocka_unit_test(inspect_agrees_with_both_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
