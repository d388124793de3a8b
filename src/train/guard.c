/* A run is deterministic, so a step that fails because of its batch fails again after a rollback; what a rollback does
 * heal is memory that changed by itself. Hence the order: roll back first, leave the step out when it fails again. */
#include "train/guard.h"

#include <math.h>
#include <string.h>

#include "heed/log.h"

enum { MOST_IN_ROW = 8 }; /* steps left out; then it is no longer the batches that are at fault */

/* ---- where the first number was that is not finite --------------------------------------------------------------- */

typedef struct place {
    int rank; /* -1: nowhere */
    char text[256];
} place;

/* The first sequence without a finite loss. The tally is the same on all ranks by now. */
static place find_loss(const heed_trainer *trainer) {
    const size_t n_sequences = (size_t)trainer->config->train.batch, grain = (size_t)trainer->config->train.grain;
    const size_t n_grains = n_sequences / grain, size = (size_t)trainer->comm->size;
    place found = {.rank = -1};
    for (size_t s = 0; s < n_sequences && found.rank < 0; s++) {
        if (isfinite(trainer->tally[s]))
            continue;
        found.rank = 0;
        while (n_grains * (size_t)(found.rank + 1) / size <= s / grain)
            found.rank++;
        snprintf(found.text, sizeof found.text, "the loss of sequence %zu (grain %zu) is %g", s, s / grain,
                 trainer->tally[s]);
    }
    return found;
}

static heed_status find_gradient(const heed_trainer *trainer, place *found, heed_error *error) {
    heed_gradsync_culprit culprit;
    const heed_status status = heed_gradsync_blame(trainer->sync, &culprit, error);
    *found = (place){.rank = status == HEED_OK ? culprit.rank : -1};
    if (found->rank < 0)
        return status;
    snprintf(found->text, sizeof found->text, "the gradient of %s, element %zu, is %g in the sum of grains %zu to %zu",
             heed_model_params(trainer->model)->tensors[culprit.tensor].name, culprit.element, culprit.value,
             culprit.grains.first, culprit.grains.first + culprit.grains.count - 1);
    return HEED_OK;
}

/* The message is written by the rank that it is about, which knows its host. */
static heed_status describe(const heed_trainer *trainer, double loss, double norm, heed_error *error) {
    const place at_loss = find_loss(trainer);
    place at_gradient;
    heed_error why = HEED_ERROR_INIT;
    heed_status status = find_gradient(trainer, &at_gradient, error);
    if (status != HEED_OK)
        return status;
    const place *first = at_loss.rank >= 0 ? &at_loss : &at_gradient;
    const int speaker = first->rank < 0 ? 0 : first->rank;
    if (trainer->comm->rank == speaker) {
        char also[300] = "";
        if (first == &at_loss && at_gradient.rank >= 0)
            snprintf(also, sizeof also, "; on rank %d %s", at_gradient.rank, at_gradient.text);
        heed_fail(&why, HEED_NUMERIC, "step %llu: loss = %g, gradient norm = %g: on rank %d on %s %s%s",
                  (unsigned long long)trainer->step + 1, loss, norm, speaker, trainer->comm->host,
                  first->rank < 0 ? "the sum over all overflows" : first->text, also);
        heed_hint(&why, "training diverged? lower train.peak_lr, warm up for longer, clip harder, or see "
                        "train.on_nonfinite; the last "
                        "checkpoint is good");
    }
    status = heed_comm_agree(trainer->comm, &why);
    *error = why;
    return status;
}

/* ---- spikes ------------------------------------------------------------------------------------------------------ */

/* How many standard deviations the loss lies above the mean of the last train.spike_window losses; 0 until there are so
 * many. Sums run from the oldest to the newest, so that a resumed run finds the same bits. */
static double spike_of(const heed_guard *guard, size_t window, double loss) {
    double sum = 0.0, squares = 0.0;
    if (guard->n_losses < window)
        return 0.0;
    for (size_t i = 0; i < window; i++)
        sum += guard->losses[i];
    const double mean = sum / (double)window;
    for (size_t i = 0; i < window; i++)
        squares += (guard->losses[i] - mean) * (guard->losses[i] - mean);
    const double deviation = sqrt(squares / (double)(window - 1));
    return deviation > 0.0 ? (loss - mean) / deviation : 0.0;
}

static void remember_loss(heed_guard *guard, size_t window, double loss) {
    if (guard->n_losses >= window) {
        guard->n_losses = window - 1;
        memmove(guard->losses, guard->losses + 1, guard->n_losses * sizeof *guard->losses);
    }
    guard->losses[guard->n_losses++] = loss;
}

/* A spike leaves the step out; so many of them in a row are no spikes but a new level, and the window begins anew. */
static bool is_spike(heed_trainer *trainer, double loss) {
    heed_guard *guard = &trainer->guard;
    const size_t window = (size_t)trainer->config->train.spike_window;
    const uint64_t step = trainer->step + 1;
    if (trainer->config->train.spike_z <= 0.0)
        return false;
    const double z = spike_of(guard, window, loss);
    if (z <= trainer->config->train.spike_z) {
        remember_loss(guard, window, loss);
        return false;
    }
    if (heed_guard_row(guard, step) >= MOST_IN_ROW || !heed_guard_skip(guard, step)) {
        guard->n_losses = 0;
        return false;
    }
    heed_say(HEED_WARNING,
             "step %llu is left out: its loss %.4f lies %.1f standard deviations above the mean of %zu steps",
             (unsigned long long)step, loss, z, window);
    return true;
}

/* ---- verdict ----------------------------------------------------------------------------------------------------- */

bool heedi_guard_wants_rollback(const heed_trainer *trainer) {
    return trainer->config->train.on_nonfinite == HEED_ON_NONFINITE_ROLLBACK &&
           trainer->guard.suspect == trainer->step + 1;
}

static heed_status leave_out(heed_trainer *trainer, bool *leaves_out, heed_error *error) {
    heed_guard *guard = &trainer->guard;
    const uint64_t step = trainer->step + 1;
    guard->suspect = 0;
    if (heed_guard_row(guard, step) >= MOST_IN_ROW || !heed_guard_skip(guard, step)) {
        char why[sizeof error->message];
        memcpy(why, error->message, sizeof why);
        snprintf(error->message, sizeof error->message, "training diverged, %d steps in a row were left out: %.900s",
                 MOST_IN_ROW, why);
        return error->status;
    }
    heed_say(HEED_WARNING, "step %llu is left out: %s", (unsigned long long)step, error->message);
    *error = (heed_error)HEED_ERROR_INIT;
    *leaves_out = true;
    return HEED_OK;
}

heed_status heedi_guard_judge(heed_trainer *trainer, double loss, double norm, bool *leaves_out, heed_error *error) {
    heed_guard *guard = &trainer->guard;
    const uint64_t step = trainer->step + 1;
    *leaves_out = heed_guard_skips(guard, step); /* done again after a rollback, or by a run that goes on */
    if (*leaves_out)
        return HEED_OK;
    if (isfinite(loss) && isfinite(norm)) {
        if (guard->suspect == step)
            guard->suspect = 0;
        *leaves_out = is_spike(trainer, loss);
        return HEED_OK;
    }
    const bool second = guard->suspect == step;
    heed_status status = describe(trainer, loss, norm, error);
    switch (status == HEED_NUMERIC ? trainer->config->train.on_nonfinite : HEED_ON_NONFINITE_STOP) {
    case HEED_ON_NONFINITE_STOP:
        break;
    case HEED_ON_NONFINITE_SKIP:
        status = leave_out(trainer, leaves_out, error);
        break;
    case HEED_ON_NONFINITE_ROLLBACK:
        if (second)
            status = leave_out(trainer, leaves_out, error);
        else
            guard->suspect = step;
        break;
    }
    return status;
}
