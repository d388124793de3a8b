/* How near an answer is to the one that was wanted. Everything is counted in whole numbers that may be added in any
 * order: those of ranks too. */
#ifndef HEED_SIMILARITY_H
#define HEED_SIMILARITY_H

#include <stddef.h>
#include <stdint.h>

#include "heed/status.h"

/* The fewest insertions, deletions and substitutions of tokens that make b of a (Levenshtein 1966). scratch: (n_b + 1).
 * Cannot fail. */
size_t heed_token_distance(const int32_t *a, size_t n_a, const int32_t *b, size_t n_b, size_t *scratch);

#define HEED_CHRF_ORDER 6

/* Character n-grams, n = 1 .. 6: those that hypothesis and reference have in common (each as often as in the one that
 * has fewer of it), and all of either. Characters are code points; white space does not count. */
typedef struct heed_chrf {
    double common[HEED_CHRF_ORDER], hypothesis[HEED_CHRF_ORDER], reference[HEED_CHRF_ORDER];
} heed_chrf;

/* Adds those of one pair of texts in UTF-8 (an ill-formed byte counts as U+FFFD). Errors: HEED_MEMORY. */
heed_status heed_chrf_add(heed_chrf *counts, const char *hypothesis, size_t hypothesis_bytes, const char *reference,
                          size_t reference_bytes, heed_error *error);

/* chrF2 (Popovic 2015, 2016): precision P and recall R are means over n of common / hypothesis and common / reference,
 * over those n that both sides have n-grams of; (1 + 2^2) P R / (2^2 P + R), times 100. Counts of all sentences are
 * added before the ratios are taken, as sacreBLEU does it (Post 2018; its versions from 2 on leave out the n-grams of a
 * hypothesis whose reference is too short to have any). 0 when nothing is in common. */
double heed_chrf_score(const heed_chrf *counts);

#endif
