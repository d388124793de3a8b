/* What a file of the attention log holds, as one table: writing and merging follow it. */
#ifndef HEED_RECORD_ATTENTION_LOG_H
#define HEED_RECORD_ATTENTION_LOG_H

#include "heed/attention_log.h"
#include "heed/store.h"
#include "record/netcdf.h"

#define HEEDI_LOG_KIND "attention log"
#define HEEDI_LOG_FORMAT 1

/* In this order in the table. */
typedef enum heedi_log_id {
    HEEDI_LOG_STEP,
    HEEDI_LOG_PROBE,
    HEEDI_LOG_LAYER,
    HEEDI_LOG_HEAD,
    HEEDI_LOG_QUERY,
    HEEDI_LOG_KEY,
    HEEDI_LOG_BYTE,                                             /* dimension of the tokens' text, in netCDF's manner */
    HEEDI_LOG_MAP,                                              /* and the other maps */
    HEEDI_LOG_STATISTIC = HEEDI_LOG_MAP + 3,                    /* and the other statistics of heads */
    HEEDI_LOG_LENGTH = HEEDI_LOG_STATISTIC + HEED_N_STATISTICS, /* of the probes */
    HEEDI_LOG_TOKEN,
    HEEDI_LOG_TARGET,
    HEEDI_LOG_TEXT,
    HEEDI_LOG_KEY_LENGTH, /* from here on: of cross-attention alone */
    HEEDI_LOG_KEY_TOKEN,
    HEEDI_LOG_KEY_TEXT,
    HEEDI_LOG_N
} heedi_log_id;

/* How many of them, from the first on, the files of a kind have. */
int heedi_log_arrays(heed_attention_kind kind);

/* Axes: step, probe, layer, head, query, key, byte. */
extern const heedi_netcdf_array heedi_log_table[HEEDI_LOG_N];

typedef struct heedi_log_sizes {
    size_t steps, probes, layers, heads, time, bytes;
} heedi_log_sizes;

/* Shape of an array; returns the number of its dimensions, and of its elements. */
int heedi_log_shape(size_t dims[HEED_STORE_MAX_DIMS], size_t *n_elements, heedi_log_id id,
                    const heedi_log_sizes *sizes);

/* The maps are large and are compressed. */
bool heedi_log_deflates(heedi_log_id id);

/* The attributes of the file and of all arrays, and their dimension scales, once the arrays are there. */
heed_status heedi_log_annotate(heed_store *store, heed_attention_kind kind, const char *config_text, heed_error *error);

#endif
