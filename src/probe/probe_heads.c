/* One head at a time is changed, and the loss says what it was worth. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "heed/gemm.h"
#include "probe/probing.h"

typedef enum change { ZERO, MEAN, UNIFORM, PLACES, VALUES, N_CHANGES } change;

#define UNIT 0x1p-30 /* weights are added up as multiples of this: whole numbers, in any order */

typedef struct intervention {
    heedi_probing *p;
    size_t site, head;
    change change;
    double *outputs; /* (n_sequences, sites, width + 1): sums over a sequence's rows, and their number */
    double *mean;    /* (sites, width): mean output */
    double *places,
        *pairs;    /* (heads, most, most) summed weights in units; (most, most) how many sequences have the pair */
    real *scratch; /* (threads, most + head_width, most) */
} intervention;

static size_t first_visible(const heed_attention_view *view, size_t i) {
    const size_t window = view->how->window;
    return window > 0 && i >= window ? i + 1 - window : 0;
}

static size_t end_visible(const heed_attention_view *view, size_t i, size_t n_keys) {
    return view->causal && i + 1 < n_keys ? i + 1 : n_keys;
}

static void inspect(const heed_attention_view *view, real *weights, size_t sequence, size_t head) {
    heed_attention_inspect(view->how, weights, NULL, NULL, NULL, NULL, view->query, view->key, view->value,
                           view->query_rows, view->key_rows, sequence, head);
}

/* --- what is measured first ----------------------------------------------------------------------------------------
 */

static void see_outputs(void *context, const heed_attention_view *view) {
    const intervention *x = context;
    const heed_ragged *rows = view->query_rows;
    const size_t width = view->heads * view->head_width, site = heedi_probing_site(x->p, view);
#pragma omp parallel for schedule(static)
    for (size_t s = 0; s < rows->n_sequences; s++) {
        if (!heedi_probing_counts(x->p, rows, s))
            continue;
        double *sum = x->outputs + ((x->p->first + rows->sequence[s]) * x->p->sites + site) * (width + 1);
        for (size_t r = rows->first_row[s]; r < rows->first_row[s + 1]; r++) {
            sum[width]++;
            for (size_t c = 0; c < width; c++)
                sum[c] += (double)view->output[r * width + c];
        }
    }
}

static heed_status find_means(intervention *x, heed_error *error) {
    heedi_probing *p = x->p;
    heed_error failed = HEED_ERROR_INIT;
    const size_t width = p->heads * p->head_width, slot = p->sites * (width + 1);
    heedi_probing_pass(p, see_outputs, x, NULL, &failed);
    const heed_status status = heedi_probing_sum(p, x->outputs, p->n_sequences * slot, &failed, error);
    for (size_t site = 0; site < p->sites && status == HEED_OK; site++)
        for (size_t c = 0; c < width; c++) {
            double sum = 0, rows = 0;
            for (size_t s = 0; s < p->n_sequences; s++) {
                sum += x->outputs[s * slot + site * (width + 1) + c];
                rows += x->outputs[s * slot + site * (width + 1) + width];
            }
            x->mean[site * width + c] = sum / rows;
        }
    return status;
}

static void see_places(void *context, const heed_attention_view *view) {
    const intervention *x = context;
    const heedi_probing *p = x->p;
    if (heedi_probing_site(p, view) != x->site)
        return;
#pragma omp parallel for schedule(dynamic)
    for (size_t head = 0; head < view->heads; head++) {
        real *weights = x->scratch + (size_t)omp_get_thread_num() * (p->most + p->head_width) * p->most;
        for (size_t s = 0; s < view->query_rows->n_sequences; s++) {
            const size_t n = heed_length(view->query_rows, s), n_keys = heed_length(view->key_rows, s);
            if (!heedi_probing_counts(p, view->query_rows, s))
                continue;
            inspect(view, weights, s, head);
            for (size_t i = 0; i < n; i++)
                for (size_t j = first_visible(view, i); j < end_visible(view, i, n_keys); j++) {
                    x->places[(head * p->most + i) * p->most + j] += rint((double)weights[i * n_keys + j] / UNIT);
                    x->pairs[i * p->most + j] += head == 0;
                }
        }
    }
}

static heed_status find_places(intervention *x, heed_error *error) {
    const heedi_probing *p = x->p;
    heed_error failed = HEED_ERROR_INIT;
    const size_t pairs = p->most * p->most;
    memset(x->places, 0, (p->heads + 1) * pairs * sizeof *x->places); /* pairs lie behind */
    heedi_probing_pass(x->p, see_places, x, NULL, &failed);
    return heedi_probing_sum(x->p, x->places, (p->heads + 1) * pairs, &failed, error);
}

/* --- the change ----------------------------------------------------------------------------------------------------
 */

/* The other sequence of the pair that lies side by side in a grain; the sequence itself when it is alone. */
static size_t partner(const heed_ragged *rows, size_t sequence) {
    const uint32_t other = rows->sequence[sequence] ^ 1;
    if (sequence > 0 && rows->sequence[sequence - 1] == other)
        return sequence - 1;
    return sequence + 1 < rows->n_sequences && rows->sequence[sequence + 1] == other ? sequence + 1 : sequence;
}

/* weights (n, n_keys) that the head shall have. */
static void make_weights(const intervention *x, const heed_attention_view *view, real *weights, size_t sequence) {
    const size_t n = heed_length(view->query_rows, sequence), n_keys = heed_length(view->key_rows, sequence);
    if (x->change == VALUES) {
        inspect(view, weights, sequence, x->head);
        return;
    }
    memset(weights, 0, n * n_keys * sizeof *weights);
    for (size_t i = 0; i < n; i++) {
        const size_t first = first_visible(view, i), end = end_visible(view, i, n_keys);
        const double *sum = x->places + (x->head * x->p->most + i) * x->p->most, *pairs = x->pairs + i * x->p->most;
        double total = 0;
        for (size_t j = first; j < end; j++)
            total += x->change == PLACES ? sum[j] / pairs[j] : 1;
        for (size_t j = first; j < end; j++)
            weights[i * n_keys + j] = (real)((x->change == PLACES ? sum[j] / pairs[j] : 1) / total);
    }
}

static void change_sequence(const intervention *x, const heed_attention_view *view, size_t sequence) {
    const heedi_probing *p = x->p;
    const size_t n = heed_length(view->query_rows, sequence), n_keys = heed_length(view->key_rows, sequence);
    const size_t width = view->heads * view->head_width, column = x->head * view->head_width;
    const size_t stride = view->how->key_stride;
    real *weights = x->scratch + (size_t)omp_get_thread_num() * (p->most + p->head_width) * p->most;
    real *values = weights + p->most * p->most, *output = view->output + view->query_rows->first_row[sequence] * width;
    const size_t from = x->change == VALUES ? partner(view->key_rows, sequence) : sequence;
    const size_t n_from = heed_length(view->key_rows, from);
    if (n == 0 || n_keys == 0 || n_from == 0)
        return;
    make_weights(x, view, weights, sequence);
    for (size_t j = 0; j < n_keys; j++)
        memcpy(values + j * view->head_width,
               view->value + (view->key_rows->first_row[from] + j % n_from) * stride + column,
               view->head_width * sizeof *values);
    heed_gemm(false, false, n, view->head_width, n_keys, 1, weights, n_keys, values, view->head_width, 0,
              output + column, width);
}

static void see_changed(void *context, const heed_attention_view *view) {
    const intervention *x = context;
    const heed_ragged *rows = view->query_rows;
    const size_t width = view->heads * view->head_width, column = x->head * view->head_width;
    if (heedi_probing_site(x->p, view) != x->site)
        return;
    if (x->change == ZERO || x->change == MEAN) {
        for (size_t r = 0; r < rows->n_rows; r++)
            for (size_t c = column; c < column + view->head_width; c++)
                view->output[r * width + c] = x->change == ZERO ? 0 : (real)x->mean[x->site * width + c];
        return;
    }
#pragma omp parallel for schedule(dynamic)
    for (size_t s = 0; s < rows->n_sequences; s++)
        change_sequence(x, view, s);
}

/* --- all heads -----------------------------------------------------------------------------------------------------
 */

/* Where the figures of a change belong. */
static double *found_of(const heed_probe *found, change kind, bool error) {
    double *const all[N_CHANGES][2] = {{found->ablate_zero, found->ablate_zero_error},
                                       {found->ablate_mean, found->ablate_mean_error},
                                       {found->ablate_uniform, found->ablate_uniform_error},
                                       {found->ablate_places, found->ablate_places_error},
                                       {found->patch_values, found->patch_values_error}};
    return all[kind][error];
}

static heed_status measure(intervention *x, heed_error *error) {
    heedi_probing *p = x->p;
    const heed_status status = heedi_probing_losses(p, see_changed, x, error);
    for (int k = 0; k < HEED_PROBE_SAMPLES && status == HEED_OK; k++) {
        const size_t at = ((size_t)k * p->sites + x->site) * p->heads + x->head;
        found_of(p->found, x->change, false)[at] = heedi_probing_mean(
            p, p->losses, p->base, p->weight, (heed_probe_sample)k, &found_of(p->found, x->change, true)[at]);
    }
    return status;
}

static heed_status alloc(intervention *x, bool ablation, heed_error *error) {
    const heedi_probing *p = x->p;
    const size_t width = p->heads * p->head_width, pairs = heed_bytes(p->most, p->most);
    x->outputs = ablation ? calloc(heed_bytes(p->n_sequences, p->sites * (width + 1)), sizeof *x->outputs) : NULL;
    x->mean = calloc(p->sites * width, sizeof *x->mean);
    x->places = calloc(heed_bytes(p->heads + 1, pairs), sizeof *x->places);
    x->scratch =
        calloc(heed_bytes((size_t)omp_get_max_threads(), (p->most + p->head_width) * p->most), sizeof *x->scratch);
    if (!x->mean || !x->places || !x->scratch || (ablation && !x->outputs))
        return heed_fail(error, HEED_MEMORY, "probe: no memory for interventions on %zu heads", p->heads);
    x->pairs = x->places + p->heads * pairs;
    return HEED_OK;
}

heed_status heedi_probe_heads(heedi_probing *p, bool ablation, bool patching, heed_error *error) {
    intervention x = {.p = p};
    alloc(&x, ablation, error);
    heed_status status = heed_comm_agree(p->comm, error);
    if (status == HEED_OK && ablation)
        status = find_means(&x, error);
    for (x.site = 0; x.site < p->sites && status == HEED_OK; x.site++) {
        if (ablation)
            status = find_places(&x, error);
        for (x.head = 0; x.head < p->heads; x.head++)
            for (int kind = 0; kind < N_CHANGES && status == HEED_OK; kind++) {
                x.change = (change)kind;
                if (kind == VALUES ? patching : ablation)
                    status = measure(&x, error);
            }
    }
    free(x.outputs);
    free(x.mean);
    free(x.places);
    free(x.scratch);
    return status;
}
