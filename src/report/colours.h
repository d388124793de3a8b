/* The colours of maps, one table for the page and for pictures: viridis (Smith and van der Walt 2015, CC0) for what is
 * never negative, blues and oranges (Brewer 2003) for what has a sign. Who sees no red or no green tells them apart,
 * and viridis also in grey. */
#ifndef HEED_REPORT_COLOURS_H
#define HEED_REPORT_COLOURS_H

#include <jansson.h>

typedef enum heedi_palette {
    HEEDI_VIRIDIS,
    HEEDI_DIVERGING,      /* 0 is white: for paper and bright screens */
    HEEDI_DIVERGING_DARK, /* 0 is dark: for dark screens */
    HEEDI_N_PALETTES
} heedi_palette;

/* The colour of a share between 0 and 1, red, green and blue between 0 and 1, linear between the table's. */
void heedi_colour(double rgb[3], heedi_palette palette, double share);

/* {"viridis": ["#440154", ...], ...}, evenly spaced. */
json_t *heedi_palettes_json(void);

#endif
