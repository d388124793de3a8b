#include "sequences.h"

#include "heed/pairs.h"

heed_status heedi_sequences_create(heedi_sequences **sequences, heed_corpus *corpus, const heed_batch_shape *shape,
                                   heed_error *error) {
    *sequences = NULL;
    if (heed_corpus_task(corpus))
        return heedi_task_sequences(sequences, heed_corpus_task(corpus), shape, error);
    if (heed_corpus_has_pairs(corpus))
        return heedi_pair_sequences(sequences, corpus, shape, error);
    return heedi_text_sequences(sequences, corpus, shape, error);
}

uint64_t heedi_steps_an_epoch(uint64_t n_sequences, uint64_t batch) {
    return (n_sequences - 1) / batch + 1;
}

uint64_t heedi_step_place(uint64_t n_sequences, uint64_t batch, uint64_t step, uint64_t *epoch, uint64_t *first) {
    const uint64_t n_steps = heedi_steps_an_epoch(n_sequences, batch);
    *epoch = step / n_steps;
    *first = step % n_steps * batch;
    const uint64_t left = n_sequences - *first;
    return left < batch ? left : batch;
}

void heedi_grains_of(uint64_t n_grains, int rank, int size, uint64_t *first, uint64_t *end) {
    HEED_CHECK(rank >= 0 && rank < size);
    *first = n_grains * (uint64_t)rank / (uint64_t)size;
    *end = n_grains * ((uint64_t)rank + 1) / (uint64_t)size;
}
