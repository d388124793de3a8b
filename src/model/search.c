#include "heed/search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct candidate { /* one more token behind a hypothesis */
    size_t parent;
    int32_t token;
    double log_p; /* of the whole */
} candidate;

struct heed_search {
    heed_model *model;
    heed_search_rule rule;
    size_t vocab, n_live;
    int32_t *token[2];    /* (beam, most) of the hypotheses under way, and room for those that follow them */
    double *log_p;        /* (beam) */
    candidate *candidate; /* (2 beam) likeliest first */
    size_t n_candidates;
    int32_t *next;  /* (beam) */
    size_t *parent; /* (beam) */
    int32_t *best;  /* (most) */
    size_t n_best;
    double best_score; /* -infinity: none yet */
};

heed_status heed_search_create(heed_search **search, heed_model *model, const heed_search_rule *rule,
                               heed_error *error) {
    HEED_CHECK(rule->beam > 0 && rule->most > 0 && rule->length_penalty >= 0);
    heed_search *s = *search = calloc(1, sizeof *s);
    if (!s)
        return heed_fail(error, HEED_MEMORY, "search: out of memory");
    const size_t beam = rule->beam;
    *s = (heed_search){.model = model, .rule = *rule, .vocab = heed_model_vocab(model)};
    for (int i = 0; i < 2; i++)
        s->token[i] = malloc(beam * rule->most * sizeof *s->token[i]);
    s->log_p = malloc(beam * sizeof *s->log_p);
    s->candidate = malloc((2 * beam + 1) * sizeof *s->candidate);
    s->next = malloc(beam * sizeof *s->next);
    s->parent = malloc(beam * sizeof *s->parent);
    s->best = malloc(rule->most * sizeof *s->best);
    if (s->token[0] && s->token[1] && s->log_p && s->candidate && s->next && s->parent && s->best)
        return HEED_OK;
    heed_search_destroy(s);
    *search = NULL;
    return heed_fail(error, HEED_MEMORY, "search: no memory for %zu hypotheses of %zu tokens", beam, rule->most);
}

void heed_search_destroy(heed_search *search) {
    if (!search)
        return;
    free(search->token[0]);
    free(search->token[1]);
    free(search->log_p);
    free(search->candidate);
    free(search->next);
    free(search->parent);
    free(search->best);
    free(search);
}

/* log sum exp of logits, in double. */
static double log_total(const real *logits, size_t n) {
    double greatest = (double)logits[0];
    for (size_t v = 1; v < n; v++)
        greatest = (double)logits[v] > greatest ? (double)logits[v] : greatest;
    double sum = exp((double)logits[0] - greatest);
    for (size_t v = 1; v < n; v++)
        sum += exp((double)logits[v] - greatest);
    return greatest + log(sum);
}

/* Puts a candidate where it belongs, behind its equals, if it is among the likeliest: later ones have a later
 * hypothesis or a higher token. */
static void offer(heed_search *s, const candidate *c) {
    const size_t most = 2 * s->rule.beam;
    size_t at = s->n_candidates;
    while (at > 0 && s->candidate[at - 1].log_p < c->log_p)
        at--;
    if (at == most)
        return;
    const size_t n_behind = s->n_candidates - at;
    memmove(s->candidate + at + 1, s->candidate + at, n_behind * sizeof *c);
    s->candidate[at] = *c;
    s->n_candidates += s->n_candidates < most;
}

static heed_status collect(heed_search *s, const real *logits, heed_error *error) {
    s->n_candidates = 0;
    for (size_t h = 0; h < s->n_live; h++) {
        const real *z = logits + h * s->vocab;
        const double total = log_total(z, s->vocab);
        if (!isfinite(total))
            return heed_fail(error, HEED_NUMERIC, "the model's output is not finite");
        for (size_t v = 0; v < s->vocab; v++)
            if ((int32_t)v != s->rule.begin)
                offer(s, &(candidate){h, (int32_t)v, s->log_p[h] + (double)z[v] - total});
    }
    return HEED_OK;
}

static double penalty(const heed_search *s, size_t n) {
    return pow((5.0 + (double)n) / 6.0, s->rule.length_penalty);
}

/* An answer of n tokens, of which `tokens` holds the first n_kept. */
static void finish(heed_search *s, const int32_t *tokens, size_t n_kept, size_t n, double log_p) {
    const double score = log_p / penalty(s, n);
    if (!(score > s->best_score))
        return;
    memcpy(s->best, tokens, n_kept * sizeof *tokens);
    s->n_best = n_kept;
    s->best_score = score;
}

/* From candidates to the hypotheses of n + 1 tokens. An end among the `beam` likeliest is an answer. */
static void go_on(heed_search *s, size_t n) {
    const size_t beam = s->rule.beam, most = s->rule.most;
    size_t n_next = 0;
    for (size_t i = 0; i < s->n_candidates && n_next < beam; i++) {
        const candidate *c = &s->candidate[i];
        const int32_t *from = s->token[0] + c->parent * most;
        if (c->token == s->rule.end) {
            if (i < beam)
                finish(s, from, n, n + 1, c->log_p);
            if (i == 0 && beam == 1)
                break; /* greedy */
            continue;
        }
        int32_t *to = s->token[1] + n_next * most;
        memcpy(to, from, n * sizeof *to);
        to[n] = c->token;
        s->next[n_next] = c->token;
        s->parent[n_next] = c->parent;
        s->log_p[n_next++] = c->log_p;
    }
    int32_t *other = s->token[0];
    s->token[0] = s->token[1];
    s->token[1] = other;
    s->n_live = n_next;
}

/* More tokens only make a hypothesis less likely; at best the largest penalty divides what it is now. */
static bool is_over(const heed_search *s) {
    return s->n_live == 0 || s->best_score >= s->log_p[0] / penalty(s, s->rule.most);
}

heed_status heed_search_run(heed_search *s, const int32_t *source, size_t n_source, const int32_t **answer, size_t *n,
                            double *score, heed_error *error) {
    s->n_live = 1;
    s->log_p[0] = 0;
    s->n_best = 0;
    s->best_score = -INFINITY;
    heed_model_decode_begin(s->model, source, n_source);
    const real *logits = heed_model_decode(s->model, &s->rule.begin, NULL, 1);
    for (size_t length = 0; length < s->rule.most && !(length > 0 && is_over(s)); length++) {
        const heed_status status = collect(s, logits, error);
        if (status != HEED_OK)
            return status;
        go_on(s, length);
        if (length + 1 < s->rule.most && s->n_live > 0)
            logits = heed_model_decode(s->model, s->next, s->parent, s->n_live);
        else if (s->n_live > 0 && s->best_score == -INFINITY) /* no answer came to its end */
            finish(s, s->token[0], length + 1, length + 1, s->log_p[0]);
    }
    *answer = s->best;
    *n = s->n_best;
    *score = s->best_score;
    return HEED_OK;
}
