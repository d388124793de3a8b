/* What the parts of a probe share: the sequences, one pass over them, and how a loss is told from per-sequence sums.
 * Every sum over sequences is made of one number a sequence, gathered from the rank that has it and added in the order
 * of the sequences, so that neither ranks nor threads change a bit. Internal to src/probe. */
#ifndef HEEDI_PROBING_H
#define HEEDI_PROBING_H

#include "heed/arena.h"
#include "heed/probe.h"

typedef struct heedi_probing {
    heed_comm *comm;
    const heed_probe_subject *subject;
    heed_probe *found;  /* rank 0's is the one that counts */
    size_t n_sequences; /* that count: a multiple of 4 */
    size_t n_batches, batch;
    size_t sites, heads, head_width, time;
    size_t most;      /* positions of a sequence, or of its source: the more */
    size_t n_encoder; /* layers; 0 without an encoder */
    size_t first;     /* number of the present batch's first sequence */
    real *token;      /* losses of a batch's rows */
    double *losses;   /* (n_sequences) of the present pass */
    double *base;     /* (n_sequences) of the model as it is */
    double *weight;   /* (n_sequences): scored tokens */
} heedi_probing;

/* Errors: as heed_probe_measure. Ownership: close, after a failure too. Collective. */
heed_status heedi_probing_open(heedi_probing *p, heed_comm *comm, const heed_probe_subject *subject,
                               const heed_probe_plan *plan, heed_probe *found, heed_error *error);
void heedi_probing_close(heedi_probing *p);

/* The site of a view. Sequence s of a batch is number p->first + rows->sequence[s]; those from n_sequences on do not
 * count. */
size_t heedi_probing_site(const heedi_probing *p, const heed_attention_view *view);

static inline bool heedi_probing_counts(const heedi_probing *p, const heed_ragged *rows, size_t sequence) {
    return p->first + rows->sequence[sequence] < p->n_sequences;
}

/* What is done with a batch whose forward pass is over and whose token losses are in p->token. */
typedef void heedi_probing_keep(heedi_probing *p, void *context, const heed_batch *batch);

/* One pass over all sequences with an observer, which may intervene (NULL: none). Leaves out the rest after a failure;
 * `failed` is then filled on this rank, and the caller's next heedi_probing_sum tells all. Not collective. */
void heedi_probing_pass(heedi_probing *p, heed_attention_observer *observer, void *context, heedi_probing_keep *keep,
                        heed_error *failed);

/* keep: adds the losses of every sequence to p->losses. */
void heedi_probing_keep_losses(heedi_probing *p, void *context, const heed_batch *batch);

/* Agrees on what failed, then adds values over ranks: each is other than zero on one rank at most, or a whole number.
 * Collective. */
heed_status heedi_probing_sum(heedi_probing *p, double *values, size_t n, heed_error *failed, heed_error *error);

/* A pass with p->losses as its outcome on all ranks. Collective. */
heed_status heedi_probing_losses(heedi_probing *p, heed_attention_observer *observer, void *context, heed_error *error);

/* Sequences [*first, *end) of a sample. */
void heedi_probing_sample(const heedi_probing *p, heed_probe_sample sample, size_t *first, size_t *end);

/* sum / sum of weights over a sample's sequences and, unless NULL, its standard error (docs/science.md, section 4).
 * values minus `minus` unless NULL. NaN without weights. */
double heedi_probing_mean(const heedi_probing *p, const double *values, const double *minus, const double *weight,
                          heed_probe_sample sample, double *error);

/* The parts. Each is collective and fills p->found on rank 0. */
heed_status heedi_probe_base(heedi_probing *p, heed_error *error);
heed_status heedi_probe_windows(heedi_probing *p, bool span, heed_error *error);
heed_status heedi_probe_scores(heedi_probing *p, heed_error *error);
heed_status heedi_probe_rollout(heedi_probing *p, heed_error *error);
heed_status heedi_probe_heads(heedi_probing *p, bool ablation, bool patching, heed_error *error);

/* Copying of all heads (sites, heads) from the weights alone; NaN where it is not defined. Errors: HEED_MEMORY. */
heed_status heedi_probe_copying(const heedi_probing *p, double *copying, heed_error *error);

#endif
