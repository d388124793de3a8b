#include "embedding.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "content.h"
#include "heed/nn/embedding.h"

void heedi_embedding_place(heedi_embedding *embedding, heedi_placer *placer, const heed_config *config, size_t rows,
                           bool training) {
    const size_t width = (size_t)config->model.width, time = (size_t)config->model.time;
    embedding->sinusoids = config->model.positions == HEED_SINUSOIDAL ? heedi_place(placer, time, width) : NULL;
    if (!training)
        return;
    embedding->used = heedi_place_indices(placer, rows);
    embedding->use = heedi_place_indices(placer, rows);
    embedding->place = heedi_place_indices(placer, embedding->vocab);
}

static const real *find(size_t *tensor, const heed_params *params, const real *weights, const char *prefix,
                        const char *name) {
    char full[64];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const int found = heed_params_find(params, full);
    HEED_CHECK(found >= 0);
    *tensor = (size_t)found;
    return weights + params->tensors[found].offset;
}

void heedi_embedding_bind(heedi_embedding *embedding, const heed_params *params, const real *weights,
                          const heed_config *config, const char *prefix) {
    const size_t width = (size_t)config->model.width;
    embedding->token = find(&embedding->token_tensor, params, weights, prefix, "token.weight");
    embedding->scale = config->model.scale_embeddings ? (real)sqrt((double)width) : 1;
    embedding->positions = embedding->sinusoids;
    const heed_tensor *last = &params->tensors[embedding->token_tensor];
    if (config->model.positions == HEED_LEARNED) {
        embedding->positions = find(&embedding->position_tensor, params, weights, prefix, "position.weight");
        last = &params->tensors[embedding->position_tensor];
    }
    embedding->end = last->offset + last->size;
    if (embedding->sinusoids)
        heed_sinusoidal_positions(embedding->sinusoids, (size_t)config->model.time, width);
}

void heedi_embedding_forward(const heedi_pass *pass, const heedi_embedding *embedding, real *y) {
    const size_t width = (size_t)pass->config->model.width;
    const size_t first = pass->new_tokens ? pass->new_tokens->position : 0;
    const real *positions = embedding->positions ? embedding->positions + first * width : NULL;
    heedi_need(pass, embedding->end);
    heed_embedding_forward(y, pass->token, embedding->token, positions, pass->rows, width, embedding->scale);
    heedi_drop(pass, y, embedding->site);
    if (pass->content)
        heedi_content_forward(pass, embedding->token, embedding->scale);
}

/* Lists the tokens that occur: in a large vocabulary they are few, and the others' gradients are zero. */
static void list_tokens(heedi_embedding *embedding, const int32_t *token, size_t n_rows) {
    memset(embedding->place, 0, embedding->vocab * sizeof *embedding->place);
    for (size_t r = 0; r < n_rows; r++)
        embedding->place[token[r]] = 1;
    embedding->n_used = 0;
    for (size_t v = 0; v < embedding->vocab; v++)
        if (embedding->place[v]) {
            embedding->place[v] = (int32_t)embedding->n_used;
            embedding->used[embedding->n_used++] = (int32_t)v;
        }
    for (size_t r = 0; r < n_rows; r++)
        embedding->use[r] = embedding->place[token[r]];
}

/* What a leaf needs to know beside its rows. */
typedef struct embedding_leaf {
    const heedi_pass *pass;
    const heedi_embedding *embedding;
    const real *d_x;
} embedding_leaf;

static void sum_tokens(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    const embedding_leaf *leaf = context;
    const heedi_embedding *embedding = leaf->embedding;
    (void)grain;
    heed_embedding_backward_table(d[0], leaf->d_x, embedding->use, first_row, n_rows, embedding->n_used,
                                  (size_t)leaf->pass->config->model.width, embedding->scale);
}

static void sum_positions(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    const embedding_leaf *leaf = context;
    const heed_config *config = leaf->pass->config;
    (void)first_row;
    (void)n_rows;
    heed_embedding_backward_positions(d[0], leaf->d_x, leaf->pass->rows, grain, (size_t)config->model.time,
                                      (size_t)config->model.width);
}

void heedi_embedding_backward(const heedi_pass *pass, heedi_embedding *embedding, real *d_x) {
    embedding_leaf leaf = {pass, embedding, d_x};
    if (!pass->gradient)
        return;
    heedi_drop(pass, d_x, embedding->site);
    if (pass->config->model.positions == HEED_LEARNED)
        heed_gradient_sum(pass->gradient, pass->rows, &embedding->position_tensor, 1, sum_positions, &leaf);
    if (pass->content)
        heedi_content_backward(pass, d_x);
    list_tokens(embedding, pass->token, pass->rows->n_rows);
    heed_gradient_sum_entries(pass->gradient, pass->rows, embedding->token_tensor, embedding->used, embedding->n_used,
                              sum_tokens, &leaf);
}
