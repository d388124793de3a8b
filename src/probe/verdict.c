#include "heed/verdict.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "heed/status.h"

static const struct {
    const char *name, *meaning;
} verdicts[] = {
#define ROW(name, meaning) {#name, meaning},
    HEED_VERDICT_TABLE(ROW)
#undef ROW
};

const char *heed_verdict_name(heed_verdict_kind verdict) {
    return verdicts[verdict].name;
}

const char *heed_verdict_meaning(heed_verdict_kind verdict) {
    return verdicts[verdict].meaning;
}

void heed_fractions_recovered(double *fraction, const double *none, const double *softmax, const double *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        fraction[i] = (none[i] - x[i]) / (none[i] - softmax[i]);
}

/* The three comparisons of the rules, in their order. */
enum { WORTH, UNIFORM, POSITION, COMPARISONS };
static const double margin[COMPARISONS] = {HEED_VERDICT_MARGIN, 1 - HEED_VERDICT_MARGIN, 1 - HEED_VERDICT_MARGIN};

static bool lies_below(heed_interval interval, double bound) {
    return interval.high < bound; /* false for NaN */
}

static bool lies_above(heed_interval interval, double bound) {
    return interval.low > bound;
}

static heed_verdict_kind read_rules(const heed_interval interval[COMPARISONS]) {
    if (lies_below(interval[WORTH], margin[WORTH]))
        return HEED_VERDICT_NONE;
    if (lies_above(interval[UNIFORM], margin[UNIFORM]))
        return HEED_VERDICT_BAG;
    if (lies_above(interval[POSITION], margin[POSITION]))
        return HEED_VERDICT_POSITION;
    if (lies_below(interval[UNIFORM], margin[UNIFORM]) && lies_below(interval[POSITION], margin[POSITION]))
        return HEED_VERDICT_CONTEXT;
    return HEED_VERDICT_UNDECIDED;
}

heed_judgement heed_judge(const double *none, const double *softmax, const double *uniform, const double *position,
                          size_t n) {
    double *const values = calloc(COMPARISONS * n + 1, sizeof *values), p[COMPARISONS], tails[COMPARISONS];
    heed_interval interval[COMPARISONS];
    const double *const control[COMPARISONS] = {none, uniform, position};
    HEED_CHECK(values);
    for (size_t i = 0; i < n; i++)
        values[i] = (none[i] - softmax[i]) / none[i];
    for (int k = UNIFORM; k < COMPARISONS; k++)
        for (size_t i = 0; i < n; i++)
            values[(size_t)k * n + i] = control[k] ? (none[i] - control[k][i]) / (none[i] - softmax[i]) : NAN;
    for (int k = 0; k < COMPARISONS; k++)
        p[k] = heed_mean_test(values + (size_t)k * n, n, margin[k]);
    heed_holm(tails, p, COMPARISONS, HEED_VERDICT_ALPHA);
    for (int k = 0; k < COMPARISONS; k++)
        interval[k] = heed_interval_of(values + (size_t)k * n, n, tails[k]);
    free(values);
    return (heed_judgement){.verdict = read_rules(interval),
                            .worth = interval[WORTH],
                            .uniform = interval[UNIFORM],
                            .position = interval[POSITION],
                            .tails = {tails[WORTH], tails[UNIFORM], tails[POSITION]}};
}
