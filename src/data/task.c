#include "heed/task.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "task_rules.h"
#include "tokenizer_rules.h"

/* The one table of tasks, in the order of heed_task_kind. */
static const heedi_task_rules *const tasks[] = {
    [HEED_TASK_COPY] = &heedi_task_copy,
    [HEED_TASK_REVERSE] = &heedi_task_reverse,
    [HEED_TASK_SHIFT] = &heedi_task_shift,
    [HEED_TASK_SORT] = &heedi_task_sort,
    [HEED_TASK_RECALL] = &heedi_task_recall,
    [HEED_TASK_INDUCTION] = &heedi_task_induction,
    [HEED_TASK_MARKOV] = &heedi_task_markov,
    [HEED_TASK_PERMUTATION40] = &heedi_task_permutation40,
    [HEED_TASK_PERMUTATION40OF60] = &heedi_task_permutation40of60,
    [HEED_TASK_TREE] = &heedi_task_tree,
    [HEED_TASK_NOISE] = &heedi_task_noise,
};

/* --- creating --------------------------------------------------------------------------------------------------- */

heed_task_settings heed_task_settings_of(const heed_config *config) {
    return (heed_task_settings){.kind = config->data.task,
                                .length = (size_t)config->data.task_length,
                                .symbols = (size_t)config->data.task_symbols,
                                .pairs = (size_t)config->data.task_pairs,
                                .queries = (size_t)config->data.task_queries,
                                .fillers = (size_t)config->data.task_fillers,
                                .n_valid = (uint64_t)config->data.task_valid,
                                .seed = (uint64_t)config->run.seed,
                                .with_source = config->model.kind != HEED_DECODER};
}

heed_status heedi_task_fail(const heed_task *task, const char *what, size_t value, heed_error *error,
                            const char *format, ...) {
    char reason[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    heed_fail(error, HEED_CONFIG, "data.task_%s = %zu: %s %s", what, value, task->rules->name, reason);
    heed_hint(error, "0 is its usual number");
    return HEED_CONFIG;
}

static heed_status make_tokenizer(heed_task *task, heed_error *error) {
    heedi_words words = {0};
    heed_status status = task->rules->name_symbols(task, &words, error);
    if (status == HEED_OK)
        status = heedi_tokenizer_of_words(&task->tokenizer, &words, error);
    if (status == HEED_OK && task->settings.with_source)
        status = heedi_tokenizer_add_mark(task->tokenizer, HEED_MARK_BEGIN, error);
    if (status == HEED_OK && task->settings.with_source)
        status = heedi_tokenizer_add_mark(task->tokenizer, HEED_MARK_END, error);
    heedi_words_reset(&words);
    return status;
}

static heed_status make_room(heed_task *task, heed_error *error) {
    const size_t n = task->settings.length, n_symbols = task->settings.symbols;
    const bool has_matrix = task->rules == &heedi_task_markov || task->rules == &heedi_task_tree;
    task->scratch = calloc((n > n_symbols ? n : n_symbols) + 1, sizeof *task->scratch);
    task->cuts = calloc(has_matrix ? n_symbols * n_symbols : 1, sizeof *task->cuts);
    task->parents = calloc(n, sizeof *task->parents);
    return task->scratch && task->cuts && task->parents
               ? HEED_OK
               : heed_fail(error, HEED_MEMORY, "data.task = %s: out of memory", task->rules->name);
}

static void make_tree(heed_task *task) {
    heedi_draws draws = heedi_draws_of(task, HEEDI_DRAW_TREE, 0);
    const size_t n = task->settings.length;
    for (size_t j = 0; j < n; j++)
        task->parents[j] = j == 0 || j == n - 1 ? -1 : (int32_t)heedi_draw_below(&draws, j);
}

static void make_digest(heed_task *task) {
    const heed_task_settings *s = &task->settings;
    char what[256];
    snprintf(what, sizeof what, "task %s length %zu symbols %zu pairs %zu queries %zu source %d seed %" PRIu64,
             task->rules->name, s->length, s->symbols, s->pairs, s->queries, s->with_source, s->seed);
    const size_t used = strlen(what);
    if (s->fillers > 1) /* told apart only then: runs from before there were fillers go on with their digest */
        snprintf(what + used, sizeof what - used, " fillers %zu", s->fillers);
    heedi_digest_text(XXH3_128bits(what, strlen(what)), task->digest);
}

static heed_status plan(heed_task *task, heed_error *error) {
    heed_task_settings *s = &task->settings;
    const heedi_task_rules *rules = task->rules;
    s->length = s->length ? s->length : rules->length;
    s->symbols = s->symbols ? s->symbols : rules->symbols;
    if (s->with_source && !rules->is_list) {
        heed_fail(error, HEED_CONFIG, "data.task = %s: has no form with a source", rules->name);
        return heed_hint(error, "use a decoder, or a task that answers a list, as copy or sort do");
    }
    if (s->pairs && !rules->pairs)
        return heedi_task_fail(task, "pairs", s->pairs, error, "has no pairs");
    if (s->queries && !rules->pairs)
        return heedi_task_fail(task, "queries", s->queries, error, "has no queries");
    if (s->fillers && !rules->pairs)
        return heedi_task_fail(task, "fillers", s->fillers, error, "has no filler");
    s->pairs = s->pairs ? s->pairs : rules->pairs;
    s->queries = s->queries ? s->queries : s->pairs;
    s->fillers = s->fillers ? s->fillers : 1;
    return rules->plan(task, error);
}

heed_status heed_task_create(heed_task **out, const heed_task_settings *settings, heed_error *error) {
    HEED_CHECK(settings->kind > HEED_NO_TASK && (size_t)settings->kind < sizeof tasks / sizeof tasks[0]);
    *out = NULL;
    heed_task *task = calloc(1, sizeof *task);
    if (!task)
        return heed_fail(error, HEED_MEMORY, "task: out of memory");
    task->settings = *settings;
    task->rules = tasks[settings->kind];
    heed_status status = plan(task, error);
    if (status == HEED_OK)
        status = make_room(task, error);
    if (status == HEED_OK)
        status = make_tokenizer(task, error);
    if (status != HEED_OK) {
        heed_task_destroy(task);
        return status;
    }
    if (task->rules == &heedi_task_tree)
        make_tree(task);
    make_digest(task);
    *out = task;
    return HEED_OK;
}

void heed_task_destroy(heed_task *task) {
    if (!task)
        return;
    heed_tokenizer_destroy(task->tokenizer);
    free(task->scratch);
    free(task->cuts);
    free(task->parents);
    free(task);
}

/* --- asking ----------------------------------------------------------------------------------------------------- */

const char *heed_task_name(const heed_task *task) {
    return task->rules->name;
}

const char *heed_task_origin(const heed_task *task) {
    return task->rules->origin;
}

const heed_task_settings *heed_task_what(const heed_task *task) {
    return &task->settings;
}

const heed_tokenizer *heed_task_tokenizer(const heed_task *task) {
    return task->tokenizer;
}

const char *heed_task_digest(const heed_task *task) {
    return task->digest;
}

size_t heed_task_time(const heed_task *task) {
    return task->time;
}

size_t heed_task_source_time(const heed_task *task) {
    return task->source_time;
}

const int32_t *heed_task_parents(const heed_task *task) {
    return task->rules == &heedi_task_tree ? task->parents : NULL;
}

size_t heed_task_candidates(const heed_task *task, size_t row) {
    return task->n_truth ? task->rules->candidates(task, row) : 0;
}

double heed_task_probability(const heed_task *task, const heed_batch *batch, size_t sequence, size_t row,
                             int32_t target) {
    const heedi_sight sight = {.source =
                                   batch->source_token ? batch->source_token + batch->source.first_row[sequence] : NULL,
                               .token = batch->token + batch->rows.first_row[sequence],
                               .row = row};
    return task->rules->probability(task, &sight, target);
}

double heed_task_optimum(const heed_task *task, const heed_batch *batch, double *nats) {
    double sum = 0;
    for (size_t s = 0; s < batch->rows.n_sequences; s++)
        for (size_t r = batch->rows.first_row[s]; r < batch->rows.first_row[s + 1]; r++) {
            double loss = 0;
            if (batch->weight[r] != 0)
                loss = -log(heed_task_probability(task, batch, s, r - batch->rows.first_row[s], batch->target[r]));
            sum += (double)batch->weight[r] * loss;
            if (nats)
                nats[r] = loss;
        }
    return sum;
}

/* --- drawing ---------------------------------------------------------------------------------------------------- */

heedi_draws heedi_draws_of(const heed_task *task, uint32_t site, uint64_t index) {
    return (heedi_draws){.rng = {.seed = task->settings.seed,
                                 .purpose = HEED_PURPOSE_TASK,
                                 .site = site,
                                 .step = (uint32_t)(index >> 32),
                                 .sequence = (uint32_t)index}};
}

uint64_t heedi_draw_below(heedi_draws *draws, uint64_t bound) {
    return heed_rng_below(&draws->rng, draws->next++, bound);
}

uint64_t heedi_draw_word(heedi_draws *draws) {
    uint32_t words[4];
    heed_rng_block(words, &draws->rng, draws->next++);
    return (uint64_t)words[0] << 32 | words[1];
}

/* Fisher and Yates, as far as needed. */
void heedi_draw_different(heedi_draws *draws, int32_t *out, size_t n, size_t bound, int32_t *scratch) {
    HEED_CHECK(n <= bound);
    for (size_t i = 0; i < bound; i++)
        scratch[i] = (int32_t)i;
    for (size_t i = 0; i < n; i++) {
        const size_t j = i + heedi_draw_below(draws, bound - i);
        out[i] = scratch[j];
        scratch[j] = scratch[i];
    }
}

/* Each unit shrunk to one cell, n of n_cells - n (width - 1) cells are chosen (Knuth, algorithm S). */
void heedi_draw_places(heedi_draws *draws, int32_t *out, size_t n, size_t width, size_t n_cells) {
    HEED_CHECK(n * width <= n_cells);
    const size_t n_shrunk = n_cells - n * (width - 1);
    size_t chosen = 0;
    for (size_t cell = 0; cell < n_shrunk && chosen < n; cell++)
        if (heedi_draw_below(draws, n_shrunk - cell) < n - chosen) {
            out[chosen] = (int32_t)(cell + chosen * (width - 1));
            chosen++;
        }
}

heed_status heedi_name_symbols(heedi_words *words, const char *prefix, size_t n, heed_error *error) {
    heed_status status = HEED_OK;
    for (size_t i = 0; i < n && status == HEED_OK; i++) {
        char name[32];
        size_t number;
        snprintf(name, sizeof name, "%s%zu", prefix, i);
        status = heedi_words_add(words, name, strlen(name), &number, error);
    }
    return status;
}

void heedi_targets_follow(const heedi_rows *rows, size_t n_rows, int32_t last) {
    for (size_t r = 0; r < n_rows; r++)
        rows->target[r] = r + 1 < n_rows ? rows->token[r + 1] : last;
}
