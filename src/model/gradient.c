/* A node's sum is made in place: the left child goes to the destination, the right child to this level's scratch, and
 * the scratch is added. So a rank holds one array per node that it reports, and one per level of the tree. */
#include "heed/gradient.h"

#include <stdlib.h>
#include <string.h>

#include "add.h"
#include "heed/arena.h"
#include "heed/stage.h"

#define MAX_TENSORS 4 /* summed at once */

size_t heed_tree_left(size_t count) {
    HEED_CHECK(count > 1);
    size_t left = 1;
    while (2 * left < count)
        left *= 2;
    return left;
}

/* Appends the maximal nodes of the subtree [lo, lo + n) inside [first, first + count). */
static void cover_subtree(heed_node *cover, size_t *n_cover, size_t lo, size_t n, size_t first, size_t count) {
    if (lo >= first + count || lo + n <= first)
        return;
    if (first <= lo && lo + n <= first + count) {
        HEED_CHECK(*n_cover < HEED_MAX_COVER);
        cover[(*n_cover)++] = (heed_node){lo, n};
        return;
    }
    const size_t left = heed_tree_left(n);
    cover_subtree(cover, n_cover, lo, left, first, count);
    cover_subtree(cover, n_cover, lo + left, n - left, first, count);
}

size_t heed_tree_cover(heed_node cover[HEED_MAX_COVER], size_t first, size_t count, size_t n_grains) {
    HEED_CHECK(first <= n_grains && count <= n_grains - first);
    size_t n_cover = 0;
    if (count > 0)
        cover_subtree(cover, &n_cover, 0, n_grains, first, count);
    return n_cover;
}

/* What lies between the entries of a table that have a gradient. */
typedef struct table_gaps {
    size_t n, size; /* entries of the table, elements of each */
    const int32_t *entries;
    size_t n_entries;
} table_gaps;

struct heed_gradient {
    const heed_params *params;
    size_t first, count; /* grains of this rank */
    size_t n_nodes;
    heed_node nodes[HEED_MAX_COVER];
    real *partials;      /* (n_nodes, n_gradient) */
    real *scratch;       /* (levels, scratch_size) */
    size_t scratch_size; /* elements: one matrix and the vectors that go with it */
    heed_arena arena;
    size_t bytes;
    heed_gradient_ready *ready;
    void *ready_context;
    size_t open_table; /* the tensor whose gaps are left to heed_gradient_clear_gaps; none: n_tensors */
    table_gaps gaps;   /* of that tensor in this step; n = 0: it has none */
};

/* Additions one behind the other in the sum of n grains. */
static size_t levels_of(size_t n) {
    return n > 1 ? 1 + levels_of(heed_tree_left(n)) : 0;
}

static size_t aligned_elements(size_t n) {
    return heed_aligned(n * sizeof(real)) / sizeof(real);
}

static size_t scratch_size(const heed_params *params) {
    size_t matrix = 0, vector = 0;
    for (size_t i = 0; i < params->n_tensors; i++) {
        const heed_tensor *tensor = &params->tensors[i];
        size_t *largest = tensor->n_dims > 1 ? &matrix : &vector;
        *largest = tensor->size > *largest ? tensor->size : *largest;
    }
    return aligned_elements(matrix) + (MAX_TENSORS - 1) * aligned_elements(vector);
}

static size_t bytes_of_partials(size_t n_nodes, const heed_params *params) {
    return heed_bytes(n_nodes, heed_bytes(params->n_gradient, sizeof(real)));
}

/* Of the partial sums, of the scratch, and of both; SIZE_MAX when it is more than any. */
static size_t arena_bytes(const heed_gradient *gradient, size_t *partials_bytes, size_t *scratch_bytes) {
    size_t levels = 0, bytes;
    for (size_t i = 0; i < gradient->n_nodes; i++) {
        const size_t more = levels_of(gradient->nodes[i].count);
        levels = more > levels ? more : levels;
    }
    *partials_bytes = bytes_of_partials(gradient->n_nodes, gradient->params);
    *scratch_bytes = heed_bytes(levels, heed_bytes(gradient->scratch_size, sizeof(real)));
    if (__builtin_add_overflow(heed_aligned(*partials_bytes), heed_aligned(*scratch_bytes), &bytes))
        return SIZE_MAX;
    return bytes;
}

size_t heed_gradient_planned_bytes(const heed_params *params, size_t first, size_t count, size_t n_grains) {
    heed_gradient gradient = {.params = params, .scratch_size = scratch_size(params)};
    size_t partials_bytes, scratch_bytes;
    gradient.n_nodes = heed_tree_cover(gradient.nodes, first, count, n_grains);
    return arena_bytes(&gradient, &partials_bytes, &scratch_bytes);
}

size_t heed_gradient_partials_bytes(const heed_params *params, size_t first, size_t count, size_t n_grains) {
    heed_node nodes[HEED_MAX_COVER];
    const size_t n_nodes = heed_tree_cover(nodes, first, count, n_grains);
    return bytes_of_partials(n_nodes, params);
}

heed_status heed_gradient_create(heed_gradient **gradient, const heed_params *params, size_t first, size_t count,
                                 size_t n_grains, heed_error *error) {
    return heed_gradient_create_in(NULL, gradient, params, first, count, n_grains, error);
}

heed_status heed_gradient_create_in(void *partials, heed_gradient **gradient, const heed_params *params, size_t first,
                                    size_t count, size_t n_grains, heed_error *error) {
    *gradient = NULL;
    heed_gradient *made = calloc(1, sizeof *made);
    if (!made)
        return heed_fail(error, HEED_MEMORY, "gradient: cannot get %zu bytes of memory", sizeof *made);
    made->params = params;
    made->first = first;
    made->count = count;
    made->n_nodes = heed_tree_cover(made->nodes, first, count, n_grains);
    made->scratch_size = scratch_size(params);
    made->open_table = params->n_tensors;
    size_t partials_bytes, scratch_bytes;
    made->bytes = arena_bytes(made, &partials_bytes, &scratch_bytes);
    const heed_status status =
        heed_arena_init(&made->arena, partials ? scratch_bytes : made->bytes, "gradients", error);
    if (status != HEED_OK) {
        free(made);
        return status;
    }
    made->partials = partials ? partials : heed_arena_take(&made->arena, partials_bytes);
    made->scratch = heed_arena_take(&made->arena, scratch_bytes);
    *gradient = made;
    return HEED_OK;
}

void heed_gradient_destroy(heed_gradient *gradient) {
    if (!gradient)
        return;
    heed_arena_reset(&gradient->arena);
    free(gradient);
}

size_t heed_gradient_bytes(const heed_gradient *gradient) {
    return gradient->bytes;
}

void heed_gradient_listen(heed_gradient *gradient, heed_gradient_ready *ready, void *context) {
    gradient->ready = ready;
    gradient->ready_context = context;
}

size_t heed_gradient_nodes(const heed_gradient *gradient, const heed_node **nodes) {
    *nodes = gradient->nodes;
    return gradient->n_nodes;
}

real *heed_gradient_partial(const heed_gradient *gradient, size_t i) {
    HEED_CHECK(i < gradient->n_nodes);
    return gradient->partials + i * gradient->params->n_gradient;
}

/* One summation: which tensors, of which rows, by which leaf. */
typedef struct sum {
    heed_gradient *gradient;
    const heed_ragged *rows;
    size_t n_tensors;
    size_t size[MAX_TENSORS];
    heed_gradient_leaf *leaf;
    heed_gradient_branch *branch; /* NULL: none */
    void *context;
} sum;

static void sum_grain(const sum *work, real *const *d, size_t grain) {
    const size_t local = grain - work->gradient->first;
    const size_t first_row = heed_grain_row(work->rows, local);
    const size_t n_rows = heed_grain_row(work->rows, local + 1) - first_row;
    if (n_rows > 0)
        work->leaf(work->context, d, first_row, n_rows, local);
    else
        for (size_t t = 0; t < work->n_tensors; t++)
            memset(d[t], 0, work->size[t] * sizeof(real));
}

/* Appends the grains of a node as parts; the last of them closes the node. */
static void list_parts(const sum *work, size_t first, size_t count, heed_gemm_part *parts, size_t *n_parts) {
    const size_t local = first - work->gradient->first;
    if (count == 1) {
        const size_t n_rows = heed_grain_row(work->rows, local + 1) - heed_grain_row(work->rows, local);
        parts[(*n_parts)++] = (heed_gemm_part){.k = n_rows};
        return;
    }
    const size_t left = heed_tree_left(count);
    list_parts(work, first, left, parts, n_parts);
    list_parts(work, first + left, count - left, parts, n_parts);
    parts[*n_parts - 1].n_additions++;
}

/* The whole node at once, if that can be. */
static bool branch_out(const sum *work, real *d, size_t first, size_t count) {
    heed_gemm_part parts[HEED_GEMM_MOST_PARTS];
    size_t n_parts = 0;
    if (!work->branch || count > HEED_GEMM_MOST_PARTS)
        return false;
    list_parts(work, first, count, parts, &n_parts);
    for (size_t i = 0; i < n_parts; i++)
        if (parts[i].k == 0)
            return false;
    const size_t local = first - work->gradient->first;
    return work->branch(work->context, d, heed_grain_row(work->rows, local), parts, n_parts, local);
}

static void sum_node(const sum *work, real *const *d, size_t first, size_t count, real *scratch) {
    if (count == 1) {
        sum_grain(work, d, first);
        return;
    }
    if (branch_out(work, d[0], first, count))
        return;
    const size_t left = heed_tree_left(count);
    real *right[MAX_TENSORS] = {scratch};
    for (size_t t = 1; t < work->n_tensors; t++)
        right[t] = right[t - 1] + aligned_elements(work->size[t - 1]);
    real *next = scratch + work->gradient->scratch_size;
    sum_node(work, d, first, left, next);
    sum_node(work, right, first + left, count - left, next);
    HEED_IN_STAGE(GRAINS);
    for (size_t t = 0; t < work->n_tensors; t++)
        heedi_add(d[t], d[t], right[t], work->size[t]);
}

/* Sums over all nodes; the arrays begin where the tensors do. */
static void sum_nodes(const sum *work, const size_t *tensors) {
    heed_gradient *gradient = work->gradient;
    const heed_ragged *rows = work->rows;
    size_t total = 0;
    HEED_CHECK(rows->n_grains == gradient->count && (rows->n_grains == 0 || rows->first_grain == gradient->first));
    for (size_t t = 0; t < work->n_tensors; t++)
        total += aligned_elements(work->size[t]);
    HEED_CHECK(total <= gradient->scratch_size);
    for (size_t i = 0; i < gradient->n_nodes; i++) {
        real *d[MAX_TENSORS];
        for (size_t t = 0; t < work->n_tensors; t++)
            d[t] = heed_gradient_partial(gradient, i) + gradient->params->tensors[tensors[t]].gradient;
        sum_node(work, d, gradient->nodes[i].first, gradient->nodes[i].count, gradient->scratch);
    }
}

static void report(const heed_gradient *gradient, const size_t *tensors, size_t n_tensors) {
    for (size_t t = 0; gradient->ready && t < n_tensors; t++)
        gradient->ready(gradient->ready_context, tensors[t]);
}

void heed_gradient_sum(heed_gradient *gradient, const heed_ragged *rows, const size_t *tensors, size_t n_tensors,
                       heed_gradient_leaf *leaf, void *context) {
    HEED_CHECK(n_tensors >= 1 && n_tensors <= MAX_TENSORS);
    sum work = {gradient, rows, n_tensors, {0}, leaf, NULL, context};
    for (size_t t = 0; t < n_tensors; t++) {
        work.size[t] = gradient->params->tensors[tensors[t]].size;
        if (tensors[t] == gradient->open_table)
            gradient->gaps.n = 0;
    }
    sum_nodes(&work, tensors);
    report(gradient, tensors, n_tensors);
}

void heed_gradient_sum_matrix(heed_gradient *gradient, const heed_ragged *rows, size_t tensor, heed_gradient_leaf *leaf,
                              heed_gradient_branch *branch, void *context) {
    const sum work = {gradient, rows, 1, {gradient->params->tensors[tensor].size}, leaf, branch, context};
    sum_nodes(&work, &tensor);
    report(gradient, &tensor, 1);
}

/* From the compact array at the table's start to every entry's own place: last entry first, since none moves down. */
static void spread(real *table, size_t size, const int32_t *entries, size_t n_entries) {
    for (size_t i = n_entries; i-- > 0;)
        memmove(table + (size_t)entries[i] * size, table + i * size, size * sizeof(real));
}

/* The first entry not before element `at`, by halving. */
static size_t entry_from(const table_gaps *gaps, size_t at) {
    size_t low = 0, high = gaps->n_entries;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (((size_t)gaps->entries[middle] + 1) * gaps->size <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Elements from `from` to `end` that belong to no entry become zero. */
static void clear_gaps(real *table, const table_gaps *gaps, size_t from, size_t end) {
    for (size_t i = entry_from(gaps, from); from < end; i++) {
        const size_t entry = i < gaps->n_entries ? (size_t)gaps->entries[i] * gaps->size : gaps->n * gaps->size;
        const size_t gap_end = entry < end ? entry : end;
        if (from < gap_end)
            memset(table + from, 0, (gap_end - from) * sizeof(real));
        from = i < gaps->n_entries ? entry + gaps->size : end;
    }
}

void heed_gradient_sum_entries(heed_gradient *gradient, const heed_ragged *rows, size_t tensor, const int32_t *entries,
                               size_t n_entries, heed_gradient_leaf *leaf, void *context) {
    enum { CHUNK = 16384 }; /* elements that a thread clears at once */
    const heed_tensor *row = &gradient->params->tensors[tensor];
    const size_t n = row->dims[0], size = row->size / n;
    HEED_CHECK(n_entries <= n && (n_entries == 0 || (size_t)entries[n_entries - 1] < n));
    const sum work = {gradient, rows, 1, {n_entries * size}, leaf, NULL, context};
    sum_nodes(&work, &tensor);
    HEED_IN_STAGE(D_EMBEDDING);
    const table_gaps gaps = {n, size, entries, n_entries};
    for (size_t i = 0; i < gradient->n_nodes; i++) {
        real *table = heed_gradient_partial(gradient, i) + row->gradient;
        spread(table, size, entries, n_entries);
        if (tensor == gradient->open_table)
            continue;
#pragma omp parallel for schedule(static) if (n * size > HEEDI_WORTH_THREADS_TO_MOVE)
        for (size_t from = 0; from < n * size; from += CHUNK)
            clear_gaps(table, &gaps, from, from + CHUNK < n * size ? from + CHUNK : n * size);
    }
    if (tensor == gradient->open_table)
        gradient->gaps = gaps;
    report(gradient, &tensor, 1);
}

void heed_gradient_leave_gaps(heed_gradient *gradient) {
    const heed_params *params = gradient->params;
    size_t n_tied = 0;
    for (size_t i = 0; i < params->n_tensors; i++)
        if (params->tensors[i].tied_to >= 0) {
            gradient->open_table = (size_t)params->tensors[i].tied_to;
            n_tied++;
        }
    if (n_tied != 1)
        gradient->open_table = params->n_tensors;
}

bool heed_gradient_clear_gaps(heed_gradient *gradient, size_t first, size_t count) {
    const table_gaps *gaps = &gradient->gaps;
    if (gradient->open_table == gradient->params->n_tensors || gaps->n == 0)
        return true;
    const heed_tensor *row = &gradient->params->tensors[gradient->open_table];
    HEED_CHECK(first >= row->gradient);
    const size_t from = first - row->gradient, end = from + count < row->size ? from + count : row->size;
    const size_t entry = entry_from(gaps, from);
    if (entry == gaps->n_entries || (size_t)gaps->entries[entry] * gaps->size >= end)
        return false;
    clear_gaps(gradient->partials + row->gradient, gaps, from, end);
    return true;
}
