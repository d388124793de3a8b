/* AdamW and SGD as one pass over memory: each element's gradient, moments and weight are read once and written once.
 * Elements do not meet, so neither threads nor vector width change a bit. */
#include "heed/optimizer.h"

#include <math.h>

#include "base/stream.h"
#include "heed/multiversion.h"
#include "heed/stage.h"

enum { CHUNK = 4 * HEED_BLOCK }; /* elements a thread takes at once */

/* x^n by squaring: only products, so the same bits everywhere, which pow does not promise. */
static double power(double x, uint64_t n) {
    double result = 1.0;
    for (; n; n >>= 1, x *= x)
        if (n & 1)
            result *= x;
    return result;
}

int heed_optimizer_moments(const heed_config *config) {
    if (config->train.optimizer == HEED_ADAMW)
        return 2;
    return config->train.momentum > 0.0;
}

/* The step's constants, in the number type of the kernels. */
typedef struct rule {
    heed_optimizer_kind kind;
    real scale;                        /* of the gradient */
    real keep;                         /* AdamW: 1 - lr decay; factor of w */
    real decay;                        /* SGD: g' += decay w */
    real beta1, beta2, share1, share2; /* share = 1 - beta */
    real rate;                         /* AdamW: lr / (1 - beta1^t); SGD: lr */
    real spread;                       /* 1 / sqrt(1 - beta2^t) */
    real eps;
} rule;

HEED_MULTIVERSION
static void adamw_range(const rule *r, size_t count, real *restrict w, const real *restrict g, real *restrict m,
                        real *restrict v) {
    const rule a = *r;
    for (size_t from = 0, end; from < count; from = end) {
        end = heedi_run_end(from, count);
        heedi_ask_ahead(w + from);
        heedi_ask_ahead(g + from);
        heedi_ask_ahead(m + from);
        heedi_ask_ahead(v + from);
        for (size_t i = from; i < end; i++) {
            const real gi = g[i] * a.scale;
            const real mi = m[i] * a.beta1 + a.share1 * gi;
            const real vi = v[i] * a.beta2 + a.share2 * gi * gi;
            m[i] = mi;
            v[i] = vi;
#ifdef HEED_DOUBLE
            const real root = sqrt(vi);
#else
            const real root = sqrtf(vi);
#endif
            w[i] = w[i] * a.keep - a.rate * mi / (root * a.spread + a.eps);
        }
    }
}

HEED_MULTIVERSION
static void sgd_range(const rule *r, size_t count, real *restrict w, const real *restrict g, real *restrict m) {
    const rule a = *r;
    for (size_t i = 0; i < count; i++) {
        const real mi = m[i] * a.beta1 + (g[i] * a.scale + a.decay * w[i]);
        m[i] = mi;
        w[i] -= a.rate * mi;
    }
}

HEED_MULTIVERSION
static void plain_sgd_range(const rule *r, size_t count, real *restrict w, const real *restrict g) {
    const rule a = *r;
    for (size_t i = 0; i < count; i++)
        w[i] -= a.rate * (g[i] * a.scale + a.decay * w[i]);
}

static void update_range(const rule *r, size_t count, real *w, const real *g, real *m, real *v) {
    if (r->kind == HEED_ADAMW)
        adamw_range(r, count, w, g, m, v);
    else if (m)
        sgd_range(r, count, w, g, m);
    else
        plain_sgd_range(r, count, w, g);
}

static rule make_rule(const heed_config *config, bool decays, double scale, double learning_rate, uint64_t step) {
    const double decay = decays ? config->train.weight_decay : 0.0;
    rule r = {.kind = config->train.optimizer, .scale = (real)scale};
    if (r.kind == HEED_ADAMW) {
        const double beta1 = config->train.beta1, beta2 = config->train.beta2;
        r.keep = (real)(1.0 - learning_rate * decay);
        r.beta1 = (real)beta1, r.share1 = (real)(1.0 - beta1);
        r.beta2 = (real)beta2, r.share2 = (real)(1.0 - beta2);
        r.rate = (real)(learning_rate / (1.0 - power(beta1, step + 1)));
        r.spread = (real)(1.0 / sqrt(1.0 - power(beta2, step + 1)));
        r.eps = (real)config->train.eps;
    } else {
        r.beta1 = (real)config->train.momentum;
        r.decay = (real)decay;
        r.rate = (real)learning_rate;
    }
    return r;
}

void heed_optimizer_update(const heed_config *config, const heed_params *params, real *weights, size_t first,
                           size_t count, const real *g, real *m, real *v, double gradient_scale, double learning_rate,
                           uint64_t step) {
    HEED_IN_STAGE(UPDATE);
    const rule still = make_rule(config, false, gradient_scale, learning_rate, step);
    const rule decaying = make_rule(config, true, gradient_scale, learning_rate, step);
    for (size_t i = 0; i < params->n_tensors; i++) {
        const heed_tensor *tensor = &params->tensors[i];
        const size_t trained = tensor->offset + tensor->frozen, from = trained > first ? trained : first;
        const size_t tensor_end = tensor->offset + tensor->size, range_end = first + count;
        const size_t end = tensor_end < range_end ? tensor_end : range_end;
        if (tensor->tied_to >= 0 || from >= end)
            continue;
        const rule *r = tensor->role == HEED_ROLE_GAIN || tensor->role == HEED_ROLE_BIAS ? &still : &decaying;
#pragma omp parallel for schedule(static) if (end - from > CHUNK)
        for (size_t at = from; at < end; at += CHUNK) {
            const size_t here = at - first, length = end - at < CHUNK ? end - at : CHUNK;
            update_range(r, length, weights + at, g + here, m ? m + here : NULL, v ? v + here : NULL);
        }
    }
}
