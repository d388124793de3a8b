/* One HTML page from what runs recorded, and single heatmaps for papers. Everything on the page comes from files: a
 * run's config.ini, metrics.jsonl, environment.json, attention log and probe.h5, and the controls.h5 of a folder of
 * controls. The page is one file that needs nothing else, neither network nor heed. docs/files.md says what it holds.
 */
#ifndef HEED_REPORT_H
#define HEED_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "heed/status.h"

typedef struct heed_report {
    const char *const *runs; /* (n_runs): folders of runs, the first one is shown first */
    size_t n_runs;
    const char *controls;  /* a folder that `heed controls` wrote, or NULL */
    const char *credit;    /* what `heed credit --json` prints of these runs: a JSON array; NULL: nothing is known */
    const char *no_credit; /* why nothing is known, in one line, or NULL */
} heed_report;

/* What the page has room for. More logs are thinned evenly, and the page says so. */
enum {
    HEED_REPORT_POINTS = 2000,           /* of a loss curve */
    HEED_REPORT_LOGS = 1000,             /* of a run's attention logs, read for the statistics of its heads */
    HEED_REPORT_NUMBERS = 1 << 19,       /* of these statistics */
    HEED_REPORT_MAP_VALUES = 72 << 20,   /* of all maps: a byte each before they are compressed, and in memory */
    HEED_REPORT_BYTES = 16 << 20,        /* of all maps in the page */
    HEED_REPORT_STORED_NUMBERS = 1 << 19 /* of one array of controls.h5 or probe.h5; a larger one is left out */
};

/* Writes the page (under a temporary name, then renamed). A run without an attention log is shown without heatmaps.
 * Memory: HEED_REPORT_MAP_VALUES bytes, and the maps of one log. Errors: HEED_NOT_FOUND (no run lies there), HEED_DATA
 * (a damaged file), HEED_CREATE, HEED_IO, HEED_MEMORY. Not collective. */
heed_status heed_report_write(const char *path, const heed_report *report, heed_error *error);

/* One map of one head as a picture. */
typedef enum heed_figure_format { HEED_FIGURE_PNG, HEED_FIGURE_SVG, HEED_FIGURE_PDF } heed_figure_format;
typedef struct heed_figure {
    const char *run;  /* its folder */
    const char *what; /* "attention", "advantage" or "credit" */
    const char *kind; /* of attention: "self", "encoder" or "cross" */
    int64_t step;     /* of the log; -1: the last one */
    size_t layer, head, probe;
} heed_figure;

/* Draws it, tokens on both axes. Attention in viridis from 0 to 1, the others from blue through white to orange,
 * symmetric about 0. Errors: HEED_NOT_FOUND (no log of that kind, or of that step: the nearest is named), HEED_USAGE
 * (no such layer, head, probe, kind or map), HEED_DATA, HEED_CREATE, HEED_IO, HEED_MEMORY. Not collective. */
heed_status heed_figure_draw(const char *path, heed_figure_format format, const heed_figure *figure, heed_error *error);

#endif
