#include "probe/probing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "heed/stage.h"
#include "heed/variant.h"

size_t heed_probe_sequences(const heed_comm *comm) {
    const size_t size = (size_t)comm->size;
    return (HEED_PROBE_RANKS + size - 1) / size * HEED_PROBE_GRAIN;
}

size_t heedi_probing_site(const heedi_probing *p, const heed_attention_view *view) {
    const size_t a_layer = p->n_encoder > 0 ? 2 : 1; /* sites of a decoder's layer */
    return view->kind == HEED_ENCODER_ATTENTION
               ? view->layer
               : p->n_encoder + a_layer * view->layer + (view->kind == HEED_CROSS_ATTENTION);
}

/* --- beginning and end ---------------------------------------------------------------------------------------------
 */

/* How many sequences there are, and how many of them are read. */
static heed_status count_sequences(heedi_probing *p, const heed_probe_plan *plan, heed_error *error) {
    const size_t n_batches = heed_batcher_eval_count(p->subject->batcher);
    heed_batch last = {0};
    if (n_batches > 0 && heed_batcher_eval(p->subject->batcher, n_batches - 1, &last, error) != HEED_OK)
        return error->status;
    size_t n = n_batches > 0 ? (n_batches - 1) * p->batch + last.n_global : 0;
    n = n < (size_t)plan->n_sequences ? n : (size_t)plan->n_sequences;
    p->n_sequences = n / 4 * 4;
    p->n_batches = (p->n_sequences + p->batch - 1) / p->batch;
    if (p->n_sequences > 0)
        return HEED_OK;
    return heed_fail(error, HEED_DATA, "probe: %zu sequences of validation data are too few: 4 are the least", n);
}

static size_t count_windows(size_t time) {
    size_t n = 1;
    for (size_t w = 1; w < time; w *= 2)
        n++;
    return n;
}

static void fill_coordinates(heedi_probing *p) {
    heed_probe *found = p->found;
    for (size_t w = 0; w < found->sizes.windows; w++)
        found->window[w] = w + 1 < found->sizes.windows ? (int64_t)1 << w : (int64_t)p->time;
    for (size_t s = 0; s < p->sites; s++) {
        const size_t behind = s - p->n_encoder, a_layer = p->n_encoder > 0 ? 2 : 1;
        const bool encodes = s < p->n_encoder;
        found->site_kind[s] = encodes ? HEED_SITE_ENCODER : behind % a_layer == 0 ? HEED_SITE_SELF : HEED_SITE_CROSS;
        found->site_layer[s] = (int64_t)(encodes ? s : behind / a_layer);
    }
}

/* Ranks other than 0 have a small one, which nobody reads. */
static heed_status alloc_found(heedi_probing *p, heed_error *error) {
    const size_t shown = p->n_sequences < 4 ? p->n_sequences : 4;
    const heed_probe_sizes sizes = {.sites = p->sites,
                                    .heads = p->heads,
                                    .windows = count_windows(p->time),
                                    .positions = p->time,
                                    .probes = shown,
                                    .time = p->time,
                                    .bytes = 1};
    return heed_probe_alloc(p->found, &sizes, error);
}

static heed_status open_here(heedi_probing *p, const heed_probe_plan *plan, heed_error *error) {
    const heed_config *config = p->subject->config;
    if (heed_variant_of(config)->network) {
        heed_fail(error, HEED_CONFIG, "model.attention = %s: a model without attention", heed_variant_of(config)->name);
        return heed_hint(error, "heed probe asks what attention is used for; heed eval measures any model");
    }
    if (count_sequences(p, plan, error) != HEED_OK || alloc_found(p, error) != HEED_OK)
        return error->status;
    fill_coordinates(p);
    p->token = calloc(heed_probe_sequences(p->comm) * p->time, sizeof *p->token);
    p->losses = calloc(p->n_sequences, sizeof *p->losses);
    p->base = calloc(p->n_sequences, sizeof *p->base);
    p->weight = calloc(p->n_sequences, sizeof *p->weight);
    if (p->token && p->losses && p->base && p->weight)
        return HEED_OK;
    return heed_fail(error, HEED_MEMORY, "probe: no memory for the losses of %zu sequences", p->n_sequences);
}

heed_status heedi_probing_open(heedi_probing *p, heed_comm *comm, const heed_probe_subject *subject,
                               const heed_probe_plan *plan, heed_probe *found, heed_error *error) {
    const heed_config *config = subject->config;
    *p = (heedi_probing){.comm = comm,
                         .subject = subject,
                         .found = found,
                         .batch = HEED_PROBE_BATCH,
                         .heads = (size_t)config->model.heads,
                         .head_width = (size_t)(config->model.width / config->model.heads),
                         .time = heed_batcher_time(subject->batcher),
                         .most = heed_batcher_source_time(subject->batcher),
                         .n_encoder = heed_encoder_layers(config)};
    p->most = p->time > p->most ? p->time : p->most;
    p->sites = p->n_encoder + (size_t)config->model.layers * (p->n_encoder > 0 ? 2 : 1);
    *found = (heed_probe){0};
    open_here(p, plan, error);
    return heed_comm_agree(comm, error);
}

void heedi_probing_close(heedi_probing *p) {
    free(p->token);
    free(p->losses);
    free(p->base);
    free(p->weight);
}

/* --- a pass --------------------------------------------------------------------------------------------------------
 */

void heedi_probing_pass(heedi_probing *p, heed_attention_observer *observer, void *context, heedi_probing_keep *keep,
                        heed_error *failed) {
    HEED_IN_STAGE(EVALUATE);
    heed_model *model = p->subject->model;
    double *sums = calloc(p->batch, sizeof *sums);
    if (!sums)
        heed_fail(failed, HEED_MEMORY, "probe: out of memory");
    heed_model_observe(model, observer, context);
    for (size_t i = 0; i < p->n_batches && failed->status == HEED_OK; i++) {
        heed_batch batch = {0};
        p->first = i * p->batch;
        if (heed_batcher_eval(p->subject->batcher, i, &batch, failed) != HEED_OK)
            break;
        heed_model_forward(model, &batch, HEED_PASS_EVAL);
        heed_model_loss(model, &batch, NULL, sums, p->token);
        if (keep)
            keep(p, context, &batch);
    }
    heed_model_observe(model, NULL, NULL);
    free(sums);
}

void heedi_probing_keep_losses(heedi_probing *p, void *context, const heed_batch *batch) {
    (void)context;
    for (size_t s = 0; s < batch->rows.n_sequences; s++)
        for (size_t r = batch->rows.first_row[s]; r < batch->rows.first_row[s + 1]; r++)
            if (heedi_probing_counts(p, &batch->rows, s))
                p->losses[p->first + batch->rows.sequence[s]] += (double)p->token[r];
}

heed_status heedi_probing_sum(heedi_probing *p, double *values, size_t n, heed_error *failed, heed_error *error) {
    const heed_status status = heed_comm_agree(p->comm, failed);
    if (status != HEED_OK) {
        *error = *failed;
        return status;
    }
    return heed_comm_sum(p->comm, values, n, error);
}

heed_status heedi_probing_losses(heedi_probing *p, heed_attention_observer *observer, void *context,
                                 heed_error *error) {
    heed_error failed = HEED_ERROR_INIT;
    memset(p->losses, 0, p->n_sequences * sizeof *p->losses);
    heedi_probing_pass(p, observer, context, heedi_probing_keep_losses, &failed);
    return heedi_probing_sum(p, p->losses, p->n_sequences, &failed, error);
}

/* --- from sequences to figures -------------------------------------------------------------------------------------
 */

void heedi_probing_sample(const heedi_probing *p, heed_probe_sample sample, size_t *first, size_t *end) {
    *first = sample == HEED_PROBE_REPORTED_ON ? p->n_sequences / 2 : 0;
    *end = sample == HEED_PROBE_CHOSEN_ON ? p->n_sequences / 2 : p->n_sequences;
}

double heedi_probing_mean(const heedi_probing *p, const double *values, const double *minus, const double *weight,
                          heed_probe_sample sample, double *error) {
    size_t first, end;
    double sum = 0, weights = 0, squares = 0;
    heedi_probing_sample(p, sample, &first, &end);
    for (size_t s = first; s < end; s++) {
        sum += values[s] - (minus ? minus[s] : 0);
        weights += weight[s];
    }
    const double mean = weights > 0 ? sum / weights : NAN, n = (double)(end - first);
    for (size_t s = first; s < end; s++) {
        const double residual = values[s] - (minus ? minus[s] : 0) - mean * weight[s];
        squares += residual * residual;
    }
    if (error)
        *error = sqrt(n / (n - 1) * squares) / weights;
    return mean;
}

/* --- the model as it is --------------------------------------------------------------------------------------------
 */

/* Per sequence and position: loss and weight. */
typedef struct by_position {
    double *loss, *weight; /* (n_sequences, time) */
} by_position;

static void keep_positions(heedi_probing *p, void *context, const heed_batch *batch) {
    const by_position *by = context;
    for (size_t s = 0; s < batch->rows.n_sequences; s++)
        for (size_t i = 0; i < heed_length(&batch->rows, s) && heedi_probing_counts(p, &batch->rows, s); i++) {
            const size_t r = batch->rows.first_row[s] + i;
            const size_t at = (p->first + batch->rows.sequence[s]) * p->time + i;
            by->loss[at] = (double)p->token[r];
            by->weight[at] = (double)batch->weight[r];
        }
}

/* One position of all sequences, as columns. */
static void take_column(const heedi_probing *p, double *column, const double *by, size_t position) {
    for (size_t s = 0; s < p->n_sequences; s++)
        column[s] = by[s * p->time + position];
}

static bool half_score(const heedi_probing *p, const by_position *by, size_t position) {
    size_t n = 0;
    for (size_t s = 0; s < p->n_sequences; s++)
        n += by->weight[s * p->time + position] > 0;
    return 2 * n >= p->n_sequences;
}

/* Late minus early over the sequences that score both. column: (2, n_sequences). */
static void find_in_context_score(heedi_probing *p, const by_position *by, double *column) {
    heed_probe *found = p->found;
    size_t early = p->time * 50 / 512, late = p->time * 500 / 512;
    while (early < p->time && !half_score(p, by, early))
        early++;
    late = late < p->time ? late : p->time - 1;
    while (late > early && !half_score(p, by, late))
        late--;
    if (early >= late)
        return;
    *found->in_context_early = (double)early;
    *found->in_context_late = (double)late;
    for (size_t s = 0; s < p->n_sequences; s++) {
        const size_t a = s * p->time + early, b = s * p->time + late;
        const bool both = by->weight[a] > 0 && by->weight[b] > 0;
        column[p->n_sequences + s] = both;
        column[s] = both ? by->loss[b] / by->weight[b] - by->loss[a] / by->weight[a] : 0;
    }
    for (int k = 0; k < HEED_PROBE_SAMPLES; k++)
        found->in_context_score[k] = heedi_probing_mean(p, column, NULL, column + p->n_sequences, (heed_probe_sample)k,
                                                        &found->in_context_error[k]);
}

static void fill_base(heedi_probing *p, const by_position *by, double *column) {
    heed_probe *found = p->found;
    for (size_t i = 0; i < p->time; i++) {
        take_column(p, column, by->loss, i);
        take_column(p, column + p->n_sequences, by->weight, i);
        found->position_loss[i] =
            heedi_probing_mean(p, column, NULL, column + p->n_sequences, HEED_PROBE_ALL, &found->position_error[i]);
        found->position_count[i] = 0;
        for (size_t s = 0; s < p->n_sequences; s++)
            found->position_count[i] += column[p->n_sequences + s];
    }
    for (int k = 0; k < HEED_PROBE_SAMPLES; k++) {
        size_t first, end;
        heedi_probing_sample(p, (heed_probe_sample)k, &first, &end);
        found->sequences[k] = (double)(end - first);
        found->tokens[k] = 0;
        for (size_t s = first; s < end; s++)
            found->tokens[k] += p->weight[s];
        found->loss[k] = heedi_probing_mean(p, p->base, NULL, p->weight, (heed_probe_sample)k, &found->loss_error[k]);
    }
    find_in_context_score(p, by, column);
}

heed_status heedi_probe_base(heedi_probing *p, heed_error *error) {
    heed_error failed = HEED_ERROR_INIT;
    const size_t n = p->n_sequences * p->time;
    double *all = calloc(2 * n + 2 * p->n_sequences, sizeof *all);
    const by_position by = {all, all ? all + n : NULL};
    if (!all)
        heed_fail(&failed, HEED_MEMORY, "probe: no memory for the losses of %zu sequences by position", p->n_sequences);
    else
        heedi_probing_pass(p, NULL, (void *)&by, keep_positions, &failed);
    const heed_status status = heedi_probing_sum(p, all, 2 * n, &failed, error);
    for (size_t s = 0; s < p->n_sequences && status == HEED_OK; s++)
        for (size_t i = 0; i < p->time; i++) {
            p->base[s] += by.loss[s * p->time + i];
            p->weight[s] += by.weight[s * p->time + i];
        }
    if (status == HEED_OK && p->comm->rank == 0)
        fill_base(p, &by, all + 2 * n);
    free(all);
    return status;
}
