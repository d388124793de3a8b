#include "heed/nn/loss.h"

#include <string.h>

#include "heed/gemm.h"
#include "heed/multiversion.h"
#include "heed/stage.h"
#include "nn/loss.h"
#include "nn/softmax.h"

enum {
    NEAR = 4096, /* a longer row would push others out of the nearest cache */
    TOGETHER =
        4 /* rows; while the maximum or the sum of one is folded and waited for, the processor goes on with another */
};

/* Rows [from, to) of a block: the loss, and logits become their own gradient. */
HEED_MULTIVERSION static void loss_rows(real *loss, real *logits, const int32_t *target, const real *weight_of,
                                        real smoothing, size_t from, size_t to, size_t vocab) {
    const real others = smoothing / (real)vocab; /* of q on every token */
    const size_t together = vocab <= NEAR ? TOGETHER : 1;
    for (size_t first = from; first < to; first += together) {
        const size_t n = heedi_min(together, to - first);
        real largest[TOGETHER], sum[TOGETHER], plain[TOGETHER], at_target[TOGETHER];
        for (size_t i = 0; i < n; i++) {
            const real *row = logits + (first + i) * vocab;
            at_target[i] = row[target[first + i]];
            plain[i] = smoothing > 0 ? heedi_sum_row(row, vocab) : 0;
            largest[i] = heedi_largest(row, vocab);
        }
        for (size_t i = 0; i < n; i++) {
            if (first + together + i < to && vocab <= NEAR)
                heedi_ask_for(logits + (first + together + i) * vocab, vocab);
            sum[i] = heedi_exp_below(logits + (first + i) * vocab, vocab, largest[i]);
        }
        for (size_t i = 0; i < n; i++) {
            const size_t r = first + i;
            const real w = weight_of[r], scale = w / sum[i], log_sum = largest[i] + (real)log((double)sum[i]);
            real *row = logits + r * vocab;
            for (size_t v = 0; v < vocab; v++)
                row[v] *= scale;
            row[target[r]] -= w * (1 - smoothing);
            loss[r] = w * (log_sum - (1 - smoothing) * at_target[i]);
            if (smoothing > 0) {
                for (size_t v = 0; v < vocab; v++)
                    row[v] -= w * others;
                loss[r] -= w * others * plain[i];
            }
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
