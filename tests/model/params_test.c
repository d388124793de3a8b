/* The table of tensors and initialisation. */
#include <math.h>
#include <omp.h>
#include <stdio.h>

#include "fixture.h"

#define VOCAB 29

static heed_params *table(const heed_config *config, size_t vocab) {
    heed_error error = HEED_ERROR_INIT;
    heed_params *params;
    assert_int_equal(heed_params_create(&params, config, vocab, 0, &error), HEED_OK);
    return params;
}

/* Every combination of what adds or removes rows. */
static heed_config variant(int v) {
    heed_config config = small_config();
    config.model.tied = v & 1;
    config.model.bias = v >> 1 & 1;
    config.model.positions = (heed_positions)(v >> 2);
    return config;
}
#define N_VARIANTS 16

/* Parameters of a decoder by the textbook. */
static size_t count_by_formula(const heed_config *config, size_t vocab) {
    const size_t w = (size_t)config->model.width, h = (size_t)config->model.hidden, b = config->model.bias;
    const size_t block = 2 * (w + b * w) + 3 * w * w + w * w + 2 * w * h + b * (3 * w + w + h + w);
    const size_t positions = config->model.positions == HEED_LEARNED ? (size_t)config->model.time * w : 0;
    return vocab * w + positions + (size_t)config->model.layers * block + w + b * w +
           (config->model.tied ? 0 : vocab * w);
}

static bool is_tied_to(const heed_params *params, size_t tensor) {
    bool tied = false;
    for (size_t i = 0; i < params->n_tensors; i++)
        tied = tied || params->tensors[i].tied_to == (int)tensor;
    return tied;
}

static void offsets_follow_the_rules(void **state) {
    (void)state;
    for (int v = 0; v < N_VARIANTS; v++) {
        const heed_config config = variant(v);
        heed_params *params = table(&config, VOCAB);
        size_t end = 0, gradient_end = params->n_elements;
        for (size_t i = 0; i < params->n_tensors; i++) {
            const heed_tensor *tensor = &params->tensors[i];
            assert_int_equal(heed_params_find(params, tensor->name), (int)i);
            size_t size = 1;
            for (int d = 0; d < tensor->n_dims; d++)
                size *= tensor->dims[d];
            assert_int_equal(tensor->size, size);
            if (tensor->tied_to >= 0) {
                assert_int_equal(tensor->offset, params->tensors[tensor->tied_to].offset);
                assert_int_equal(tensor->size, params->tensors[tensor->tied_to].size);
                assert_int_equal(tensor->gradient, tensor->offset);
                assert_int_equal(params->tensors[tensor->tied_to].gradient, gradient_end);
                gradient_end += (size + HEED_BLOCK - 1) / HEED_BLOCK * HEED_BLOCK;
                continue;
            }
            assert_int_equal(tensor->offset * sizeof(float) % 64, 0);
            if (!is_tied_to(params, i)) /* else the use that has this place is looked at, above */
                assert_int_equal(tensor->gradient, tensor->offset);
            assert_true(tensor->offset >= end);
            assert_true(tensor->offset < end + HEED_BLOCK);
            end = tensor->offset + size;
        }
        assert_true(params->n_elements >= end && params->n_elements < end + HEED_BLOCK);
        assert_int_equal(params->n_elements % HEED_BLOCK, 0);
        assert_int_equal(params->n_gradient, gradient_end);
        assert_int_equal(params->n_parameters, count_by_formula(&config, VOCAB));
        heed_params_destroy(params);
    }
}

static void tied_rows_have_blocks_of_their_own(void **state) {
    (void)state;
    heed_config config = small_config();
    config.model.tied = true;
    heed_params *params = table(&config, VOCAB);
    const heed_tensor *token = &params->tensors[heed_params_find(params, "token.weight")];
    const heed_tensor *output = &params->tensors[heed_params_find(params, "output.weight")];
    assert_int_equal(output->tied_to, heed_params_find(params, "token.weight"));
    assert_int_equal(token->tied_to, -1);
    assert_int_equal(token->offset % HEED_BLOCK, 0);
    assert_int_equal(output->gradient, output->offset);
    assert_int_equal(token->gradient, params->n_elements);
    const heed_tensor *after = token + 1;
    assert_int_equal(after->offset, (token->size + HEED_BLOCK - 1) / HEED_BLOCK * HEED_BLOCK);
    heed_params_destroy(params);
}

/* What files are keyed by must not change. */
static void names_shapes_and_order_are_fixed(void **state) {
    (void)state;
    static const char *const expected =
        "token.weight 29 21|position.weight 11 21|block.0.norm1.gain 21|block.0.norm1.bias 21|"
        "block.0.attention.qkv.weight 63 21|block.0.attention.qkv.bias 63|block.0.attention.out.weight 21 21|"
        "block.0.attention.out.bias 21|block.0.norm2.gain 21|block.0.norm2.bias 21|block.0.mlp.up.weight 35 21|"
        "block.0.mlp.up.bias 35|block.0.mlp.down.weight 21 35|block.0.mlp.down.bias 21|norm.gain 21|norm.bias 21|"
        "output.weight 29 21|";
    heed_config config = small_config();
    config.model.layers = 1;
    heed_params *params = table(&config, VOCAB);
    char found[2048] = "";
    for (size_t i = 0; i < params->n_tensors; i++) {
        size_t used = strlen(found);
        used += (size_t)snprintf(found + used, sizeof found - used, "%s", params->tensors[i].name);
        for (int d = 0; d < params->tensors[i].n_dims; d++)
            used += (size_t)snprintf(found + used, sizeof found - used, " %zu", params->tensors[i].dims[d]);
        snprintf(found + used, sizeof found - used, "|");
    }
    assert_string_equal(found, expected);
    heed_params_destroy(params);
}

static void absurd_sizes_are_refused(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    heed_config config = small_config();
    heed_params *params;
    assert_int_equal(heed_params_create(&params, &config, 0, 0, &error), HEED_CONFIG);
    config.model.width = (int64_t)1 << 40;
    error = (heed_error)HEED_ERROR_INIT;
    assert_int_equal(heed_params_create(&params, &config, VOCAB, 0, &error), HEED_CONFIG);
    assert_null(params);
}

/* --- initialisation --------------------------------------------------------------------------------------------- */

/* A wide model, so that statistics mean something. */
static heed_config wide_config(heed_init init) {
    heed_config config = small_config();
    config.model.heads = 4;
    config.model.width = 64;
    config.model.hidden = 256;
    config.model.time = 128;
    config.model.init = init;
    config.model.init_std = 0.03;
    return config;
}

typedef struct statistics {
    double mean, std, kurtosis, largest;
} statistics;

static statistics measure(const real *x, size_t n) {
    double m1 = 0, m2 = 0, m4 = 0, largest = 0;
    for (size_t i = 0; i < n; i++)
        m1 += (double)x[i] / (double)n;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)x[i] - m1;
        m2 += d * d / (double)n;
        m4 += d * d * d * d / (double)n;
        largest = fmax(largest, fabs((double)x[i]));
    }
    return (statistics){m1, sqrt(m2), m4 / (m2 * m2), largest};
}

/* Mean within 4.5 and standard deviation within 6 of their standard errors, and the distribution's kurtosis (3 or 9/5).
 */
static void assert_normal(const real *x, size_t n, double std) {
    const statistics s = measure(x, n);
    assert_true(fabs(s.mean) < 4.5 * std / sqrt((double)n));
    assert_true(fabs(s.std / std - 1) < 6 / sqrt(2.0 * (double)n));
    assert_true(fabs(s.kurtosis - 3) < 6 * sqrt(24.0 / (double)n));
}

static void assert_uniform(const real *x, size_t n, double bound) {
    const statistics s = measure(x, n);
    const double std = bound / sqrt(3);
    assert_true(fabs(s.mean) < 4.5 * std / sqrt((double)n));
    assert_true(fabs(s.std / std - 1) < 6 / sqrt(2.0 * (double)n));
    assert_true(s.largest <= bound && s.largest > bound * (1 - 20.0 / (double)n));
    if (n >= 1000)
        assert_true(fabs(s.kurtosis - 1.8) < 6 * sqrt(24.0 / (double)n));
}

static void assert_constant(const real *x, size_t n, real value) {
    for (size_t i = 0; i < n; i++)
        assert_true(x[i] == value);
}

static bool ends_with(const char *name, const char *end) {
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* One tensor against the rule as the header states it, by name. */
static void assert_rule(const heed_tensor *tensor, const real *x, const heed_config *config) {
    const size_t n = tensor->size;
    const double std = config->model.init_std, layers = (double)config->model.layers;
    const heed_init init = config->model.init;
    const bool table = strcmp(tensor->name, "token.weight") == 0 || strcmp(tensor->name, "position.weight") == 0;
    const bool residual = ends_with(tensor->name, ".out.weight") || ends_with(tensor->name, ".down.weight");
    if (ends_with(tensor->name, ".gain"))
        assert_constant(x, n, 1);
    else if (table)
        assert_normal(x, n, init == HEED_INIT_UNIFORM_FAN_IN ? 1 : std);
    else if (ends_with(tensor->name, ".weight") && init == HEED_INIT_GPT2)
        assert_normal(x, n, residual ? std / sqrt(2 * layers) : std);
    else if (ends_with(tensor->name, ".weight") && init == HEED_INIT_XAVIER)
        assert_uniform(x, n, sqrt(6.0 / (double)(tensor->dims[0] + tensor->dims[1])));
    else if (ends_with(tensor->name, ".weight"))
        assert_uniform(x, n, 1 / sqrt((double)tensor->dims[1]));
    else if (init == HEED_INIT_UNIFORM_FAN_IN && !strstr(tensor->name, "norm"))
        assert_uniform(x, n, 1 / sqrt(ends_with(tensor->name, ".down.bias") ? 256.0 : 64.0));
    else
        assert_constant(x, n, 0);
}

static void init_follows_its_rule(void **state) {
    (void)state;
    for (heed_init init = HEED_INIT_GPT2; init <= HEED_INIT_UNIFORM_FAN_IN; init++) {
        const heed_config config = wide_config(init);
        heed_params *params = table(&config, 200);
        real *weights = malloc(params->n_elements * sizeof *weights);
        memset(weights, 0xff, params->n_elements * sizeof *weights);
        heed_params_init(params, weights, &config);
        size_t end = 0;
        for (size_t i = 0; i < params->n_tensors; i++) {
            const heed_tensor *tensor = &params->tensors[i];
            assert_rule(tensor, weights + tensor->offset, &config);
            assert_constant(weights + end, tensor->offset - end, 0);
            end = tensor->offset + tensor->size;
        }
        assert_constant(weights + end, params->n_elements - end, 0);
        free(weights);
        heed_params_destroy(params);
    }
}

static void init_depends_on_the_seed_alone(void **state) {
    (void)state;
    for (heed_init init = HEED_INIT_GPT2; init <= HEED_INIT_UNIFORM_FAN_IN; init++) {
        heed_config config = wide_config(init);
        heed_params *params = table(&config, 201);
        const size_t bytes = params->n_elements * sizeof(real);
        real *a = malloc(bytes), *b = malloc(bytes);
        const int threads = omp_get_max_threads();
        omp_set_num_threads(1);
        heed_params_init(params, a, &config);
        omp_set_num_threads(3);
        heed_params_init(params, b, &config);
        omp_set_num_threads(threads);
        assert_memory_equal(a, b, bytes);
        config.run.seed++;
        heed_params_init(params, b, &config);
        const heed_tensor *up = &params->tensors[heed_params_find(params, "block.1.mlp.up.weight")];
        const heed_tensor *other = &params->tensors[heed_params_find(params, "block.0.mlp.up.weight")];
        size_t same_seed = 0, same_tensor = 0;
        for (size_t i = 0; i < up->size; i++) {
            same_seed += a[up->offset + i] == b[up->offset + i];
            same_tensor += a[up->offset + i] == a[other->offset + i];
        }
        assert_true(same_seed < 10 && same_tensor < 10);
        free(a);
        free(b);
        heed_params_destroy(params);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_follow_the_rules),
        cmocka_unit_test(tied_rows_have_blocks_of_their_own),
        cmocka_unit_test(names_shapes_and_order_are_fixed),
        cmocka_unit_test(absurd_sizes_are_refused),
        cmocka_unit_test(init_follows_its_rule),
        cmocka_unit_test(init_depends_on_the_seed_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
