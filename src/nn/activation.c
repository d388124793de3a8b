/* GELU is x cdf(x), with cdf the normal distribution function: the same as x/2 (1 + erf(x / sqrt 2)), but it keeps its
 * digits where erf is close to -1. Its tanh form is x logistic(2u), which equals x/2 (1 + tanh u). */
#include "heed/nn/activation.h"

#include "heed/multiversion.h"
#include "heed/stage.h"
#include "nn/parallel.h"

#define TWICE_ROOT_TWO_OVER_PI ((real)1.59576912160573071176)
#define CUBE ((real)0.044715)

HEED_MULTIVERSION static void gelu(real *y, const real *x, size_t from, size_t to) {
    for (size_t end; from < to; from = end) {
        end = heedi_run_end(from, to);
        heedi_ask_ahead(x + from);
        heedi_ask_ahead(y + from);
        for (size_t i = from; i < end; i++)
            y[i] = x[i] * heedi_normal_at(x[i]).cdf;
    }
}

HEED_MULTIVERSION static void gelu_backward(real *d_x, const real *d_y, const real *x, size_t from, size_t to) {
    for (size_t end; from < to; from = end) {
        end = heedi_run_end(from, to);
        heedi_ask_ahead(x + from);
        heedi_ask_ahead(d_y + from);
        heedi_ask_ahead(d_x + from);
        for (size_t i = from; i < end; i++) {
            const heedi_normal n = heedi_normal_at(x[i]);
            d_x[i] = d_y[i] * heedi_fma(n.x, n.density, n.cdf);
        }
    }
}

HEED_MULTIVERSION static void gelu_tanh(real *y, const real *x, size_t from, size_t to) {
    for (size_t end; from < to; from = end) {
        end = heedi_run_end(from, to);
        heedi_ask_ahead(x + from);
        heedi_ask_ahead(y + from);
        for (size_t i = from; i < end; i++) {
            const real u = TWICE_ROOT_TWO_OVER_PI * heedi_fma(CUBE * x[i] * x[i], x[i], x[i]);
            real density;
            y[i] = x[i] * heedi_logistic(&density, u);
        }
    }
}

/* The derivative is 0 or 1 long before |x| = 32; held there, no product of infinity and zero comes up. */
HEEDI_INLINE real held(real x) {
    x = x > 32 ? 32 : x;
    return x < -32 ? -32 : x;
}

HEED_MULTIVERSION static void gelu_tanh_backward(real *d_x, const real *d_y, const real *x, size_t from, size_t to) {
    for (size_t end; from < to; from = end) {
        end = heedi_run_end(from, to);
        heedi_ask_ahead(x + from);
        heedi_ask_ahead(d_y + from);
        heedi_ask_ahead(d_x + from);
        for (size_t i = from; i < end; i++) {
            const real z = held(x[i]);
            const real u = TWICE_ROOT_TWO_OVER_PI * heedi_fma(CUBE * z * z, z, z);
            const real d_u = TWICE_ROOT_TWO_OVER_PI * heedi_fma(3 * CUBE * z, z, 1);
            real density;
            const real s = heedi_logistic(&density, u);
            d_x[i] = d_y[i] * heedi_fma(z * d_u, density, s);
        }
    }
}

HEED_MULTIVERSION static void relu(real *y, const real *x, size_t from, size_t to) {
    for (size_t end; from < to; from = end) {
        end = heedi_run_end(from, to);
        heedi_ask_ahead(x + from);
        heedi_ask_ahead(y + from);
        for (size_t i = from; i < end; i++)
            y[i] = x[i] < 0 ? 0 : x[i];
    }
}

HEED_MULTIVERSION static void relu_backward(real *d_x, const real *d_y, const real *x, size_t from, size_t to) {
    for (size_t end; from < to; from = end) {
        end = heedi_run_end(from, to);
        heedi_ask_ahead(x + from);
        heedi_ask_ahead(d_y + from);
        heedi_ask_ahead(d_x + from);
        for (size_t i = from; i < end; i++)
            d_x[i] = x[i] > 0 ? d_y[i] : 0;
    }
}

void heed_activation_forward(heed_activation kind, real *y, const real *x, size_t n) {
    HEED_IN_STAGE(ACTIVATION);
#pragma omp parallel if (n >= HEEDI_WORTH_THREADS)
    {
        size_t from, to;
        heedi_share(n, 64, &from, &to);
        switch (kind) {
        case HEED_GELU:
            gelu(y, x, from, to);
            break;
        case HEED_GELU_TANH:
            gelu_tanh(y, x, from, to);
            break;
        case HEED_RELU:
            relu(y, x, from, to);
            break;
        }
    }
}

void heed_activation_backward(heed_activation kind, real *d_x, const real *d_y, const real *x, size_t n) {
    HEED_IN_STAGE(D_ACTIVATION);
#pragma omp parallel if (n >= HEEDI_WORTH_THREADS)
    {
        size_t from, to;
        heedi_share(n, 64, &from, &to);
        switch (kind) {
        case HEED_GELU:
            gelu_backward(d_x, d_y, x, from, to);
            break;
        case HEED_GELU_TANH:
            gelu_tanh_backward(d_x, d_y, x, from, to);
            break;
        case HEED_RELU:
            relu_backward(d_x, d_y, x, from, to);
            break;
        }
    }
}
