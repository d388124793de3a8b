#include "heed/nn/loss.h"

#include <string.h>

#include "heed/gemm.h"
#include "heed/multiversion.h"
#include "heed/stage.h"
#include "nn/loss.h"
#include "nn/softmax.h"

enum { NEAR = 4096 }; /* a longer row would push itself out of the nearest cache */

/* Rows [from, to) of a block: the loss, and logits become their own gradient. */
HEED_MULTIVERSION static void loss_rows(real *loss, real *logits, const int32_t *target, const real *weight_of,
                                        real smoothing, size_t from, size_t to, size_t vocab) {
    const real others = smoothing / (real)vocab; /* of q on every token */
    for (size_t r = from; r < to; r++) {
        real *row = logits + r * vocab;
        const real w = weight_of[r], at_target = row[target[r]];
        if (r + 1 < to && vocab <= NEAR)
            heedi_ask_for(row + vocab, vocab);
        const real sum = smoothing > 0 ? heedi_sum_row(row, vocab) : 0;
        real log_sum;
        const real scale = w / heedi_exp_row(row, vocab, &log_sum);
        for (size_t v = 0; v < vocab; v++)
            row[v] *= scale;
        row[target[r]] -= w * (1 - smoothing);
        loss[r] = w * (log_sum - (1 - smoothing) * at_target);
        if (smoothing > 0) {
            for (size_t v = 0; v < vocab; v++)
                row[v] -= w * others;
            loss[r] -= w * others * sum;
        }
    }
}

void heedi_cross_entropy(real *loss, real *logits, const int32_t *target, const real *weight_of, real smoothing,
                         size_t rows, size_t vocab) {
#pragma omp parallel if (rows * vocab >= HEEDI_WORTH_THREADS)
    {
        size_t from, to;
        heedi_share(rows, 1, &from, &to);
        loss_rows(loss, logits, target, weight_of, smoothing, from, to, vocab);
    }
}

void heed_classifier_loss(real *loss, real *d_x, real *d_weight, real *logits, const real *x, const real *weight,
                          const int32_t *target, const real *weight_of, real smoothing, size_t rows, size_t width,
                          size_t vocab) {
    HEED_IN_STAGE(CLASSIFIER);
    if (rows == 0 && d_weight)
        memset(d_weight, 0, vocab * width * sizeof *d_weight);
    for (size_t first = 0; first < rows; first += HEED_LOSS_BLOCK) {
        const size_t n = heedi_min(HEED_LOSS_BLOCK, rows - first);
        heed_gemm(false, true, n, vocab, width, 1, x + first * width, width, weight, width, 0, logits, vocab);
        heedi_cross_entropy(loss + first, logits, target + first, weight_of + first, smoothing, n, vocab);
        if (d_x)
            heed_gemm(false, false, n, width, vocab, 1, logits, vocab, weight, width, 0, d_x + first * width, width);
        if (d_weight)
            heed_gemm(true, false, vocab, width, n, 1, logits, vocab, x + first * width, width, first ? 1 : 0, d_weight,
                      width);
    }
}
