/* Point-wise activations. */
#ifndef HEED_NN_ACTIVATION_H
#define HEED_NN_ACTIVATION_H

#include <stddef.h>

#include "heed/config.h"
#include "heed/real.h"

/* gelu       y = x/2 (1 + erf(x / sqrt 2))                              (Hendrycks and Gimpel 2016)
 * gelu_tanh  y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))          (the same, its approximation; GPT-2's)
 * relu       y = max(x, 0)
 * Shapes: x, y (n). y may be x. Overwrites y. Not collective. Cannot fail. */
void heed_activation_forward(heed_activation kind, real *y, const real *x, size_t n);

/* d_x = d_y * dy/dx at x. d_x may be d_y. Overwrites d_x. ReLU's derivative at 0 is 0. */
void heed_activation_backward(heed_activation kind, real *d_x, const real *d_y, const real *x, size_t n);

#endif
