#ifndef HEED_RECORD_ATTENTION_MAPS_H
#define HEED_RECORD_ATTENTION_MAPS_H

#include "heed/arena.h"
#include "heed/attention_log.h"
#include "record/worker.h"

typedef enum heedi_map { HEEDI_ATTENTION, HEEDI_ADVANTAGE, HEEDI_CREDIT, HEEDI_N_MAPS } heedi_map;

typedef struct heedi_log_job heedi_log_job;

/* While the worker is busy the maps and the job are its own. */
struct heed_attention_maps {
    heed_attention_kind kind;
    const heed_tokenizer *source_tokenizer; /* or NULL: that of the targets */
    size_t probes, layers, heads, time;
    heed_arena arena;
    float *map[HEEDI_N_MAPS]; /* (probes, layers, heads, time, time), 0 where not visible */
    real *scratch;            /* (threads, HEEDI_N_MAPS, time, time) */
    heedi_worker worker;
    bool has_worker;
    heedi_log_job *job; /* the last one, or NULL */
    bool unwritten;     /* it was tried, and is not on the disk */
};

void heedi_log_job_free(heedi_log_job *job);

#endif
