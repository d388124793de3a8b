/* The workbench on which plan measures layers: room for their weights and activations, and the kinds of layers, each
 * run as often as a step runs it. Internal to layers.c, which makes the room and holds the clock, and layer_kinds.c. */
#ifndef HEEDI_BENCH_WORKBENCH_H
#define HEEDI_BENCH_WORKBENCH_H

#include "bench/bench.h"
#include "heed/arena.h"
#include "heed/gradient.h"

/* The rows of all sequences, or of all their sources. */
typedef struct heedi_rows_of_all {
    heed_ragged ragged;
    size_t *first_row, *first_of;
    uint32_t *sequence;
    int32_t *token;
} heedi_rows_of_all;

typedef struct heedi_workbench {
    const heed_config *config;
    const heed_params *params;
    size_t width, hidden, vocab, n_encoder, n_decoder; /* layers */
    heedi_rows_of_all target, source;                  /* source: of an encoder-decoder */
    heed_gradient *gradient;
    heed_arena arena;
    real *weights, *pool, *scratch, *logits, *d_heads; /* d_heads: of queries, keys and values */
    size_t pool_size, at;
    size_t block_first, classified;
    const heed_tensor *tensor;
    const real *x, *d_y;
} heedi_workbench;

/* All layers of a kind, as often as a step runs them. Cannot fail. */
typedef void heedi_kind(heedi_workbench *w);

/* In the order of a step. The classifier's forward and backward pass are one kind. */
enum { HEEDI_FORWARD_KINDS = 6, HEEDI_BACKWARD_KINDS = 7 };
extern heedi_kind *const heedi_forward_kinds[HEEDI_FORWARD_KINDS];
extern heedi_kind *const heedi_backward_kinds[HEEDI_BACKWARD_KINDS];
heedi_kind heedi_classifier_kind;

/* The most numbers that a row has on one side of a layer. */
size_t heedi_widest_layer(const heedi_workbench *w);

#endif
