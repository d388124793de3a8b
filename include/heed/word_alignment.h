/* Which words of a source and its target translate each other: as people aligned them by hand, and as cross-attention
 * tells.
 *
 * A file of alignments has on each line a source, a tab, a target, a tab, and links between blanks. A word is what
 * stands between white space; words count from 0. "i-j": word i of the source and word j of the target certainly belong
 * together (sure); "i?j": they may (possible). Empty lines, and lines that begin with "#", do not count.
 *
 * What a head tells: the weight of source word i for target word j is the sum over the tokens of i of the mean over the
 * tokens of j of a; j is linked to the word with the largest weight (the first of equals; marks are no words). It is
 * read at the step that predicts a token of j and, as Chen et al. 2020 advise, one step later, where it is the input.
 * (Words from pieces as Zenkel et al. 2019 and Garg et al. 2019, who sum and average as well.)
 *
 * With A the links told, S the sure ones and P those that are sure or possible, the alignment error rate (Och and Ney
 * 2003) is 1 - (|A and S| + |A and P|) / (|A| + |S|), over all pairs together. */
#ifndef HEED_WORD_ALIGNMENT_H
#define HEED_WORD_ALIGNMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/config.h"
#include "heed/model.h"
#include "heed/status.h"
#include "heed/tokenizer.h"

typedef struct heed_word_link {
    uint32_t source, target;
    bool is_sure;
} heed_word_link;

typedef struct heed_aligned_pair {
    char *source, *target; /* texts */
    size_t line;           /* of the file, from 1 */
    size_t n_source, n_target, n_links;
    heed_word_link *link; /* (n_links) */
} heed_aligned_pair;

typedef struct heed_aligned_pairs {
    size_t n;
    heed_aligned_pair *pair;
} heed_aligned_pairs;

/* Errors: HEED_NOT_FOUND, HEED_DATA (a line of another form, with its number), HEED_IO, HEED_MEMORY. Ownership:
 * heed_aligned_pairs_reset, after a failure too. Not collective. */
heed_status heed_aligned_pairs_read(heed_aligned_pairs *pairs, const char *path, heed_error *error);
void heed_aligned_pairs_reset(heed_aligned_pairs *pairs);

/* The word of each token: white space ends a word, a token belongs to the word of its first other byte; -1 for marks
 * and for white space alone. Returns the number of words. Cannot fail. */
size_t heed_words_of_tokens(int32_t *word, const heed_tokenizer *tokenizer, const int32_t *token, size_t n_tokens);

/* Links that were told, and of these the sure ones, and those that are sure or possible. Whole numbers. */
typedef struct heed_link_counts {
    double told, sure, possible;
} heed_link_counts;

typedef enum heed_reading { HEED_READ_PREDICTING, HEED_READ_NEXT, HEED_N_READINGS } heed_reading;
enum { HEED_HALF_FIRST, HEED_HALF_SECOND, HEED_N_HALVES };

typedef struct heed_word_alignment {
    size_t layers, heads;
    double pairs[HEED_N_HALVES];                         /* that were read: the first ones of the file, the others */
    double left_out;                                     /* longer than model.time */
    double sure[HEED_N_HALVES], possible[HEED_N_HALVES]; /* links by hand: possible, but not sure */
    heed_link_counts *counts;                            /* (readings, layers, heads, halves) */
    heed_link_counts diagonal[HEED_N_HALVES];            /* that links j of m words to floor((j + 1/2) n / m) of n */
} heed_word_alignment;

/* Reads cross-attention of an encoder-decoder that is made for one sequence. Errors: HEED_CONFIG (a decoder),
 * HEED_DATA (what the vocabulary does not know; no pair that is short enough), HEED_MEMORY. Ownership:
 * heed_word_alignment_reset, after a failure too. Not collective. */
heed_status heed_word_alignment_measure(heed_word_alignment *found, const heed_aligned_pairs *pairs,
                                        const heed_config *config, heed_model *model,
                                        const heed_tokenizer *source_tokenizer, const heed_tokenizer *target_tokenizer,
                                        heed_error *error);
void heed_word_alignment_reset(heed_word_alignment *found);

/* The counts of a head; its error rate on one half, or with HEED_N_HALVES on all; NaN without links. */
const heed_link_counts *heed_word_alignment_at(const heed_word_alignment *found, heed_reading reading, size_t layer,
                                               size_t head);
double heed_word_alignment_error(const heed_word_alignment *found, const heed_link_counts counts[HEED_N_HALVES],
                                 int half);

#endif
