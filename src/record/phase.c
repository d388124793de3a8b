#include "heed/phase.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "heed/log.h"
#include "heed/store.h"
#include "record/lines.h"
#include "record/step_files.h"

const heed_head_statistic heed_phase_scores[HEED_PHASE_SCORES] = {HEED_PREVIOUS, HEED_DUPLICATE, HEED_INDUCTION,
                                                                  HEED_ON_TARGET};

static const char *const statistic_names[] = {
#define NAME(name, text, unit, meaning) text,
    HEED_HEAD_STATISTIC_TABLE(NAME)
#undef NAME
};

const char *heed_statistic_name(heed_head_statistic statistic) {
    return statistic_names[statistic];
}

/* The last logs of one score of one head, since its last mark. */
typedef struct series {
    double score[HEED_CHANGE_LOGS]; /* the oldest first */
    size_t n;
} series;

struct heed_phases {
    heedi_lines file;
    size_t layers, heads;
    series *all;     /* (HEED_PHASE_SCORES, layers, heads) */
    uint64_t *steps; /* with marks */
    size_t n_steps;
};

static heed_status add_step(heed_phases *p, uint64_t step, heed_error *error) {
    if (p->n_steps > 0 && p->steps[p->n_steps - 1] == step)
        return HEED_OK;
    uint64_t *grown = realloc(p->steps, (p->n_steps + 1) * sizeof *grown);
    if (!grown)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", p->file.path);
    p->steps = grown;
    grown[p->n_steps++] = step;
    return HEED_OK;
}

static heed_status mark(heed_phases *p, const heed_phase_mark *found, heed_error *error) {
    heedi_line line = {.used = 0};
    heedi_line_add(&line, "{\"step\":%" PRIu64 ",\"score\":\"%s\",\"layer\":%zu,\"head\":%zu", found->step,
                   found->score, found->layer, found->head);
    heedi_line_number(&line, "before", found->before);
    heedi_line_number(&line, "now", found->now);
    const heed_status status = heedi_lines_put(&p->file, &line, error);
    return status == HEED_OK ? add_step(p, found->step, error) : status;
}

/* One log. With `say`, marks are told to people too. */
static heed_status see(heed_phases *p, uint64_t step, const double *means, bool say, heed_error *error) {
    const size_t n_heads = p->layers * p->heads;
    heed_status status = HEED_OK;
    for (size_t at = 0; at < HEED_PHASE_SCORES * n_heads && status == HEED_OK; at++) {
        series *s = &p->all[at];
        const heed_head_statistic score = heed_phase_scores[at / n_heads];
        const size_t head = at % n_heads;
        if (s->n == HEED_CHANGE_LOGS)
            memmove(s->score, s->score + 1, --s->n * sizeof *s->score);
        s->score[s->n++] = means[head * HEED_N_STATISTICS + score];
        if (s->n < HEED_CHANGE_LOGS || !heed_change_now(s->score))
            continue;
        const heed_phase_mark found = {.score = heed_statistic_name(score),
                                       .layer = head / p->heads,
                                       .head = head % p->heads,
                                       .step = step,
                                       .before = s->score[0],
                                       .now = s->score[HEED_CHANGE_LOGS - 1]};
        s->n = 0; /* the next mark needs as many new logs */
        if (say)
            heed_say(HEED_INFO, "step %" PRIu64 ": phase change: %s of head %zu.%zu from %.3f to %.3f", step,
                     found.score, found.layer, found.head, found.before, found.now);
        status = mark(p, &found, error);
    }
    return status;
}

/* The scores that a log file holds, as means; others stay as they are. */
static heed_status read_means(const heed_phases *p, const char *path, double *means, double *row, heed_error *error) {
    const size_t dims[3] = {1, p->layers, p->heads};
    heed_store *store;
    heed_status status = heed_store_open(&store, path, false, error);
    if (status != HEED_OK)
        return status;
    for (size_t k = 0; k < HEED_PHASE_SCORES && status == HEED_OK; k++) {
        status =
            heed_store_read(store, heed_statistic_name(heed_phase_scores[k]), HEED_TYPE_FLOAT64, 3, dims, row, error);
        for (size_t h = 0; h < p->layers * p->heads && status == HEED_OK; h++)
            means[h * HEED_N_STATISTICS + heed_phase_scores[k]] = row[h];
    }
    heed_store_close(store);
    return status;
}

static heed_status replay(heed_phases *p, const char *run_dir, uint64_t end, heed_error *error) {
    const size_t n_heads = p->layers * p->heads;
    char folder[HEED_PATH_MAX], path[HEED_PATH_MAX];
    uint64_t *steps = NULL;
    size_t n_steps = 0;
    double *means = calloc(n_heads, (HEED_N_STATISTICS + 1) * sizeof *means);
    heed_status status = means ? HEED_OK : heed_fail(error, HEED_MEMORY, "%s: out of memory", run_dir);
    if (status == HEED_OK && snprintf(folder, sizeof folder, "%s/attention", run_dir) < HEED_PATH_MAX)
        status = heedi_step_list(folder, false, &steps, &n_steps, error);
    for (size_t i = 0; i < n_steps && steps[i] < end && status == HEED_OK; i++) {
        heed_error damage = HEED_ERROR_INIT;
        status = heedi_step_path(path, folder, steps[i], error);
        if (status == HEED_OK && read_means(p, path, means, means + n_heads * HEED_N_STATISTICS, &damage) != HEED_OK)
            heed_say(HEED_WARNING, "%s (phase changes are marked without it)", damage.message);
        else if (status == HEED_OK)
            status = see(p, steps[i], means, false, error);
    }
    free(steps);
    free(means);
    return status;
}

heed_status heed_phases_open(heed_phases **out, const char *run_dir, size_t layers, size_t heads, uint64_t step,
                             heed_error *error) {
    *out = NULL;
    heed_phases *p = calloc(1, sizeof *p);
    if (!p)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", run_dir);
    *p = (heed_phases){.file.fd = -1, .layers = layers, .heads = heads};
    p->all = calloc(HEED_PHASE_SCORES * layers * heads, sizeof *p->all);
    heed_status status = p->all ? HEED_OK : heed_fail(error, HEED_MEMORY, "%s: out of memory", run_dir);
    if (status == HEED_OK)
        status = heedi_lines_open(&p->file, run_dir, "phases.jsonl", 0, error);
    if (status == HEED_OK)
        status = replay(p, run_dir, step, error);
    if (status != HEED_OK)
        heed_phases_close(p);
    else
        *out = p;
    return status;
}

void heed_phases_close(heed_phases *p) {
    if (!p)
        return;
    heedi_lines_close(&p->file);
    free(p->all);
    free(p->steps);
    free(p);
}

heed_status heed_phases_see(heed_phases *p, uint64_t step, const double *means, heed_error *error) {
    return see(p, step, means, true, error);
}

heed_status heed_phases_flush(heed_phases *p, heed_error *error) {
    return heedi_lines_flush(&p->file, error);
}

heed_status heed_phases_sync(heed_phases *p, heed_error *error) {
    return heedi_lines_sync(&p->file, error);
}

const uint64_t *heed_phases_steps(const heed_phases *p, size_t *n_steps) {
    *n_steps = p->n_steps;
    return p->steps;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static const char *known_score(const char *name) {
    for (size_t k = 0; name && k < HEED_PHASE_SCORES; k++)
        if (strcmp(heed_statistic_name(heed_phase_scores[k]), name) == 0)
            return heed_statistic_name(heed_phase_scores[k]);
    return NULL;
}

static bool read_mark(heed_phase_mark *found, const char *text) {
    json_error_t reason;
    json_t *line = json_loads(text, JSON_REJECT_DUPLICATES, &reason);
    const json_t *const wholes[] = {json_object_get(line, "step"), json_object_get(line, "layer"),
                                    json_object_get(line, "head")};
    const json_t *before = json_object_get(line, "before"), *now = json_object_get(line, "now");
    bool good = line != NULL;
    for (size_t i = 0; i < 3; i++)
        good = good && json_is_integer(wholes[i]) && json_integer_value(wholes[i]) >= 0;
    if (good)
        *found = (heed_phase_mark){.score = known_score(json_string_value(json_object_get(line, "score"))),
                                   .layer = (size_t)json_integer_value(wholes[1]),
                                   .head = (size_t)json_integer_value(wholes[2]),
                                   .step = (uint64_t)json_integer_value(wholes[0]),
                                   .before = json_is_number(before) ? json_number_value(before) : NAN,
                                   .now = json_is_number(now) ? json_number_value(now) : NAN};
    json_decref(line);
    return good && found->score;
}

heed_status heed_phases_read(heed_phase_mark **marks, size_t *n_marks, const char *run_dir, heed_error *error) {
    char path[HEED_PATH_MAX + 32], *text = NULL;
    size_t capacity = 0;
    heed_status status = HEED_OK;
    *marks = NULL;
    *n_marks = 0;
    snprintf(path, sizeof path, "%s/phases.jsonl", run_dir);
    FILE *file = fopen(path, "re");
    if (!file)
        return heed_fail(error, HEED_NOT_FOUND, "%s: %s", path, strerror(errno));
    for (ssize_t n; status == HEED_OK && (n = getline(&text, &capacity, file)) > 0 && text[n - 1] == '\n';) {
        heed_phase_mark *grown = realloc(*marks, (*n_marks + 1) * sizeof *grown);
        if (!grown) {
            status = heed_fail(error, HEED_MEMORY, "%s: out of memory", path);
            break;
        }
        *marks = grown;
        if (read_mark(&grown[*n_marks], text))
            ++*n_marks;
        else
            status = heed_fail(error, HEED_DATA, "%s:%zu: not a line of phase changes", path, *n_marks + 1);
    }
    free(text);
    fclose(file);
    if (status != HEED_OK) {
        free(*marks);
        *marks = NULL;
        *n_marks = 0;
    }
    return status;
}
