/* Looking at attention. A log of step s shows the model after s steps: maps of the probes, seen in a pass of their own
 * on rank 0, and statistics of the batch that step s + 1 trains on, seen on all ranks while it does. So a run that goes
 * on from a checkpoint at s writes the log of s again, with the same bits, and what a log costs is the probes' pass. */
#include <string.h>

#include "train/run.h"

#include "heed/stage.h"

static size_t n_heads(const heed_config *config) {
    return (size_t)(config->model.layers * config->model.heads);
}

heed_status heedi_look_open(heedi_run *run, heed_error *error) {
    const heed_config *config = run->config;
    const size_t n_sequences = (size_t)config->train.batch, time = (size_t)config->model.time;
    const size_t tally_bytes = heed_bytes(heed_tally_size(config), sizeof(double));
    run->look.every = (uint64_t)config->log.attention_every;
    run->look.per_sequence_size = run->look.every ? n_sequences * n_heads(config) * HEED_STATISTIC_SLOT : 0;
    const size_t sums_bytes = heed_bytes(run->look.per_sequence_size, sizeof(double));
    const size_t means_bytes = n_heads(config) * HEED_N_STATISTICS * sizeof(double);
    const size_t loss_bytes = run->look.probes.rows.n_sequences * sizeof(double);
    const size_t scratch_bytes = heed_bytes(heed_head_statistics_scratch(time), sizeof(real));
    heed_status status =
        heed_arena_init(&run->arena,
                        heed_aligned(tally_bytes) + heed_aligned(sums_bytes) + heed_aligned(means_bytes) +
                            heed_aligned(loss_bytes) + heed_aligned(scratch_bytes),
                        "losses and attention statistics", error);
    if (status != HEED_OK)
        return status;
    run->trainer.tally = heed_arena_take(&run->arena, tally_bytes);
    if (!run->look.every)
        return HEED_OK;
    run->look.statistics = (heed_head_statistics){.per_sequence = heed_arena_take(&run->arena, sums_bytes),
                                                  .layers = (size_t)config->model.layers,
                                                  .heads = (size_t)config->model.heads,
                                                  .scratch = heed_arena_take(&run->arena, scratch_bytes)};
    run->look.means = heed_arena_take(&run->arena, means_bytes);
    run->look.probe_loss = heed_arena_take(&run->arena, loss_bytes);
    if (run->comm->rank == 0)
        status = heed_attention_maps_create(&run->look.maps, run->look.probes.rows.n_sequences,
                                            (size_t)config->model.layers, (size_t)config->model.heads, time, error);
    return status;
}

static void look_at_probes(heedi_run *run) {
    heed_model *model = run->trainer.model;
    heed_model_observe(model, heed_attention_maps_see, run->look.maps);
    heed_model_forward(model, &run->look.probes, HEED_PASS_PROBE);
    heed_model_loss(model, &run->look.probes, NULL, run->look.probe_loss, NULL);
    heed_model_backward(model, &run->look.probes, NULL);
}

bool heedi_look_begin(heedi_run *run) {
    if (!run->look.every || run->trainer.step % run->look.every != 0)
        return false;
    if (run->comm->rank == 0)
        look_at_probes(run);
    memset(run->look.statistics.per_sequence, 0, run->look.per_sequence_size * sizeof(double));
    heed_model_observe(run->trainer.model, heed_head_statistics_see, &run->look.statistics);
    return true;
}

heed_status heedi_look_end(heedi_run *run, uint64_t step, heed_error *error) {
    HEED_IN_STAGE(LOOK);
    heed_model_observe(run->trainer.model, NULL, NULL);
    const heed_status status =
        heed_comm_sum(run->comm, run->look.statistics.per_sequence, run->look.per_sequence_size, error);
    if (status != HEED_OK || run->comm->rank != 0)
        return status;
    heed_head_statistics_mean(run->look.means, run->look.statistics.per_sequence, (size_t)run->config->train.batch,
                              (size_t)run->config->model.layers, (size_t)run->config->model.heads);
    heed_phases_see(run->look.phases, step, run->look.means, &run->trainer.failed);
    heed_attention_log_start(run->look.maps, run->config->run.dir, step, run->look.means, &run->look.probes,
                             heed_corpus_tokenizer(run->corpus), run->state.config_text, &run->trainer.failed);
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
    return run->look.maps ? heed_attention_log_wait(run->look.maps, error) : HEED_OK;
}

void heedi_look_close(heedi_run *run) {
    heed_attention_maps_destroy(run->look.maps);
    heed_phases_close(run->look.phases);
    heed_arena_reset(&run->look.file_rows);
    heed_arena_reset(&run->arena);
}
