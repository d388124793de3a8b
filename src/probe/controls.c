/* The plan of the runs, their turn on the ranks, and what is read from their folders. A run is job v + n_variants * s,
 * so that the first seeds are complete first; group g of G does jobs g, g + G, ... An interrupted command leaves whole
 * folders and checkpoints: starting it again does what is left. */
#include "heed/controls.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heed/corpus.h"
#include "heed/log.h"
#include "heed/metrics.h"
#include "heed/params.h"
#include "heed/task.h"
#include "heed/train.h"
#include "heed/variant.h"
#include "probe/controls.h"
#include "train/run.h"

/* --- the plan ---------------------------------------------------------------------------------------------------- */

static heed_status unknown_variant(const char *name, heed_error *error) {
    char known[256] = "";
    for (size_t v = 0; v < heed_n_variants; v++)
        snprintf(known + strlen(known), sizeof known - strlen(known), " %s", heed_variants[v].name);
    heed_fail(error, HEED_CONFIG, "controls.variants: '%s' is no variant, or is there twice", name);
    return heed_hint(error, "choose from%s", known);
}

static heed_status read_variants(heed_controls *c, const heed_config *config, heed_error *error) {
    char list[HEED_PATH_MAX], *rest = NULL;
    memcpy(list, config->controls.variants, sizeof list);
    for (char *name = strtok_r(list, " ,", &rest); name; name = strtok_r(NULL, " ,", &rest)) {
        size_t found = heed_n_variants;
        for (size_t v = 0; v < heed_n_variants; v++)
            found = strcmp(heed_variants[v].name, name) == 0 ? v : found;
        for (size_t v = 0; v < c->n_variants; v++)
            found = c->variant[v] == (heed_attend)found ? heed_n_variants : found;
        if (found == heed_n_variants)
            return unknown_variant(name, error);
        c->variant[c->n_variants++] = (heed_attend)found;
    }
    return c->n_variants > 0 ? HEED_OK : unknown_variant("", error);
}

/* Room for all but the curve, whose length the first run tells. */
heed_status heedi_controls_alloc(heed_controls *c, size_t n_variants, size_t n_seeds, heed_error *error) {
    const size_t cells = n_variants * n_seeds;
    c->variant = calloc(n_variants, sizeof *c->variant);
    c->seed = calloc(n_seeds, sizeof *c->seed);
    c->hidden = calloc(n_variants, sizeof *c->hidden);
    c->parameters = calloc(n_variants, sizeof *c->parameters);
    c->trained = calloc(n_variants, sizeof *c->trained);
    c->loss = calloc(cells, sizeof *c->loss);
    c->accuracy = calloc(cells, sizeof *c->accuracy);
    c->fraction = calloc(cells, sizeof *c->fraction);
    c->optimum = calloc(n_seeds, sizeof *c->optimum);
    c->recovered = calloc(n_variants, sizeof *c->recovered);
    const bool complete = c->variant && c->seed && c->hidden && c->parameters && c->trained && c->loss && c->accuracy &&
                          c->fraction && c->optimum && c->recovered;
    return complete ? HEED_OK : heed_fail(error, HEED_MEMORY, "controls: out of memory");
}

void heed_controls_reset(heed_controls *c) {
    void *const all[] = {c->variant,  c->seed,     c->hidden,  c->parameters, c->trained, c->loss,
                         c->accuracy, c->fraction, c->optimum, c->recovered,  c->step,    c->curve};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    *c = (heed_controls){0};
}

/* Text is prepared once, for all runs. */
static heed_status share_text(heed_comm *comm, heed_config *config, heed_error *error) {
    heed_error failed = HEED_ERROR_INIT;
    const char *text = config->data.text;
    if (config->data.task == HEED_NO_TASK && !config->data.store[0] &&
        snprintf(config->data.store, sizeof config->data.store, "%s/tokens.h5", config->run.dir) >=
            (int)sizeof config->data.store)
        heed_fail(&failed, HEED_CREATE, "run.dir = %s: the name is too long", config->run.dir);
    if (comm->rank == 0 && failed.status == HEED_OK)
        heedi_folder_make(config->run.dir, &failed);
    if (comm->rank == 0 && text[0] && failed.status == HEED_OK) {
        bool matches = false;
        heed_corpus_matches(config->data.store, &text, 1, config->data.tokenizer, config->data.valid_share, &matches,
                            &failed);
        if (failed.status == HEED_OK && !matches)
            heed_corpus_prepare(config->data.store, &text, 1, config->data.tokenizer, config->data.valid_share,
                                &failed);
    }
    if (heed_comm_agree(comm, &failed) != HEED_OK)
        *error = failed;
    config->data.text[0] = '\0';
    return failed.status;
}

static heed_status open_corpus(heed_corpus **corpus, const heed_config *config, heed_error *error) {
    const heed_task_settings settings = heed_task_settings_of(config);
    return config->data.task == HEED_NO_TASK ? heed_corpus_open(corpus, config->data.store, error)
                                             : heed_corpus_of_task(corpus, &settings, error);
}

/* The best possible loss of each seed's validation data, and the vocabulary. */
static heed_status look_at_data(heed_controls *c, const heed_config *config, size_t *vocab, heed_error *error) {
    heed_status status = HEED_OK;
    for (size_t s = 0; s < c->n_seeds && status == HEED_OK; s++) {
        heed_config own = *config;
        heed_corpus *corpus = NULL;
        own.run.seed = c->seed[s];
        c->optimum[s] = NAN;
        status = open_corpus(&corpus, &own, error);
        if (status != HEED_OK)
            break;
        *vocab = heed_tokenizer_vocab(heed_corpus_tokenizer(corpus));
        if (heed_corpus_task(corpus))
            status = heed_task_valid_optimum(heed_corpus_task(corpus), &c->optimum[s], error);
        heed_corpus_close(corpus);
        if (config->data.task == HEED_NO_TASK)
            break;
    }
    for (size_t s = 0; config->data.task == HEED_NO_TASK && s < c->n_seeds; s++)
        c->optimum[s] = NAN;
    return status;
}

static void folder_of(char folder[HEED_PATH_MAX], const heed_config *config, const heed_controls *c, size_t variant,
                      size_t seed) {
    snprintf(folder, HEED_PATH_MAX, "%.960s/%s-%lld", config->run.dir, heed_variants[c->variant[variant]].name,
             (long long)c->seed[seed]);
}

/* The configuration of one run. */
static heed_status configure(heed_config *run, const heed_config *config, const heed_controls *c, size_t variant,
                             size_t seed, size_t vocab, heed_error *error) {
    *run = *config;
    run->run.seed = c->seed[seed];
    folder_of(run->run.dir, config, c, variant, seed);
    if (heed_variants[c->variant[variant]].network)
        run->log.attention_every = 0;
    return heed_variant_match(run, c->variant[variant], vocab, error);
}

/* --- the runs ---------------------------------------------------------------------------------------------------- */

/* A run on one rank communicates nothing, so as many runs at a time as there are ranks is the fastest way, as long as
 * there are so many runs. */
static int count_groups(const heed_comm *comm, const heed_config *config, size_t n_jobs) {
    int groups = config->controls.groups ? (int)config->controls.groups : comm->size;
    groups = groups > comm->size ? comm->size : groups;
    return (size_t)groups > n_jobs ? (int)n_jobs : groups;
}

static void say_outcome(const heed_comm *part, const char *folder, size_t job, size_t n_jobs) {
    heed_curve curve;
    heed_error unread = HEED_ERROR_INIT;
    if (part->rank != 0 || heed_curve_read(&curve, folder, &unread) != HEED_OK)
        return;
    heed_log_setup(0, HEED_INFO);
    if (curve.n_points > 0)
        heed_say(HEED_INFO, "%zu/%zu %s: loss %.4f", job + 1, n_jobs, folder, curve.loss[curve.n_points - 1]);
    heed_log_setup(part->rank, HEED_WARNING);
    heed_curve_reset(&curve);
}

/* This group's share. A run has at most as many ranks as grains; the others of the group wait at the end. */
static heed_status train_group(heed_comm *part, int group, int n_groups, const heed_config *config,
                               const heed_controls *c, size_t vocab, heed_error *error) {
    const size_t n_jobs = c->n_variants * c->n_seeds;
    heed_status status = HEED_OK;
    heed_log_setup(part->rank, HEED_WARNING);
    for (size_t job = (size_t)group; job < n_jobs && status == HEED_OK; job += (size_t)n_groups) {
        heed_config run;
        status = configure(&run, config, c, job % c->n_variants, job / c->n_variants, vocab, error);
        if (status == HEED_OK)
            status = heed_train(part, &run, NULL, error);
        if (status == HEED_OK)
            say_outcome(part, run.run.dir, job, n_jobs);
    }
    return status;
}

static heed_status train_all(heed_comm *comm, const heed_config *config, const heed_controls *c, size_t vocab,
                             heed_error *error) {
    const int n_groups = count_groups(comm, config, c->n_variants * c->n_seeds);
    const int n_grains = (int)(config->train.batch / config->train.grain);
    const int size = comm->size / n_groups < n_grains ? comm->size / n_groups : n_grains;
    const int group = comm->rank / size; /* ranks behind the last group have no work */
    heed_comm *part;
    heed_error failed = HEED_ERROR_INIT;
    heed_status status = heed_comm_split(comm, group < n_groups ? group : -1, &part, error);
    if (status != HEED_OK)
        return status;
    if (part)
        train_group(part, group, n_groups, config, c, vocab, &failed);
    heed_comm_close(part);
    status = heed_comm_agree(comm, &failed);
    heed_log_setup(comm->rank, HEED_INFO);
    if (status != HEED_OK)
        *error = failed;
    return status;
}

/* --- what came of them ------------------------------------------------------------------------------------------- */

/* The curve of one run, which has the same steps as that of the first. */
static heed_status take_curve(heed_controls *c, size_t cell, const heed_curve *curve, const char *folder,
                              heed_error *error) {
    if (!c->curve) {
        c->n_points = curve->n_points;
        c->step = calloc(c->n_points + 1, sizeof *c->step);
        c->curve = calloc(c->n_variants * c->n_seeds * c->n_points + 1, sizeof *c->curve);
        if (!c->step || !c->curve)
            return heed_fail(error, HEED_MEMORY, "controls: out of memory");
        memcpy(c->step, curve->step, c->n_points * sizeof *c->step);
    }
    if (curve->n_points == 0 || curve->n_points != c->n_points ||
        memcmp(curve->step, c->step, c->n_points * sizeof *c->step) != 0) {
        heed_fail(error, HEED_DATA, "%s: was not evaluated at the steps at which the other runs were", folder);
        return heed_hint(error, "remove it to have it made anew, or keep eval.every and train.steps as they were");
    }
    memcpy(c->curve + cell * c->n_points, curve->loss, c->n_points * sizeof *c->curve);
    c->loss[cell] = curve->loss[c->n_points - 1];
    c->accuracy[cell] = curve->accuracy[c->n_points - 1];
    return HEED_OK;
}

static heed_status count_parameters(heed_controls *c, const heed_config *config, size_t v, size_t vocab,
                                    heed_error *error) {
    heed_config run;
    heed_params *params = NULL;
    heed_status status = configure(&run, config, c, v, 0, vocab, error);
    if (status == HEED_OK)
        status = heed_params_create(&params, &run, vocab, 0, error);
    if (status != HEED_OK)
        return status;
    c->hidden[v] = run.model.hidden;
    c->parameters[v] = (int64_t)params->n_parameters;
    c->trained[v] = (int64_t)params->n_trained;
    heed_params_destroy(params);
    return HEED_OK;
}

static heed_status collect(heed_controls *c, const heed_config *config, size_t vocab, heed_error *error) {
    heed_status status = HEED_OK;
    for (size_t v = 0; v < c->n_variants && status == HEED_OK; v++) {
        status = count_parameters(c, config, v, vocab, error);
        for (size_t s = 0; s < c->n_seeds && status == HEED_OK; s++) {
            char folder[HEED_PATH_MAX];
            heed_curve curve;
            folder_of(folder, config, c, v, s);
            status = heed_curve_read(&curve, folder, error);
            if (status == HEED_OK)
                status = take_curve(c, v * c->n_seeds + s, &curve, folder, error);
            heed_curve_reset(&curve);
        }
    }
    return status;
}

/* The losses of a variant, or NULL. */
static const double *losses_of(const heed_controls *c, heed_attend variant) {
    for (size_t v = 0; v < c->n_variants; v++)
        if (c->variant[v] == variant)
            return c->loss + v * c->n_seeds;
    return NULL;
}

static void judge(heed_controls *c) {
    const double *none = losses_of(c, HEED_ATTEND_NONE), *softmax = losses_of(c, HEED_ATTEND_SOFTMAX);
    for (size_t v = 0; v < c->n_variants; v++) {
        double *fraction = c->fraction + v * c->n_seeds;
        for (size_t s = 0; s < c->n_seeds; s++)
            fraction[s] = NAN;
        if (none && softmax)
            heed_fractions_recovered(fraction, none, softmax, c->loss + v * c->n_seeds, c->n_seeds);
        c->recovered[v] = heed_interval_of(fraction, c->n_seeds, HEED_VERDICT_ALPHA);
    }
    if (none && softmax)
        c->judgement = heed_judge(none, softmax, losses_of(c, HEED_ATTEND_UNIFORM), losses_of(c, HEED_ATTEND_POSITION),
                                  c->n_seeds);
}

/* Of heed_expected, in its order. */
static const heed_verdict_kind expected[] = {HEED_VERDICT_UNDECIDED, HEED_VERDICT_NONE, HEED_VERDICT_BAG,
                                             HEED_VERDICT_POSITION, HEED_VERDICT_CONTEXT};

static heed_status hold_against_expectation(const heed_controls *c, const heed_config *config, heed_error *error) {
    const heed_verdict_kind wanted = expected[config->expect.verdict];
    if (config->expect.verdict == HEED_EXPECT_ANY || c->judgement.verdict == wanted)
        return HEED_OK;
    const bool all = losses_of(c, HEED_ATTEND_SOFTMAX) && losses_of(c, HEED_ATTEND_NONE) &&
                     losses_of(c, HEED_ATTEND_UNIFORM) && losses_of(c, HEED_ATTEND_POSITION);
    heed_fail(error, HEED_VERDICT, "%s: the verdict is %s, but %s was expected", config->run.dir,
              heed_verdict_name(c->judgement.verdict), heed_verdict_name(wanted));
    return all ? HEED_VERDICT
               : heed_hint(error, "the rules read softmax, none, uniform and position: train all four "
                                  "(controls.variants), or expect none of it (expect.verdict=any)");
}

heed_status heed_controls_run(heed_comm *comm, const heed_config *config, heed_controls *c, heed_error *error) {
    heed_config own = *config;
    heed_error failed = HEED_ERROR_INIT;
    size_t vocab = 0;
    *c = (heed_controls){.n_seeds = (size_t)config->controls.runs};
    if (heedi_controls_alloc(c, heed_n_variants, c->n_seeds, &failed) == HEED_OK)
        read_variants(c, config, &failed);
    for (size_t s = 0; failed.status == HEED_OK && s < c->n_seeds; s++)
        c->seed[s] = config->run.seed + (int64_t)s;
    heed_status status = heed_comm_agree(comm, &failed);
    if (status == HEED_OK)
        status = share_text(comm, &own, &failed);
    if (status == HEED_OK) {
        look_at_data(c, &own, &vocab, &failed);
        status = heed_comm_agree(comm, &failed);
    }
    if (status == HEED_OK)
        status = train_all(comm, &own, c, vocab, &failed);
    if (status == HEED_OK && comm->rank == 0 && collect(c, &own, vocab, &failed) == HEED_OK) {
        judge(c);
        if (heed_controls_write(c, config, &failed) == HEED_OK)
            hold_against_expectation(c, config, &failed);
    }
    if (status == HEED_OK)
        status = heed_comm_agree(comm, &failed);
    if (status != HEED_OK)
        *error = failed;
    return status;
}
