/* Gradients that do not depend on the number of ranks.
 *
 * The gradient of a step is the sum over its G grains along one fixed binary tree over [0, G): a node [lo, hi) is the
 * sum of [lo, mid) and [mid, hi) with mid = lo + the largest power of two below hi - lo. A rank holds a contiguous run
 * of grains and sums the maximal nodes inside its run (usually one); the owners of the shards complete the tree
 * (train/gradsync). */
#ifndef HEED_GRADIENT_H
#define HEED_GRADIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/gemm.h"
#include "heed/params.h"
#include "heed/ragged.h"

typedef struct heed_node {
    size_t first, count; /* grains */
} heed_node;

#define HEED_MAX_COVER 64

/* The maximal nodes of the tree over [0, n_grains) that lie inside [first, first + count), in order. Returns how many
 * (at most HEED_MAX_COVER). Cannot fail. */
size_t heed_tree_cover(heed_node cover[HEED_MAX_COVER], size_t first, size_t count, size_t n_grains);

/* Where the node [first, first + count), count > 1, is divided: the length of its left child. */
size_t heed_tree_left(size_t count);

/* The partial sums of one rank. */
typedef struct heed_gradient heed_gradient;

/* Told of every tensor once its gradients over this rank's grains are complete, in the order in which backward finishes
 * them. */
typedef void heed_gradient_ready(void *context, size_t tensor);

/* Memory for the partials of grains [first, first + count) of n_grains: one gradient arena a node, and scratch. */
heed_status heed_gradient_create(heed_gradient **gradient, const heed_params *params, size_t first, size_t count,
                                 size_t n_grains, heed_error *error);
/* The same with partials in memory of the caller's, zeros, heed_gradient_partials_bytes of them; NULL: its own. */
heed_status heed_gradient_create_in(void *partials, heed_gradient **gradient, const heed_params *params, size_t first,
                                    size_t count, size_t n_grains, heed_error *error);
size_t heed_gradient_partials_bytes(const heed_params *params, size_t first, size_t count, size_t n_grains);
void heed_gradient_destroy(heed_gradient *gradient);
/* Of the partials, wherever they lie, and the scratch. */
size_t heed_gradient_bytes(const heed_gradient *gradient);
/* What that would be, without making it. */
size_t heed_gradient_planned_bytes(const heed_params *params, size_t first, size_t count, size_t n_grains);
void heed_gradient_listen(heed_gradient *gradient, heed_gradient_ready *ready, void *context);

size_t heed_gradient_nodes(const heed_gradient *gradient, const heed_node **nodes);
/* The partial sum of node i: a gradient arena (params->n_gradient). */
real *heed_gradient_partial(const heed_gradient *gradient, size_t i);

/* A layer's parameter gradient over rows [first_row, first_row + n_rows), n_rows > 0, of one grain (counted on this
 * rank): overwrites d[0 .. n_tensors). */
typedef void heed_gradient_leaf(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain);

/* The same over all grains of a node of the tree, none of them empty, at once: part i is the rows of the node's i-th
 * grain, and the number of additions that the tree has behind it. d is the node's sum of the first tensor. Returns
 * false, and has done nothing, where it cannot: then the tree is walked on. */
typedef bool heed_gradient_branch(void *context, real *d, size_t first_row, const heed_gemm_part *parts, size_t n_parts,
                                  size_t grain);

/* Sums leaf over this rank's grains along the tree into the partials, for n_tensors tensors at once (at most 4, and at
 * most one of them a matrix), and reports them ready. leaf is called once for every grain that has rows, in the order
 * of the grains; the sum over an empty grain is zero. Every tensor is summed once a step. */
void heed_gradient_sum(heed_gradient *gradient, const heed_ragged *rows, const size_t *tensors, size_t n_tensors,
                       heed_gradient_leaf *leaf, void *context);

/* The same for one matrix, by branch wherever it can, by leaf elsewhere: the same bits with fewer passes over memory.
 */
void heed_gradient_sum_matrix(heed_gradient *gradient, const heed_ragged *rows, size_t tensor, heed_gradient_leaf *leaf,
                              heed_gradient_branch *branch, void *context);

/* The same for a table of which only some entries (rows of its first dimension) have a gradient on this rank: leaf sees
 * an array of those entries alone, in the order of entries, which ascends; the others become zero, as if leaf had said
 * so. The bits are those of heed_gradient_sum, the work is that of the entries. */
void heed_gradient_sum_entries(heed_gradient *gradient, const heed_ragged *rows, size_t tensor, const int32_t *entries,
                               size_t n_entries, heed_gradient_leaf *leaf, void *context);

/* For who adds a tied row to its table anyhow, and so passes over all of it: from now on the sum over a table to which
 * one tensor is tied keeps what it held wherever it has no entry. clear_gaps makes such elements zero that lie in
 * [first, first + count) of partial 0; where there is nothing else it leaves them and returns false: they count as
 * zeros. The entries of the last sum are still needed then. Any thread; ranges do not meet. Not collective. Cannot
 * fail. */
void heed_gradient_leave_gaps(heed_gradient *gradient);
bool heed_gradient_clear_gaps(heed_gradient *gradient, size_t first, size_t count);

#endif
