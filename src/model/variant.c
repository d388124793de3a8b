#include "heed/variant.h"

#include <math.h>

#include "heed/params.h"

const heed_variant heed_variants[] = {
    [HEED_ATTEND_SOFTMAX] = {.name = "softmax", .may_use = "everything: the model itself"},
    [HEED_ATTEND_UNIFORM] = {.name = "uniform",
                             .may_use = "the mean over visible positions: which tokens are there, not where",
                             .frozen = true,
                             .flat = true},
    [HEED_ATTEND_POSITION] = {.name = "position",
                              .may_use = "a learned table of scores over (i, j): where, not what",
                              .frozen = true,
                              .table = true},
    [HEED_ATTEND_CONTENT] = {.name = "content",
                             .may_use = "scores from tokens alone, no position in queries and keys",
                             .content = true},
    [HEED_ATTEND_RANDOM] = {.name = "random", .may_use = "queries and keys frozen as initialised", .frozen = true},
    [HEED_ATTEND_WINDOW] = {.name = "window", .may_use = "the last tokens only", .windowed = true},
    [HEED_ATTEND_NONE] = {.name = "none", .may_use = "nothing but the token itself", .frozen = true, .alone = true},
    [HEED_ATTEND_MLP] = {.name = "mlp",
                         .may_use = "the concatenated window through one feed-forward network",
                         .network = true},
};
const size_t heed_n_variants = sizeof heed_variants / sizeof *heed_variants;

const heed_variant *heed_variant_of(const heed_config *config) {
    return &heed_variants[config->model.attention];
}

const heed_variant *heed_variant_of_encoder(const heed_config *config) {
    static const heed_attend own[] = {[HEED_ENCODER_SOFTMAX] = HEED_ATTEND_SOFTMAX,
                                      [HEED_ENCODER_UNIFORM] = HEED_ATTEND_UNIFORM,
                                      [HEED_ENCODER_RANDOM] = HEED_ATTEND_RANDOM,
                                      [HEED_ENCODER_NONE] = HEED_ATTEND_NONE};
    const heed_encoder_attend encoder = config->model.encoder_attention;
    return encoder == HEED_ENCODER_AS_DECODER ? heed_variant_of(config) : &heed_variants[own[encoder]];
}

size_t heed_variant_window(const heed_variant *variant, const heed_config *config) {
    if (variant->alone)
        return 1;
    if (!variant->windowed)
        return 0;
    const size_t time = (size_t)config->model.time, quarter = time < 4 ? 1 : time / 4;
    const size_t window = config->model.window ? (size_t)config->model.window : quarter;
    return window < time ? window : 0;
}

static heed_status count(const heed_config *config, size_t vocab, double *n_trained, heed_error *error) {
    heed_params *params;
    const heed_status status = heed_params_create(&params, config, vocab, 0, error);
    if (status == HEED_OK)
        *n_trained = (double)params->n_trained;
    heed_params_destroy(params);
    return status;
}

/* The number of parameters is linear in the hidden width: two widths tell the line. */
heed_status heed_variant_match(heed_config *config, heed_attend attention, size_t vocab, heed_error *error) {
    heed_config one = *config, two;
    double wanted, at_one, at_two;
    one.model.attention = HEED_ATTEND_SOFTMAX;
    heed_status status = count(&one, vocab, &wanted, error);
    one.model.attention = attention;
    one.model.layers = heed_variants[attention].network ? 1 : config->model.layers;
    one.model.hidden = 1;
    two = one;
    two.model.hidden = 2;
    if (status == HEED_OK)
        status = count(&one, vocab, &at_one, error);
    if (status == HEED_OK)
        status = count(&two, vocab, &at_two, error);
    if (status != HEED_OK)
        return status;
    const double hidden = 1 + round((wanted - at_one) / (at_two - at_one));
    if (hidden < 1) {
        heed_fail(error, HEED_CONFIG,
                  "model.attention = %s: has %.0f parameters even with one hidden unit, softmax %.0f",
                  heed_variants[attention].name, at_one, wanted);
        return heed_hint(error, "raise model.hidden or model.layers, or lower model.time");
    }
    one.model.hidden = (int64_t)hidden;
    *config = one;
    return HEED_OK;
}
