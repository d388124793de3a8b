#include "content.h"

#include <string.h>

#include "heed/gemm.h"
#include "heed/nn/embedding.h"
#include "heed/nn/norm.h"

void heedi_content_place(heedi_content *content, heedi_placer *placer, size_t rows, size_t width, bool training) {
    content->token = heedi_place(placer, rows, width);
    content->y = heedi_place(placer, rows, width);
    content->mean = heedi_place(placer, rows, 1);
    content->rstd = heedi_place(placer, rows, 1);
    content->ones = heedi_place(placer, 1, width);
    content->d_y = training ? heedi_place(placer, rows, width) : NULL;
}

void heedi_content_forward(const heedi_pass *pass, const real *table, real scale) {
    const heedi_content *content = pass->content;
    const size_t width = (size_t)pass->config->model.width;
    const heed_ragged *rows = pass->rows;
    for (size_t c = 0; c < width; c++)
        content->ones[c] = 1;
    heed_embedding_forward(content->token, pass->token, table, NULL, rows, width, scale);
    heed_norm_forward(content->y, content->mean, content->rstd, content->token, content->ones, NULL, rows->n_rows,
                      width, (real)pass->config->model.norm_eps);
    if (content->d_y)
        memset(content->d_y, 0, rows->n_rows * width * sizeof(real));
}

void heedi_content_backward(const heedi_pass *pass, real *d_x) {
    const heedi_content *content = pass->content;
    heed_norm_backward_input(d_x, content->d_y, content->token, content->mean, content->rstd, content->ones,
                             pass->rows->n_rows, (size_t)pass->config->model.width, true);
}

void heedi_content_project(const heedi_pass *pass, const heedi_linear *qkv, real *heads, const real *x) {
    const size_t rows = pass->rows->n_rows, width = qkv->in;
    const real add = qkv->bias ? 1 : 0;
    for (size_t r = 0; qkv->bias && r < rows; r++)
        memcpy(heads + r * 3 * width, qkv->bias, 3 * width * sizeof(real));
    if (rows == 0)
        return;
    heed_gemm(false, true, rows, 2 * width, width, 1, pass->content->y, width, qkv->weight, width, add, heads,
              3 * width);
    heed_gemm(false, true, rows, width, width, 1, x, width, qkv->weight + 2 * width * width, width, add,
              heads + 2 * width, 3 * width);
}

typedef struct project_leaf {
    const heedi_linear *qkv;
    const real *content, *x, *d_heads;
} project_leaf;

static void sum_projection(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    const project_leaf *leaf = context;
    const size_t width = leaf->qkv->in;
    const real *d_heads = leaf->d_heads + first_row * 3 * width;
    (void)grain;
    heed_gemm(true, false, 2 * width, width, n_rows, 1, d_heads, 3 * width, leaf->content + first_row * width, width, 0,
              d[0], width);
    heed_gemm(true, false, width, width, n_rows, 1, d_heads + 2 * width, 3 * width, leaf->x + first_row * width, width,
              0, d[0] + 2 * width * width, width);
    if (!leaf->qkv->bias)
        return;
    memset(d[1], 0, 3 * width * sizeof(real));
    for (size_t r = 0; r < n_rows; r++)
        for (size_t c = 0; c < 3 * width; c++)
            d[1][c] += d_heads[r * 3 * width + c];
}

void heedi_content_project_backward(const heedi_pass *pass, const heedi_linear *qkv, real *d_x, const real *d_heads,
                                    const real *x) {
    const size_t rows = pass->rows->n_rows, width = qkv->in;
    project_leaf leaf = {qkv, pass->content->y, x, d_heads};
    if (pass->gradient)
        heed_gradient_sum(pass->gradient, pass->rows, qkv->tensors, qkv->n_tensors, sum_projection, &leaf);
    if (rows == 0)
        return;
    heed_gemm(false, false, rows, width, 2 * width, 1, d_heads, 3 * width, qkv->weight, width, 1, pass->content->d_y,
              width);
    heed_gemm(false, false, rows, width, width, 1, d_heads + 2 * width, 3 * width, qkv->weight + 2 * width * width,
              width, 0, d_x, width);
}
