#include "classifier.h"

#include "heed/nn/linear.h"
#include "heed/nn/loss.h"

void heedi_classifier_place(heedi_classifier *classifier, heedi_placer *placer, size_t rows, size_t n_logits) {
    const size_t block = rows < HEED_LOSS_BLOCK ? rows : HEED_LOSS_BLOCK;
    classifier->logits = heedi_place(placer, n_logits > block ? n_logits : block, classifier->vocab);
    classifier->loss = heedi_place(placer, rows, 1);
}

void heedi_classifier_bind(heedi_classifier *classifier, const heed_params *params, const real *weights) {
    const int tensor = heed_params_find(params, "output.weight");
    HEED_CHECK(tensor >= 0);
    classifier->tensor = (size_t)tensor;
    classifier->weight = weights + params->tensors[tensor].offset;
}

/* One walk over all rows, which leaves may interrupt. */
typedef struct walk {
    heedi_classifier *classifier;
    const heedi_pass *pass;
    const real *y;
} walk;

/* Losses of some rows, the gradient of their hidden states into pass->branch, and that of the classifier into d_weight
 * unless NULL. The last block's logits become their own gradient. What is evaluated is the plain loss. */
static void classify(const walk *w, real *d_weight, size_t first_row, size_t n_rows) {
    const heedi_classifier *classifier = w->classifier;
    const heedi_pass *pass = w->pass;
    const size_t width = (size_t)pass->config->model.width;
    const bool trains = pass->kind != HEED_PASS_EVAL;
    heed_classifier_loss(classifier->loss + first_row, trains ? pass->branch + first_row * width : NULL, d_weight,
                         classifier->logits, w->y + first_row * width, classifier->weight,
                         pass->batch->target + first_row, pass->batch->weight + first_row,
                         trains ? (real)pass->config->train.label_smoothing : 0, n_rows, width, classifier->vocab);
}

/* The rows from the start of a grain that fit into one block of logits: this grain and the next ones, whole. */
static size_t rows_of_whole_grains(const heed_ragged *rows, size_t grain) {
    const size_t first = heed_grain_row(rows, grain);
    while (grain + 1 < rows->n_grains && heed_grain_row(rows, grain + 2) - first <= HEED_LOSS_BLOCK)
        grain++;
    return heed_grain_row(rows, grain + 1) - first;
}

/* Sees to it that the losses of a grain are known, and with them the gradient of its logits where they lie. Small
 * grains share a block: products with a large vocabulary cost almost the same for few rows as for many. */
static void classify_grain(const walk *w, size_t first_row, size_t grain) {
    heedi_classifier *classifier = w->classifier;
    if (first_row < classifier->classified)
        return;
    classifier->block_first = first_row;
    classifier->classified = first_row + rows_of_whole_grains(&w->pass->batch->rows, grain);
    classify(w, NULL, first_row, classifier->classified - first_row);
}

static void sum_classifier(void *context, real *const *d, size_t first_row, size_t n_rows, size_t grain) {
    const walk *w = context;
    const heedi_classifier *classifier = w->classifier;
    const size_t width = (size_t)w->pass->config->model.width;
    if (n_rows > HEED_LOSS_BLOCK) {
        classify(w, d[0], first_row, n_rows);
        return;
    }
    classify_grain(w, first_row, grain);
    heed_linear_backward_weight(d[0], NULL, w->y + first_row * width,
                                classifier->logits + (first_row - classifier->block_first) * classifier->vocab, n_rows,
                                width, classifier->vocab);
}

/* The grains of a node, if one block of logits holds them. */
static bool sum_classifiers(void *context, real *d, size_t first_row, const heed_gemm_part *parts, size_t n_parts,
                            size_t grain) {
    const walk *w = context;
    const heedi_classifier *classifier = w->classifier;
    const size_t width = (size_t)w->pass->config->model.width;
    size_t n_rows = 0;
    for (size_t i = 0; i < n_parts; i++)
        n_rows += parts[i].k;
    if (n_rows > HEED_LOSS_BLOCK)
        return false;
    classify_grain(w, first_row, grain);
    return first_row + n_rows <= classifier->classified &&
           heed_linear_backward_weight_sum(d, w->y + first_row * width,
                                           classifier->logits +
                                               (first_row - classifier->block_first) * classifier->vocab,
                                           parts, n_parts, width, classifier->vocab);
}

void heedi_classifier_losses(heedi_classifier *classifier, const heedi_pass *pass, const real *y,
                             heed_gradient *gradient) {
    walk w = {classifier, pass, y};
    classifier->classified = 0;
    if (gradient)
        heed_gradient_sum_matrix(gradient, pass->rows, classifier->tensor, sum_classifier, sum_classifiers, &w);
    else
        classify(&w, NULL, 0, pass->rows->n_rows);
}

const real *heedi_classifier_logits(const heedi_classifier *classifier, const heedi_pass *pass, const real *y,
                                    size_t n) {
    heed_linear_forward(classifier->logits, y, classifier->weight, NULL, n, (size_t)pass->config->model.width,
                        classifier->vocab);
    return classifier->logits;
}

static int32_t largest(const real *logits, size_t vocab) {
    size_t best = 0;
    for (size_t v = 1; v < vocab; v++)
        best = logits[v] > logits[best] ? v : best;
    return (int32_t)best;
}

void heedi_classifier_predict(const heedi_classifier *classifier, const heedi_pass *pass, const real *y,
                              int32_t *best) {
    const size_t rows = pass->rows->n_rows, width = (size_t)pass->config->model.width;
    for (size_t first = 0; first < rows; first += HEED_LOSS_BLOCK) {
        const size_t n = rows - first < HEED_LOSS_BLOCK ? rows - first : HEED_LOSS_BLOCK;
        const real *logits = heedi_classifier_logits(classifier, pass, y + first * width, n);
#pragma omp parallel for schedule(static)
        for (size_t r = 0; r < n; r++)
            best[first + r] = largest(logits + r * classifier->vocab, classifier->vocab);
    }
}
