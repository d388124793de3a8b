/* The background writer. The arenas of a save belong to the worker from start until it is idle again; state is copied.
 */
#include <stdlib.h>
#include <string.h>

#include "heed/checkpoint.h"
#include "heed/comm.h"
#include "heed/log.h"
#include "record/checkpoint_folder.h"
#include "record/worker.h"

struct heed_checkpoint_writer {
    heedi_worker worker;
    char folder[HEED_PATH_MAX];
    size_t keep;
    heed_checkpoint_state state;
    heed_checkpoint_arenas arenas;
    heed_checkpoint_figures figures;
    heed_error lost_figures; /* why */
    const heed_tokenizer *tokenizer;
    heed_checkpoint_phases phases;
    uint64_t *marks; /* of phases */
    heedi_losses losses;
};

/* A second attempt would be told that all is well: the system reports a failure once. */
static bool make_figures_durable(heed_checkpoint_writer *writer, heed_error *error) {
    const heed_checkpoint_figures *figures = &writer->figures;
    heed_error *lost = &writer->lost_figures;
    if (lost->status == HEED_OK && figures->metrics)
        heed_metrics_sync(figures->metrics, lost);
    if (lost->status == HEED_OK && figures->phases)
        heed_phases_sync(figures->phases, lost);
    if (lost->status != HEED_OK)
        *error = *lost;
    return lost->status == HEED_OK;
}

static void save(void *context, heed_error *error) {
    heed_checkpoint_writer *writer = context;
    const heed_checkpoint_state *state = &writer->state;
    if (!make_figures_durable(writer, error) ||
        heed_checkpoint_write(writer->folder, state, &writer->arenas, writer->tokenizer, error) != HEED_OK)
        return;
    heed_say(HEED_INFO, "checkpoint %s/step-%08llu.h5 saved", writer->folder, (unsigned long long)state->step);
    heed_error trouble = HEED_ERROR_INIT;
    if (heedi_losses_tell(&writer->losses, state->step, state->valid_loss, &trouble) != HEED_OK ||
        heedi_checkpoint_prune(writer->folder, writer->keep, &writer->phases, &writer->losses, &trouble) != HEED_OK)
        heed_say(HEED_WARNING, "%s (old checkpoints stay)", trouble.message);
}

heed_status heed_checkpoint_writer_create(heed_checkpoint_writer **out, const char *folder, size_t keep,
                                          heed_error *error) {
    *out = NULL;
    if (strlen(folder) >= HEED_PATH_MAX)
        return heed_fail(error, HEED_CREATE, "%s: the name of this folder is too long", folder);
    heed_checkpoint_writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return heed_fail(error, HEED_MEMORY, "checkpoint writer: out of memory");
    strcpy(writer->folder, folder);
    writer->keep = keep;
    heed_comm_library(); /* asks MPI here, which only this thread may; the answer is kept */
    const heed_status status = heedi_worker_begin(&writer->worker, "checkpoint writer", error);
    if (status != HEED_OK)
        free(writer);
    else
        *out = writer;
    return status;
}

heed_status heed_checkpoint_writer_start(heed_checkpoint_writer *writer, const heed_checkpoint_state *state,
                                         const heed_checkpoint_arenas *arenas, const heed_checkpoint_figures *figures,
                                         const heed_tokenizer *tokenizer, heed_error *error) {
    char *config_text = strdup(state->config_text ? state->config_text : "");
    if (!config_text)
        return heed_fail(error, HEED_MEMORY, "checkpoint writer: out of memory");
    heedi_worker_rest(&writer->worker);
    heed_checkpoint_state_reset(&writer->state);
    writer->state = *state;
    writer->state.config_text = config_text;
    writer->arenas = *arenas;
    writer->figures = *figures;
    writer->tokenizer = tokenizer;
    heedi_worker_start(&writer->worker, save, writer);
    return HEED_OK;
}

heed_status heed_checkpoint_writer_phases(heed_checkpoint_writer *writer, const heed_checkpoint_phases *phases,
                                          heed_error *error) {
    heedi_worker_rest(&writer->worker);
    uint64_t *marks = realloc(writer->marks, (phases->n_marks + 1) * sizeof *marks);
    if (!marks)
        return heed_fail(error, HEED_MEMORY, "checkpoint writer: out of memory");
    if (phases->n_marks > 0)
        memcpy(marks, phases->marks, phases->n_marks * sizeof *marks);
    writer->marks = marks;
    writer->phases = *phases;
    writer->phases.marks = marks;
    return HEED_OK;
}

heed_status heed_checkpoint_writer_lost_figures(heed_checkpoint_writer *writer, heed_error *error) {
    heedi_worker_rest(&writer->worker);
    if (writer->lost_figures.status != HEED_OK)
        *error = writer->lost_figures;
    return writer->lost_figures.status;
}

bool heed_checkpoint_writer_idle(heed_checkpoint_writer *writer) {
    return heedi_worker_idle(&writer->worker);
}

heed_status heed_checkpoint_writer_wait(heed_checkpoint_writer *writer, heed_error *error) {
    return heedi_worker_wait(&writer->worker, error);
}

double heed_checkpoint_writer_seconds(heed_checkpoint_writer *writer) {
    return heedi_worker_seconds(&writer->worker);
}

void heed_checkpoint_writer_destroy(heed_checkpoint_writer *writer) {
    if (!writer)
        return;
    heedi_worker_end(&writer->worker);
    heed_checkpoint_state_reset(&writer->state);
    heedi_losses_reset(&writer->losses);
    free(writer->marks);
    free(writer);
}
