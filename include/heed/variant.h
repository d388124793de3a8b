/* What attention may use: softmax attention, and the controls that are trained beside it to find out what it gained by
 * seeing more. One row a variant; everything that treats them differently reads this table. */
#ifndef HEED_VARIANT_H
#define HEED_VARIANT_H

#include <stdbool.h>
#include <stddef.h>

#include "heed/config.h"

typedef struct heed_variant {
    const char *name;    /* as in model.attention */
    const char *may_use; /* in words */
    bool frozen;         /* the projection to queries and keys stays as initialised: no gradient, no weight decay */
    bool flat;           /* all scores are 0: every visible key counts the same */
    bool table;          /* scores come from a learned table over places (heed/nn/attention_table.h) */
    bool content;        /* queries and keys are made from the token embeddings alone (model/content.h) */
    bool windowed;       /* model.window limits what is seen */
    bool alone;          /* a token sees itself only */
    bool network; /* no attention sub-layer: the feed-forward layer reads all tokens up to its own, in one block */
} heed_variant;

/* The rows, in the order of heed_attend. */
extern const heed_variant heed_variants[];
extern const size_t heed_n_variants;

/* Of the model, and of its encoder, which may have one of its own. */
const heed_variant *heed_variant_of(const heed_config *config);
const heed_variant *heed_variant_of_encoder(const heed_config *config);

/* Tokens that a query sees, itself among them. 0: all up to its own place. */
size_t heed_variant_window(const heed_variant *variant, const heed_config *config);

/* Sets model.hidden such that the model of this variant has as many trained parameters as one with softmax attention
 * and the hidden width that config has: what a variant does not train, its feed-forward layers get, and the network
 * has one layer of such a width. Frozen numbers do not count as parameters. The remainder, below half of a hidden
 * unit's parameters times the layers, is left. Errors: HEED_CONFIG (no width makes it so small), HEED_MEMORY. */
heed_status heed_variant_match(heed_config *config, heed_attend attention, size_t vocab, heed_error *error);

#endif
