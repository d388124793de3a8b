#include "heed/schedule.h"

/* cos(pi x) for x in [0, 1], by Taylor's series on [0, 1/4]. The C library's cos differs in the last bit between
 * processors with and without fused multiply-add; ranks of a mixed cluster must not. */
static double cos_pi(double x) {
    if (x > 0.5)
        return -cos_pi(1.0 - x);
    const double pi = 3.14159265358979323846;
    const int sine = x > 0.25; /* cos(pi x) = sin(pi (1/2 - x)) */
    const double angle = pi * (sine ? 0.5 - x : x), square = angle * angle;
    double term = sine ? angle : 1.0, sum = term;
    for (int n = sine ? 2 : 1; n < 20; n += 2) {
        term = -term * square / (double)(n * (n + 1));
        sum += term;
    }
    return sum;
}

double heed_learning_rate(const heed_config *config, uint64_t step) {
    const double peak = config->train.peak_lr, final = config->train.final_lr;
    const double t = (double)step, steps = (double)config->train.steps, warmup = (double)config->train.warmup;
    if (t < warmup)
        return peak * (t + 1.0) / warmup;

    const double whole = steps > warmup ? steps - warmup : 1.0;
    const double progress = t < steps ? (t - warmup) / whole : 1.0;
    switch (config->train.schedule) {
    case HEED_CONSTANT:
        return peak;
    case HEED_LINEAR:
        return peak + (final - peak) * progress;
    case HEED_COSINE:
        return final + (peak - final) * (1.0 + cos_pi(progress)) / 2.0;
    case HEED_INVERSE_SQRT:
        return peak * __builtin_sqrt((warmup > 1.0 ? warmup : 1.0) / (t + 1.0));
    case HEED_WSD: {
        const double decay = (double)config->train.decay, past = t - (steps - decay);
        if (past <= 0.0)
            return peak;
        return past < decay ? peak + (final - peak) * past / decay : final;
    }
    }
    return peak;
}
