#include "probe/alignment.h"

bool heedi_has_truth(const heed_attention_view *view) {
    const heed_batch *batch = view->batch;
    const bool crosses = view->query_rows != view->key_rows;
    return batch->truth && view->query_rows == &batch->rows && batch->truth_in_source == crosses;
}

/* The visible key with the largest weight, marks left out; -1 when there is none. */
static int32_t strongest(const heed_tokenizer *tokenizer, const heed_attention_view *view, size_t sequence,
                         const real *weights, size_t query) {
    const heed_batch *batch = view->batch;
    const int32_t *token =
        (view->query_rows == view->key_rows ? batch->token : batch->source_token) + view->key_rows->first_row[sequence];
    const size_t n_keys = heed_length(view->key_rows, sequence);
    const size_t end = view->causal && query + 1 < n_keys ? query + 1 : n_keys;
    int32_t best = -1;
    for (size_t j = 0; j < end; j++)
        if (!heed_tokenizer_is_mark(tokenizer, token[j]) && (best < 0 || weights[j] > weights[best]))
            best = (int32_t)j;
    return best;
}

static bool is_true(const int32_t *truth, size_t n_truth, int32_t key) {
    for (size_t t = 0; t < n_truth && truth[t] >= 0; t++)
        if (truth[t] == key)
            return true;
    return false;
}

heedi_links heedi_align(const heed_tokenizer *tokenizer, const heed_attention_view *view, size_t sequence,
                        const real *weights, size_t stride) {
    const heed_batch *batch = view->batch;
    const size_t first = batch->rows.first_row[sequence], n = heed_length(&batch->rows, sequence);
    heedi_links links = {0};
    for (size_t i = 0; i < n; i++) {
        const int32_t *truth = batch->truth + (first + i) * batch->n_truth;
        if (batch->n_truth == 0 || truth[0] < 0)
            continue;
        links.queries++;
        links.missed += !is_true(truth, batch->n_truth, strongest(tokenizer, view, sequence, weights + i * stride, i));
        if (i + 1 == n || batch->token[first + i + 1] != batch->target[first + i])
            continue;
        links.next_queries++;
        links.next_missed +=
            !is_true(truth, batch->n_truth, strongest(tokenizer, view, sequence, weights + (i + 1) * stride, i + 1));
    }
    return links;
}

void heedi_links_add(heedi_links *sum, const heedi_links *links) {
    sum->queries += links->queries;
    sum->missed += links->missed;
    sum->next_queries += links->next_queries;
    sum->next_missed += links->next_missed;
}
