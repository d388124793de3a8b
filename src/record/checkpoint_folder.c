/* The checkpoints of a run: which is the newest, and which may go. */
#include "record/checkpoint_folder.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "heed/checkpoint.h"
#include "heed/log.h"
#include "heed/store.h"
#include "record/step_files.h"

heed_status heed_checkpoint_newest(const char *folder, char *path, heed_error *error) {
    uint64_t *steps;
    size_t n_steps;
    path[0] = 0;
    heed_status status = heedi_step_list(folder, true, &steps, &n_steps, error);
    for (size_t i = n_steps; i > 0 && status == HEED_OK; i--) {
        heed_error why = HEED_ERROR_INIT;
        heed_checkpoint_state state;
        status = heedi_step_path(path, folder, steps[i - 1], error);
        if (status != HEED_OK)
            break;
        const heed_status damage = heed_checkpoint_read_state(path, &state, &why);
        heed_checkpoint_state_reset(&state);
        if (damage == HEED_OK)
            break;
        path[0] = 0;
        heed_say(HEED_WARNING, "%s (passed over)", why.message);
    }
    free(steps);
    return status;
}

/* The validation loss that a checkpoint carries, NaN when it has none or cannot be read. */
static double loss_of(const char *path) {
    heed_store *store;
    heed_error ignored = HEED_ERROR_INIT;
    double loss = NAN;
    if (heed_store_open(&store, path, false, &ignored) != HEED_OK)
        return NAN;
    if (heed_store_read_number(store, "/", "valid_loss", &loss, &ignored) != HEED_OK)
        loss = NAN;
    heed_store_close(store);
    return loss;
}

heed_status heedi_losses_tell(heedi_losses *losses, uint64_t step, double loss, heed_error *error) {
    size_t i = 0;
    while (i < losses->n && losses->step[i] != step)
        i++;
    if (i == losses->n) {
        uint64_t *steps = realloc(losses->step, (i + 1) * sizeof *steps);
        losses->step = steps ? steps : losses->step;
        double *values = realloc(losses->loss, (i + 1) * sizeof *values);
        losses->loss = values ? values : losses->loss;
        if (!steps || !values)
            return heed_fail(error, HEED_MEMORY, "losses of checkpoints: out of memory");
        losses->n++;
    }
    losses->step[i] = step;
    losses->loss[i] = loss;
    return HEED_OK;
}

void heedi_losses_reset(heedi_losses *losses) {
    free(losses->step);
    free(losses->loss);
    *losses = (heedi_losses){0};
}

static void forget(heedi_losses *losses, uint64_t step) {
    for (size_t i = 0; i < losses->n; i++)
        if (losses->step[i] == step) {
            losses->step[i] = losses->step[--losses->n];
            losses->loss[i] = losses->loss[losses->n];
        }
}

static heed_status find_loss(heedi_losses *losses, const char *path, uint64_t step, double *loss, heed_error *error) {
    for (size_t i = 0; i < losses->n; i++)
        if (losses->step[i] == step) {
            *loss = losses->loss[i];
            return HEED_OK;
        }
    *loss = loss_of(path);
    return heedi_losses_tell(losses, step, *loss, error);
}

static bool is_near(uint64_t a, uint64_t b, uint64_t most) {
    return (a > b ? a - b : b - a) <= most;
}

static bool stays(uint64_t step, uint64_t newest, const heed_checkpoint_phases *phases) {
    bool near = is_near(step, newest, phases->around);
    for (size_t m = 0; m < phases->n_marks; m++)
        near = near || is_near(step, phases->marks[m], phases->around);
    return near && phases->every > 0 && step % phases->every == 0;
}

heed_status heedi_checkpoint_prune(const char *folder, size_t keep, const heed_checkpoint_phases *phases,
                                   heedi_losses *losses, heed_error *error) {
    uint64_t *steps;
    size_t n_steps, best = SIZE_MAX;
    double best_loss = INFINITY;
    char path[HEED_PATH_MAX];
    heed_status status = heedi_step_list(folder, false, &steps, &n_steps, error);
    for (size_t i = 0; i < n_steps && n_steps > keep && status == HEED_OK; i++) {
        status = heedi_step_path(path, folder, steps[i], error);
        double loss = NAN;
        if (status == HEED_OK)
            status = find_loss(losses, path, steps[i], &loss, error);
        if (loss < best_loss) {
            best = i;
            best_loss = loss;
        }
    }
    for (size_t i = 0; i + keep < n_steps && status == HEED_OK; i++) {
        status = heedi_step_path(path, folder, steps[i], error);
        if (status == HEED_OK && i != best && !stays(steps[i], steps[n_steps - 1], phases)) {
            unlink(path); /* what cannot be removed stays: no harm to the run */
            forget(losses, steps[i]);
        }
    }
    free(steps);
    return status;
}
