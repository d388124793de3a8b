/* The verdict of matched controls: what a model's attention is worth, and what it would have been worth if it had seen
 * less. The rules stand in docs/science.md, section 2; this is their code. */
#ifndef HEED_VERDICT_H
#define HEED_VERDICT_H

#include <stddef.h>

#include "heed/statistics.h"

/* name, meaning. In the order in which they are tried, but for the first. */
#define HEED_VERDICT_TABLE(X)                                                                                          \
    X(UNDECIDED, "an interval straddles its margin: more seeds or steps are needed")                                   \
    X(NONE, "context is worth less than a twentieth of the loss")                                                      \
    X(BAG, "knowing which tokens are there is enough")                                                                 \
    X(POSITION, "knowing where to look, regardless of what is there, is enough")                                       \
    X(CONTEXT, "what a position holds decides how much it is drawn from")

typedef enum heed_verdict {
#define HEED_VERDICT_ENUM(name, meaning) HEED_VERDICT_##name,
    HEED_VERDICT_TABLE(HEED_VERDICT_ENUM)
#undef HEED_VERDICT_ENUM
        HEED_N_VERDICTS
} heed_verdict_kind;

const char *heed_verdict_name(heed_verdict_kind verdict);
const char *heed_verdict_meaning(heed_verdict_kind verdict);

#define HEED_VERDICT_MARGIN 0.05 /* the equivalence margin */
#define HEED_VERDICT_ALPHA 0.05  /* the chance of any wrong comparison among the three, in all */

/* R = (L_none - L_x) / (L_none - L_softmax), seed by seed: 1 when x is as good as softmax, 0 when it is as good as no
 * context. Not finite where softmax is worth nothing. */
void heed_fractions_recovered(double *fraction, const double *none, const double *softmax, const double *x, size_t n);

/* What the verdict was read from: intervals with the levels that Holm's correction gives them. */
typedef struct heed_judgement {
    heed_verdict_kind verdict;
    heed_interval worth;    /* (L_none - L_softmax) / L_none, held against 0.05 */
    heed_interval uniform;  /* R_uniform, held against 0.95 */
    heed_interval position; /* R_position, held against 0.95 */
    double tails[3];        /* the levels of the three intervals */
} heed_judgement;

/* Losses (n) of runs with the same n seeds, in the same order. uniform or position may be NULL: then the comparison is
 * left out, and verdicts that need it are not given. */
heed_judgement heed_judge(const double *none, const double *softmax, const double *uniform, const double *position,
                          size_t n);

#endif
