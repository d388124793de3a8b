#include <stdlib.h>

#include "heed/arena.h"
#include "heed/stage.h"
#include "heed/train.h"
#include "heed/watchdog.h"
#include "train/tally.h"

heed_status heed_evaluate(heed_comm *comm, const heed_config *config, heed_model *model, heed_batcher *batcher,
                          size_t max_batches, double *mean_loss, double *tokens, heed_error *error) {
    HEED_IN_STAGE(EVALUATE);
    const size_t n_all = heed_batcher_eval_count(batcher);
    const size_t n_batches = max_batches && max_batches < n_all ? max_batches : n_all;
    heed_arena arena;
    heed_error failed = HEED_ERROR_INIT;
    heed_arena_init(&arena, heed_bytes(heed_tally_size(config), sizeof(double)), "evaluation", &failed);
    heed_status status = heed_comm_agree(comm, &failed);
    if (status != HEED_OK)
        *error = failed;

    double *tally = (double *)(void *)arena.base, sum = 0.0, count = 0.0;
    for (size_t i = 0; i < n_batches && status == HEED_OK; i++) {
        heed_batch batch = {0};
        bool stop = false;
        double loss;
        heed_watchdog_mark(comm, 0);
        heed_batcher_eval(batcher, i, &batch, &failed);
        double *sequence_loss = heedi_tally_begin(tally, config, &batch);
        if (failed.status == HEED_OK) {
            heed_model_forward(model, &batch, HEED_PASS_EVAL);
            heed_model_loss(model, &batch, NULL, sequence_loss, NULL);
        }
        status = heedi_tally_sum(tally, config, comm, &failed, &stop, &loss, error);
        if (status == HEED_OK) {
            sum += loss;
            count += batch.weight_total;
        }
    }
    heed_arena_reset(&arena);
    *mean_loss = sum / count;
    *tokens = count;
    return status;
}
