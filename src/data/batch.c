/* Memory is planned for the largest batch of this rank when the batcher is created. Probes have memory of their own,
 * since their number is the caller's. */
#include "heed/batch.h"
#include "heed/stage.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sequences.h"

/* The arrays behind one heed_batch. */
typedef struct rows {
    heed_arena arena;
    size_t max_rows, max_source, max_sequences, max_grains;
    size_t n_rows, n_source, n_sequences, n_grains, max_length, max_source_length;
    size_t n_truth;
    size_t *first_row, *first_source, *first_of;
    uint32_t *sequence;
    int32_t *token, *target, *truth, *source;
    real *weight;
} rows;

struct heed_batcher {
    heedi_sequences *sequences;
    heed_batch_shape shape;
    uint64_t first_grain, n_grains; /* this rank's */
    rows batch, probes;
};

static heed_status rows_init(rows *r, size_t max_grains, size_t max_sequences, const heedi_sequences *sequences,
                             heed_error *error) {
    *r = (rows){.max_rows = heed_bytes(max_sequences, sequences->time),
                .max_source = heed_bytes(max_sequences, sequences->source_time),
                .max_sequences = max_sequences,
                .max_grains = max_grains,
                .n_truth = sequences->n_truth};
    const size_t n_truth = heed_bytes(r->max_rows, sequences->n_truth);
    const size_t sizes[] = {
        heed_bytes(max_sequences + 1, sizeof *r->first_row), heed_bytes(max_sequences + 1, sizeof *r->first_source),
        heed_bytes(max_grains + 1, sizeof *r->first_of),     heed_bytes(max_sequences, sizeof *r->sequence),
        heed_bytes(r->max_rows, sizeof *r->token),           heed_bytes(r->max_rows, sizeof *r->target),
        heed_bytes(r->max_rows, sizeof *r->weight),          heed_bytes(n_truth, sizeof *r->truth),
        heed_bytes(r->max_source, sizeof *r->source),
    };
    size_t total = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (__builtin_add_overflow(total, heed_aligned(sizes[i]), &total))
            total = SIZE_MAX;
    const heed_status status = heed_arena_init(&r->arena, total, "batch", error);
    if (status != HEED_OK)
        return status;
    r->first_row = heed_arena_take(&r->arena, sizes[0]);
    r->first_source = heed_arena_take(&r->arena, sizes[1]);
    r->first_of = heed_arena_take(&r->arena, sizes[2]);
    r->sequence = heed_arena_take(&r->arena, sizes[3]);
    r->token = heed_arena_take(&r->arena, sizes[4]);
    r->target = heed_arena_take(&r->arena, sizes[5]);
    r->weight = heed_arena_take(&r->arena, sizes[6]);
    r->truth = heed_arena_take(&r->arena, sizes[7]);
    r->source = heed_arena_take(&r->arena, sizes[8]);
    return HEED_OK;
}

static void rows_clear(rows *r) {
    r->n_rows = r->n_source = r->n_sequences = r->n_grains = r->max_length = r->max_source_length = 0;
}

static void rows_next_grain(rows *r) {
    HEED_CHECK(r->n_grains < r->max_grains);
    r->first_of[++r->n_grains] = r->n_sequences;
}

/* Reads a sequence behind those that are there. */
static heed_status rows_add(rows *r, heedi_sequences *sequences, const heedi_which *which, uint32_t number,
                            heed_error *error) {
    const heedi_extent extent = sequences->verbs->extent(sequences, which);
    HEED_CHECK(r->n_sequences < r->max_sequences && extent.n_rows <= r->max_rows - r->n_rows);
    HEED_CHECK(extent.n_source <= r->max_source - r->n_source);
    const heedi_rows room = {.token = r->token + r->n_rows,
                             .target = r->target + r->n_rows,
                             .weight = r->weight + r->n_rows,
                             .truth = r->truth + r->n_rows * r->n_truth,
                             .source = r->source + r->n_source};
    const heed_status status = sequences->verbs->read(sequences, which, &room, error);
    if (status != HEED_OK)
        return status;
    r->sequence[r->n_sequences] = number;
    r->n_rows += extent.n_rows;
    r->n_source += extent.n_source;
    r->n_sequences++;
    r->first_row[r->n_sequences] = r->n_rows;
    r->first_source[r->n_sequences] = r->n_source;
    if (r->max_length < extent.n_rows)
        r->max_length = extent.n_rows;
    if (r->max_source_length < extent.n_source)
        r->max_source_length = extent.n_source;
    return HEED_OK;
}

static heed_batch rows_view(const rows *r, const heedi_sequences *sequences, size_t first_grain) {
    heed_batch batch = {.rows = {.n_rows = r->n_rows,
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
    if (sequences->source_time > 0) {
        batch.source = batch.rows;
        batch.source.n_rows = r->n_source;
        batch.source.max_length = r->max_source_length;
        batch.source.first_row = r->first_source;
        batch.source_token = r->source;
    }
    if (sequences->n_truth > 0) {
        batch.truth = r->truth;
        batch.n_truth = sequences->n_truth;
        batch.truth_in_source = sequences->truth_in_source;
    }
    return batch;
}

/* Sequences [first, first + n) of rows; room: (n + 1), for their places. */
static heed_ragged slice_rows(const heed_ragged *whole, size_t first, size_t n, size_t *room, const size_t *first_of) {
    heed_ragged slice = {
        .n_sequences = n, .first_row = room, .sequence = whole->sequence + first, .n_grains = 1, .first_of = first_of};
    for (size_t s = 0; s <= n; s++)
        room[s] = whole->first_row[first + s] - whole->first_row[first];
    for (size_t s = 0; s < n; s++)
        if (slice.max_length < heed_length(&slice, s))
            slice.max_length = heed_length(&slice, s);
    slice.n_rows = room[n];
    return slice;
}

heed_batch heed_batch_slice(const heed_batch *batch, size_t first, size_t n, size_t *room) {
    HEED_CHECK(first <= batch->rows.n_sequences && n <= batch->rows.n_sequences - first);
    size_t *first_of = room, *first_row = room + 2, *first_source = first_row + n + 1;
    const size_t row = batch->rows.first_row[first];
    heed_batch slice = *batch;
    first_of[0] = 0;
    first_of[1] = n;
    slice.rows = slice_rows(&batch->rows, first, n, first_row, first_of);
    slice.token = batch->token + row;
    slice.target = batch->target + row;
    slice.weight = batch->weight + row;
    if (batch->source_token) {
        slice.source = slice_rows(&batch->source, first, n, first_source, first_of);
        slice.source_token = batch->source_token + batch->source.first_row[first];
    }
    if (batch->truth)
        slice.truth = batch->truth + row * batch->n_truth;
    return slice;
}

heed_status heed_batcher_create(heed_batcher **batcher, heed_corpus *corpus, const heed_batch_shape *shape,
                                heed_error *error) {
    HEED_CHECK(shape->time > 0 && shape->grain > 0 && shape->batch > 0 && shape->batch % shape->grain == 0);
    HEED_CHECK(shape->batch <= UINT32_MAX);
    *batcher = NULL;
    const size_t n_grains = shape->batch / shape->grain;
    if ((size_t)shape->size > n_grains) {
        heed_fail(error, HEED_CONFIG, "train.batch = %zu: its %zu grains of %zu cannot be shared by %d ranks",
                  shape->batch, n_grains, shape->grain, shape->size);
        return heed_hint(error, "start at most %zu ranks, or raise train.batch, or lower train.grain", n_grains);
    }
    heed_batcher *b = calloc(1, sizeof *b);
    if (!b)
        return heed_fail(error, HEED_MEMORY, "batch: out of memory");
    b->shape = *shape;
    uint64_t end;
    heedi_grains_of(n_grains, shape->rank, shape->size, &b->first_grain, &end);
    b->n_grains = end - b->first_grain;
    heed_status status = heedi_sequences_create(&b->sequences, corpus, shape, error);
    if (status == HEED_OK)
        status = rows_init(&b->batch, b->n_grains, b->n_grains * shape->grain, b->sequences, error);
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
    if (batcher->sequences)
        batcher->sequences->verbs->destroy(batcher->sequences);
    free(batcher);
}

heed_status heed_batcher_check(const heed_batcher *batcher, const heed_config *config, heed_error *error) {
    const bool has_sources = batcher->sequences->source_time > 0, wants_them = config->model.kind != HEED_DECODER;
    if (has_sources == wants_them)
        return HEED_OK;
    if (has_sources) {
        heed_fail(error, HEED_CONFIG, "model.kind = decoder: the data comes in pairs of source and target");
        return heed_hint(error, "try model.kind=encoder_decoder");
    }
    heed_fail(error, HEED_CONFIG, "model.kind = encoder_decoder: the data has no sources");
    return heed_hint(error, "train on pairs, or with model.kind=decoder");
}

size_t heed_batcher_time(const heed_batcher *batcher) {
    return batcher->sequences->time;
}

size_t heed_batcher_source_time(const heed_batcher *batcher) {
    return batcher->sequences->source_time;
}

size_t heed_batcher_left_out(const heed_batcher *batcher, heed_split split) {
    return (size_t)batcher->sequences->n_left_out[split];
}

/* This rank's grains of the global batch that is made of sequences [first, first + n_global) of a set's order. */
static heed_status deal(heed_batcher *batcher, heedi_set set, uint64_t round, uint64_t first, uint64_t n_global,
                        heed_batch *batch, heed_error *error) {
    rows *r = &batcher->batch;
    heedi_sequences *sequences = batcher->sequences;
    rows_clear(r);
    for (uint64_t g = batcher->first_grain; g < batcher->first_grain + batcher->n_grains; g++) {
        const uint64_t begin = g * batcher->shape.grain, end = begin + batcher->shape.grain;
        for (uint64_t s = begin; s < end && s < n_global; s++) {
            const heed_status status =
                rows_add(r, sequences, &(heedi_which){set, round, first + s}, (uint32_t)s, error);
            if (status != HEED_OK)
                return status;
        }
        rows_next_grain(r);
    }
    *batch = rows_view(r, sequences, batcher->first_grain);
    batch->n_global = n_global;
    for (uint64_t s = 0; s < n_global; s++)
        batch->weight_total += sequences->verbs->extent(sequences, &(heedi_which){set, round, first + s}).weight;
    return HEED_OK;
}

heed_status heed_batcher_train(heed_batcher *batcher, uint64_t step, heed_batch *batch, heed_error *error) {
    HEED_IN_STAGE(BATCH);
    const heedi_sequences *sequences = batcher->sequences;
    if (sequences->n_train == 0)
        return sequences->verbs->fail_untrained(sequences, error);
    uint64_t epoch, first;
    const uint64_t n_global = heedi_step_place(sequences->n_train, batcher->shape.batch, step, &epoch, &first);
    const heed_status status = deal(batcher, HEEDI_TO_TRAIN, epoch, first, n_global, batch, error);
    if (status == HEED_OK)
        batch->step = (uint32_t)step;
    return status;
}

void heed_batcher_epoch(const heed_batcher *batcher, uint64_t step, uint64_t *epoch, uint64_t *steps_per_epoch) {
    const uint64_t n_train = batcher->sequences->n_train;
    *steps_per_epoch = n_train ? heedi_steps_an_epoch(n_train, batcher->shape.batch) : 0;
    *epoch = n_train ? step / *steps_per_epoch : 0;
}

size_t heed_batcher_eval_count(const heed_batcher *batcher) {
    const uint64_t n = batcher->sequences->n_valid;
    return n ? (size_t)((n - 1) / batcher->shape.batch + 1) : 0;
}

heed_status heed_batcher_eval(heed_batcher *batcher, size_t index, heed_batch *batch, heed_error *error) {
    HEED_CHECK(index < heed_batcher_eval_count(batcher));
    const uint64_t first = index * batcher->shape.batch, left = batcher->sequences->n_valid - first;
    const uint64_t n_global = left < batcher->shape.batch ? left : batcher->shape.batch;
    return deal(batcher, HEEDI_TO_VALIDATE, 0, first, n_global, batch, error);
}

heed_status heed_batcher_probes(heed_batcher *batcher, size_t n_probes, heed_batch *batch, heed_error *error) {
    HEED_CHECK(n_probes > 0);
    heedi_sequences *sequences = batcher->sequences;
    const size_t grain = batcher->shape.grain;
    rows *r = &batcher->probes;
    heed_status status = sequences->verbs->check_probes(sequences, n_probes, error);
    if (status == HEED_OK && (n_probes > r->max_sequences || !r->first_row)) {
        heed_arena_reset(&r->arena);
        status = rows_init(r, (n_probes - 1) / grain + 1, n_probes, sequences, error);
    }
    if (status != HEED_OK)
        return status;
    rows_clear(r);
    double weight = 0;
    for (size_t p = 0; p < n_probes; p++) {
        const heedi_which which = {HEEDI_TO_PROBE, n_probes, p};
        status = rows_add(r, sequences, &which, (uint32_t)p, error);
        if (status != HEED_OK)
            return status;
        weight += sequences->verbs->extent(sequences, &which).weight;
        if ((p + 1) % grain == 0 || p + 1 == n_probes)
            rows_next_grain(r);
    }
    *batch = rows_view(r, sequences, 0);
    batch->n_global = n_probes;
    batch->weight_total = weight;
    return HEED_OK;
}
