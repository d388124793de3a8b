/* What every variant of attention promises: true gradients, no look at what comes later, the same bits for any number
 * of ranks and threads, a cache that changes nothing, weights that an observer can recompute; and what each of them
 * must not see. */
#include <math.h>

#include "fixture.h"
#include "heed/gemm.h"
#include "heed/nn/attention.h"
#include "heed/optimizer.h"
#include "heed/variant.h"

#define VOCAB 11
#define TIME 7
#define TOLERANCE (sizeof(real) == 8 ? 1e-11 : 2e-5)

static const size_t lengths[] = {7, 3, 1, 6, 7, 2, 0};

static heed_config config_of(size_t variant, heed_positions positions) {
    heed_config config = small_config();
    config.model.attention = (heed_attend)variant;
    config.model.window = heed_variants[variant].windowed ? 3 : TIME;
    config.model.layers = heed_variants[variant].network ? 1 : 2;
    config.model.positions = positions;
    config.model.heads = 2;
    config.model.width = 8;
    config.model.hidden = 9;
    config.model.time = TIME;
    config.model.bias = positions == HEED_LEARNED;
    config.model.tied = positions != HEED_LEARNED;
    config.model.init = HEED_INIT_UNIFORM_FAN_IN;
    return config;
}

/* Random gains, biases and tables too. */
static heed_model *create(const heed_config *config, const test_batch *batch, bool training) {
    heed_error error = HEED_ERROR_INIT;
    heed_model *model;
    assert_int_equal(heed_model_create(&model, config,
                                       &(heed_model_shape){.vocab = VOCAB,
                                                           .max_rows = batch->batch.rows.n_rows,
                                                           .max_sequences = batch->batch.rows.n_sequences,
                                                           .training = training},
                                       &error),
                     HEED_OK);
    const heed_params *params = heed_model_params(model);
    real *weights = heed_model_weights(model);
    heed_params_init(params, weights, config);
    for (size_t i = 0; i < params->n_tensors; i++) {
        const heed_tensor *tensor = &params->tensors[i];
        const bool is_vector = tensor->role == HEED_ROLE_GAIN || tensor->role == HEED_ROLE_BIAS;
        for (size_t e = 0; is_vector && e < tensor->size; e++)
            weights[tensor->offset + e] += (real)(0.6 * (test_uniform(40 + (uint32_t)i, (uint32_t)e) - 0.5));
    }
    return model;
}

/* The sum over all grains as the owner of all shards completes it, computed by `ranks` ranks in turn. */
static void gradient_of(real *sum, const heed_config *config, const test_batch *whole, size_t ranks) {
    heed_error error = HEED_ERROR_INIT;
    heed_model *model = create(config, whole, true);
    const heed_params *params = heed_model_params(model);
    heed_gradient *gradient[4];
    test_partial partials[64];
    size_t n_partials = 0;
    for (size_t r = 0; r < ranks; r++) {
        const size_t first = whole->n_grains * r / ranks, count = whole->n_grains * (r + 1) / ranks - first;
        size_t row[65], of[65];
        double loss[64];
        const heed_batch view = test_batch_view(whole, first, count, row, of);
        assert_int_equal(heed_gradient_create(&gradient[r], params, first, count, whole->n_grains, &error), HEED_OK);
        heed_model_forward(model, &view, HEED_PASS_TRAIN);
        heed_model_loss(model, &view, gradient[r], loss, NULL);
        heed_model_backward(model, &view, gradient[r]);
        const heed_node *nodes;
        const size_t n_nodes = heed_gradient_nodes(gradient[r], &nodes);
        for (size_t i = 0; i < n_nodes; i++)
            partials[n_partials++] = (test_partial){nodes[i], heed_gradient_partial(gradient[r], i)};
    }
    test_complete(sum, partials, n_partials, 0, whole->n_grains, params->n_gradient);
    for (size_t r = 0; r < ranks; r++)
        heed_gradient_destroy(gradient[r]);
    heed_model_destroy(model);
}

static void names_are_those_of_the_setting(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    assert_int_equal(heed_n_variants, HEED_ATTEND_MLP + 1);
    for (size_t v = 0; v < heed_n_variants; v++) {
        heed_config config;
        char assignment[64];
        heed_config_defaults(&config);
        snprintf(assignment, sizeof assignment, "model.attention=%s", heed_variants[v].name);
        assert_int_equal(heed_config_override(&config, assignment, &error), HEED_OK);
        assert_int_equal(config.model.attention, v);
        assert_ptr_equal(heed_variant_of(&config), &heed_variants[v]);
    }
}

/* Frozen elements have a gradient of exactly 0, whatever the loss's slope along them. */
static void gradients_are_the_slopes_of_the_loss(void **state) {
    (void)state;
    static test_batch batch;
    if (sizeof(real) < 8)
        skip(); /* differences need double */
    test_batch_fill(&batch, lengths, 2, VOCAB, true, 300);
    for (size_t v = 0; v < heed_n_variants; v++)
        for (int p = 0; p < 2; p++) {
            const heed_config config = config_of(v, p ? HEED_ROTARY : HEED_LEARNED);
            heed_model *model = create(&config, &batch, true);
            const heed_params *params = heed_model_params(model);
            real *gradient = malloc(params->n_gradient * sizeof *gradient);
            gradient_of(gradient, &config, &batch, 1);
            double whole = 0;
            for (size_t e = 0; e < params->n_gradient; e++)
                whole += (double)(gradient[e] * gradient[e]);
            for (size_t i = 0; i < params->n_tensors; i++) {
                const heed_tensor *tensor = &params->tensors[i];
                double norm = 0, wrong = 0;
                for (size_t e = 0; e < tensor->size && tensor->tied_to < 0; e++) {
                    double found = (double)gradient[tensor->gradient + e];
                    if (e < tensor->frozen) {
                        assert_true(found == 0);
                        continue;
                    }
                    for (size_t j = 0; j < params->n_tensors; j++)
                        if (params->tensors[j].tied_to == (int)i)
                            found += (double)gradient[params->tensors[j].gradient + e];
                    const double slope = test_slope(model, &batch.batch, tensor->offset + e, 3e-3);
                    norm += slope * slope;
                    wrong += (slope - found) * (slope - found);
                }
                if (!(sqrt(wrong) <= 1e-7 * fmax(sqrt(norm), 1e-6 * sqrt(whole))))
                    fail_msg("%s: %s: |gradient - differences| = %g of %g", heed_variants[v].name, tensor->name,
                             sqrt(wrong), sqrt(norm));
            }
            free(gradient);
            heed_model_destroy(model);
        }
}

static void later_tokens_change_nothing_earlier(void **state) {
    (void)state;
    static test_batch batch;
    static const size_t one[] = {TIME, 0};
    for (size_t v = 0; v < heed_n_variants; v++)
        for (size_t from = 1; from < TIME; from++) {
            real before[TIME], after[TIME];
            double loss[1];
            const heed_config config = config_of(v, HEED_LEARNED);
            test_batch_fill(&batch, one, 1, VOCAB, false, 301);
            heed_model *model = create(&config, &batch, false);
            heed_model_forward(model, &batch.batch, HEED_PASS_EVAL);
            heed_model_loss(model, &batch.batch, NULL, loss, before);
            for (size_t r = from; r < TIME; r++)
                batch.token[r] = (batch.token[r] + 1) % VOCAB;
            heed_model_forward(model, &batch.batch, HEED_PASS_EVAL);
            heed_model_loss(model, &batch.batch, NULL, loss, after);
            assert_memory_equal(before, after, from * sizeof *before);
            assert_true(before[from] != after[from]);
            heed_model_destroy(model);
        }
}

static void same_bits_for_any_ranks_and_threads(void **state) {
    (void)state;
    static test_batch batch;
    test_batch_fill(&batch, lengths, 1, VOCAB, true, 302);
    for (size_t v = 0; v < heed_n_variants; v++) {
        heed_config config = config_of(v, HEED_LEARNED);
        config.model.dropout = 0.1;
        heed_model *model = create(&config, &batch, true);
        const size_t bytes = heed_model_params(model)->n_elements * sizeof(real);
        const size_t room = heed_model_params(model)->n_gradient * sizeof(real);
        heed_model_destroy(model);
        real *one = malloc(room), *other = malloc(room);
        test_set_threads(1);
        gradient_of(one, &config, &batch, 1);
        for (size_t ranks = 1; ranks <= 4; ranks++) {
            test_set_threads(ranks == 2 ? 1 : 3);
            gradient_of(other, &config, &batch, ranks);
            if (memcmp(one, other, bytes) != 0)
                fail_msg("%s: other bits for %zu ranks", heed_variants[v].name, ranks);
        }
        free(one);
        free(other);
    }
    test_set_threads(1);
}

static void the_cache_changes_nothing(void **state) {
    (void)state;
    static test_batch batch;
    static const size_t one[] = {TIME, 0};
    for (size_t v = 0; v < heed_n_variants; v++)
        for (int p = 0; p < 2; p++) {
            const heed_config config = config_of(v, p ? HEED_ROTARY : HEED_LEARNED);
            test_batch_fill(&batch, one, 1, VOCAB, false, 303);
            heed_model *model = create(&config, &batch, false);
            real loss[TIME];
            double whole[1];
            heed_model_forward(model, &batch.batch, HEED_PASS_EVAL);
            heed_model_loss(model, &batch.batch, NULL, whole, loss);
            for (int round = 0; round < 2; round++) {
                heed_model_decode_begin(model, NULL, 0);
                for (size_t r = 0; r < TIME; r++) {
                    const real *logits = heed_model_decode(model, &batch.token[r], NULL, 1);
                    double sum = 0;
                    for (size_t token = 0; token < VOCAB; token++)
                        sum += exp((double)logits[token]);
                    if (!(fabs(log(sum) - (double)logits[batch.target[r]] - (double)loss[r]) < TOLERANCE))
                        fail_msg("%s: row %zu", heed_variants[v].name, r);
                }
            }
            heed_model_destroy(model);
        }
}

/* --- what an observer sees --------------------------------------------------------------------------------------- */

typedef struct seen {
    size_t n_layers;
    real weights[2][2][6][TIME * TIME]; /* layer, head, sequence */
} seen;

/* Keeps the weights, and holds the outputs against them. */
static void see(void *context, const heed_attention_view *view) {
    seen *s = context;
    s->n_layers++;
    assert_ptr_equal(view->query_rows, &view->batch->rows);
    for (size_t q = 0; q < view->query_rows->n_sequences; q++)
        for (size_t head = 0; head < view->heads; head++) {
            const size_t n = heed_length(view->query_rows, q), first = view->query_rows->first_row[q];
            real *weights = s->weights[view->layer][head][q];
            heed_attention_inspect(view->how, weights, NULL, NULL, NULL, NULL, view->query, view->key, view->value,
                                   view->query_rows, view->key_rows, q, head);
            for (size_t i = 0; i < n; i++)
                for (size_t c = head * view->head_width; c < (head + 1) * view->head_width; c++) {
                    double output = 0, sum = 0;
                    for (size_t j = 0; j < n; j++) {
                        sum += (double)weights[i * n + j];
                        output += (double)(weights[i * n + j] * view->value[(first + j) * view->how->key_stride + c]);
                    }
                    assert_true(fabs(sum - 1) < TOLERANCE);
                    assert_true(fabs(output - (double)view->output[(first + i) * view->heads * view->head_width + c]) <
                                TOLERANCE);
                }
        }
}

static void look(seen *s, size_t variant, const test_batch *batch) {
    const heed_config config = config_of(variant, HEED_LEARNED);
    heed_model *model = create(&config, batch, false);
    double loss[64];
    *s = (seen){0};
    heed_model_observe(model, see, s);
    heed_model_forward(model, &batch->batch, HEED_PASS_EVAL);
    heed_model_loss(model, &batch->batch, NULL, loss, NULL);
    assert_int_equal(s->n_layers, heed_variants[variant].network ? 0 : 2);
    heed_model_destroy(model);
}

static void each_sees_what_it_may(void **state) {
    (void)state;
    static test_batch batch;
    static seen s;
    test_batch_fill(&batch, lengths, 2, VOCAB, false, 304);
    for (size_t v = 0; v < heed_n_variants; v++) {
        look(&s, v, &batch);
        for (size_t layer = 0; layer < 2 && s.n_layers; layer++)
            for (size_t head = 0; head < 2; head++)
                for (size_t i = 0; i < TIME; i++)
                    for (size_t j = 0; j < TIME; j++) {
                        const double a = (double)s.weights[layer][head][0][i * TIME + j];
                        const double same = (double)s.weights[layer][head][4][i * TIME + j]; /* as long, other tokens */
                        if (j > i || (v == HEED_ATTEND_WINDOW && j + 3 <= i) || (v == HEED_ATTEND_NONE && j != i))
                            assert_true(a == 0);
                        else if (v == HEED_ATTEND_UNIFORM)
                            assert_true(fabs(a - 1 / ((double)i + 1)) < TOLERANCE);
                        else if (v == HEED_ATTEND_POSITION)
                            assert_true(a == same);
                        else if (i > 2 && v != HEED_ATTEND_NONE)
                            assert_true(a != same);
                        if (j <= i && !(v == HEED_ATTEND_WINDOW && j + 3 <= i) && v != HEED_ATTEND_NONE)
                            assert_true(a > 0);
                    }
    }
}

/* Two earlier tokens change places: by content alone, the later queries' weights change places with them, in every
 * layer. With softmax they do not: places count. */
static void content_knows_no_places(void **state) {
    (void)state;
    static test_batch batch;
    static seen before, after;
    static const size_t one[] = {TIME, 0}, swapped[] = {3, 1, 2, 0, 4, 5, 6};
    for (size_t v = HEED_ATTEND_SOFTMAX; v <= HEED_ATTEND_CONTENT; v += HEED_ATTEND_CONTENT - HEED_ATTEND_SOFTMAX) {
        bool same = true;
        test_batch_fill(&batch, one, 1, VOCAB, false, 305);
        for (size_t r = 0; r < TIME; r++)
            batch.token[r] = (int32_t)r;
        look(&before, v, &batch);
        for (size_t r = 0; r < TIME; r++)
            batch.token[r] = (int32_t)swapped[r];
        look(&after, v, &batch);
        for (size_t layer = 0; layer < 2; layer++)
            for (size_t i = 4; i < TIME; i++)
                for (size_t j = 0; j < TIME; j++)
                    same = same && fabs((double)before.weights[layer][1][0][i * TIME + swapped[j]] -
                                        (double)after.weights[layer][1][0][i * TIME + j]) < TOLERANCE;
        assert_int_equal(same, v == HEED_ATTEND_CONTENT);
    }
}

/* --- parameters -------------------------------------------------------------------------------------------------- */

static void frozen_numbers_stay(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    for (size_t v = 0; v < heed_n_variants; v++) {
        heed_params *params;
        heed_config config = config_of(v, HEED_LEARNED);
        config.train.weight_decay = 0.5;
        config.train.beta1 = config.train.beta2 = 0.5;
        config.train.eps = 1e-8;
        assert_int_equal(heed_params_create(&params, &config, VOCAB, 0, &error), HEED_OK);
        const size_t n = params->n_elements;
        real *arena = calloc(5 * n, sizeof *arena);
        real *weights = arena, *start = arena + n, *gradient = arena + 2 * n;
        for (size_t e = 0; e < n; e++)
            weights[e] = start[e] = gradient[e] = 1;
        heed_optimizer_update(&config, params, weights, 0, n, gradient, arena + 3 * n, arena + 4 * n, 1, 0.1, 0);
        size_t n_frozen = 0;
        for (size_t i = 0; i < params->n_tensors; i++)
            for (size_t e = 0; e < params->tensors[i].size && params->tensors[i].tied_to < 0; e++) {
                const bool frozen = e < params->tensors[i].frozen;
                assert_int_equal(weights[params->tensors[i].offset + e] == 1, frozen);
                n_frozen += frozen;
            }
        assert_int_equal(n_frozen, heed_variants[v].frozen ? 2 * (2 * 8 * 8 + 2 * 8) : 0);
        assert_int_equal(params->n_trained + n_frozen, params->n_parameters);
        free(arena);
        heed_params_destroy(params);
    }
}

static void matched_variants_train_as_many(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    for (size_t v = 0; v < heed_n_variants; v++) {
        heed_config config = config_of(HEED_ATTEND_SOFTMAX, HEED_LEARNED);
        heed_params *full, *matched;
        config.model.width = 64;
        config.model.hidden = 256;
        config.model.time = 64;
        config.model.window = 16;
        assert_int_equal(heed_params_create(&full, &config, VOCAB, 0, &error), HEED_OK);
        assert_int_equal(heed_variant_match(&config, (heed_attend)v, VOCAB, &error), HEED_OK);
        assert_int_equal(config.model.attention, v);
        assert_int_equal(heed_params_create(&matched, &config, VOCAB, 0, &error), HEED_OK);
        if (v == HEED_ATTEND_SOFTMAX || v == HEED_ATTEND_CONTENT || v == HEED_ATTEND_WINDOW)
            assert_int_equal(matched->n_trained, full->n_trained);
        assert_true(fabs((double)matched->n_trained / (double)full->n_trained - 1) < 0.01);
        heed_params_destroy(full);
        heed_params_destroy(matched);
    }
    heed_config config = config_of(HEED_ATTEND_SOFTMAX, HEED_LEARNED);
    config.model.time = 64; /* tables of 2 * 2080 scores a layer are more than this model has */
    assert_int_equal(heed_variant_match(&config, HEED_ATTEND_POSITION, VOCAB, &error), HEED_CONFIG);
}

static int start(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    omp_set_num_threads(1);
    return heed_gemm_open(heed_gemm_best(), 1, &error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_those_of_the_setting),
        cmocka_unit_test(gradients_are_the_slopes_of_the_loss),
        cmocka_unit_test(later_tokens_change_nothing_earlier),
        cmocka_unit_test(same_bits_for_any_ranks_and_threads),
        cmocka_unit_test(the_cache_changes_nothing),
        cmocka_unit_test(each_sees_what_it_may),
        cmocka_unit_test(content_knows_no_places),
        cmocka_unit_test(frozen_numbers_stay),
        cmocka_unit_test(matched_variants_train_as_many),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
