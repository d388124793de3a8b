/* What a product will read next, asked for tile by tile between the multiply-adds. Internal to gemm. */
#ifndef HEEDI_GEMM_AHEAD_H
#define HEEDI_GEMM_AHEAD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/sizes.h"
#include "base/stream.h"
#include "engine/gemm_pack.h"
#include "engine/gemm_tile.h"

/* Strips that will be read soon: n runs of n_pairs pairs of cache lines. */
typedef struct heedi_coming {
    const real *at;
    size_t n, run_step, n_pairs, pair_step;
    size_t run, pair; /* the next */
    size_t at_once;   /* pairs that one tile should ask for */
} heedi_coming;

/* n strips of k elements, while n_tiles are multiplied. */
static inline heedi_coming heedi_coming_strips(heedi_strips strips, size_t n, size_t k, size_t n_tiles) {
    const bool along = strips.k_step == 1;
    heedi_coming c = {.at = strips.at,
                      .n = along ? n : heedi_tiles(n, 2 * HEEDI_LINE),
                      .run_step = along ? strips.step : 2 * HEEDI_LINE,
                      .n_pairs = along ? k / (2 * HEEDI_LINE) : k,
                      .pair_step = along ? 2 * HEEDI_LINE : strips.k_step};
    c.n = c.n_pairs > 0 ? c.n : 0;
    c.at_once = c.n * c.n_pairs / heedi_max(1, n_tiles) + 1;
    return c;
}

/* What the next tile asks for. */
static inline heedi_ahead heedi_ask_for(heedi_coming *c) {
    if (c->run == c->n)
        return (heedi_ahead){0};
    const heedi_ahead ahead = {c->at + c->run * c->run_step + c->pair * c->pair_step,
                               heedi_min(c->at_once, c->n_pairs - c->pair), c->pair_step};
    c->pair += ahead.n;
    if (c->pair == c->n_pairs) {
        c->pair = 0;
        c->run++;
    }
    return ahead;
}

#endif
