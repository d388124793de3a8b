/* One sequence at a time: its windows are laid out in scratch (pass->attention_scratch, which nobody else needs in such
 * a model), and one product does the rest. */
#include "window_linear.h"

#include <string.h>

#include "heed/gemm.h"

size_t heedi_window_scratch(size_t time, size_t window, size_t width) {
    return heed_bytes(heed_bytes(time, window), width);
}

/* out (n, in): the windows of places [first, first + n) of a sequence that begins at x. */
static void concatenate(real *out, const real *x, size_t first, size_t n, size_t in, size_t width) {
    for (size_t i = 0; i < n; i++)
        for (size_t back = 0; back * width < in; back++) {
            real *to = out + i * in + back * width;
            if (back <= first + i)
                memcpy(to, x + (first + i - back) * width, width * sizeof *to);
            else
                memset(to, 0, width * sizeof *to);
        }
}

/* y of n places from their windows. */
static void product(const heedi_linear *linear, real *y, const real *windows, size_t n) {
    for (size_t i = 0; linear->bias && i < n; i++)
        memcpy(y + i * linear->out, linear->bias, linear->out * sizeof *y);
    heed_gemm(false, true, n, linear->out, linear->in, 1, windows, linear->in, linear->weight, linear->in,
              linear->bias ? 1 : 0, y, linear->out);
}

void heedi_window_forward(const heedi_pass *pass, const heedi_linear *linear, real *y, const real *x) {
    const heed_ragged *rows = pass->rows;
    const size_t width = (size_t)pass->config->model.width;
    for (size_t s = 0; s < rows->n_sequences; s++) {
        const size_t row = rows->first_row[s], n = heed_length(rows, s);
        if (n == 0)
            continue;
        concatenate(pass->attention_scratch, x + row * width, 0, n, linear->in, width);
        product(linear, y + row * linear->out, pass->attention_scratch, n);
    }
}

typedef struct window_leaf {
    const heedi_pass *pass;
    const heedi_linear *linear;
    const real *x, *d_y;
} window_leaf;

/* Sequence by sequence, in their order. */
static void sum_window(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    const window_leaf *leaf = context;
    const heedi_linear *linear = leaf->linear;
    const heed_ragged *rows = leaf->pass->rows;
    const size_t width = (size_t)leaf->pass->config->model.width, out = linear->out;
    real *windows = leaf->pass->attention_scratch;
    bool first = true;
    for (size_t s = rows->first_of[grain]; s < rows->first_of[grain + 1]; s++) {
        const size_t row = rows->first_row[s], n = heed_length(rows, s);
        if (n == 0)
            continue;
        concatenate(windows, leaf->x + row * width, 0, n, linear->in, width);
        heed_gemm(true, false, out, linear->in, n, 1, leaf->d_y + row * out, out, windows, linear->in, first ? 0 : 1,
                  d[0], linear->in);
        first = false;
    }
    if (!linear->bias)
        return;
    memset(d[1], 0, out * sizeof(real));
    for (size_t r = first_row; r < first_row + n_rows; r++)
        for (size_t c = 0; c < out; c++)
            d[1][c] += leaf->d_y[r * out + c];
}

void heedi_window_backward(const heedi_pass *pass, const heedi_linear *linear, real *d_x, const real *d_y,
                           const real *x) {
    const heed_ragged *rows = pass->rows;
    const size_t width = (size_t)pass->config->model.width, in = linear->in;
    window_leaf leaf = {pass, linear, x, d_y};
    if (pass->gradient)
        heed_gradient_sum(pass->gradient, rows, linear->tensors, linear->n_tensors, sum_window, &leaf);
    memset(d_x, 0, rows->n_rows * width * sizeof *d_x);
    for (size_t s = 0; s < rows->n_sequences; s++) {
        const size_t row = rows->first_row[s], n = heed_length(rows, s);
        real *d_windows = pass->attention_scratch;
        if (n == 0)
            continue;
        heed_gemm(false, false, n, in, linear->out, 1, d_y + row * linear->out, linear->out, linear->weight, in, 0,
                  d_windows, in);
        for (size_t i = 0; i < n; i++)
            for (size_t back = 0; back * width < in && back <= i; back++)
                for (size_t c = 0; c < width; c++)
                    d_x[(row + i - back) * width + c] += d_windows[i * in + back * width + c];
    }
}

void heedi_window_next(const heedi_pass *pass, const heedi_linear *linear, real *y, const real *x, real *cache) {
    const size_t width = (size_t)pass->config->model.width, time = (size_t)pass->config->model.time;
    const size_t position = pass->new_tokens->position;
    for (size_t r = 0; r < pass->rows->n_rows; r++) {
        real *own = cache + pass->new_tokens->slot[r] * time * width;
        memcpy(own + position * width, x + r * width, width * sizeof *x);
        concatenate(pass->attention_scratch, own, position, 1, linear->in, width);
        product(linear, y + r * linear->out, pass->attention_scratch, 1);
    }
}
