/* Gradients and losses have the same bits for any deal of grains to ranks and any number of threads. */
#include "fixture.h"
#include "heed/gemm.h"

#define VOCAB 37

/* 12 grains of 2 sequences, of which the last three are empty and the one before is partial. */
static const size_t lengths[] = {29, 29, 17, 29, 5, 29, 29, 1, 29, 29, 29, 28, 29, 3, 29, 29, 2, 0};
#define N_SEQUENCES 17
#define N_GRAINS 12

static heed_config shape_config(bool tied) {
    heed_config config = small_config();
    config.model.layers = 1;
    config.model.width = 99;
    config.model.hidden = 131;
    config.model.time = 29;
    config.model.dropout = 0.1;
    config.model.tied = tied;
    config.model.bias = !tied;
    config.model.init_std = 0.2;
    return config;
}

static void make_batch(test_batch *made) {
    test_batch_fill(made, lengths, 2, VOCAB, true, 11);
    assert_int_equal(made->n_sequences, N_SEQUENCES);
    for (size_t g = made->n_grains + 1; g <= N_GRAINS; g++)
        made->first_of[g] = N_SEQUENCES;
    made->n_grains = made->batch.rows.n_grains = N_GRAINS;
}

/* What a step sends to the optimizer: the completed gradient, and the losses of all sequences. */
typedef struct outcome {
    real *gradient;
    double loss[N_SEQUENCES];
} outcome;

static void compute(outcome *out, const heed_config *config, const test_batch *whole, size_t ranks) {
    heed_error error = HEED_ERROR_INIT;
    heed_model *model;
    heed_gradient *gradient[N_GRAINS];
    const size_t n_grains = whole->n_grains;
    test_partial partials[64];
    size_t n_partials = 0;
    assert_int_equal(heed_model_create(&model, config,
                                       &(heed_model_shape){.vocab = VOCAB,
                                                           .max_rows = whole->batch.rows.n_rows,
                                                           .max_sequences = whole->n_sequences,
                                                           .training = true},
                                       &error),
                     HEED_OK);
    const heed_params *params = heed_model_params(model);
    heed_params_init(params, heed_model_weights(model), config);
    for (size_t r = 0; r < ranks; r++) {
        const size_t first = n_grains * r / ranks, count = n_grains * (r + 1) / ranks - first;
        size_t row[65] = {0}, of[65] = {0};
        const heed_batch view = test_batch_view(whole, first, count, row, of);
        assert_int_equal(heed_gradient_create(&gradient[r], params, first, count, n_grains, &error), HEED_OK);
        heed_model_forward(model, &view, HEED_PASS_TRAIN);
        heed_model_loss(model, &view, gradient[r], out->loss + whole->first_of[first], NULL);
        heed_model_backward(model, &view, gradient[r]);
        const heed_node *nodes;
        for (size_t i = 0; i < heed_gradient_nodes(gradient[r], &nodes); i++)
            partials[n_partials++] = (test_partial){nodes[i], heed_gradient_partial(gradient[r], i)};
    }
    out->gradient = malloc(params->n_gradient * sizeof *out->gradient);
    test_complete(out->gradient, partials, n_partials, 0, n_grains, params->n_gradient);
    for (size_t r = 0; r < ranks; r++)
        heed_gradient_destroy(gradient[r]);
    heed_model_destroy(model);
}

static void bits_depend_on_neither_ranks_nor_threads(void **state) {
    (void)state;
    static test_batch whole;
    heed_error error = HEED_ERROR_INIT;
    make_batch(&whole);
    for (int tied = 0; tied < 2; tied++) {
        const heed_config config = shape_config(tied);
        heed_params *params;
        assert_int_equal(heed_params_create(&params, &config, VOCAB, 0, &error), HEED_OK);
        outcome one;
        test_set_threads(1);
        compute(&one, &config, &whole, 1);
        for (int threads = 1; threads <= 3 - tied; threads++) {
            test_set_threads(threads); /* more of them than cores crawl through BLIS's barriers: few runs must do */
            for (size_t ranks = 1; ranks <= N_GRAINS / (size_t)threads; ranks += threads == 1 ? 1 : 4) {
                outcome many;
                compute(&many, &config, &whole, ranks);
                for (size_t i = 0; i < params->n_tensors; i++) {
                    const heed_tensor *tensor = &params->tensors[i];
                    if (memcmp(one.gradient + tensor->gradient, many.gradient + tensor->gradient,
                               tensor->size * sizeof(real)) != 0)
                        fail_msg("%s differs with %zu ranks of %d threads", tensor->name, ranks, threads);
                }
                assert_memory_equal(one.gradient, many.gradient, params->n_gradient * sizeof(real));
                assert_memory_equal(one.loss, many.loss, sizeof one.loss);
                free(many.gradient);
            }
        }
        free(one.gradient);
        heed_params_destroy(params);
    }
}

/* What backward computes again instead of keeping costs time and saves memory, nothing else. */
static void bits_do_not_depend_on_recomputation(void **state) {
    (void)state;
    static test_batch whole;
    heed_error error = HEED_ERROR_INIT;
    heed_config config = shape_config(true);
    config.model.layers = 3;
    make_batch(&whole);
    test_set_threads(1);
    outcome kept;
    size_t bytes[3];
    for (int recompute = HEED_RECOMPUTE_NONE; recompute <= HEED_RECOMPUTE_BLOCK; recompute++) {
        config.train.recompute = (heed_recompute)recompute;
        const heed_model_shape shape = {
            .vocab = VOCAB, .max_rows = 4096, .max_sequences = N_SEQUENCES, .training = true};
        assert_int_equal(heed_model_activations(&config, &shape, &bytes[recompute], &error), HEED_OK);
        heed_params *params;
        assert_int_equal(heed_params_create(&params, &config, VOCAB, 0, &error), HEED_OK);
        outcome again;
        compute(&again, &config, &whole, 2);
        if (recompute == HEED_RECOMPUTE_NONE) {
            kept = again;
        } else {
            assert_memory_equal(kept.gradient, again.gradient, params->n_gradient * sizeof(real));
            assert_memory_equal(kept.loss, again.loss, sizeof kept.loss);
            free(again.gradient);
        }
        heed_params_destroy(params);
    }
    assert_true(bytes[HEED_RECOMPUTE_ATTENTION] < bytes[HEED_RECOMPUTE_NONE]);
    assert_true(bytes[HEED_RECOMPUTE_BLOCK] < bytes[HEED_RECOMPUTE_ATTENTION]);
    free(kept.gradient);
}

/* Grains larger than the classifier's block of rows, and small ones that share a block with whoever is on the same
 * rank. */
static void bits_do_not_depend_on_the_classifiers_blocks(void **state) {
    (void)state;
    static const size_t mixed[] = {150, 150, 20, 30, 100, 20, 150, 106, 5, 5, 150, 150, 1, 2, 0};
    static test_batch whole;
    heed_error error = HEED_ERROR_INIT;
    heed_config config = shape_config(false);
    config.model.width = 12;
    config.model.hidden = 10;
    config.model.time = 150;
    test_batch_fill(&whole, mixed, 2, VOCAB, true, 12);
    heed_params *params;
    assert_int_equal(heed_params_create(&params, &config, VOCAB, 0, &error), HEED_OK);
    test_set_threads(1);
    outcome one, many;
    compute(&one, &config, &whole, 1);
    for (size_t ranks = 2; ranks <= whole.n_grains; ranks++) {
        compute(&many, &config, &whole, ranks);
        assert_memory_equal(one.gradient, many.gradient, params->n_gradient * sizeof(real));
        assert_memory_equal(one.loss, many.loss, whole.n_sequences * sizeof *one.loss);
        free(many.gradient);
    }
    free(one.gradient);
    heed_params_destroy(params);
}

/* A rank may hold no token at all. */
static void empty_batches_give_zero(void **state) {
    (void)state;
    static test_batch whole;
    heed_error error = HEED_ERROR_INIT;
    const heed_config config = shape_config(true);
    heed_model *model;
    heed_gradient *gradient;
    size_t row[65] = {0}, of[65] = {0};
    make_batch(&whole);
    const heed_batch view = test_batch_view(&whole, N_GRAINS - 2, 2, row, of);
    assert_int_equal(view.rows.n_rows, 0);
    assert_int_equal(
        heed_model_create(&model, &config,
                          &(heed_model_shape){.vocab = VOCAB, .max_rows = 64, .max_sequences = 4, .training = true},
                          &error),
        HEED_OK);
    const heed_params *params = heed_model_params(model);
    heed_params_init(params, heed_model_weights(model), &config);
    assert_int_equal(heed_gradient_create(&gradient, params, N_GRAINS - 2, 2, N_GRAINS, &error), HEED_OK);
    real *partial = heed_gradient_partial(gradient, 0);
    for (size_t i = 0; i < params->n_tensors; i++)
        for (size_t e = 0; e < params->tensors[i].size; e++)
            partial[params->tensors[i].gradient + e] = 1;
    heed_model_forward(model, &view, HEED_PASS_TRAIN);
    heed_model_loss(model, &view, gradient, NULL, NULL);
    heed_model_backward(model, &view, gradient);
    for (size_t e = 0; e < params->n_gradient; e++)
        assert_true(partial[e] == 0);
    heed_gradient_destroy(gradient);
    heed_model_destroy(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_do_not_depend_on_recomputation),
        cmocka_unit_test(bits_depend_on_neither_ranks_nor_threads),
        cmocka_unit_test(bits_do_not_depend_on_the_classifiers_blocks),
        cmocka_unit_test(empty_batches_give_zero),
    };
    return cmocka_run_group_tests(tests, test_open_products, NULL);
}
