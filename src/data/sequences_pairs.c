/* Pairs as sequences: source  x </s>,  rows  <s> y,  targets  y </s>, every row scored. The truth is not known.
 *
 * Training visits each pair once an epoch, in the order of a keyed permutation; validation takes them in the order of
 * the store, probes are spread evenly over these. A pair of which a side is longer than shape->time is left out.
 *
 * A batch is `batch` pairs of that order. As nothing is padded (heed/ragged.h), long beside short pairs cost nothing,
 * but a grain of long ones would keep its rank busy while the others wait. So the batch's pairs are dealt to its grains
 * by length, the longest first, each to the grain with the fewest rows that has room: which pairs form a batch is the
 * permutation's affair, in which grain they lie depends on their lengths alone. Every rank works this out for itself.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "heed/pairs.h"
#include "heed/rng.h"
#include "sequences.h"

enum { ORDER_OF_PAIRS = 2 }; /* site of HEED_PURPOSE_SHUFFLE; a text has others (windows.c) */

typedef struct deal { /* one batch of an order, dealt to grains */
    bool known;
    heedi_set set;
    uint64_t round, batch;
    uint32_t *pair; /* (batch) in the order of grains */

    /* scratch */
    size_t *length;   /* (batch) rows of target and source */
    uint32_t *grain;  /* (batch) that each lies in */
    uint32_t *sorted; /* (batch) by length */
    size_t *n_of;     /* (most rows + 2) pairs of each length, then where they begin */
    size_t *load;     /* (grains) rows */
    size_t *n_in;     /* (grains) pairs */
} deal;

typedef struct pair_sequences {
    heedi_sequences base;
    heed_corpus *corpus;
    size_t time, batch, grain; /* of the batcher's shape */
    uint64_t seed;
    uint32_t *kept[2];              /* by heed_split: pairs that are not too long, base.n_train and n_valid of them */
    int32_t begin, end, source_end; /* marks */
    deal deal;
} pair_sequences;

static heed_status fail_untrained(const heedi_sequences *sequences, heed_error *error) {
    const pair_sequences *p = (const pair_sequences *)sequences;
    const size_t n = heed_corpus_pairs(p->corpus, HEED_TRAIN);
    if (n == 0)
        return heed_fail(error, HEED_CONFIG, "the data has no pairs to train on");
    heed_fail(error, HEED_CONFIG, "model.time = %zu: each of the %zu pairs to train on is longer", p->time, n);
    return heed_hint(error, "raise model.time");
}

static heed_status check_probes(const heedi_sequences *sequences, size_t n_probes, heed_error *error) {
    if (n_probes <= sequences->n_valid)
        return HEED_OK;
    heed_fail(error, HEED_CONFIG, "log.probes = %zu: there are only %" PRIu64 " pairs to validate with", n_probes,
              sequences->n_valid);
    return heed_hint(error, "use more pairs, a larger data.valid_share, or fewer probes");
}

static size_t rows_of(const pair_sequences *p, heed_split split, uint32_t pair) {
    return heed_corpus_pair_length(p->corpus, split, HEED_TARGET, pair) + 1;
}

static size_t source_of(const pair_sequences *p, heed_split split, uint32_t pair) {
    return heed_corpus_pair_length(p->corpus, split, HEED_SOURCE, pair) + 1;
}

static heed_split split_of(heedi_set set) {
    return set == HEEDI_TO_TRAIN ? HEED_TRAIN : HEED_VALID;
}

/* The index-th pair of an order, before it is dealt. */
static uint32_t in_order(const pair_sequences *p, heedi_set set, uint64_t round, uint64_t index) {
    if (set == HEEDI_TO_VALIDATE)
        return p->kept[HEED_VALID][index];
    const heed_rng rng = {
        .seed = p->seed, .purpose = HEED_PURPOSE_SHUFFLE, .site = ORDER_OF_PAIRS, .step = (uint32_t)round};
    return p->kept[HEED_TRAIN][heed_rng_permute(&rng, index, p->base.n_train)];
}

/* Places in the batch, those of the longest pairs first, equals in their order: by counting, without memory. */
static void sort_by_length(deal *d, size_t n, size_t most) {
    memset(d->n_of, 0, (most + 2) * sizeof *d->n_of);
    for (size_t i = 0; i < n; i++)
        d->n_of[most - d->length[i] + 1]++;
    for (size_t l = 0; l <= most; l++)
        d->n_of[l + 1] += d->n_of[l];
    for (size_t i = 0; i < n; i++)
        d->sorted[d->n_of[most - d->length[i]]++] = (uint32_t)i;
}

/* The emptiest grain that has room; all but the last are full in the end. */
static size_t choose_grain(const deal *d, size_t n_grains, size_t grain, size_t n) {
    size_t best = n_grains;
    for (size_t g = 0; g < n_grains; g++) {
        const size_t most = g + 1 < n_grains ? grain : n - g * grain;
        if (d->n_in[g] < most && (best == n_grains || d->load[g] < d->load[best]))
            best = g;
    }
    HEED_CHECK(best < n_grains);
    return best;
}

/* Pairs [first, first + n) of an order, dealt to grains. */
static void deal_batch(pair_sequences *p, heedi_set set, uint64_t round, uint64_t first, size_t n) {
    deal *d = &p->deal;
    const heed_split split = split_of(set);
    const size_t n_grains = (n - 1) / p->grain + 1;
    for (size_t i = 0; i < n; i++) {
        const uint32_t pair = in_order(p, set, round, first + i);
        d->length[i] = rows_of(p, split, pair) + source_of(p, split, pair);
    }
    sort_by_length(d, n, p->base.time + p->base.source_time);
    memset(d->load, 0, n_grains * sizeof *d->load);
    memset(d->n_in, 0, n_grains * sizeof *d->n_in);
    for (size_t i = 0; i < n; i++) {
        const size_t place = d->sorted[i], g = choose_grain(d, n_grains, p->grain, n);
        d->grain[place] = (uint32_t)g;
        d->load[g] += d->length[place];
        d->n_in[g]++;
    }
    memset(d->n_in, 0, n_grains * sizeof *d->n_in);
    for (size_t i = 0; i < n; i++) {
        const size_t g = d->grain[i];
        d->pair[g * p->grain + d->n_in[g]++] = in_order(p, set, round, first + i);
    }
}

static uint32_t pair_of(pair_sequences *p, const heedi_which *which) {
    if (which->set == HEEDI_TO_PROBE)
        return p->kept[HEED_VALID][p->base.n_valid * (2 * which->index + 1) / (2 * which->round)];
    deal *d = &p->deal;
    const uint64_t batch = which->index / p->batch, first = batch * p->batch;
    const uint64_t left = (which->set == HEEDI_TO_TRAIN ? p->base.n_train : p->base.n_valid) - first;
    if (!d->known || d->set != which->set || d->round != which->round || d->batch != batch)
        deal_batch(p, which->set, which->round, first, left < p->batch ? (size_t)left : p->batch);
    d->known = true;
    d->set = which->set;
    d->round = which->round;
    d->batch = batch;
    return d->pair[which->index - first];
}

static heedi_extent extent(heedi_sequences *sequences, const heedi_which *which) {
    pair_sequences *p = (pair_sequences *)sequences;
    const heed_split split = split_of(which->set);
    const uint32_t pair = pair_of(p, which);
    const size_t n_rows = rows_of(p, split, pair);
    return (heedi_extent){.n_rows = n_rows, .n_source = source_of(p, split, pair), .weight = (double)n_rows};
}

static heed_status read(heedi_sequences *sequences, const heedi_which *which, const heedi_rows *rows,
                        heed_error *error) {
    pair_sequences *p = (pair_sequences *)sequences;
    const heed_split split = split_of(which->set);
    const uint32_t pair = pair_of(p, which);
    const size_t n = rows_of(p, split, pair) - 1, n_source = source_of(p, split, pair) - 1;
    heed_status status = heed_corpus_read_pair(p->corpus, split, HEED_SOURCE, pair, rows->source, error);
    if (status == HEED_OK)
        status = heed_corpus_read_pair(p->corpus, split, HEED_TARGET, pair, rows->target, error);
    if (status != HEED_OK)
        return status;
    rows->source[n_source] = p->source_end;
    rows->token[0] = p->begin;
    memcpy(rows->token + 1, rows->target, n * sizeof *rows->token);
    rows->target[n] = p->end;
    for (size_t i = 0; i <= n; i++)
        rows->weight[i] = 1;
    return HEED_OK;
}

static void destroy(heedi_sequences *sequences) {
    pair_sequences *p = (pair_sequences *)sequences;
    free(p->kept[HEED_TRAIN]);
    free(p->kept[HEED_VALID]);
    free(p->deal.pair);
    free(p->deal.length);
    free(p->deal.grain);
    free(p->deal.sorted);
    free(p->deal.n_of);
    free(p->deal.load);
    free(p->deal.n_in);
    free(p);
}

static const heedi_sequences_verbs verbs = {fail_untrained, check_probes, extent, read, destroy};

/* Finds the pairs that fit, and how long they are. */
static heed_status keep(pair_sequences *p, heed_split split, uint64_t *n_kept, heed_error *error) {
    const size_t n = heed_corpus_pairs(p->corpus, split);
    uint32_t *kept = p->kept[split] = malloc((n + 1) * sizeof *kept);
    if (!kept)
        return heed_fail(error, HEED_MEMORY, "batch: no memory for %zu pairs", n);
    for (uint32_t i = 0; i < n; i++) {
        const size_t n_rows = rows_of(p, split, i), n_source = source_of(p, split, i);
        if (n_rows > p->time || n_source > p->time)
            continue;
        kept[(*n_kept)++] = i;
        p->base.time = n_rows > p->base.time ? n_rows : p->base.time;
        p->base.source_time = n_source > p->base.source_time ? n_source : p->base.source_time;
    }
    return HEED_OK;
}

static heed_status make_deal(pair_sequences *p, heed_error *error) {
    const size_t batch = p->batch, n_grains = batch / p->grain;
    const size_t n_lengths = p->base.time + p->base.source_time + 2;
    p->deal = (deal){.pair = malloc(batch * sizeof(uint32_t)),
                     .length = malloc(batch * sizeof(size_t)),
                     .grain = malloc(batch * sizeof(uint32_t)),
                     .sorted = malloc(batch * sizeof(uint32_t)),
                     .n_of = malloc(n_lengths * sizeof(size_t)),
                     .load = malloc(n_grains * sizeof(size_t)),
                     .n_in = malloc(n_grains * sizeof(size_t))};
    const deal *d = &p->deal;
    return d->pair && d->length && d->grain && d->sorted && d->n_of && d->load && d->n_in
               ? HEED_OK
               : heed_fail(error, HEED_MEMORY, "batch: out of memory");
}

heed_status heedi_pair_sequences(heedi_sequences **sequences, heed_corpus *corpus, const heed_batch_shape *shape,
                                 heed_error *error) {
    pair_sequences *p = calloc(1, sizeof *p);
    if (!p)
        return heed_fail(error, HEED_MEMORY, "batch: out of memory");
    p->base.verbs = &verbs;
    p->corpus = corpus;
    p->time = shape->time;
    p->batch = shape->batch;
    p->grain = shape->grain;
    p->seed = shape->seed;
    p->begin = heed_tokenizer_mark(heed_corpus_tokenizer(corpus), HEED_MARK_BEGIN);
    p->end = heed_tokenizer_mark(heed_corpus_tokenizer(corpus), HEED_MARK_END);
    p->source_end = heed_tokenizer_mark(heed_corpus_source_tokenizer(corpus), HEED_MARK_END);
    HEED_CHECK(p->begin >= 0 && p->end >= 0 && p->source_end >= 0);
    p->base.time = p->base.source_time = 1;
    heed_status status = keep(p, HEED_TRAIN, &p->base.n_train, error);
    if (status == HEED_OK)
        status = keep(p, HEED_VALID, &p->base.n_valid, error);
    if (status == HEED_OK && p->base.n_train + p->base.n_valid == 0)
        status = fail_untrained(&p->base, error);
    if (status == HEED_OK)
        status = make_deal(p, error);
    p->base.n_left_out[HEED_TRAIN] = heed_corpus_pairs(corpus, HEED_TRAIN) - p->base.n_train;
    p->base.n_left_out[HEED_VALID] = heed_corpus_pairs(corpus, HEED_VALID) - p->base.n_valid;
    if (status != HEED_OK)
        destroy(&p->base);
    else
        *sequences = &p->base;
    return status;
}
