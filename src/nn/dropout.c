#include "heed/nn/dropout.h"

#include <math.h>

#include "nn/dropout.h"
#include "nn/parallel.h"

void heedi_dropout_init(heedi_dropout *dropout, real p, uint64_t seed, uint32_t site, uint32_t step) {
    dropout->rng = (heed_rng){.seed = seed, .purpose = HEED_PURPOSE_DROPOUT, .site = site, .step = step};
    dropout->threshold = (uint32_t)ceil((double)p * 0x1p24);
    dropout->scale = 1 / (1 - p);
}

void heedi_dropout_row(real *x, const heedi_dropout *dropout, uint32_t sequence, size_t row, size_t n, size_t n_used) {
    heed_rng rng = dropout->rng;
    rng.sequence = sequence;
    const size_t first_block = row * ((n + 3) / 4);
    for (size_t i = 0; i < n_used; i += 4) {
        uint32_t words[4];
        heed_rng_block(words, &rng, (uint32_t)(first_block + i / 4));
        for (size_t k = 0; k < 4 && i + k < n_used; k++)
            x[i + k] = words[k] >> 8 < dropout->threshold ? 0 : x[i + k] * dropout->scale;
    }
}

void heed_dropout(real *x, const heed_ragged *rows, size_t width, real p, uint64_t seed, uint32_t site, uint32_t step) {
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
            heedi_dropout_row(x + r * width, &dropout, rows->sequence[s], r - rows->first_row[s], width, width);
        }
    }
}
