/* Drawing the next token from a model's logits. */
#ifndef HEED_SAMPLE_H
#define HEED_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "heed/real.h"
#include "heed/status.h"

typedef struct heed_sample_rule {
    double temperature; /* softmax of logits / temperature; 0: always the likeliest token */
    size_t top_k;       /* keep the k likeliest tokens (Fan et al. 2018); 0: all */
    double top_p;       /* of those, keep the fewest whose probabilities sum to p (Holtzman et al. 2020); 1: all */
    uint64_t seed;
} heed_sample_rule;

typedef struct heed_sampler {
    heed_sample_rule rule;
    size_t vocab;
    size_t n_kept;       /* tokens that may be drawn, by the last heed_sampler_see */
    int32_t *token;      /* (vocab) likeliest first, equals by number; the first n_kept may be drawn */
    double *probability; /* (vocab) of token[i], summing to 1 over the first n_kept */
} heed_sampler;

/* rule must hold temperature >= 0 and 0 <= top_p <= 1. Errors: HEED_MEMORY. Ownership: heed_sampler_reset frees. */
heed_status heed_sampler_init(heed_sampler *sampler, const heed_sample_rule *rule, size_t vocab, heed_error *error);
void heed_sampler_reset(heed_sampler *sampler);

/* Works out which tokens may follow, and how probable each is: temperature, then top-k, then top-p (the token that
 * reaches p is kept, so at least one is), probabilities scaled to sum to 1. Shapes: logits (vocab). Errors:
 * HEED_NUMERIC when a logit is NaN or +infinity. Allocates nothing. */
heed_status heed_sampler_see(heed_sampler *sampler, const real *logits, heed_error *error);

/* Draws one of the kept tokens. The number drawn with is a function of the seed and index (how many tokens were drawn
 * before) alone: same seed, same logits, same text. Cannot fail. */
int32_t heed_sampler_draw(const heed_sampler *sampler, uint32_t index);

#endif
