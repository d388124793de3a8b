#include "cli/credit_runs.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool has_logs(const char *run) {
    char path[HEED_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/attention", run);
    return access(path, F_OK) == 0;
}

static heed_status add(heedi_credit_runs *list, const char *run, const char *frozen, const char *uniform,
                       heed_error *error) {
    if (list->n == HEEDI_MOST_CREDIT_RUNS)
        return heed_fail(error, HEED_USAGE, "credit: more than %d runs", HEEDI_MOST_CREDIT_RUNS);
    heedi_credit_run *grown = realloc(list->all, (list->n + 1) * sizeof *grown);
    if (!grown)
        return heed_fail(error, HEED_MEMORY, "credit: out of memory");
    list->all = grown;
    heedi_credit_run *added = &grown[list->n++];
    memset(added, 0, sizeof *added);
    snprintf(added->run, sizeof added->run, "%s", run);
    snprintf(added->frozen, sizeof added->frozen, "%s", has_logs(frozen) ? frozen : "");
    snprintf(added->uniform, sizeof added->uniform, "%s", has_logs(uniform) ? uniform : "");
    return HEED_OK;
}

static int by_seed(const void *a, const void *b) {
    const long long x = *(const long long *)a, y = *(const long long *)b;
    return (x > y) - (x < y);
}

/* The runs with softmax attention in a folder of controls, and their twins of the same seed. */
static heed_status add_controls(heedi_credit_runs *list, const char *folder, heed_error *error) {
    long long seeds[HEEDI_MOST_CREDIT_RUNS];
    size_t n = 0;
    DIR *directory = opendir(folder);
    if (!directory)
        return heed_fail(error, HEED_NOT_FOUND, "%s: %s", folder, strerror(errno));
    for (struct dirent *entry; (entry = readdir(directory)) && n < HEEDI_MOST_CREDIT_RUNS;) {
        char *end = NULL;
        const bool is_run = strncmp(entry->d_name, "softmax-", 8) == 0;
        const long long seed = is_run ? strtoll(entry->d_name + 8, &end, 10) : 0;
        if (is_run && end != entry->d_name + 8 && !*end)
            seeds[n++] = seed;
    }
    closedir(directory);
    qsort(seeds, n, sizeof *seeds, by_seed);
    heed_status status = HEED_OK;
    for (size_t i = 0; i < n && status == HEED_OK; i++) {
        char run[HEED_PATH_MAX], frozen[HEED_PATH_MAX], uniform[HEED_PATH_MAX];
        snprintf(run, sizeof run, "%.980s/softmax-%lld", folder, seeds[i]);
        snprintf(frozen, sizeof frozen, "%.980s/random-%lld", folder, seeds[i]);
        snprintf(uniform, sizeof uniform, "%.980s/uniform-%lld", folder, seeds[i]);
        status = add(list, run, frozen, uniform, error);
    }
    if (status == HEED_OK && n == 0) {
        heed_fail(error, HEED_NOT_FOUND, "%s: neither a run with attention logs nor a folder of controls", folder);
        return heed_hint(error, "log.attention_every says how often attention is logged");
    }
    return status;
}

heed_status heedi_credit_runs_add(heedi_credit_runs *list, const char *place, heed_error *error) {
    return has_logs(place) ? add(list, place, "", "", error) : add_controls(list, place, error);
}

void heedi_credit_runs_reset(heedi_credit_runs *list) {
    for (size_t i = 0; i < list->n; i++)
        heed_credit_reset(&list->all[i].found);
    free(list->all);
    *list = (heedi_credit_runs){0};
}

heed_status heedi_credit_run_measure(heedi_credit_run *s, heed_error *error) {
    return heed_credit_measure(&s->found, s->run, s->frozen[0] ? s->frozen : NULL, s->uniform[0] ? s->uniform : NULL,
                               error);
}

/* JSON has no NaN. */
static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *agreement(heed_agreement a) {
    return json_pack("{so so}", "match", number(a.match), "tau", number(a.tau));
}

static json_t *marks_of(const heed_credit *f) {
    json_t *all = json_array();
    for (size_t m = 0; m < f->n_marks; m++) {
        const heed_phase_mark *mark = &f->marks[m];
        json_array_append_new(all,
                              json_pack("{ss sI sI sI so so}", "score", mark->score, "layer", (json_int_t)mark->layer,
                                        "head", (json_int_t)mark->head, "step", (json_int_t)mark->step, "before",
                                        number(mark->before), "now", number(mark->now)));
    }
    return all;
}

json_t *heedi_credit_run_json(const heedi_credit_run *s) {
    const heed_credit *f = &s->found;
    json_t *steps = json_array(), *credit = json_array(), *attention = json_array();
    for (size_t k = 0; k < f->n_logs; k++) {
        json_array_append_new(steps, json_integer((json_int_t)f->step[k]));
        json_array_append_new(credit, number(f->share_credit[k]));
        json_array_append_new(attention, number(f->share_attention[k]));
    }
    return json_pack("{ss ss sI sI so so so so so so so so so so so so}", "run", s->run, "kind",
                     f->kind == HEED_CROSS_ATTENTION ? "cross" : "self", "layer", (json_int_t)f->layer, "head",
                     (json_int_t)f->head, "base_rate", number(f->base_rate), "attention_at_end",
                     number(f->attention_at_end), "onset_credit", number(f->onset_credit), "onset_attention",
                     number(f->onset_attention), "early_credit", agreement(f->credit), "early_attention",
                     agreement(f->attention), "frozen_twin", agreement(f->twin), "uniform_twin", agreement(f->uniform),
                     "step", steps, "credit_share", credit, "attention_share", attention, "marks", marks_of(f));
}
