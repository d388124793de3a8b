#include <stdlib.h>

#include "heed/arena.h"
#include "heed/stage.h"
#include "train/evaluate.h"
#include "train/tally.h"

/* Rows with a weight, and those of them whose likeliest token is the target: whole numbers, so that ranks may add them
 * in any order. */
typedef struct hits {
    double right, all;
} hits;

static void count_hits(hits *counted, heed_model *model, const heed_batch *batch, int32_t *best) {
    heed_model_predict(model, batch, best);
    for (size_t r = 0; r < batch->rows.n_rows; r++) {
        counted->all += batch->weight[r] > 0;
        counted->right += batch->weight[r] > 0 && best[r] == batch->target[r];
    }
}

/* The most rows that a rank has in a batch. */
static size_t most_rows(const heed_config *config) {
    return heed_bytes((size_t)config->train.batch, (size_t)config->model.time);
}

heed_status heedi_evaluate(heed_comm *comm, const heed_config *config, heed_model *model, heed_batcher *batcher,
                           size_t max_batches, heedi_breakoff *breakoff, heed_evaluation *found, heed_error *error) {
    HEED_IN_STAGE(EVALUATE);
    const size_t n_all = heed_batcher_eval_count(batcher);
    const size_t n_batches = max_batches && max_batches < n_all ? max_batches : n_all;
    const size_t tally_bytes = heed_bytes(heed_tally_size(config), sizeof(double));
    const size_t best_bytes = heed_bytes(most_rows(config), sizeof(int32_t));
    heed_arena arena;
    heed_error failed = HEED_ERROR_INIT;
    heed_arena_init(&arena, heed_aligned(tally_bytes) + heed_aligned(best_bytes), "evaluation", &failed);
    heed_status status = heed_comm_agree(comm, &failed);
    if (status != HEED_OK) {
        *error = failed;
        return status;
    }
    double *tally = heed_arena_take(&arena, tally_bytes), sum = 0.0, count = 0.0;
    int32_t *best = heed_arena_take(&arena, best_bytes);
    hits counted = {0};
    bool stop = false;
    for (size_t i = 0; i < n_batches && status == HEED_OK && !stop; i++) {
        heed_batch batch = {0};
        stop = breakoff && breakoff->wanted(breakoff->context);
        double loss;
        heed_batcher_eval(batcher, i, &batch, &failed);
        double *sequence_loss = heedi_tally_begin(tally, config, &batch);
        if (failed.status == HEED_OK) {
            heed_model_forward(model, &batch, HEED_PASS_EVAL);
            heed_model_loss(model, &batch, NULL, sequence_loss, NULL);
            count_hits(&counted, model, &batch, best);
        }
        status = heedi_tally_sum(tally, config, comm, &failed, &stop, &loss, error);
        if (status == HEED_OK) {
            sum += loss;
            count += batch.weight_total;
        }
    }
    if (status == HEED_OK)
        status = heed_comm_sum(comm, &counted.right, 2, error);
    heed_arena_reset(&arena);
    if (breakoff)
        breakoff->happened = stop;
    *found = (heed_evaluation){sum / count, count, counted.right / counted.all};
    return status;
}

heed_status heed_evaluate(heed_comm *comm, const heed_config *config, heed_model *model, heed_batcher *batcher,
                          size_t max_batches, heed_evaluation *found, heed_error *error) {
    return heedi_evaluate(comm, config, model, batcher, max_batches, NULL, found, error);
}
