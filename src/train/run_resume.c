#include <stdlib.h>
#include <string.h>

#include "heed/gemm.h"
#include "heed/log.h"
#include "train/run.h"

/* ---- is it a checkpoint of this run? --------------------------------------------------------------------------- */

/* The value of "section.name" in a resolved config text; empty when it is not there. */
static void value_in(const char *text, const char *key, char *value, size_t value_bytes) {
    const char *dot = strchr(key, '.');
    char section[64], name[64];
    snprintf(section, sizeof section, "[%.*s]", (int)(dot - key), key);
    snprintf(name, sizeof name, "\n%s = ", dot + 1);
    const char *at = strstr(text, section);
    at = at ? strstr(at, name) : NULL;
    const size_t length = at ? strcspn(at + strlen(name), "\n") : 0;
    snprintf(value, value_bytes, "%.*s", (int)length, at ? at + strlen(name) : "");
}

/* What may change when a run goes on, and did: a line each. Both texts have the same keys, line by line. */
static void say_changes(const char *was, const char *now) {
    char section[64] = "";
    while (*was && *now) {
        const size_t n_was = strcspn(was, "\n"), n_now = strcspn(now, "\n");
        const size_t value = strcspn(was, "=") + 1 < n_was ? strcspn(was, "=") + 1 : n_was;
        if (*now == '[')
            snprintf(section, sizeof section, "%.*s", (int)strcspn(now + 1, "]"), now + 1);
        const bool same = n_was == n_now && strncmp(was, now, n_now) == 0;
        if (!same && strcmp(section, "run") != 0)
            heed_say(HEED_INFO, "%s.%.*s; the checkpoint was made with%.*s", section, (int)n_now, now,
                     (int)(n_was - value), was + value);
        was += n_was + (was[n_was] == '\n');
        now += n_now + (now[n_now] == '\n');
    }
}

static heed_status compare_configs(const heedi_run *run, const char *now, heed_error *error) {
    heed_config *saved = malloc(sizeof *saved);
    if (!saved)
        return heed_fail(error, HEED_MEMORY, "config: out of memory");
    heed_config_defaults(saved);
    heed_status status = heed_config_read_text(saved, run->checkpoint, run->state.config_text, error);
    if (status == HEED_OK)
        status = heed_config_resolve(saved, error);
    char key[128] = "", is[128], was[128];
    if (status == HEED_OK)
        heed_config_compare(saved, run->config, key, sizeof key);
    char *was_text = status == HEED_OK && !key[0] ? heed_config_text(saved) : NULL;
    if (was_text)
        say_changes(was_text, now);
    free(was_text);
    free(saved);
    if (!key[0])
        return status;
    value_in(now, key, is, sizeof is);
    value_in(run->state.config_text, key, was, sizeof was);
    heed_fail(error, HEED_CONFIG, "%s = %s: %s was made with %s", key, is, run->checkpoint, was);
    return heed_hint(error, "set it back to go on with that run, or choose another run.dir");
}

heed_status heedi_resume_find(heedi_run *run, heed_error *error) {
    heed_checkpoint_state *state = &run->state;
    char folder[HEED_PATH_MAX];
    heed_checkpoint_state_reset(state);
    *state = (heed_checkpoint_state){.valid_loss = __builtin_nan(""), .best_loss = __builtin_nan("")};
    if (run->comm->rank != 0)
        return HEED_OK;
    char *now = heed_config_text(run->config);
    if (!now)
        return heed_fail(error, HEED_MEMORY, "config: out of memory");
    heed_status status = HEED_OK;
    if (snprintf(folder, sizeof folder, "%s/checkpoints", run->config->run.dir) < HEED_PATH_MAX)
        status = heed_checkpoint_newest(folder, run->checkpoint, error);
    if (status == HEED_OK && run->checkpoint[0]) {
        status = heed_checkpoint_read_state(run->checkpoint, state, error);
        if (status == HEED_OK)
            status = compare_configs(run, now, error);
        if (status == HEED_OK && strcmp(state->kernel, heed_gemm_kernel()) != 0)
            heed_say(HEED_WARNING,
                     "%s was made with BLIS kernel %s, this is %s: bits may differ from an uninterrupted run",
                     run->checkpoint, state->kernel, heed_gemm_kernel());
    }
    free(state->config_text);
    state->config_text = now; /* from here on the run's own */
    return status;
}

heed_status heedi_resume_share(heedi_run *run, heed_error *error) {
    heed_checkpoint_state *state = &run->state;
    char *own_text = state->config_text;
    heed_status status = heed_comm_broadcast(run->comm, run->checkpoint, sizeof run->checkpoint, 0, error);
    if (status == HEED_OK)
        status = heed_comm_broadcast(run->comm, state, sizeof *state, 0, error);
    state->config_text = own_text;
    snprintf(state->kernel, sizeof state->kernel, "%s", heed_gemm_kernel());
    run->trainer.step = state->step;
    run->trainer.guard = state->guard;
    return status;
}

/* ---- weights and moments ----------------------------------------------------------------------------------------- */

heed_status heedi_resume_load(heedi_run *run, heed_error *error) {
    const char *init_from = run->config->train.init_from;
    if (run->comm->rank != 0)
        return HEED_OK;
    if (run->checkpoint[0]) {
        heed_say(HEED_INFO, "going on from %s", run->checkpoint);
        return heed_checkpoint_read(run->checkpoint, &run->snapshot, NULL, error);
    }
    if (init_from[0]) {
        heed_say(HEED_INFO, "starting from the weights of %s", init_from);
        const heed_checkpoint_arenas weights = {.params = run->snapshot.params, .weights = run->snapshot.weights};
        return heed_checkpoint_read(init_from, &weights, NULL, error);
    }
    heed_params_init(run->snapshot.params, run->snapshot.weights, run->config);
    return HEED_OK;
}

/* Weights come from rank 0 even where every rank could draw them: C libraries differ in the last bit of log and cos. */
heed_status heedi_resume_spread(heedi_run *run, heed_error *error) {
    const size_t n_elements = heed_model_params(run->trainer.model)->n_elements;
    real *weights = heed_model_weights(run->trainer.model);
    if (heed_gradsync_complete(run->trainer.sync, error) != HEED_OK) /* nothing older may arrive behind them */
        return error->status;
    if (run->comm->rank == 0)
        memcpy(weights, run->snapshot.weights, n_elements * sizeof *weights);
    heed_status status = heed_comm_broadcast(run->comm, weights, n_elements * sizeof *weights, 0, error);
    if (status != HEED_OK || run->checkpoint[0])
        return status == HEED_OK
                   ? heed_gradsync_scatter_moments(run->trainer.sync, run->snapshot.m, run->snapshot.v, error)
                   : status;
    heed_gradsync_clear_moments(run->trainer.sync);
    return HEED_OK;
}
