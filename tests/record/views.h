/* Attention views made of random numbers: sequences of several lengths, one of them longer than a tile. */
#ifndef HEED_TESTS_RECORD_VIEWS_H
#define HEED_TESTS_RECORD_VIEWS_H

#include <math.h>
#include <stdlib.h>

#include "heed/model.h"
#include "heed/rng.h"

#define HEADS 2
#define HEAD_WIDTH 5
#define WIDTH (HEADS * HEAD_WIDTH)
#define TIME 70
#define LAYERS 2

typedef struct sample_view {
    heed_attention_view view;
    heed_attention how;
    heed_ragged rows;
    size_t first_row[8];
    uint32_t sequence[8];
    real *values; /* query, key, value (rows, 3 width), output, d_output (rows, width) */
} sample_view;

/* Sequences [from, to) of the global batch; a sequence's numbers depend on its number and the layer alone. output is
 * filled with the true o_i. */
static inline void view_create(sample_view *s, const size_t *lengths, size_t from, size_t to, size_t layer) {
    *s = (sample_view){.rows = {.n_sequences = to - from}};
    for (size_t i = from; i < to; i++) {
        s->sequence[i - from] = (uint32_t)i;
        s->first_row[i - from + 1] = s->rows.n_rows += lengths[i];
        s->rows.max_length = lengths[i] > s->rows.max_length ? lengths[i] : s->rows.max_length;
    }
    s->rows.first_row = s->first_row;
    s->rows.sequence = s->sequence;
    const size_t n = s->rows.n_rows;
    s->values = calloc(n * 5 * WIDTH + 1, sizeof(real));
    real *query = s->values, *output = query + n * 3 * WIDTH, *d_output = output + n * WIDTH;
    for (size_t i = 0; i < to - from; i++)
        for (size_t r = s->first_row[i]; r < s->first_row[i + 1]; r++) {
            const heed_rng rng = {.seed = 5,
                                  .site = (uint32_t)layer,
                                  .step = s->sequence[i],
                                  .sequence = (uint32_t)(r - s->first_row[i])};
            for (size_t c = 0; c < 4 * WIDTH; c++) {
                double pair[2];
                heed_rng_normal(pair, &rng, (uint32_t)c);
                *(c < 3 * WIDTH ? &query[r * 3 * WIDTH + c] : &d_output[r * WIDTH + c - 3 * WIDTH]) = (real)pair[0];
            }
        }
    s->how = (heed_attention){.heads = HEADS,
                              .head_width = HEAD_WIDTH,
                              .causal = true,
                              .scale = 1 / (real)sqrt(HEAD_WIDTH),
                              .query_stride = 3 * WIDTH,
                              .key_stride = 3 * WIDTH};
    s->view = (heed_attention_view){.layer = layer,
                                    .heads = HEADS,
                                    .head_width = HEAD_WIDTH,
                                    .causal = true,
                                    .query = query,
                                    .key = query + WIDTH,
                                    .value = query + 2 * WIDTH,
                                    .output = output,
                                    .d_output = d_output};
}

static inline void view_point(sample_view *s) { /* once s lies where it will stay */
    s->rows.first_row = s->first_row;
    s->rows.sequence = s->sequence;
    s->view.how = &s->how;
    s->view.query_rows = s->view.key_rows = &s->rows;
}

/* a_ij of one query by the definition, in double. */
static inline void true_weights(double a[TIME], const sample_view *s, size_t row, size_t first, size_t head) {
    const size_t i = row - first;
    double sum = 0;
    for (size_t j = 0; j <= i; j++) {
        double score = 0;
        for (size_t c = 0; c < HEAD_WIDTH; c++)
            score += (double)s->view.query[row * 3 * WIDTH + head * HEAD_WIDTH + c] *
                     (double)s->view.key[(first + j) * 3 * WIDTH + head * HEAD_WIDTH + c];
        sum += a[j] = exp(score / sqrt(HEAD_WIDTH));
    }
    for (size_t j = 0; j <= i; j++)
        a[j] /= sum;
}

/* A_ij = g_i . (o_i - v_j), with o_i by the definition. */
static inline void true_advantage(double advantage[TIME], const double a[TIME], const sample_view *s, size_t row,
                                  size_t first, size_t head) {
    const size_t i = row - first, column = head * HEAD_WIDTH;
    for (size_t j = 0; j <= i; j++) {
        advantage[j] = 0;
        for (size_t c = column; c < column + HEAD_WIDTH; c++) {
            double o = 0;
            for (size_t k = 0; k <= i; k++)
                o += a[k] * (double)s->view.value[(first + k) * 3 * WIDTH + c];
            advantage[j] +=
                (double)s->view.d_output[row * WIDTH + c] * (o - (double)s->view.value[(first + j) * 3 * WIDTH + c]);
        }
    }
}

/* The forward pass's output, which the observers are shown. */
static inline void view_fill_output(sample_view *s) {
    real *output = s->values + s->rows.n_rows * 3 * WIDTH;
    double a[TIME];
    for (size_t q = 0; q < s->rows.n_sequences; q++)
        for (size_t row = s->first_row[q]; row < s->first_row[q + 1]; row++)
            for (size_t head = 0; head < HEADS; head++) {
                true_weights(a, s, row, s->first_row[q], head);
                for (size_t c = head * HEAD_WIDTH; c < (head + 1) * HEAD_WIDTH; c++) {
                    double o = 0;
                    for (size_t j = 0; j <= row - s->first_row[q]; j++)
                        o += a[j] * (double)s->view.value[(s->first_row[q] + j) * 3 * WIDTH + c];
                    output[row * WIDTH + c] = (real)o;
                }
            }
}

#endif
