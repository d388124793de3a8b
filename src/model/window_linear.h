/* A linear layer over the concatenated window: what stands in the place of attention in the control `mlp`, as in the
 * neural language model of Bengio et al. 2003. Row r at place i of its sequence reads x_i, x_{i-1}, ..., x_{i-W+1}, one
 * behind the other, zeros where the sequence has not begun. Weights are (out, W in). Internal to src/model. */
#ifndef HEEDI_WINDOW_LINEAR_H
#define HEEDI_WINDOW_LINEAR_H

#include "layer.h"

/* Reals of scratch for sequences of at most `time` tokens: the concatenated window of every token of a sequence. */
size_t heedi_window_scratch(size_t time, size_t window, size_t width);

/* Shapes: x (rows, width), y (rows, linear->out); linear->in = W width. */
void heedi_window_forward(const heedi_pass *pass, const heedi_linear *linear, real *y, const real *x);

/* d_x is overwritten. */
void heedi_window_backward(const heedi_pass *pass, const heedi_linear *linear, real *d_x, const real *d_y,
                           const real *x);

/* The new row of every hypothesis, whose x joins those of earlier tokens in cache (slots, model.time, width). */
void heedi_window_next(const heedi_pass *pass, const heedi_linear *linear, real *y, const real *x, real *cache);

#endif
