/* Attention rollout (Abnar and Zuidema 2020): the product over layers of (A + I) / 2, A the mean over heads. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "heed/gemm.h"
#include "probe/alignment.h"
#include "probe/probing.h"

/* What is summed over the queries of a sequence. */
typedef struct sums {
    double queries, entropy, distance;
    double true_queries, on_target;
    heedi_links links;
} sums;

typedef struct rolling {
    heedi_probing *p;
    real *product; /* (sequences of a rank, time, time): of the layers so far */
    real *scratch; /* (threads, 2, time, time) */
    sums *sum;     /* (n_sequences) */
    double *shown; /* (probes, time, time) */
    double *token; /* (probes, 2 time + 1): token + 1, target + 1, and the length */
} rolling;

/* mean (n, n) = (A + I) / 2 */
static void mix(const heed_attention_view *view, real *mean, real *weights, size_t sequence, size_t n) {
    memset(mean, 0, n * n * sizeof *mean);
    for (size_t head = 0; head < view->heads; head++) {
        heed_attention_inspect(view->how, weights, NULL, NULL, NULL, NULL, view->query, view->key, view->value,
                               view->query_rows, view->key_rows, sequence, head);
        for (size_t k = 0; k < n * n; k++)
            mean[k] += weights[k] / (2 * (real)view->heads);
    }
    for (size_t i = 0; i < n; i++)
        mean[i * n + i] += (real)0.5;
}

static void add_queries(sums *sum, const heed_attention_view *view, size_t sequence, const real *map, size_t n) {
    const heed_batch *batch = view->batch;
    for (size_t i = 0; i < n; i++) {
        const int32_t *truth =
            heedi_has_truth(view) ? batch->truth + (batch->rows.first_row[sequence] + i) * batch->n_truth : NULL;
        sum->queries++;
        for (size_t j = 0; j <= i; j++) {
            const double a = (double)map[i * n + j];
            sum->entropy -= a > 0 ? a * log(a) : 0;
            sum->distance += a * (double)(i - j);
        }
        sum->true_queries += truth && batch->n_truth > 0 && truth[0] >= 0;
        for (size_t t = 0; truth && t < batch->n_truth && truth[t] >= 0; t++)
            sum->on_target += (double)map[i * n + (size_t)truth[t]];
    }
}

static void finish(const rolling *r, const heed_attention_view *view, size_t sequence, const real *map, size_t n) {
    const heedi_probing *p = r->p;
    const size_t number = p->first + view->query_rows->sequence[sequence];
    add_queries(&r->sum[number], view, sequence, map, n);
    if (heedi_has_truth(view))
        r->sum[number].links = heedi_align(p->subject->tokenizer, view, sequence, map, n);
    if (number >= p->found->sizes.probes)
        return;
    double *tokens = r->token + number * (2 * p->time + 1);
    for (size_t i = 0; i < n; i++) {
        const size_t row = view->batch->rows.first_row[sequence] + i;
        tokens[i] = view->batch->token[row] + 1;
        tokens[p->time + i] = view->batch->target[row] + 1;
        for (size_t j = 0; j < n; j++)
            r->shown[(number * p->time + i) * p->time + j] = (double)map[i * n + j];
    }
    tokens[2 * p->time] = (double)n;
}

static void roll(void *context, const heed_attention_view *view) {
    const rolling *r = context;
    const heedi_probing *p = r->p;
    const size_t map = p->time * p->time, site = heedi_probing_site(p, view);
#pragma omp parallel for schedule(dynamic)
    for (size_t s = 0; s < view->query_rows->n_sequences; s++) {
        const size_t n = heed_length(view->query_rows, s);
        real *scratch = r->scratch + (size_t)omp_get_thread_num() * 2 * map, *product = r->product + s * map;
        if (n == 0 || !heedi_probing_counts(p, view->query_rows, s))
            continue;
        mix(view, scratch, scratch + map, s, n);
        if (site == 0) {
            memcpy(product, scratch, n * n * sizeof *product);
        } else {
            memcpy(scratch + map, product, n * n * sizeof *product);
            heed_gemm(false, false, n, n, n, 1, scratch, n, scratch + map, n, 0, product, n);
        }
        if (site + 1 == p->sites)
            finish(r, view, s, product, n);
    }
}

static heed_status alloc(rolling *r, heed_error *error) {
    const heedi_probing *p = r->p;
    const size_t map = heed_bytes(p->time, p->time), shown = p->found->sizes.probes;
    r->product = calloc(heed_bytes(heed_probe_sequences(p->comm), map), sizeof *r->product);
    r->scratch = calloc(heed_bytes(2 * (size_t)omp_get_max_threads(), map), sizeof *r->scratch);
    r->sum = calloc(p->n_sequences, sizeof *r->sum);
    r->shown = calloc(heed_bytes(shown, map), sizeof *r->shown);
    r->token = calloc(shown, (2 * p->time + 1) * sizeof *r->token);
    if (r->product && r->scratch && r->sum && r->shown && r->token)
        return HEED_OK;
    return heed_fail(error, HEED_MEMORY, "probe: no memory for rollout over %zu places", p->time);
}

static void fill_sample(const rolling *r, heed_probe_sample sample) {
    heed_probe *found = r->p->found;
    sums all = {0};
    size_t first, end;
    heedi_probing_sample(r->p, sample, &first, &end);
    for (size_t s = first; s < end; s++) {
        const sums *one = &r->sum[s];
        all.queries += one->queries;
        all.entropy += one->entropy;
        all.distance += one->distance;
        all.true_queries += one->true_queries;
        all.on_target += one->on_target;
        heedi_links_add(&all.links, &one->links);
    }
    found->rollout_entropy[sample] = all.entropy / all.queries;
    found->rollout_distance[sample] = all.distance / all.queries;
    found->rollout_on_target[sample] = all.true_queries > 0 ? all.on_target / all.true_queries : NAN;
    found->rollout_alignment_error[sample] = all.links.queries > 0 ? all.links.missed / all.links.queries : NAN;
}

static void fill_shown(const rolling *r) {
    heed_probe *found = r->p->found;
    const size_t time = r->p->time;
    for (size_t k = 0; k < found->sizes.probes * time * time; k++)
        found->rollout[k] = (float)r->shown[k];
    for (size_t q = 0; q < found->sizes.probes; q++) {
        const double *tokens = r->token + q * (2 * time + 1);
        found->probe_length[q] = (int64_t)tokens[2 * time];
        for (size_t i = 0; i < time; i++) {
            found->token[q * time + i] = (int32_t)tokens[i] - 1;
            found->target[q * time + i] = (int32_t)tokens[time + i] - 1;
        }
    }
}

heed_status heedi_probe_rollout(heedi_probing *p, heed_error *error) {
    rolling r = {.p = p};
    heed_error failed = HEED_ERROR_INIT;
    alloc(&r, error);
    heed_status status = heed_comm_agree(p->comm, error);
    if (status == HEED_OK) {
        heedi_probing_pass(p, roll, &r, NULL, &failed);
        status =
            heedi_probing_sum(p, (double *)r.sum, p->n_sequences * (sizeof(sums) / sizeof(double)), &failed, error);
    }
    if (status == HEED_OK)
        status = heed_comm_sum(p->comm, r.shown, p->found->sizes.probes * p->time * p->time, error);
    if (status == HEED_OK)
        status = heed_comm_sum(p->comm, r.token, p->found->sizes.probes * (2 * p->time + 1), error);
    for (int k = 0; k < HEED_PROBE_SAMPLES && status == HEED_OK; k++)
        fill_sample(&r, (heed_probe_sample)k);
    if (status == HEED_OK)
        fill_shown(&r);
    free(r.product);
    free(r.scratch);
    free(r.sum);
    free(r.shown);
    free(r.token);
    return status;
}
