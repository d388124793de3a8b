/* Looking at attention. A log of step s shows the model after s steps: maps of the probes, seen in a pass of their own
 * that all ranks share, and statistics of the batch that step s + 1 trains on, seen while it does. So a run that goes
 * on from a checkpoint at s writes the log of s again, with the same bits, and what a log costs is the probes' pass and
 * bringing the maps together, on rank 0, behind the step. */
#include <stdlib.h>
#include <string.h>

#include "heed/pairs.h"
#include "train/run.h"

#include "heed/stage.h"

static size_t n_heads(const heed_config *config) {
    size_t layers = 0;
    for (int kind = 0; kind < HEED_N_ATTENTION_KINDS; kind++)
        layers += heed_attention_layers(config, (heed_attention_kind)kind);
    return layers * (size_t)config->model.heads;
}

/* Each kind's statistics in its part of one array, so that one sum over ranks is enough. */
static void divide_statistics(heedi_run *run, real *scratch) {
    const heed_config *config = run->config;
    double *at = run->look.per_sequence;
    for (int kind = 0; kind < HEED_N_ATTENTION_KINDS; kind++) {
        const size_t layers = heed_attention_layers(config, (heed_attention_kind)kind);
        const size_t heads = (size_t)config->model.heads;
        run->look.statistics[kind] =
            (heed_head_statistics){.per_sequence = at, .layers = layers, .heads = heads, .scratch = scratch};
        at += (size_t)config->train.batch * layers * heads * HEED_STATISTIC_SLOT;
    }
}

/* Rank 0 has room for the maps of all probes, the others for those of their part. */
static heed_status create_maps(heedi_run *run, heed_error *error) {
    const heed_config *config = run->config;
    const size_t n_probes = (run->comm->rank == 0 ? &run->look.probes : &run->look.part)->rows.n_sequences;
    heed_status status = HEED_OK;
    for (int kind = 0; kind < HEED_N_ATTENTION_KINDS && n_probes > 0 && status == HEED_OK; kind++) {
        if (heed_attention_layers(config, (heed_attention_kind)kind) == 0)
            continue;
        status = heed_attention_maps_create(&run->look.maps[kind], (heed_attention_kind)kind, n_probes,
                                            heed_attention_layers(config, (heed_attention_kind)kind),
                                            (size_t)config->model.heads, (size_t)config->model.time, error);
        if (status == HEED_OK)
            heed_attention_maps_set_sources(run->look.maps[kind], heed_corpus_source_tokenizer(run->corpus));
    }
    return status;
}

heed_status heedi_look_open(heedi_run *run, heed_error *error) {
    const heed_config *config = run->config;
    const size_t n_sequences = (size_t)config->train.batch, time = (size_t)config->model.time;
    const size_t tally_bytes = heed_bytes(heed_tally_size(config), sizeof(double));
    run->look.every = (uint64_t)config->log.attention_every;
    run->look.per_sequence_size = run->look.every ? n_sequences * n_heads(config) * HEED_STATISTIC_SLOT : 0;
    const size_t sums_bytes = heed_bytes(run->look.per_sequence_size, sizeof(double));
    const size_t means_bytes = n_heads(config) * HEED_N_STATISTICS * sizeof(double);
    const size_t loss_bytes = run->look.part.rows.n_sequences * sizeof(double);
    const size_t n_ranks = (size_t)run->comm->size, share_bytes = (3 * n_ranks + 1) * sizeof(size_t);
    const size_t scratch_bytes = heed_bytes(heed_head_statistics_scratch(time), sizeof(real));
    const heed_status status =
        heed_arena_init(&run->arena,
                        heed_aligned(tally_bytes) + heed_aligned(sums_bytes) + heed_aligned(means_bytes) +
                            heed_aligned(loss_bytes) + heed_aligned(share_bytes) + heed_aligned(scratch_bytes),
                        "losses and attention statistics", error);
    if (status != HEED_OK)
        return status;
    run->trainer.tally = heed_arena_take(&run->arena, tally_bytes);
    if (!run->look.every)
        return HEED_OK;
    run->look.per_sequence = heed_arena_take(&run->arena, sums_bytes);
    divide_statistics(run, heed_arena_take(&run->arena, scratch_bytes));
    run->look.means = heed_arena_take(&run->arena, means_bytes);
    run->look.probe_loss = heed_arena_take(&run->arena, loss_bytes);
    if (run->comm->rank == 0) {
        run->look.first_probe = heed_arena_take(&run->arena, share_bytes);
        run->look.gather_room = run->look.first_probe + n_ranks + 1;
        for (int rank = 0; rank <= run->comm->size; rank++)
            run->look.first_probe[rank] = heedi_first_probe(run, rank);
    }
    return create_maps(run, error);
}

/* Observers of all kinds of attention; context is the run. */
static void see_maps(void *context, const heed_attention_view *view) {
    HEED_IN_STAGE(LOOK);
    heedi_run *run = context;
    heed_attention_maps_see(run->look.maps[view->kind], view);
}

static void see_statistics(void *context, const heed_attention_view *view) {
    HEED_IN_STAGE(LOOK);
    heedi_run *run = context;
    heed_head_statistics_see(&run->look.statistics[view->kind], view);
}

static void look_at_probes(heedi_run *run) {
    heed_model *model = run->trainer.model;
    const heed_batch *part = &run->look.part;
    if (part->rows.n_sequences == 0) /* there are fewer probes than ranks */
        return;
    heed_model_observe(model, see_maps, run);
    heed_model_forward(model, part, HEED_PASS_PROBE);
    heed_model_loss(model, part, NULL, run->look.probe_loss, NULL);
    heed_model_backward(model, part, NULL);
}

bool heedi_look_begin(heedi_run *run) {
    HEED_IN_STAGE(LOOK);
    if (!run->look.every || run->trainer.step % run->look.every != 0)
        return false;
    if (heedi_look_finish(run, &run->trainer.failed) == HEED_OK)
        look_at_probes(run);
    memset(run->look.per_sequence, 0, run->look.per_sequence_size * sizeof(double));
    heed_model_observe(run->trainer.model, see_statistics, run);
    return true;
}

/* Means of a kind's statistics, and its file. */
static void write_log(heedi_run *run, int kind, uint64_t step) {
    const heed_head_statistics *statistics = &run->look.statistics[kind];
    heed_head_statistics_mean(run->look.means, statistics->per_sequence, (size_t)run->config->train.batch,
                              statistics->layers, statistics->heads);
    if (kind == HEED_SELF_ATTENTION)
        heed_phases_see(run->look.phases, step, run->look.means, &run->trainer.failed);
    heed_attention_log_start(run->look.maps[kind], run->config->run.dir, step, run->look.means, &run->look.probes,
                             heed_corpus_tokenizer(run->corpus), run->state.config_text, &run->trainer.failed);
}

/* The statistics of all sequences, and the maps of all probes. */
static heed_status bring_together(heedi_run *run, heed_error *error) {
    heed_status status = heed_comm_sum(run->comm, run->look.per_sequence, run->look.per_sequence_size, error);
    for (int kind = 0; kind < HEED_N_ATTENTION_KINDS && status == HEED_OK; kind++)
        if (run->look.statistics[kind].layers > 0)
            status = heed_attention_maps_gather(run->look.maps[kind], run->comm, run->look.first_probe,
                                                run->look.gather_room, error);
    return status;
}

heed_status heedi_look_end(heedi_run *run, uint64_t step, heed_error *error) {
    HEED_IN_STAGE(LOOK);
    heed_model_observe(run->trainer.model, NULL, NULL);
    const heed_status status = bring_together(run, error);
    if (status != HEED_OK || run->comm->rank != 0 || run->trainer.failed.status != HEED_OK)
        return status; /* a rank 0 that failed has not looked at its part, and the run ends */
    for (int kind = 0; kind < HEED_N_ATTENTION_KINDS; kind++)
        if (run->look.maps[kind])
            write_log(run, kind, step);
    return HEED_OK;
}

heed_status heedi_look_at_end(heedi_run *run, heed_error *error) {
    if (!heedi_look_begin(run))
        return HEED_OK;
    heed_batch batch = {0};
    if (heed_batcher_train(run->trainer.batcher, run->trainer.step, &batch, &run->trainer.failed) == HEED_OK) {
        heed_model_forward(run->trainer.model, &batch, HEED_PASS_TRAIN);
        heed_model_loss(run->trainer.model, &batch, NULL, run->trainer.tally, NULL);
        heed_model_backward(run->trainer.model, &batch, NULL);
    }
    return heedi_look_end(run, run->trainer.step, error);
}

heed_status heedi_look_finish(heedi_run *run, heed_error *error) {
    heed_status status = HEED_OK;
    for (int kind = 0; kind < HEED_N_ATTENTION_KINDS && run->comm->rank == 0; kind++) {
        const heed_status own = run->look.maps[kind] ? heed_attention_log_wait(run->look.maps[kind], error) : HEED_OK;
        status = status == HEED_OK ? own : status;
    }
    return status;
}

void heedi_look_close(heedi_run *run) {
    for (int kind = 0; kind < HEED_N_ATTENTION_KINDS; kind++)
        heed_attention_maps_destroy(run->look.maps[kind]);
    heed_phases_close(run->look.phases);
    heed_arena_reset(&run->look.line_arena);
    free(run->look.part_room);
    heed_arena_reset(&run->arena);
}
