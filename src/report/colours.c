#include "report/colours.h"

#include <math.h>
#include <stdio.h>

enum { MOST_COLOURS = 16 };
static const struct {
    const char *name;
    int n;
    unsigned colour[MOST_COLOURS];
} palettes[HEEDI_N_PALETTES] = {
    {"viridis",
     16,
     {0x440154, 0x481a6c, 0x472f7d, 0x414487, 0x39568c, 0x31688e, 0x2a788e, 0x23888e, 0x1f988b, 0x22a884, 0x35b779,
      0x54c568, 0x7ad151, 0xa5db36, 0xd2e21b, 0xfde725}},
    {"diverging", 9, {0x08306b, 0x2171b5, 0x6baed6, 0xc6dbef, 0xffffff, 0xfdd0a2, 0xfd8d3c, 0xd94801, 0x7f2704}},
    {"diverging_dark", 9, {0xc6dbef, 0x6baed6, 0x2171b5, 0x0d3f77, 0x14181d, 0x7a2f05, 0xd94801, 0xfd8d3c, 0xfdd0a2}},
};

void heedi_colour(double rgb[3], heedi_palette palette, double share) {
    const int last = palettes[palette].n - 1;
    const double place = fmin(fmax(share, 0), 1) * last; /* NaN is 0 */
    const int below = place < last ? (int)place : last - 1;
    const unsigned a = palettes[palette].colour[below], b = palettes[palette].colour[below + 1];
    for (int c = 0; c < 3; c++) {
        const int shift = 16 - 8 * c;
        const double from = a >> shift & 255, to = b >> shift & 255;
        rgb[c] = (from + (place - below) * (to - from)) / 255;
    }
}

json_t *heedi_palettes_json(void) {
    json_t *all = json_object();
    for (int p = 0; p < HEEDI_N_PALETTES; p++) {
        json_t *colours = json_array();
        for (int i = 0; i < palettes[p].n; i++) {
            char text[16];
            snprintf(text, sizeof text, "#%06x", palettes[p].colour[i]);
            json_array_append_new(colours, json_string(text));
        }
        json_object_set_new(all, palettes[p].name, colours);
    }
    return all;
}
