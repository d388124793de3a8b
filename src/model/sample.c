#include "heed/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "heed/arena.h"
#include "heed/rng.h"

heed_status heed_sampler_init(heed_sampler *sampler, const heed_sample_rule *rule, size_t vocab, heed_error *error) {
    HEED_CHECK(vocab > 0 && rule->temperature >= 0 && rule->top_p >= 0 && rule->top_p <= 1);
    *sampler = (heed_sampler){.rule = *rule, .vocab = vocab};
    sampler->token = malloc(heed_bytes(vocab, sizeof *sampler->token));
    sampler->probability = malloc(heed_bytes(vocab, sizeof *sampler->probability));
    if (sampler->token && sampler->probability)
        return HEED_OK;
    heed_sampler_reset(sampler);
    return heed_fail(error, HEED_MEMORY, "no memory to sample from %zu tokens", vocab);
}

void heed_sampler_reset(heed_sampler *sampler) {
    free(sampler->token);
    free(sampler->probability);
    *sampler = (heed_sampler){0};
}

static int likelier(const void *a, const void *b, void *context) {
    const real *logits = context;
    const int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    if (logits[i] != logits[j])
        return logits[i] > logits[j] ? -1 : 1;
    return i < j ? -1 : 1; /* equals in a fixed order, or texts would depend on how qsort works */
}

/* The fewest tokens, likeliest first, that reach p of the total. Rounding may keep a sum of all just below it. */
static size_t nucleus(const double *weight, size_t n, double total, double p) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += weight[i];
        if (sum >= p * total)
            return i + 1;
    }
    return n;
}

static double sum_of(const double *weight, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += weight[i];
    return sum;
}

static heed_status rank_tokens(heed_sampler *sampler, const real *logits, heed_error *error) {
    for (size_t i = 0; i < sampler->vocab; i++) {
        if (isnan(logits[i]) || logits[i] == (real)INFINITY)
            return heed_fail(error, HEED_NUMERIC, "logit of token %zu = %g: the model's output is not finite", i,
                             (double)logits[i]);
        sampler->token[i] = (int32_t)i;
    }
    qsort_r(sampler->token, sampler->vocab, sizeof *sampler->token, likelier, (void *)logits);
    if (logits[sampler->token[0]] == -(real)INFINITY)
        return heed_fail(error, HEED_NUMERIC, "every logit is -inf: the model's output is not finite");
    return HEED_OK;
}

heed_status heed_sampler_see(heed_sampler *sampler, const real *logits, heed_error *error) {
    const heed_sample_rule *rule = &sampler->rule;
    double *weight = sampler->probability;
    if (rank_tokens(sampler, logits, error) != HEED_OK)
        return error->status;
    size_t n = rule->top_k > 0 && rule->top_k < sampler->vocab ? rule->top_k : sampler->vocab;
    if (rule->temperature == 0)
        n = 1;
    const double greatest = (double)logits[sampler->token[0]];
    weight[0] = 1;
    for (size_t i = 1; i < n; i++)
        weight[i] = exp(((double)logits[sampler->token[i]] - greatest) / rule->temperature);
    if (rule->top_p < 1)
        n = nucleus(weight, n, sum_of(weight, n), rule->top_p);
    const double total = sum_of(weight, n);
    for (size_t i = 0; i < n; i++)
        weight[i] /= total;
    sampler->n_kept = n;
    return HEED_OK;
}

int32_t heed_sampler_draw(const heed_sampler *sampler, uint32_t index) {
    const heed_rng rng = {.seed = sampler->rule.seed, .purpose = HEED_PURPOSE_GENERATE};
    uint32_t words[4];
    heed_rng_block(words, &rng, index);
    const double u = (double)((uint64_t)words[0] << 21 | words[1] >> 11) * 0x1p-53; /* [0, 1) */
    double sum = 0;
    for (size_t i = 0; i + 1 < sampler->n_kept; i++) {
        sum += sampler->probability[i];
        if (u < sum)
            return sampler->token[i];
    }
    return sampler->token[sampler->n_kept - 1];
}
