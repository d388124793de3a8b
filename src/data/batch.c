/* Memory is planned for the largest batch of this rank when the batcher is created. Probes have memory of their own,
 * since their number is the caller's. */
#include "heed/batch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "windows.h"

/* The arrays behind one heed_batch. */
typedef struct rows {
    heed_arena arena;
    size_t max_rows, max_sequences, max_grains;
    size_t n_rows, n_sequences, n_grains, max_length;
    size_t *first_row, *first_of;
    uint32_t *sequence;
    int32_t *token, *target;
    real *weight;
} rows;

struct heed_batcher {
    heed_corpus *corpus;
    heed_batch_shape shape;
    heedi_windows windows;
    uint64_t n_targets;             /* of the validation text */
    uint64_t first_grain, n_grains; /* this rank's */
    rows batch, probes;
    int32_t *tokens; /* (time + 1): a window as it is read */
};

/* Where a sequence of the global batch lies in its split. */
typedef struct span {
    uint64_t first;
    size_t length;
} span;

static heed_status rows_init(rows *r, size_t max_grains, size_t max_sequences, size_t time, heed_error *error) {
    const size_t max_rows = heed_bytes(max_sequences, time);
    const size_t sizes[] = {
        heed_aligned(heed_bytes(max_sequences + 1, sizeof *r->first_row)),
        heed_aligned(heed_bytes(max_grains + 1, sizeof *r->first_of)),
        heed_aligned(heed_bytes(max_sequences, sizeof *r->sequence)),
        heed_aligned(heed_bytes(max_rows, sizeof *r->token)),
        heed_aligned(heed_bytes(max_rows, sizeof *r->target)),
        heed_aligned(heed_bytes(max_rows, sizeof *r->weight)),
    };
    size_t total = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (__builtin_add_overflow(total, sizes[i], &total))
            total = SIZE_MAX;
    *r = (rows){.max_rows = max_rows, .max_sequences = max_sequences, .max_grains = max_grains};
    const heed_status status = heed_arena_init(&r->arena, total, "batch", error);
    if (status != HEED_OK)
        return status;
    r->first_row = heed_arena_take(&r->arena, sizes[0]);
    r->first_of = heed_arena_take(&r->arena, sizes[1]);
    r->sequence = heed_arena_take(&r->arena, sizes[2]);
    r->token = heed_arena_take(&r->arena, sizes[3]);
    r->target = heed_arena_take(&r->arena, sizes[4]);
    r->weight = heed_arena_take(&r->arena, sizes[5]);
    return HEED_OK;
}

static void rows_clear(rows *r) {
    r->n_rows = r->n_sequences = r->n_grains = r->max_length = 0;
}

static void rows_next_grain(rows *r) {
    HEED_CHECK(r->n_grains < r->max_grains);
    r->first_of[++r->n_grains] = r->n_sequences;
}

static void rows_add(rows *r, const int32_t *tokens, size_t length, uint32_t sequence) {
    HEED_CHECK(r->n_sequences < r->max_sequences && length <= r->max_rows - r->n_rows);
    memcpy(r->token + r->n_rows, tokens, length * sizeof *tokens);
    memcpy(r->target + r->n_rows, tokens + 1, length * sizeof *tokens);
    for (size_t i = 0; i < length; i++)
        r->weight[r->n_rows + i] = 1;
    r->sequence[r->n_sequences] = sequence;
    r->n_rows += length;
    r->first_row[++r->n_sequences] = r->n_rows;
    if (r->max_length < length)
        r->max_length = length;
}

static heed_batch rows_view(const rows *r, size_t first_grain) {
    return (heed_batch){.rows = {.n_rows = r->n_rows,
                                 .n_sequences = r->n_sequences,
                                 .max_length = r->max_length,
                                 .first_row = r->first_row,
                                 .sequence = r->sequence,
                                 .n_grains = r->n_grains,
                                 .first_grain = first_grain,
                                 .first_of = r->first_of},
                        .token = r->token,
                        .target = r->target,
                        .weight = r->weight};
}

static heed_status fail_short(size_t time, size_t n_train, heed_error *error) {
    heed_fail(error, HEED_CONFIG, "model.time = %zu: the training text has only %zu tokens", time, n_train);
    return heed_hint(error, "a window and the token after it must fit: use more text, or a shorter model.time");
}

heed_status heed_batcher_create(heed_batcher **batcher, heed_corpus *corpus, const heed_batch_shape *shape,
                                heed_error *error) {
    HEED_CHECK(shape->time > 0 && shape->grain > 0 && shape->batch > 0 && shape->batch % shape->grain == 0);
    HEED_CHECK(shape->batch <= UINT32_MAX);
    *batcher = NULL;
    const size_t n_grains = shape->batch / shape->grain;
    const size_t n_train = heed_corpus_tokens(corpus, HEED_TRAIN), n_valid = heed_corpus_tokens(corpus, HEED_VALID);
    if ((size_t)shape->size > n_grains) {
        heed_fail(error, HEED_CONFIG, "train.batch = %zu: its %zu grains of %zu cannot be shared by %d ranks",
                  shape->batch, n_grains, shape->grain, shape->size);
        return heed_hint(error, "start at most %zu ranks, or raise train.batch, or lower train.grain", n_grains);
    }
    if (n_train > 0 && n_train <= shape->time) /* 0: a store made for evaluation */
        return fail_short(shape->time, n_train, error);
    heed_batcher *b = calloc(1, sizeof *b);
    if (!b)
        return heed_fail(error, HEED_MEMORY, "batch: out of memory");
    b->corpus = corpus;
    b->shape = *shape;
    b->windows = heedi_windows_plan(n_train, shape->time, shape->batch, shape->seed);
    b->n_targets = n_valid ? n_valid - 1 : 0;
    uint64_t end;
    heedi_grains_of(n_grains, shape->rank, shape->size, &b->first_grain, &end);
    b->n_grains = end - b->first_grain;
    b->tokens = malloc((shape->time + 1) * sizeof *b->tokens);
    heed_status status = HEED_OK;
    if (!b->tokens)
        status = heed_fail(error, HEED_MEMORY, "batch: out of memory");
    if (status == HEED_OK)
        status = rows_init(&b->batch, b->n_grains, b->n_grains * shape->grain, shape->time, error);
    if (status != HEED_OK)
        heed_batcher_destroy(b);
    else
        *batcher = b;
    return status;
}

void heed_batcher_destroy(heed_batcher *batcher) {
    if (!batcher)
        return;
    heed_arena_reset(&batcher->batch.arena);
    heed_arena_reset(&batcher->probes.arena);
    free(batcher->tokens);
    free(batcher);
}

/* Reads a span and the token behind it, and appends it. */
static heed_status add(heed_batcher *batcher, rows *r, heed_split split, span where, uint32_t sequence,
                       heed_error *error) {
    const heed_status status =
        heed_corpus_read(batcher->corpus, split, where.first, where.length + 1, batcher->tokens, error);
    if (status == HEED_OK)
        rows_add(r, batcher->tokens, where.length, sequence);
    return status;
}

static span train_span(const heed_batcher *batcher, uint64_t epoch, uint64_t i) {
    return (span){heedi_windows_start(&batcher->windows, epoch, i), batcher->shape.time};
}

static span valid_span(const heed_batcher *batcher, uint64_t unused, uint64_t i) {
    (void)unused;
    const uint64_t first = i * batcher->shape.time, left = batcher->n_targets - first;
    return (span){first, left < batcher->shape.time ? (size_t)left : batcher->shape.time};
}

/* This rank's grains of the global batch that is made of sequences [first, first + n_global) of a split's order. */
static heed_status deal(heed_batcher *batcher, heed_split split, uint64_t epoch, uint64_t first, uint64_t n_global,
                        heed_batch *batch, heed_error *error) {
    span (*where)(const heed_batcher *, uint64_t, uint64_t) = split == HEED_TRAIN ? train_span : valid_span;
    rows *r = &batcher->batch;
    rows_clear(r);
    for (uint64_t g = batcher->first_grain; g < batcher->first_grain + batcher->n_grains; g++) {
        const uint64_t begin = g * batcher->shape.grain, end = begin + batcher->shape.grain;
        for (uint64_t s = begin; s < end && s < n_global; s++) {
            const heed_status status = add(batcher, r, split, where(batcher, epoch, first + s), (uint32_t)s, error);
            if (status != HEED_OK)
                return status;
        }
        rows_next_grain(r);
    }
    *batch = rows_view(r, batcher->first_grain);
    batch->n_global = n_global;
    return HEED_OK;
}

heed_status heed_batcher_train(heed_batcher *batcher, uint64_t step, heed_batch *batch, heed_error *error) {
    if (batcher->windows.n_windows == 0)
        return fail_short(batcher->shape.time, 0, error);
    uint64_t epoch, first;
    const uint64_t n_global = heedi_windows_step(&batcher->windows, step, &epoch, &first);
    const heed_status status = deal(batcher, HEED_TRAIN, epoch, first, n_global, batch, error);
    if (status != HEED_OK)
        return status;
    batch->weight_total = (double)(n_global * batcher->shape.time);
    batch->step = (uint32_t)step;
    return HEED_OK;
}

void heed_batcher_epoch(const heed_batcher *batcher, uint64_t step, uint64_t *epoch, uint64_t *steps_per_epoch) {
    *epoch = batcher->windows.n_steps ? step / batcher->windows.n_steps : 0;
    *steps_per_epoch = batcher->windows.n_steps;
}

/* Windows that it takes to have each target once. */
static uint64_t n_valid_windows(const heed_batcher *batcher) {
    return batcher->n_targets ? (batcher->n_targets - 1) / batcher->shape.time + 1 : 0;
}

size_t heed_batcher_eval_count(const heed_batcher *batcher) {
    const uint64_t n = n_valid_windows(batcher);
    return n ? (size_t)((n - 1) / batcher->shape.batch + 1) : 0;
}

heed_status heed_batcher_eval(heed_batcher *batcher, size_t index, heed_batch *batch, heed_error *error) {
    HEED_CHECK(index < heed_batcher_eval_count(batcher));
    const uint64_t first = index * batcher->shape.batch, left = n_valid_windows(batcher) - first;
    const uint64_t n_global = left < batcher->shape.batch ? left : batcher->shape.batch;
    const heed_status status = deal(batcher, HEED_VALID, 0, first, n_global, batch, error);
    if (status != HEED_OK)
        return status;
    const span last = valid_span(batcher, 0, first + n_global - 1);
    batch->weight_total = (double)(last.first + last.length - first * batcher->shape.time);
    return HEED_OK;
}

heed_status heed_batcher_probes(heed_batcher *batcher, size_t n_probes, heed_batch *batch, heed_error *error) {
    HEED_CHECK(n_probes > 0);
    const uint64_t n_targets = batcher->n_targets, grain = batcher->shape.grain;
    const size_t length = n_targets < batcher->shape.time ? (size_t)n_targets : batcher->shape.time;
    if (length == 0 || n_probes > n_targets - length + 1) {
        heed_fail(error, HEED_CONFIG, "log.probes = %zu: the validation text of %" PRIu64 " tokens has not that many",
                  n_probes, n_targets ? n_targets + 1 : 0);
        return heed_hint(error, "use more text, a larger data.valid_share, or fewer probes");
    }
    rows *r = &batcher->probes;
    if (n_probes > r->max_sequences || !r->first_row) {
        heed_arena_reset(&r->arena);
        const heed_status status = rows_init(r, (n_probes - 1) / grain + 1, n_probes, batcher->shape.time, error);
        if (status != HEED_OK)
            return status;
    }
    rows_clear(r);
    for (size_t p = 0; p < n_probes; p++) { /* each in the middle of its share of the text */
        const uint64_t first = (n_targets - length + 1) * (2 * p + 1) / (2 * n_probes);
        const heed_status status = add(batcher, r, HEED_VALID, (span){first, length}, (uint32_t)p, error);
        if (status != HEED_OK)
            return status;
        if ((p + 1) % grain == 0 || p + 1 == n_probes)
            rows_next_grain(r);
    }
    *batch = rows_view(r, 0);
    batch->n_global = n_probes;
    batch->weight_total = (double)r->n_rows;
    return HEED_OK;
}
