/* Alignment by the largest weight, held against the true positions (docs/science.md, section 4). Internal to src/probe.
 */
#ifndef HEEDI_ALIGNMENT_H
#define HEEDI_ALIGNMENT_H

#include <stdbool.h>

#include "heed/model.h"
#include "heed/tokenizer.h"

/* Queries with true positions, those of them that are aligned to none, and the same one step later. Whole numbers. */
typedef struct heedi_links {
    double queries, missed, next_queries, next_missed;
} heedi_links;
enum { HEEDI_LINKS_DOUBLES = sizeof(heedi_links) / sizeof(double) };

/* Whether the batch tells the true positions among the keys of this view. */
bool heedi_has_truth(const heed_attention_view *view);

/* Of one sequence with weights (queries, stride), as heed_attention_inspect gives them or any other map of keys. Only
 * for a view that has truth. Cannot fail. */
heedi_links heedi_align(const heed_tokenizer *tokenizer, const heed_attention_view *view, size_t sequence,
                        const real *weights, size_t stride);

void heedi_links_add(heedi_links *sum, const heedi_links *links);

#endif
