/* The same model in PyTorch: losses, gradients and 200 steps of training, stored in vectors.txt by make_vectors.py. */
#include <math.h>
#include <stdio.h>

#include "fixture.h"
#include "heed/comm.h"
#include "heed/gemm.h"
#include "heed/gradsync.h"
#include "heed/schedule.h"

#ifdef HEED_DOUBLE
#define LOSS_TOLERANCE 1e-13
#define GRADIENT_TOLERANCE 1e-13
#define EARLY_TOLERANCE 1e-12
#define CURVE_TOLERANCE 1e-12
#else
#define LOSS_TOLERANCE 1e-6
#define GRADIENT_TOLERANCE 5e-6
#define EARLY_TOLERANCE 3e-6 /* over the first 20 steps */
#define CURVE_TOLERANCE 2e-5
#endif

/* --- reading the vectors ---------------------------------------------------------------------------------------- */

/* One line of the file: a key and numbers, or a key and a word. */
typedef struct line {
    char key[64], word[32];
    size_t n;
    double *values;
} line;

typedef struct vectors {
    size_t n_lines;
    line lines[64];
} vectors;

static const line *find_line(const vectors *c, const char *key) {
    for (size_t i = 0; i < c->n_lines; i++)
        if (strcmp(c->lines[i].key, key) == 0)
            return &c->lines[i];
    fail_msg("vectors.txt: no %s", key);
    return NULL;
}

static void parse(line *to, char *text) {
    char *rest = NULL, *key = strtok_r(text, " \n", &rest), *first = strtok_r(NULL, " \n", &rest), *next;
    snprintf(to->key, sizeof to->key, "%s", key);
    snprintf(to->word, sizeof to->word, "%s", first ? first : "");
    to->n = 0;
    to->values = calloc(first ? strlen(rest) / 2 + 2 : 1, sizeof *to->values);
    while ((next = strtok_r(NULL, " \n", &rest)))
        to->values[to->n++] = strtod(next, NULL);
    if (to->n > 0)
        assert_int_equal(to->n, atoi(to->word));
}

/* Reads the case of that name. */
static void read_case(vectors *c, const char *name) {
    FILE *file = fopen(HEED_SOURCE_DIR "/tests/model/vectors.txt", "r");
    char *text = NULL;
    size_t room = 0;
    bool found = false;
    assert_non_null(file);
    c->n_lines = 0;
    while (getline(&text, &room, file) > 0) {
        char head[64] = "", word[32] = "";
        sscanf(text, "%63s %31s", head, word);
        found = found || (strcmp(head, "name") == 0 && strcmp(word, name) == 0);
        if (found && strcmp(head, "end") == 0)
            break;
        if (found) {
            assert_true(c->n_lines < 64);
            parse(&c->lines[c->n_lines++], text);
        }
    }
    free(text);
    fclose(file);
    assert_true(found);
}

static void forget_case(vectors *c) {
    for (size_t i = 0; i < c->n_lines; i++)
        free(c->lines[i].values);
}

static int64_t integer(const vectors *c, const char *key) {
    return atoll(find_line(c, key)->word);
}

static int choice(const vectors *c, const char *key, const char *const *words) {
    for (int i = 0; words[i]; i++)
        if (strcmp(find_line(c, key)->word, words[i]) == 0)
            return i;
    fail_msg("vectors.txt: %s", key);
    return 0;
}

static heed_config config_of(const vectors *c) {
    heed_config config = small_config();
    config.model.layers = integer(c, "layers");
    config.model.heads = integer(c, "heads");
    config.model.width = integer(c, "width");
    config.model.hidden = integer(c, "hidden");
    config.model.time = integer(c, "time");
    config.model.tied = integer(c, "tied");
    config.model.bias = integer(c, "bias");
    config.model.positions =
        (heed_positions)choice(c, "positions", (const char *[]){"learned", "sinusoidal", "rotary", "none", NULL});
    config.model.activation =
        (heed_activation)choice(c, "activation", (const char *[]){"gelu", "gelu_tanh", "relu", NULL});
    return config;
}

/* A number in [-1, 1) with 20 bits, as the script draws it. */
static double number(uint64_t i, uint64_t t) {
    uint64_t z = ((t << 32 | i) + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (double)((z ^ z >> 31) >> 44) / 0x80000 - 1;
}

static void fill_weights(heed_model *model) {
    const heed_params *params = heed_model_params(model);
    for (size_t t = 0; t < params->n_tensors; t++) {
        const heed_tensor *tensor = &params->tensors[t];
        const bool matrix = tensor->n_dims > 1, gain = tensor->role == HEED_ROLE_GAIN;
        for (size_t i = 0; tensor->tied_to < 0 && i < tensor->size; i++)
            heed_model_weights(model)[tensor->offset + i] = (real)((gain ? 1 : 0) + number(i, t) / (matrix ? 4 : 8));
    }
}

/* --- one batch -------------------------------------------------------------------------------------------------- */

static void fill_batch(test_batch *made, const vectors *c) {
    const line *lengths = find_line(c, "lengths"), *token = find_line(c, "tokens"), *target = find_line(c, "targets");
    size_t length[16] = {0};
    for (size_t i = 0; i < lengths->n; i++)
        length[i] = (size_t)lengths->values[i];
    test_batch_fill(made, length, 2, 2, false, 1);
    made->batch.weight_total = 0;
    for (size_t r = 0; r < token->n; r++) {
        made->token[r] = (int32_t)token->values[r];
        made->target[r] = (int32_t)target->values[r];
        made->weight[r] = (real)find_line(c, "weights")->values[r];
        made->batch.weight_total += (double)made->weight[r];
    }
}

static void compare_gradients(const vectors *c, const heed_params *params, const heed_gradient *gradient) {
    const real *partial = heed_gradient_partial(gradient, 0);
    double whole = 0;
    for (size_t t = 0; t < params->n_tensors; t++)
        for (size_t i = 0; params->tensors[t].tied_to < 0 && i < params->tensors[t].size; i++)
            whole += pow(find_line(c, params->tensors[t].name)->values[i], 2);
    for (size_t t = 0; t < params->n_tensors; t++) {
        const heed_tensor *tensor = &params->tensors[t];
        if (tensor->tied_to >= 0)
            continue;
        const line *expected = find_line(c, tensor->name);
        const int output = heed_params_find(params, "output.weight");
        const bool shared = params->tensors[output].tied_to == (int)t;
        double norm = 0, error = 0;
        assert_int_equal(expected->n, tensor->size);
        for (size_t i = 0; i < tensor->size; i++) {
            double found = (double)partial[tensor->gradient + i];
            if (shared)
                found += (double)partial[params->tensors[output].gradient + i];
            norm += expected->values[i] * expected->values[i];
            error += (found - expected->values[i]) * (found - expected->values[i]);
        }
        if (!(sqrt(error) <= GRADIENT_TOLERANCE * fmax(sqrt(norm), 1e-8 * sqrt(whole))))
            fail_msg("%s: %s: relative error %g", find_line(c, "name")->word, tensor->name, sqrt(error / norm));
    }
}

static void losses_and_gradients_are_those_of_pytorch(void **state) {
    (void)state;
    static const char *const cases[] = {"nanogpt", "gpt2", "rotary", "sinusoidal", "bag"};
    heed_error error = HEED_ERROR_INIT;
    static test_batch made;
    static vectors c;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        read_case(&c, cases[i]);
        fill_batch(&made, &c);
        const heed_config config = config_of(&c);
        heed_model *model;
        heed_gradient *gradient;
        double sequence_loss[16], loss = 0;
        assert_int_equal(heed_model_create(&model, &config,
                                           &(heed_model_shape){.vocab = (size_t)integer(&c, "vocab"),
                                                               .max_rows = 64,
                                                               .max_sequences = 16,
                                                               .training = true},
                                           &error),
                         HEED_OK);
        assert_int_equal(
            heed_gradient_create(&gradient, heed_model_params(model), 0, made.n_grains, made.n_grains, &error),
            HEED_OK);
        fill_weights(model);
        heed_model_forward(model, &made.batch, HEED_PASS_TRAIN);
        heed_model_loss(model, &made.batch, gradient, sequence_loss, NULL);
        heed_model_backward(model, &made.batch, gradient);
        for (size_t s = 0; s < made.n_sequences; s++)
            loss += sequence_loss[s];
        const double expected = find_line(&c, "loss")->values[0];
        if (!(fabs(loss - expected) / made.batch.weight_total <= LOSS_TOLERANCE))
            fail_msg("%s: loss %.17g, PyTorch %.17g", cases[i], loss, expected);
        compare_gradients(&c, heed_model_params(model), gradient);
        heed_gradient_destroy(gradient);
        heed_model_destroy(model);
        forget_case(&c);
    }
}

/* --- training --------------------------------------------------------------------------------------------------- */

#define STEPS 200
#define SEQUENCES 6

static heed_config curve_config(const vectors *c) {
    heed_config config = config_of(c);
    config.train.steps = STEPS;
    config.train.batch = SEQUENCES;
    config.train.grain = 1;
    config.train.optimizer = HEED_ADAMW;
    config.train.beta1 = 0.9;
    config.train.beta2 = 0.99;
    config.train.eps = 1e-8;
    config.train.weight_decay = 0.1;
    config.train.schedule = HEED_COSINE;
    config.train.peak_lr = 2e-3;
    config.train.final_lr = 2e-4;
    config.train.warmup = 20;
    config.train.clip = 1;
    return config;
}

static void fill_windows(test_batch *made, const vectors *c, size_t step) {
    const line *text = find_line(c, "tokens"), *starts = find_line(c, "starts");
    const size_t time = (size_t)integer(c, "time");
    for (size_t s = 0; s < SEQUENCES; s++)
        for (size_t p = 0; p < time; p++) {
            const size_t at = (size_t)starts->values[step * SEQUENCES + s] + p;
            made->token[s * time + p] = (int32_t)text->values[at];
            made->target[s * time + p] = (int32_t)text->values[at + 1];
        }
}

/* The loss of every step of training on the fixture's windows, through the parts of a training step. */
static void train(double *loss, const vectors *c, const heed_config *config, heed_comm *comm) {
    heed_error error = HEED_ERROR_INIT;
    static test_batch made;
    heed_model *model;
    heed_gradsync *sync;
    size_t lengths[SEQUENCES + 1] = {0};
    for (size_t s = 0; s < SEQUENCES; s++)
        lengths[s] = (size_t)config->model.time;
    test_batch_fill(&made, lengths, 1, 2, false, 1);
    assert_int_equal(heed_model_create(&model, config,
                                       &(heed_model_shape){.vocab = (size_t)integer(c, "vocab"),
                                                           .max_rows = made.batch.rows.n_rows,
                                                           .max_sequences = SEQUENCES,
                                                           .training = true},
                                       &error),
                     HEED_OK);
    assert_int_equal(heed_gradsync_create(&sync, comm, heed_model_params(model), config, 0, &error), HEED_OK);
    fill_weights(model);
    for (size_t step = 0; step < STEPS; step++) {
        double sequence_loss[SEQUENCES], norm;
        fill_windows(&made, c, step);
        heed_gradsync_begin(sync);
        heed_model_forward(model, &made.batch, HEED_PASS_TRAIN);
        heed_model_loss(model, &made.batch, heed_gradsync_gradient(sync), sequence_loss, NULL);
        heed_model_backward(model, &made.batch, heed_gradsync_gradient(sync));
        loss[step] = 0;
        for (size_t s = 0; s < SEQUENCES; s++)
            loss[step] += sequence_loss[s] / made.batch.weight_total;
        assert_int_equal(heed_gradsync_finish(sync, made.batch.weight_total, &norm, &error), HEED_OK);
        const double clipping = fmin(1, config->train.clip / (norm + 1e-6));
        assert_int_equal(heed_gradsync_update(sync, heed_model_weights(model), clipping / made.batch.weight_total,
                                              heed_learning_rate(config, step), step, &error),
                         HEED_OK);
    }
    heed_gradsync_destroy(sync);
    heed_model_destroy(model);
}

static heed_comm *comm;

static void training_follows_pytorch(void **state) {
    (void)state;
    static vectors c;
    double loss[STEPS];
    read_case(&c, "curve");
    const heed_config config = curve_config(&c);
    train(loss, &c, &config, comm);
    const double *expected = find_line(&c, "losses")->values;
    assert_true(expected[STEPS - 1] < 0.8 * expected[0]); /* it does learn */
    for (size_t step = 0; step < STEPS; step++)
        if (!(fabs(loss[step] - expected[step]) <= (step < 20 ? EARLY_TOLERANCE : CURVE_TOLERANCE)))
            fail_msg("step %zu: loss %.17g, PyTorch %.17g", step, loss[step], expected[step]);
    forget_case(&c);
}

/* The comparison is sharp enough to tell the two GELUs apart, which differ by less than 1e-3 all along the curve. */
static void training_tells_tanh_from_erf(void **state) {
    (void)state;
    static vectors c;
    double loss[STEPS], furthest = 0;
    read_case(&c, "curve");
    heed_config config = curve_config(&c);
    config.model.activation = HEED_GELU_TANH;
    train(loss, &c, &config, comm);
    for (size_t step = 0; step < STEPS; step++)
        furthest = fmax(furthest, fabs(loss[step] - find_line(&c, "losses")->values[step]));
    assert_true(furthest > CURVE_TOLERANCE && furthest < 1e-3);
    forget_case(&c);
}

static int start(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    return heed_comm_open(&comm, &error) || heed_gemm_open(heed_gemm_best(), 1, &error);
}

static int stop(void **state) {
    (void)state;
    heed_comm_close(comm);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_and_gradients_are_those_of_pytorch),
        cmocka_unit_test(training_follows_pytorch),
        cmocka_unit_test(training_tells_tanh_from_erf),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
