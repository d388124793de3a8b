/* heed_evaluate for those who may be in a hurry. */
#ifndef HEED_TRAIN_EVALUATE_H
#define HEED_TRAIN_EVALUATE_H

#include "heed/train.h"

/* Asked before every batch on every rank; when any says yes all break off behind that batch, and what was found is not
 * to be used. */
typedef struct heedi_breakoff {
    bool (*wanted)(void *context);
    void *context;
    bool happened;
} heedi_breakoff;

/* As heed_evaluate. breakoff NULL: never. Collective. */
heed_status heedi_evaluate(heed_comm *comm, const heed_config *config, heed_model *model, heed_batcher *batcher,
                           size_t max_batches, heedi_breakoff *breakoff, heed_evaluation *found, heed_error *error);

#endif
