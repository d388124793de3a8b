/* What each head looks at: the statistics of the attention log over the evaluated sequences, and the alignment that its
 * largest weights tell. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "heed/attention_log.h"
#include "probe/alignment.h"
#include "probe/probing.h"

typedef struct look {
    heedi_probing *p;
    heed_head_statistics statistics;
    double *slots;      /* (sequences of all batches, sites, heads, HEED_STATISTIC_SLOT) */
    heedi_links *links; /* (n_sequences, sites, heads) */
    double *chance;     /* (n_sequences, 2): sum of informed chances over queries with truth, and their number */
    real *weights;      /* (threads, most, most) */
} look;

static void see_alignment(const look *l, const heed_attention_view *view) {
    const heedi_probing *p = l->p;
    const size_t site = heedi_probing_site(p, view), map = p->most * p->most;
    if (!heedi_has_truth(view))
        return;
#pragma omp parallel for schedule(dynamic)
    for (size_t item = 0; item < view->query_rows->n_sequences * view->heads; item++) {
        const size_t s = item / view->heads, head = item % view->heads;
        real *weights = l->weights + (size_t)omp_get_thread_num() * map;
        if (!heedi_probing_counts(p, view->query_rows, s))
            continue;
        heed_attention_inspect(view->how, weights, NULL, NULL, NULL, NULL, view->query, view->key, view->value,
                               view->query_rows, view->key_rows, s, head);
        const size_t at = ((p->first + view->query_rows->sequence[s]) * p->sites + site) * p->heads + head;
        l->links[at] = heedi_align(p->subject->tokenizer, view, s, weights, heed_length(view->key_rows, s));
    }
}

static void see(void *context, const heed_attention_view *view) {
    look *l = context;
    const heedi_probing *p = l->p;
    l->statistics.per_sequence = l->slots + p->first * p->sites * p->heads * HEED_STATISTIC_SLOT;
    heed_attention_view at_site = *view;
    at_site.layer = heedi_probing_site(p, view);
    heed_head_statistics_see(&l->statistics, &at_site);
    see_alignment(l, view);
}

/* How often a guess among the candidates is right. */
static void keep_chance(heedi_probing *p, void *context, const heed_batch *batch) {
    const look *l = context;
    if (!batch->truth || !p->subject->task)
        return;
    for (size_t s = 0; s < batch->rows.n_sequences; s++)
        for (size_t i = 0; i < heed_length(&batch->rows, s) && heedi_probing_counts(p, &batch->rows, s); i++) {
            const size_t row = batch->rows.first_row[s] + i;
            const size_t candidates = heed_task_candidates(p->subject->task, i);
            const int32_t *truth = batch->truth + row * batch->n_truth;
            double n_true = 0;
            for (size_t t = 0; t < batch->n_truth && truth[t] >= 0; t++)
                n_true++;
            if (n_true == 0 || candidates == 0)
                continue;
            double *sum = l->chance + 2 * (p->first + batch->rows.sequence[s]);
            sum[0] += n_true / (double)candidates;
            sum[1]++;
        }
}

static heed_status alloc(look *l, heed_error *error) {
    const heedi_probing *p = l->p;
    const size_t n_heads = p->sites * p->heads;
    l->slots = calloc(heed_bytes(p->n_batches * p->batch, n_heads), HEED_STATISTIC_SLOT * sizeof(double));
    l->links = calloc(heed_bytes(p->n_sequences, n_heads), sizeof *l->links);
    l->chance = calloc(p->n_sequences, 2 * sizeof *l->chance);
    l->weights = calloc(heed_bytes((size_t)omp_get_max_threads(), p->most), p->most * sizeof *l->weights);
    l->statistics = (heed_head_statistics){.layers = p->sites, .heads = p->heads};
    l->statistics.scratch = calloc(heed_head_statistics_scratch(p->most), sizeof(real));
    if (l->slots && l->links && l->chance && l->weights && l->statistics.scratch)
        return HEED_OK;
    return heed_fail(error, HEED_MEMORY, "probe: no memory for scores of %zu sequences", p->n_sequences);
}

static void fill_statistics(const look *l, heed_probe_sample sample, double *mean) {
    const heedi_probing *p = l->p;
    const heed_probe *found = p->found;
    const size_t n_heads = p->sites * p->heads;
    const struct {
        heed_head_statistic statistic;
        double *array;
    } rows[] = {{HEED_ENTROPY, found->entropy},     {HEED_DISTANCE, found->distance},
                {HEED_TOP1, found->top1},           {HEED_PREVIOUS, found->previous},
                {HEED_DUPLICATE, found->duplicate}, {HEED_INDUCTION, found->induction},
                {HEED_ON_TARGET, found->on_target}};
    size_t first, end;
    heedi_probing_sample(p, sample, &first, &end);
    heed_head_statistics_mean(mean, l->slots + first * n_heads * HEED_STATISTIC_SLOT, end - first, p->sites, p->heads);
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        for (size_t h = 0; h < n_heads; h++)
            rows[k].array[(size_t)sample * n_heads + h] = mean[h * HEED_N_STATISTICS + rows[k].statistic];
}

static void fill_alignment(const look *l, heed_probe_sample sample) {
    const heedi_probing *p = l->p;
    const size_t n_heads = p->sites * p->heads;
    size_t first, end;
    double right = 0, queries = 0;
    heedi_probing_sample(p, sample, &first, &end);
    for (size_t h = 0; h < n_heads; h++) {
        heedi_links sum = {0};
        for (size_t s = first; s < end; s++)
            heedi_links_add(&sum, &l->links[s * n_heads + h]);
        p->found->alignment_error[(size_t)sample * n_heads + h] = sum.queries > 0 ? sum.missed / sum.queries : NAN;
        p->found->alignment_error_next[(size_t)sample * n_heads + h] =
            sum.next_queries > 0 ? sum.next_missed / sum.next_queries : NAN;
    }
    for (size_t s = first; s < end; s++) {
        right += l->chance[2 * s];
        queries += l->chance[2 * s + 1];
    }
    p->found->alignment_error_chance[sample] = queries > 0 ? 1 - right / queries : NAN;
}

heed_status heedi_probe_scores(heedi_probing *p, heed_error *error) {
    look l = {.p = p};
    heed_error failed = HEED_ERROR_INIT;
    const size_t n_heads = p->sites * p->heads;
    double *mean = calloc(n_heads, HEED_N_STATISTICS * sizeof *mean);
    if (!mean)
        heed_fail(error, HEED_MEMORY, "probe: out of memory");
    else
        alloc(&l, error);
    heed_status status = heed_comm_agree(p->comm, error);
    if (status == HEED_OK) {
        heedi_probing_pass(p, see, &l, keep_chance, &failed);
        status = heedi_probing_sum(p, l.slots, p->n_sequences * n_heads * HEED_STATISTIC_SLOT, &failed, error);
    }
    if (status == HEED_OK)
        status = heed_comm_sum(p->comm, (double *)l.links, p->n_sequences * n_heads * HEEDI_LINKS_DOUBLES, error);
    if (status == HEED_OK)
        status = heed_comm_sum(p->comm, l.chance, 2 * p->n_sequences, error);
    for (int k = 0; k < HEED_PROBE_SAMPLES && status == HEED_OK; k++) {
        fill_statistics(&l, (heed_probe_sample)k, mean);
        fill_alignment(&l, (heed_probe_sample)k);
    }
    if (status == HEED_OK && p->comm->rank == 0)
        heedi_probe_copying(p, p->found->copying, error);
    free(mean);
    free(l.slots);
    free(l.links);
    free(l.chance);
    free(l.weights);
    free(l.statistics.scratch);
    return heed_comm_agree(p->comm, error);
}
