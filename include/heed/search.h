/* Finding an answer: of all sequences that an encoder-decoder gives to a source, one that is likely as a whole. */
#ifndef HEED_SEARCH_H
#define HEED_SEARCH_H

#include <stddef.h>
#include <stdint.h>

#include "heed/model.h"
#include "heed/status.h"

typedef struct heed_search_rule {
    size_t beam;           /* hypotheses side by side; 1: greedy, always the likeliest token */
    double length_penalty; /* alpha >= 0, see below */
    int32_t begin, end;    /* tokens that begin and end an answer; begin is never chosen */
    size_t most;           /* tokens of an answer with its end: at most model.time */
} heed_search_rule;

typedef struct heed_search heed_search;

/* The model must have been created for rule->beam hypotheses, not for training; it stays the caller's and must outlive
 * the search. Errors: HEED_MEMORY. Ownership: heed_search_destroy. Not collective. */
heed_status heed_search_create(heed_search **search, heed_model *model, const heed_search_rule *rule,
                               heed_error *error);
void heed_search_destroy(heed_search *search);

/* Beam search. The answer y (n tokens, the end among them) with the largest
 *
 *     log p(y | source) / ((5 + n) / 6)^alpha                                    (Wu et al. 2016, section 7)
 *
 * among those found: in every step each unfinished hypothesis is tried with every token. Of what comes of it, those
 * among the `beam` likeliest that end are answers, and the `beam` likeliest that do not end go on. The search stops
 * when no unfinished hypothesis could still become better than the best answer, and after `most` tokens; if nothing has
 * ended by then, the likeliest hypothesis is the answer, cut off. Equals: the earlier hypothesis, then the lower token,
 * so the answer is a function of the model alone. Greedy stops at the first end.
 *
 * *answer (*n tokens, without its end) belongs to the search until its next run; *score as above. source: (n_source)
 * with the end that the model was trained with. Errors: HEED_NUMERIC. Allocates nothing. Not collective. */
heed_status heed_search_run(heed_search *search, const int32_t *source, size_t n_source, const int32_t **answer,
                            size_t *n, double *score, heed_error *error);

#endif
