/* Limits on what is visible. */
#include <stdlib.h>
#include <string.h>

#include "heed/gemm.h"
#include "probe/probing.h"

/* A limit of all the decoder's self-attention. In blocks: position i sees positions of its own block, which begins at
 * the cut, or a multiple of `window` behind it; before the cut is one block, shorter than the others. */
typedef struct limit {
    heedi_probing *p;
    size_t window, cut;
    bool span; /* no blocks: the last `window` positions */
    heed_ragged blocks;
    size_t *first_row;  /* of the blocks */
    uint32_t *sequence; /* of the blocks: read by dropout alone, which is off */
    real *log_sum, *weights;
} limit;

static size_t first_visible(const limit *l, size_t i) {
    if (l->span)
        return i >= l->window ? i + 1 - l->window : 0;
    return i < l->cut ? 0 : i - (i - l->cut) % l->window;
}

/* The same tokens as shorter sequences. */
static void cut_blocks(limit *l, const heed_ragged *rows) {
    size_t n = 0;
    for (size_t s = 0; s < rows->n_sequences; s++)
        for (size_t i = 0; i < heed_length(rows, s); i++)
            if (i == first_visible(l, i))
                l->first_row[n++] = rows->first_row[s] + i;
    l->first_row[n] = rows->n_rows;
    l->blocks = *rows;
    l->blocks.n_sequences = n;
    l->blocks.first_row = l->first_row;
    l->blocks.sequence = l->sequence;
    l->blocks.max_length = l->window > l->cut ? l->window : l->cut;
    if (l->blocks.max_length > rows->max_length)
        l->blocks.max_length = rows->max_length;
}

/* A table of scores goes by places, which blocks would move: weights of the visible keys, made to add up to 1. */
static void limit_table(limit *l, const heed_attention_view *view) {
    const size_t width = view->heads * view->head_width, stride = view->how->key_stride;
    for (size_t item = 0; item < view->query_rows->n_sequences * view->heads; item++) {
        const size_t s = item / view->heads, head = item % view->heads, n = heed_length(view->query_rows, s);
        const size_t row = view->query_rows->first_row[s], column = head * view->head_width;
        heed_attention_inspect(view->how, l->weights, NULL, NULL, NULL, NULL, view->query, view->key, view->value,
                               view->query_rows, view->key_rows, s, head);
        for (size_t i = 0; i < n; i++) {
            real sum = 0, *a = l->weights + i * n;
            for (size_t j = first_visible(l, i); j <= i; j++)
                sum += a[j];
            for (size_t j = 0; j <= i; j++)
                a[j] = j < first_visible(l, i) ? 0 : sum > 0 ? a[j] / sum : 1 / (real)(i + 1 - first_visible(l, i));
        }
        if (n > 0)
            heed_gemm(false, false, n, view->head_width, n, 1, l->weights, n, view->value + row * stride + column,
                      stride, 0, view->output + row * width + column, width);
    }
}

static void see_less(void *context, const heed_attention_view *view) {
    limit *l = context;
    heed_attention how = *view->how;
    if (l->p->found->site_kind[heedi_probing_site(l->p, view)] != HEED_SITE_SELF)
        return;
    if (how.table) {
        limit_table(l, view);
        return;
    }
    const heed_ragged *rows = view->query_rows;
    if (l->span) {
        how.window = how.window == 0 || l->window < how.window ? l->window : how.window;
    } else {
        cut_blocks(l, rows);
        rows = &l->blocks;
    }
    heed_attention_forward(&how, view->output, l->log_sum, view->query, view->key, view->value, rows, rows);
}

/* Losses of the positions that this cut is for: the last of every block, and before the first of these all, which see
 * everything. Without blocks: of all. */
static void keep_limited(heedi_probing *p, void *context, const heed_batch *batch) {
    const limit *l = context;
    HEED_CHECK(l->window > 0);
    for (size_t s = 0; s < batch->rows.n_sequences; s++)
        for (size_t i = 0; i < heed_length(&batch->rows, s) && heedi_probing_counts(p, &batch->rows, s); i++) {
            const size_t cut = i < l->window ? 0 : (i + 1) % l->window;
            if (l->span || l->cut == cut)
                p->losses[p->first + batch->rows.sequence[s]] += (double)p->token[batch->rows.first_row[s] + i];
        }
}

static heed_status limit_alloc(limit *l, heed_error *error) {
    const heedi_probing *p = l->p;
    const size_t rows = heed_probe_sequences(p->comm) * p->time;
    l->first_row = calloc(rows + 1, sizeof *l->first_row);
    l->sequence = calloc(rows + 1, sizeof *l->sequence);
    l->log_sum = calloc(rows * p->heads, sizeof *l->log_sum);
    l->weights = calloc(p->time * p->time, sizeof *l->weights);
    if (l->first_row && l->sequence && l->log_sum && l->weights)
        return HEED_OK;
    return heed_fail(error, HEED_MEMORY, "probe: no memory for windows over %zu tokens", rows);
}

/* Each position is counted at one cut: i < window at 0, others at (i + 1) mod window. */
static heed_status measure(limit *l, heed_error *error) {
    heedi_probing *p = l->p;
    heed_error failed = HEED_ERROR_INIT;
    memset(p->losses, 0, p->n_sequences * sizeof *p->losses);
    for (l->cut = 0; l->cut < l->window && (l->cut == 0 || l->window + l->cut - 1 < p->time); l->cut++) {
        if (!l->span || l->cut == 0)
            heedi_probing_pass(p, see_less, l, keep_limited, &failed);
    }
    return heedi_probing_sum(p, p->losses, p->n_sequences, &failed, error);
}

heed_status heedi_probe_windows(heedi_probing *p, bool span, heed_error *error) {
    limit l = {.p = p, .span = span};
    heed_probe *found = p->found;
    limit_alloc(&l, error);
    heed_status status = heed_comm_agree(p->comm, error);
    for (size_t w = 0; w < found->sizes.windows && status == HEED_OK; w++) {
        double *loss = span ? found->span_loss : found->window_loss, beyond;
        double *deviation = span ? found->span_error : found->window_error;
        l.window = (size_t)found->window[w];
        status = measure(&l, error);
        beyond = heedi_probing_mean(p, p->losses, p->base, p->weight, HEED_PROBE_ALL, &deviation[w]);
        loss[w] = found->loss[HEED_PROBE_ALL] + beyond;
    }
    free(l.first_row);
    free(l.sequence);
    free(l.log_sum);
    free(l.weights);
    return status;
}
