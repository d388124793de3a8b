/* A small model's table of tensors, arenas with numbers in them, and a tokenizer. */
#ifndef HEED_TESTS_RECORD_SAMPLE_H
#define HEED_TESTS_RECORD_SAMPLE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "heed/checkpoint.h"
#include "store/expect.h"

typedef struct sample {
    heed_params *params;
    heed_tokenizer *tokenizer;
    heed_checkpoint_arenas arenas;
    heed_checkpoint_state state;
} sample;

static const heed_checkpoint_figures no_figures = {0};

static inline void sample_fill(sample *s, uint64_t step) {
    real *const arena[] = {s->arenas.weights, s->arenas.m, s->arenas.v};
    for (int a = 0; a < 3; a++)
        for (size_t t = 0; t < s->params->n_tensors; t++)
            for (size_t i = 0; i < s->params->tensors[t].size; i++)
                arena[a][s->params->tensors[t].offset + i] =
                    (real)((double)(step * 1000003 + (size_t)a * 7919 + t * 104729 + i) * 1e-3);
    s->state.step = step;
}

static inline void sample_create(sample *s, bool tied) {
    heed_config config;
    heed_config_defaults(&config);
    config.model.layers = 2;
    config.model.heads = 2;
    config.model.width = 8;
    config.model.hidden = 16;
    config.model.time = 16;
    config.model.tied = tied;
    *s = (sample){.state = {.valid_loss = NAN, .best_loss = NAN, .data_digest = "0123456789abcdef", .kernel = "skx"}};
    static const char text[] = "Call me Ishmael.";
    OK(heed_params_create(&s->params, &config, 11, 0, &error));
    OK(heed_tokenizer_learn(&s->tokenizer, HEED_TOKENIZER_CHAR, "text", text, sizeof text - 1, &error));
    s->state.config_text = strdup("[model]\nwidth = 8\n");
    s->arenas.params = s->params;
    s->arenas.weights = calloc(s->params->n_elements, sizeof(real));
    s->arenas.m = calloc(s->params->n_elements, sizeof(real));
    s->arenas.v = calloc(s->params->n_elements, sizeof(real));
    sample_fill(s, 1);
}

static inline void sample_destroy(sample *s) {
    heed_params_destroy(s->params);
    heed_tokenizer_destroy(s->tokenizer);
    heed_checkpoint_state_reset(&s->state);
    free(s->arenas.weights);
    free(s->arenas.m);
    free(s->arenas.v);
}

#endif
