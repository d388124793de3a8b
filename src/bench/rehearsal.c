/* A step's communication without a step: the exchange that training uses, on gradients that nobody has computed,
 * between pieces of products that take as long as the layers do. So it counts what processors do to move the bytes,
 * what ranks wait when they share a core, and what the sums cost; what a pass takes longer than its products alone is
 * what work does not hide. Passes follow each other as in training, without a barrier: a rank that is late in one of
 * them is waited for in the next. Short passes are rehearsed in several rounds, of which each has all kinds: a machine
 * that is slow for a second is then slow for what is compared as well. */
#include <math.h>

#include "bench/bench.h"
#include "heed/arena.h"
#include "train/gradsync_state.h"

enum { TIMES = 9, WARM_UP = 3, MOST_ROUNDS = 5, SIDE = 96 };
#define ENOUGH 1.0 /* seconds of work that all rounds of a kind have, if they may be so many */

/* A step's parts, and the moments between them. */
enum { FORWARD, BACKWARD, SUMS, UPDATE, PARTS };

typedef struct rehearsal {
    heed_comm *comm;
    const heed_params *params;
    heed_gradsync *sync;
    heed_arena arena;
    real *a, *b, *c; /* (SIDE, SIDE) */
    real *weights;
    size_t forward, backward; /* products a pass */
} rehearsal;

/* Which of the two a pass has. */
typedef struct doing {
    bool work, exchange;
} doing;

static heed_status open_rehearsal(rehearsal *r, const heed_config *config, heed_error *error) {
    const size_t square = heed_aligned(SIDE * SIDE * sizeof(real));
    const size_t weights = heed_aligned(r->params->n_elements * sizeof(real));
    heed_error failed = HEED_ERROR_INIT;
    heed_arena_init(&r->arena, 3 * square + weights, "parameters to measure with", &failed);
    if (heed_comm_agree(r->comm, &failed) != HEED_OK)
        return *error = failed, failed.status;
    r->a = heed_arena_take(&r->arena, square);
    r->b = heed_arena_take(&r->arena, square);
    r->c = heed_arena_take(&r->arena, square);
    r->weights = heed_arena_take(&r->arena, weights);
    return heed_gradsync_create(&r->sync, r->comm, r->params, config, 0, error);
}

static void close_rehearsal(rehearsal *r) {
    heed_gradsync_destroy(r->sync);
    heed_arena_reset(&r->arena);
}

static void work(const rehearsal *r, size_t products) {
    for (size_t i = 0; i < products; i++)
        heed_gemm(false, true, SIDE, SIDE, SIDE, 1, r->a, SIDE, r->b, SIDE, 0, r->c, SIDE);
}

/* Seconds of a product, as all ranks come to do them at the same time: the mean, of which that of all ranks. */
static heed_status clock_product(const rehearsal *r, double *seconds, heed_error *error) {
    size_t n = 0;
    const heed_status status = heed_comm_barrier(r->comm, error);
    const double start = heed_seconds();
    for (; n < 16 || heed_seconds() - start < 0.1; n++)
        work(r, 1);
    *seconds = (heed_seconds() - start) / (double)n / r->comm->size;
    return status == HEED_OK ? heed_comm_sum(r->comm, seconds, 1, error) : status;
}

/* The i-th tensor's share of a pass of so many products. */
static void work_on(const rehearsal *r, size_t i, size_t products) {
    const size_t n = r->params->n_tensors;
    work(r, products * (i + 1) / n - products * i / n);
}

/* Every tensor's parameters are waited for before they are needed. */
static void forward(const rehearsal *r, doing does) {
    for (size_t i = 0; i < r->params->n_tensors; i++) {
        if (does.exchange)
            heed_gradsync_await(r->sync, r->params->tensors[i].offset + r->params->tensors[i].size);
        work_on(r, i, does.work ? r->forward : 0);
    }
}

/* Every tensor's gradient leaves when it is ready. */
static void backward(const rehearsal *r, doing does) {
    if (does.exchange)
        heed_gradsync_begin(r->sync);
    for (size_t i = r->params->n_tensors; i-- > 0;) {
        work_on(r, i, does.work ? r->backward : 0);
        if (does.exchange)
            heedi_rounds_tensor_is_ready(r->sync, i);
    }
}

/* A pass, and the time behind each of its parts. */
static heed_status pass(const rehearsal *r, doing does, uint64_t step, double at[PARTS + 1], heed_error *error) {
    heed_status status = HEED_OK;
    double norm, loss = 0;
    at[FORWARD] = heed_seconds();
    forward(r, does);
    at[BACKWARD] = heed_seconds();
    backward(r, does);
    if (does.exchange)
        status = heed_gradsync_finish(r->sync, 1, &norm, error);
    at[SUMS] = heed_seconds();
    if (does.exchange && status == HEED_OK)
        status = heed_comm_sum(r->comm, &loss, 1, error);
    at[UPDATE] = heed_seconds();
    if (does.exchange && status == HEED_OK)
        status = heed_gradsync_update(r->sync, r->weights, 1, 0, step, error);
    at[PARTS] = heed_seconds();
    return status;
}

/* Seconds of the parts of passes of one kind. */
typedef struct part_times {
    double seconds[PARTS][MOST_ROUNDS * TIMES];
    size_t n;
} part_times;

static heed_status time_passes(const rehearsal *r, doing does, part_times *times, heed_error *error) {
    double at[PARTS + 1];
    heed_status status = heed_comm_barrier(r->comm, error);
    for (uint64_t step = 0; step < WARM_UP + TIMES && status == HEED_OK; step++) {
        status = pass(r, does, step, at, error);
        for (int part = 0; part < PARTS && step >= WARM_UP; part++)
            times->seconds[part][times->n] = at[part + 1] - at[part];
        times->n += step >= WARM_UP;
    }
    return status;
}

/* Medians of the parts' seconds; of those, the means over ranks. */
static heed_status judge(const rehearsal *r, part_times *times, double seconds[PARTS], heed_error *error) {
    for (int part = 0; part < PARTS; part++)
        seconds[part] = heedi_median(times->seconds[part], times->n) / r->comm->size;
    return heed_comm_sum(r->comm, seconds, PARTS, error);
}

/* The same number on all ranks. */
static heed_status count_rounds(const rehearsal *r, double work_time, int *rounds, heed_error *error) {
    const heed_status status = heed_comm_max(r->comm, &work_time, 1, error);
    const double wanted = ENOUGH / (TIMES * work_time);
    *rounds = wanted < 1 ? 1 : wanted < MOST_ROUNDS ? (int)wanted : MOST_ROUNDS;
    return status;
}

/* What a pass does, in the order in which a round has it. */
enum { ALONE, BARE, TOGETHER, KINDS };
static const doing kinds[KINDS] = {
    [ALONE] = {.work = true}, [BARE] = {.exchange = true}, [TOGETHER] = {.work = true, .exchange = true}};

static heed_status measure_kinds(const rehearsal *r, int rounds, double found[KINDS][PARTS], heed_error *error) {
    part_times times[KINDS] = {{.n = 0}};
    heed_status status = HEED_OK;
    for (int round = 0; round < rounds; round++)
        for (int k = 0; k < KINDS && status == HEED_OK; k++)
            status = time_passes(r, kinds[k], &times[k], error);
    for (int k = 0; k < KINDS && status == HEED_OK; k++)
        status = judge(r, &times[k], found[k], error);
    return status;
}

static double beyond(double together, double alone) {
    return together > alone ? together - alone : 0;
}

heed_status heedi_rehearse(heed_comm *comm, const heed_config *config, const heed_params *params, double forward_time,
                           double backward_time, heedi_rehearsal *found, heed_error *error) {
    rehearsal r = {.comm = comm, .params = params};
    double found_in[KINDS][PARTS], product = 1;
    int rounds = 1;
    heed_status status = open_rehearsal(&r, config, error);
    if (status == HEED_OK)
        status = clock_product(&r, &product, error);
    r.forward = (size_t)lround(forward_time / product), r.backward = (size_t)lround(backward_time / product);
    if (status == HEED_OK)
        status = count_rounds(&r, forward_time + backward_time, &rounds, error);
    if (status == HEED_OK)
        status = measure_kinds(&r, rounds, found_in, error);
    close_rehearsal(&r);
    if (status != HEED_OK)
        return status;
    const double *alone = found_in[ALONE], *bare = found_in[BARE], *together = found_in[TOGETHER];
    *found = (heedi_rehearsal){.back_alone = bare[FORWARD],
                               .back = beyond(together[FORWARD], alone[FORWARD]),
                               .out_alone = bare[BACKWARD],
                               .out = beyond(together[BACKWARD], alone[BACKWARD]),
                               .sums = together[SUMS],
                               .update = together[UPDATE]};
    return HEED_OK;
}
