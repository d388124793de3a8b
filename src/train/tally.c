#include "train/tally.h"

#include <string.h>

#include "heed/stage.h"
#include "heed/train.h"

size_t heed_tally_size(const heed_config *config) {
    return (size_t)(config->train.batch + config->train.batch / config->train.grain) + HEEDI_TALLY_COUNTS;
}

double *heedi_tally_begin(double *tally, const heed_config *config, const heed_batch *batch) {
    const heed_ragged *rows = &batch->rows;
    memset(tally, 0, heed_tally_size(config) * sizeof *tally);
    if (rows->n_sequences == 0)
        return tally;
    const size_t first = rows->sequence[0], last = rows->sequence[rows->n_sequences - 1];
    HEED_CHECK(last - first == rows->n_sequences - 1 && last < (size_t)config->train.batch);
    return tally + first;
}

heed_status heedi_tally_sum(double *tally, const heed_config *config, heed_comm *comm, const heed_error *failed,
                            bool *stop, double *loss, heed_error *error) {
    HEED_IN_STAGE(AGREE);
    const size_t n_sequences = (size_t)config->train.batch;
    tally[n_sequences + HEEDI_TALLY_FAILURES] = failed->status != HEED_OK;
    tally[n_sequences + HEEDI_TALLY_STOPS] = *stop;
    heed_status status = heed_comm_sum(comm, tally, n_sequences + HEEDI_TALLY_COUNTS + (size_t)comm->size, error);
    if (status != HEED_OK)
        return status;
    if (tally[n_sequences + HEEDI_TALLY_FAILURES] > 0) {
        heed_error agreed = *failed;
        status = heed_comm_agree(comm, &agreed);
        *error = agreed;
        return status;
    }
    *stop = tally[n_sequences + HEEDI_TALLY_STOPS] > 0;
    *loss = 0.0;
    for (size_t s = 0; s < n_sequences; s++)
        *loss += tally[s];
    return HEED_OK;
}
