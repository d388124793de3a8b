/* A run's maps of one kind of attention on the page: of every probe, layer and head one chunk of bytes with all its log
 * steps, so that moving through training needs one chunk only, and successive steps, which are alike, compress well.
 *
 * A value v of a map is a whole number q between -levels and levels, its share of the map's scale s: 1 for attention,
 * the largest |v| of the map for the others.
 *
 *     v = s * sign(q) * (|q| / levels)^power
 *
 * power is 2 for attention, so that small weights keep their order: |error| <= sqrt(v) / levels, about; and 1 for the
 * others: |error| <= s / (2 levels). The page has as many levels as leave it below HEED_REPORT_BYTES.
 *
 * A chunk is: n_steps scales (float32, little-endian; not for attention), then n_steps * n_values bytes, in each step
 * the keys of query 0, then those of query 1, and so on: of causal attention the visible ones, else as many as the
 * longest probe has. Bytes of signed maps are q + 128. From the second step
 * on they are differences from the step before (modulo 256). All of it deflated (zlib's form), as base64. */
#ifndef HEED_REPORT_MAPS_H
#define HEED_REPORT_MAPS_H

#include <jansson.h>

#include "heed/status.h"
#include "record/attention_read.h"
#include "report/page.h"

enum { HEEDI_MAP_FORMS = 3 };
typedef struct heedi_map_form {
    const char *name; /* of the array */
    bool is_signed;
    int power;
    double share; /* of the room that a kind's maps have */
} heedi_map_form;
extern const heedi_map_form heedi_map_forms[HEEDI_MAP_FORMS];

typedef struct heedi_maps {
    const heedi_log_reader *log;
    size_t queries, keys;              /* of the longest probe */
    size_t probes, n_values;           /* probes that are shown, values of one map */
    size_t n_kept[HEEDI_MAP_FORMS];    /* logs whose map of this form is kept; 0: no room for even one */
    unsigned char *q[HEEDI_MAP_FORMS]; /* (probes, layers, heads, n_kept, n_values), with the most levels */
    float *scale[HEEDI_MAP_FORMS];     /* (probes, layers, heads, n_kept) */
    size_t first;                      /* layer and head that the page shows first */
    float *one;                        /* a log's array as it was read */
    size_t n_shown[HEEDI_MAP_FORMS];   /* of those kept, evenly; decided when all are there */
    int levels[HEEDI_MAP_FORMS];
} heedi_maps;

/* k of n logs, evenly, the first and the last among them: the index of the i-th. */
size_t heedi_thinned(size_t i, size_t k, size_t n);

/* Decides what fits into room bytes and takes memory for it. Errors: HEED_MEMORY. Ownership: heedi_maps_reset, after a
 * failure too. */
heed_status heedi_maps_init(heedi_maps *maps, const heedi_log_reader *log, size_t room, heed_error *error);
void heedi_maps_reset(heedi_maps *maps);

/* Takes what is kept of the i-th log, whose file is open. Errors: HEED_DATA, HEED_IO. */
heed_status heedi_maps_take(heedi_maps *maps, size_t i, heed_store *store, heed_error *error);

/* Decides how many levels and logs leave the chunks below n_bytes in all. Returns what the page must know to read
 * them: json_decref. */
json_t *heedi_maps_fit(heedi_maps *maps, size_t n_bytes);

/* Writes the chunks as script elements "map-RUN-KIND-FORM-PROBE-LAYER-HEAD", head by head, those of the first probe and
 * of maps->first before all others. Errors: HEED_MEMORY. */
heed_status heedi_maps_write(const heedi_maps *maps, size_t run, heedi_page *page, heed_error *error);

/* "self", "encoder" or "cross". */
extern const char *const heedi_kind_names[HEED_N_ATTENTION_KINDS];

#endif
