/* The steps are those of heed_step on the first ranks of a run that was never written anywhere: no folder, no logs. */
#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "bench/bench.h"
#include "heed/corpus.h"
#include "heed/optimizer.h"
#include "heed/task.h"
#include "heed/train.h"

enum { WARM_UP = 2, MARKS = 2 /* of a task told as pairs: <s> and </s> */ };

typedef struct bench_run {
    heed_config config;
    heed_corpus *corpus;
    heed_trainer trainer;
    double *seconds; /* (steps) */
} bench_run;

/* Noise of as many symbols, in sequences as long as the model can take; or lists to copy, for sources, of the length
 * that pairs have on average, as far as there are such tasks. */
static heed_task_settings task_of(const heed_config *config, const heedi_sizes *sizes) {
    heed_task_settings settings = {.kind = HEED_TASK_NOISE,
                                   .length = sizes->rows,
                                   .symbols = sizes->vocab,
                                   .n_valid = 1,
                                   .seed = (uint64_t)config->run.seed};
    if (sizes->source_rows == 0)
        return settings;
    const size_t others = sizes->source_vocab ? sizes->source_vocab : sizes->vocab;
    const size_t vocab = others < sizes->vocab ? others : sizes->vocab, rows = (sizes->rows + sizes->source_rows) / 2;
    settings.kind = HEED_TASK_COPY;
    settings.with_source = true;
    settings.length = rows > HEED_TASK_LONGEST_LIST ? HEED_TASK_LONGEST_LIST
                      : rows > 2                    ? rows - 1
                                                    : 1; /* without the mark */
    settings.symbols = vocab > MARKS ? vocab - MARKS : 1;
    return settings;
}

static heed_status open_data(bench_run *run, const heedi_sizes *sizes, heed_error *error) {
    const heed_config *config = &run->config;
    const heed_comm *comm = run->trainer.comm;
    const heed_task_settings settings = task_of(config, sizes);
    const heed_batch_shape shape = {.time = (size_t)config->model.time,
                                    .batch = (size_t)config->train.batch,
                                    .grain = (size_t)config->train.grain,
                                    .rank = comm->rank,
                                    .size = comm->size,
                                    .seed = (uint64_t)config->run.seed};
    if (heed_corpus_of_task(&run->corpus, &settings, error) == HEED_OK)
        heed_batcher_create(&run->trainer.batcher, run->corpus, &shape, error);
    if (error->status == HEED_OK)
        heed_batcher_check(run->trainer.batcher, config, error);
    return error->status;
}

static heed_status open_model(bench_run *run, const heedi_sizes *sizes, heed_error *error) {
    const heed_config *config = &run->config;
    const size_t rank = (size_t)run->trainer.comm->rank, size = (size_t)run->trainer.comm->size;
    const size_t grain = (size_t)config->train.grain, n_grains = (size_t)config->train.batch / grain;
    const size_t n_sequences = (n_grains * (rank + 1) / size - n_grains * rank / size) * grain;
    const heed_model_shape shape = {.vocab = sizes->vocab,
                                    .source_vocab = sizes->source_vocab,
                                    .max_rows = n_sequences * heed_batcher_time(run->trainer.batcher),
                                    .max_source_rows = n_sequences * heed_batcher_source_time(run->trainer.batcher),
                                    .max_sequences = n_sequences,
                                    .training = true};
    if (heed_model_create(&run->trainer.model, config, &shape, error) != HEED_OK)
        return error->status;
    run->trainer.tally = calloc(heed_tally_size(config), sizeof(double));
    if (!run->trainer.tally)
        return heed_fail(error, HEED_MEMORY, "bench: out of memory");
    heed_params_init(heed_model_params(run->trainer.model), heed_model_weights(run->trainer.model), config);
    return HEED_OK;
}

static heed_status open_run(bench_run *run, const heedi_sizes *sizes, size_t n_steps, heed_error *error) {
    heed_error failed = HEED_ERROR_INIT;
    heed_comm *comm = run->trainer.comm;
    run->seconds = calloc(n_steps, sizeof *run->seconds);
    if (!run->seconds)
        heed_fail(&failed, HEED_MEMORY, "bench: no memory for %zu steps", n_steps);
    else if (open_data(run, sizes, &failed) == HEED_OK)
        open_model(run, sizes, &failed);
    if (heed_comm_agree(comm, &failed) != HEED_OK)
        return *error = failed, failed.status;
    heed_model *model = run->trainer.model;
    const heed_status status =
        heed_gradsync_create(&run->trainer.sync, comm, heed_model_params(model), &run->config, 0, error);
    heed_model_listen(model, heed_gradsync_await, run->trainer.sync);
    return status;
}

static void close_run(bench_run *run) {
    heed_gradsync_destroy(run->trainer.sync);
    heed_model_destroy(run->trainer.model);
    heed_batcher_destroy(run->trainer.batcher);
    heed_corpus_close(run->corpus);
    free(run->trainer.tally);
    free(run->seconds);
}

static heed_status run_steps(bench_run *run, size_t n_steps, heedi_steps *steps, heed_error *error) {
    heed_step_result result = {0};
    heed_status status = HEED_OK;
    for (size_t i = 0; i < WARM_UP + n_steps && status == HEED_OK; i++) {
        if (i == WARM_UP)
            heed_stage_times_start();
        const double start = heed_seconds();
        status = heed_step(&run->trainer, &result, error);
        if (i >= WARM_UP)
            run->seconds[i - WARM_UP] = heed_seconds() - start;
    }
    heed_stage_times_stop(&steps->stages);
    if (status != HEED_OK)
        return status;
    steps->seconds = heedi_median(run->seconds, n_steps);
    steps->tokens = result.tokens;
    return HEED_OK;
}

/* From sums over steps of each rank to means a step. */
static heed_status share_times(heed_comm *comm, size_t n_steps, heed_stage_times *times, heed_error *error) {
    heed_status status = heed_comm_sum(comm, times->seconds, HEED_N_STAGES, error);
    if (status == HEED_OK)
        status = heed_comm_sum(comm, times->operations, HEED_N_STAGES, error);
    for (size_t i = 0; i < HEED_N_STAGES; i++) {
        times->seconds[i] /= (double)n_steps * comm->size;
        times->operations[i] /= (double)n_steps;
    }
    return status;
}

heed_status heedi_measure_steps(heed_comm *comm, const heed_config *config, const heedi_sizes *sizes, size_t n_steps,
                                heedi_steps *steps, heed_error *error) {
    bench_run *run = calloc(1, sizeof *run);
    heed_error failed = HEED_ERROR_INIT;
    if (!run)
        heed_fail(&failed, HEED_MEMORY, "bench: out of memory");
    if (heed_comm_agree(comm, &failed) != HEED_OK) {
        free(run);
        return *error = failed, failed.status;
    }
    *steps = (heedi_steps){.n_steps = n_steps};
    run->config = *config;
    run->trainer.comm = comm;
    run->trainer.config = &run->config;
    heed_status status = open_run(run, sizes, n_steps, error);
    if (status == HEED_OK)
        status = run_steps(run, n_steps, steps, error);
    if (status == HEED_OK) {
        const heed_params *params = heed_model_params(run->trainer.model);
        steps->flops_per_token = heed_flops_per_token(config, params);
        steps->n_parameters = (double)params->n_parameters;
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        steps->peak_bytes = 1024.0 * (double)usage.ru_maxrss;
        steps->memory = (heedi_rank_memory){.parameters = params->n_elements * sizeof(real),
                                            .activations = heed_model_activation_bytes(run->trainer.model),
                                            .exchange = heed_gradsync_bytes(run->trainer.sync)};
        status = share_times(comm, n_steps, &steps->stages, error);
    }
    close_run(run);
    free(run);
    return status;
}
