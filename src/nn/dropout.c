#include "heed/nn/dropout.h"

#include <math.h>

#include "heed/multiversion.h"
#include "heed/stage.h"
#include "nn/dropout.h"
#include "nn/parallel.h"

void heedi_dropout_init(heedi_dropout *dropout, real p, uint64_t seed, uint32_t site, uint32_t step) {
    dropout->rng = (heed_rng){.seed = seed, .purpose = HEED_PURPOSE_DROPOUT, .site = site, .step = step};
    dropout->threshold = (uint32_t)ceil((double)p * 0x1p24);
    dropout->scale = 1 / (1 - p);
}

/* heed_rng_block for 16 indices at once: Philox4x32-10 (Salmon et al. 2011) with its rounds written out, which
 * vectorises. */
HEEDI_INLINE void sixteen_blocks(uint32_t word[4][HEEDI_LANES], const heed_rng *rng,
                                 const uint32_t index[HEEDI_LANES]) {
    uint32_t a[HEEDI_LANES], b[HEEDI_LANES], c[HEEDI_LANES], d[HEEDI_LANES];
    uint32_t key_0 = (uint32_t)rng->seed, key_1 = (uint32_t)(rng->seed >> 32);
#pragma omp simd
    for (size_t l = 0; l < HEEDI_LANES; l++) {
        a[l] = rng->purpose << 24 | rng->site;
        b[l] = rng->step;
        c[l] = rng->sequence;
        d[l] = index[l];
    }
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
#pragma omp simd
        for (size_t l = 0; l < HEEDI_LANES; l++) {
            const uint64_t left = (uint64_t)a[l] * 0xD2511F53u, right = (uint64_t)c[l] * 0xCD9E8D57u;
            a[l] = (uint32_t)(right >> 32) ^ b[l] ^ key_0;
            c[l] = (uint32_t)(left >> 32) ^ d[l] ^ key_1;
            b[l] = (uint32_t)right;
            d[l] = (uint32_t)left;
        }
        key_0 += 0x9E3779B9u;
        key_1 += 0xBB67AE85u;
    }
#pragma omp simd
    for (size_t l = 0; l < HEEDI_LANES; l++) {
        word[0][l] = a[l];
        word[1][l] = b[l];
        word[2][l] = c[l];
        word[3][l] = d[l];
    }
}

HEED_MULTIVERSION void heedi_dropout_mask(real *mask, const heedi_dropout *dropout, uint32_t sequence, size_t first_row,
                                          size_t key_length, size_t n_keys) {
    heed_rng rng = dropout->rng;
    rng.sequence = sequence;
    const uint32_t threshold = dropout->threshold;
    const real scale = dropout->scale;
    const size_t blocks = (key_length + 3) / 4;
    for (size_t j = 0; j < n_keys; j += 4) {
        uint32_t index[HEEDI_LANES], word[4][HEEDI_LANES];
        for (size_t l = 0; l < HEEDI_LANES; l++)
            index[l] = (uint32_t)((first_row + l) * blocks + j / 4);
        sixteen_blocks(word, &rng, index);
        const size_t rest = n_keys - j < 4 ? n_keys - j : 4;
        for (size_t k = 0; k < rest; k++)
            for (size_t l = 0; l < HEEDI_LANES; l++)
                mask[(j + k) * HEEDI_LANES + l] = word[k][l] >> 8 < threshold ? 0 : scale;
    }
}

/* Element i of a row draws word i / 16 % 4 of block row * 16 ceil(width / 64) + i / 64 * 16 + i % 16: sixteen blocks
 * give 64 elements in the order in which they come out. */
HEED_MULTIVERSION static void drop_row(real *x, const heedi_dropout *dropout, uint32_t sequence, size_t row,
                                       size_t width) {
    heed_rng rng = dropout->rng;
    rng.sequence = sequence;
    const uint32_t threshold = dropout->threshold;
    const real scale = dropout->scale;
    for (size_t first = 0; first < width; first += 4 * HEEDI_LANES) {
        uint32_t index[HEEDI_LANES], word[4][HEEDI_LANES];
        const size_t block = (row * ((width + 4 * HEEDI_LANES - 1) / (4 * HEEDI_LANES)) + first / (4 * HEEDI_LANES));
        for (size_t l = 0; l < HEEDI_LANES; l++)
            index[l] = (uint32_t)(block * HEEDI_LANES + l);
        sixteen_blocks(word, &rng, index);
        const size_t rest = width - first < 4 * HEEDI_LANES ? width - first : 4 * HEEDI_LANES;
        const uint32_t *in_order = &word[0][0];
        for (size_t i = 0; i < rest; i++)
            x[first + i] = in_order[i] >> 8 < threshold ? 0 : x[first + i] * scale;
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
