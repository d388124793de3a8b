/* Vectors that scripts have made with PyTorch, as lines of a key and numbers, and what both sides draw alike. */
#ifndef TESTS_MODEL_VECTORS_H
#define TESTS_MODEL_VECTORS_H

#include <math.h>
#include <stdio.h>

#include "fixture.h"

/* One line of the file: a key and numbers, or a key and a word. */
typedef struct line {
    char key[64], word[32];
    size_t n;
    double *values;
} line;

typedef struct vectors {
    size_t n_lines;
    line lines[128];
} vectors;

static inline const line *find_line(const vectors *c, const char *key) {
    for (size_t i = 0; i < c->n_lines; i++)
        if (strcmp(c->lines[i].key, key) == 0)
            return &c->lines[i];
    fail_msg("vectors: no %s", key);
    return NULL;
}

static inline void parse(line *to, char *text) {
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

/* Reads the case of that name from a file in this folder. */
static inline void read_case(vectors *c, const char *name, const char *file_name) {
    char path[512];
    snprintf(path, sizeof path, "%s/tests/model/%s", HEED_SOURCE_DIR, file_name);
    FILE *file = fopen(path, "r");
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
            assert_true(c->n_lines < 128);
            parse(&c->lines[c->n_lines++], text);
        }
    }
    free(text);
    fclose(file);
    assert_true(found);
}

static inline void forget_case(vectors *c) {
    for (size_t i = 0; i < c->n_lines; i++)
        free(c->lines[i].values);
}

static inline int64_t integer(const vectors *c, const char *key) {
    return atoll(find_line(c, key)->word);
}

static inline int choice(const vectors *c, const char *key, const char *const *words) {
    for (int i = 0; words[i]; i++)
        if (strcmp(find_line(c, key)->word, words[i]) == 0)
            return i;
    fail_msg("vectors: %s", key);
    return 0;
}

/* A number in [-1, 1) with 20 bits, as the script draws it. */
static inline double number(uint64_t i, uint64_t t) {
    uint64_t z = ((t << 32 | i) + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (double)((z ^ z >> 31) >> 44) / 0x80000 - 1;
}

static inline void fill_weights(heed_model *model) {
    const heed_params *params = heed_model_params(model);
    for (size_t t = 0; t < params->n_tensors; t++) {
        const heed_tensor *tensor = &params->tensors[t];
        const bool matrix = tensor->n_dims > 1, gain = tensor->role == HEED_ROLE_GAIN;
        for (size_t i = 0; tensor->tied_to < 0 && i < tensor->size; i++)
            heed_model_weights(model)[tensor->offset + i] = (real)((gain ? 1 : 0) + number(i, t) / (matrix ? 4 : 8));
    }
}

/* Every tensor, the uses of a tied one added up, against the vectors: |difference| <= tolerance |expected|. */
static inline void compare_gradients(const vectors *c, const heed_params *params, const heed_gradient *gradient,
                                     double tolerance) {
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
        double norm = 0, error = 0;
        assert_int_equal(expected->n, tensor->size);
        for (size_t i = 0; i < tensor->size; i++) {
            double found = (double)partial[tensor->gradient + i];
            for (size_t other = 0; other < params->n_tensors; other++)
                if (params->tensors[other].tied_to == (int)t)
                    found += (double)partial[params->tensors[other].gradient + i];
            norm += expected->values[i] * expected->values[i];
            error += (found - expected->values[i]) * (found - expected->values[i]);
        }
        if (!(sqrt(error) <= tolerance * fmax(sqrt(norm), 1e-8 * sqrt(whole))))
            fail_msg("%s: %s: relative error %g", find_line(c, "name")->word, tensor->name, sqrt(error / norm));
    }
}

#endif
