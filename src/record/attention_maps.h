#ifndef HEED_RECORD_ATTENTION_MAPS_H
#define HEED_RECORD_ATTENTION_MAPS_H

#include "heed/attention_log.h"

typedef enum heedi_map { HEEDI_ATTENTION, HEEDI_ADVANTAGE, HEEDI_CREDIT, HEEDI_N_MAPS } heedi_map;

struct heed_attention_maps {
    size_t probes, layers, heads, time;
    uint16_t
        *half[HEEDI_N_MAPS]; /* (probes, layers, heads, time, time), binary16 of value / scale; 0 where not visible */
    float *scale[HEEDI_N_MAPS]; /* (probes, layers, heads) */
    real *scratch;              /* (threads, HEEDI_N_MAPS, time, time) */
};

#endif
