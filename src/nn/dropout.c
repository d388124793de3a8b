#include "heed/nn/dropout.h"

#include <math.h>

#include "heed/multiversion.h"
#include "heed/stage.h"
#include "nn/dropout.h"
#include "nn/parallel.h"
#include "nn/philox.h"

void heedi_dropout_init(heedi_dropout *dropout, real p, uint64_t seed, uint32_t site, uint32_t step) {
    dropout->rng = (heed_rng){.seed = seed, .purpose = HEED_PURPOSE_DROPOUT, .site = site, .step = step};
    dropout->threshold = (uint32_t)fmin(ceil((double)p * 0x1p24), 0x1p24 - 1) << 8;
    dropout->scale = 1 / (1 - p);
}

enum { GROUPS = 8 }; /* drawn at once */

static heed_rng of_sequence(const heedi_dropout *dropout, uint32_t sequence) {
    heed_rng rng = dropout->rng;
    rng.sequence = sequence;
    return rng;
}

HEED_MULTIVERSION static void fill_mask(real *mask, const uint32_t *word, size_t n, uint32_t threshold, real scale) {
    for (size_t i = 0; i < n; i++)
        mask[i] = word[i] < threshold ? 0 : scale;
}

HEED_MULTIVERSION static void drop(real *x, const uint32_t *word, size_t n, uint32_t threshold, real scale) {
    for (size_t from = 0, end; from < n; from = end) {
        end = heedi_run_end(from, n);
        heedi_ask_ahead(x + from);
        for (size_t i = from; i < end; i++)
            x[i] = word[i] < threshold ? 0 : x[i] * scale;
    }
}

void heedi_dropout_mask(real *mask, const heedi_dropout *dropout, uint32_t sequence, size_t first_row,
                        size_t key_length, size_t n_keys) {
    const heed_rng rng = of_sequence(dropout, sequence);
    const size_t blocks = (key_length + 3) / 4, n_groups = (n_keys + 3) / 4;
    uint32_t words[GROUPS * HEEDI_WORDS];
    for (size_t g = 0; g < n_groups; g += GROUPS) {
        const size_t n = heedi_min(GROUPS, n_groups - g), at = g * HEEDI_WORDS;
        heedi_philox(words, &rng, (uint32_t)(first_row * blocks + g), (uint32_t)blocks, 1, n);
        fill_mask(mask + at, words, heedi_min(n * HEEDI_WORDS, n_keys * HEEDI_LANES - at), dropout->threshold,
                  dropout->scale);
    }
}

/* Element i of a row draws word i / 16 % 4 of block row * 16 ceil(width / 64) + i / 64 * 16 + i % 16: sixteen blocks
 * give 64 elements in the order in which they come out. */
static void drop_row(real *x, const heedi_dropout *dropout, uint32_t sequence, size_t row, size_t width) {
    const heed_rng rng = of_sequence(dropout, sequence);
    const size_t n_groups = (width + HEEDI_WORDS - 1) / HEEDI_WORDS;
    uint32_t words[GROUPS * HEEDI_WORDS];
    for (size_t g = 0; g < n_groups; g += GROUPS) {
        const size_t n = heedi_min(GROUPS, n_groups - g), at = g * HEEDI_WORDS;
        heedi_philox(words, &rng, (uint32_t)((row * n_groups + g) * HEEDI_LANES), 1, HEEDI_LANES, n);
        drop(x + at, words, heedi_min(n * HEEDI_WORDS, width - at), dropout->threshold, dropout->scale);
    }
}

void heed_dropout(real *x, const heed_ragged *rows, size_t width, real p, uint64_t seed, uint32_t site, uint32_t step) {
    HEED_IN_STAGE(DROPOUT);
    if (p == 0)
        return;
    heedi_dropout dropout;
    heedi_dropout_init(&dropout, p, seed, site, step);
#pragma omp parallel if (rows->n_rows * width >= HEEDI_WORTH_THREADS)
    {
        size_t from, to;
        heedi_share(rows->n_rows, 1, &from, &to);
        size_t s = 0;
        for (size_t r = from; r < to; r++) {
            while (rows->first_row[s + 1] <= r)
                s++;
            drop_row(x + r * width, &dropout, rows->sequence[s], r - rows->first_row[s], width);
        }
    }
}
