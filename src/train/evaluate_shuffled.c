/* Evaluation with shuffled context. Every scored row becomes a sequence of its own, of which its last row alone counts;
 * these are packed into batches as large as the model takes. */
#include <stdlib.h>
#include <string.h>

#include "heed/arena.h"
#include "heed/rng.h"
#include "heed/stage.h"
#include "heed/train.h"
#include "train/tally.h"

/* A batch under construction. */
typedef struct pack {
    size_t max_rows, max_sequences;
    heed_batch batch;
    size_t *first_row;
    size_t first_of[2];
    uint32_t *sequence;
    int32_t *token, *target, *best;
    real *weight;
    double *loss;
    size_t *origin; /* (sequences): where the loss goes in the tally */
} pack;

static heed_status pack_init(pack *p, heed_arena *arena, size_t max_rows, size_t max_sequences, heed_error *error) {
    const size_t rows = heed_aligned(heed_bytes(max_rows, sizeof(int32_t)));
    const size_t weights = heed_aligned(heed_bytes(max_rows, sizeof(real)));
    const size_t sequences = heed_aligned(heed_bytes(max_sequences + 1, sizeof(double)));
    const heed_status status = heed_arena_init(arena, 3 * rows + weights + 4 * sequences, "evaluation", error);
    if (status != HEED_OK)
        return status;
    *p = (pack){.max_rows = max_rows, .max_sequences = max_sequences};
    p->token = heed_arena_take(arena, rows);
    p->target = heed_arena_take(arena, rows);
    p->best = heed_arena_take(arena, rows);
    p->weight = heed_arena_take(arena, weights);
    p->first_row = heed_arena_take(arena, sequences);
    p->sequence = heed_arena_take(arena, sequences);
    p->loss = heed_arena_take(arena, sequences);
    p->origin = heed_arena_take(arena, sequences);
    return HEED_OK;
}

/* Computes what is packed; adds losses to the tally, and right ones to *right. */
static void flush(pack *p, heed_model *model, double *tally, double *right) {
    heed_ragged *rows = &p->batch.rows;
    if (rows->n_sequences == 0)
        return;
    p->first_of[1] = rows->n_sequences;
    rows->n_grains = 1;
    rows->first_row = p->first_row;
    rows->first_of = p->first_of;
    rows->sequence = p->sequence;
    p->batch.token = p->token;
    p->batch.target = p->target;
    p->batch.weight = p->weight;
    heed_model_forward(model, &p->batch, HEED_PASS_EVAL);
    heed_model_loss(model, &p->batch, NULL, p->loss, NULL);
    heed_model_predict(model, &p->batch, p->best);
    for (size_t s = 0; s < rows->n_sequences; s++) {
        const size_t last = p->first_row[s + 1] - 1;
        tally[p->origin[s]] += p->loss[s];
        *right += p->best[last] == p->target[last];
    }
    p->batch = (heed_batch){0};
}

/* Row r of a sequence behind a permutation of the rows before it. */
static void add(pack *p, const heed_batch *batch, size_t sequence, size_t r, const heed_rng *rng, size_t origin) {
    heed_ragged *rows = &p->batch.rows;
    const size_t from = batch->rows.first_row[sequence], at = rows->n_rows;
    for (size_t i = 0; i < r; i++) {
        p->token[at + i] = batch->token[from + heed_rng_permute(rng, i, r)];
        p->target[at + i] = 0;
        p->weight[at + i] = 0;
    }
    p->token[at + r] = batch->token[from + r];
    p->target[at + r] = batch->target[from + r];
    p->weight[at + r] = batch->weight[from + r];
    p->sequence[rows->n_sequences] = (uint32_t)rows->n_sequences;
    p->origin[rows->n_sequences] = origin;
    rows->n_rows += r + 1;
    rows->max_length = r + 1 > rows->max_length ? r + 1 : rows->max_length;
    p->first_row[++rows->n_sequences] = rows->n_rows;
}

/* counted: rows that are right, and all. first: the batch's first sequence in the validation data. */
static void shuffle_batch(pack *p, heed_model *model, const heed_batch *batch, double *losses, double counted[2],
                          size_t first, uint64_t seed) {
    for (size_t s = 0; s < batch->rows.n_sequences; s++)
        for (size_t r = 0; r < heed_length(&batch->rows, s); r++) {
            const heed_rng rng = {.seed = seed,
                                  .purpose = HEED_PURPOSE_CONTEXT,
                                  .step = (uint32_t)r,
                                  .sequence = (uint32_t)first + batch->rows.sequence[s]};
            if (batch->weight[batch->rows.first_row[s] + r] == 0)
                continue;
            if (p->batch.rows.n_rows + r + 1 > p->max_rows || p->batch.rows.n_sequences == p->max_sequences)
                flush(p, model, losses, &counted[0]);
            add(p, batch, s, r, &rng, s);
            counted[1]++;
        }
    flush(p, model, losses, &counted[0]);
}

heed_status heed_evaluate_shuffled(heed_comm *comm, const heed_config *config, heed_model *model, heed_batcher *batcher,
                                   size_t max_batches, heed_evaluation *found, heed_error *error) {
    HEED_IN_STAGE(EVALUATE);
    const size_t n_all = heed_batcher_eval_count(batcher);
    const size_t n_batches = max_batches && max_batches < n_all ? max_batches : n_all;
    const size_t n_grains = (size_t)(config->train.batch / config->train.grain), rank = (size_t)comm->rank;
    const size_t own = n_grains * (rank + 1) / (size_t)comm->size - n_grains * rank / (size_t)comm->size;
    const size_t n_sequences = own * (size_t)config->train.grain;
    heed_arena arena = {0};
    heed_error failed = HEED_ERROR_INIT;
    pack p = {0};
    double *tally = calloc(heed_tally_size(config), sizeof *tally), sum = 0, count = 0, counted[2] = {0};
    if (!tally)
        heed_fail(&failed, HEED_MEMORY, "evaluation: out of memory");
    pack_init(&p, &arena, n_sequences * (size_t)config->model.time, n_sequences, &failed);
    heed_status status = heed_comm_agree(comm, &failed);
    if (status != HEED_OK)
        *error = failed;
    for (size_t i = 0; i < n_batches && status == HEED_OK; i++) {
        heed_batch batch = {0};
        bool stop = false;
        double loss;
        heed_batcher_eval(batcher, i, &batch, &failed);
        double *losses = heedi_tally_begin(tally, config, &batch);
        if (failed.status == HEED_OK)
            shuffle_batch(&p, model, &batch, losses, counted, i * (size_t)config->train.batch,
                          (uint64_t)config->run.seed);
        status = heedi_tally_sum(tally, config, comm, &failed, &stop, &loss, error);
        if (status == HEED_OK) {
            sum += loss;
            count += batch.weight_total;
        }
    }
    if (status == HEED_OK)
        status = heed_comm_sum(comm, counted, 2, error);
    heed_arena_reset(&arena);
    free(tally);
    *found = (heed_evaluation){sum / count, count, counted[0] / counted[1]};
    return status;
}
