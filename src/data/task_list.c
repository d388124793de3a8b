/* Tasks that answer a list x with a list y that has the same symbols at other places: y_i = x_{place(i)}.
 *
 *   as a sequence   token   x_0 ... x_{n-1}  =    y_0 ... y_{n-2}     with source   source  x_0 ... x_{n-1} </s>
 *                   target  x_1 ... =        y_0  y_1 ... y_{n-1}                   token   <s> y_0 ... y_{n-1}
 *                   weight  0   ...  0       1    1   ... 1                         target  y_0 ... y_{n-1} </s> */
#include "task_rules.h"

static int32_t equals_sign(const heed_task *task) {
    return (int32_t)task->settings.symbols; /* behind the symbols; with a source, that number is <s> */
}

static heed_status plan(heed_task *task, heed_error *error) {
    const size_t n = task->settings.length, n_symbols = task->settings.symbols;
    const bool with_source = task->settings.with_source;
    if (n > HEED_TASK_LONGEST_LIST)
        return heedi_task_fail(task, "length", n, error, "has lists of at most %d symbols", HEED_TASK_LONGEST_LIST);
    if (task->rules->draws_different && n > n_symbols)
        return heedi_task_fail(task, "length", n, error, "cannot draw so many different symbols out of %zu", n_symbols);
    task->time = with_source ? n + 1 : 2 * n;
    task->source_time = with_source ? n + 1 : 0;
    task->n_truth = 1;
    task->weight = (double)(with_source ? n + 1 : n);
    return HEED_OK;
}

/* The paper's lengths are what these two are about. */
static heed_status plan_permutation(heed_task *task, heed_error *error) {
    const heed_task_settings *s = &task->settings;
    if (s->length != task->rules->length)
        return heedi_task_fail(task, "length", s->length, error, "has lists of %zu", task->rules->length);
    if (s->symbols != task->rules->symbols)
        return heedi_task_fail(task, "symbols", s->symbols, error, "has %zu symbols", task->rules->symbols);
    return plan(task, error);
}

static heed_status name_with(const heed_task *task, const char *prefix, heedi_words *words, heed_error *error) {
    size_t number;
    const heed_status status = heedi_name_symbols(words, prefix, task->settings.symbols, error);
    return status != HEED_OK || task->settings.with_source ? status : heedi_words_add(words, "=", 1, &number, error);
}

static heed_status name_symbols(const heed_task *task, heedi_words *words, heed_error *error) {
    return name_with(task, "s", words, error);
}

static heed_status name_numbers(const heed_task *task, heedi_words *words, heed_error *error) {
    return name_with(task, "", words, error);
}

static void generate(heed_task *task, heedi_draws *draws, const heedi_rows *rows) {
    const size_t n = task->settings.length, n_symbols = task->settings.symbols;
    const bool with_source = task->settings.with_source;
    int32_t *x = with_source ? rows->source : rows->token;
    if (task->rules->draws_different)
        heedi_draw_different(draws, x, n, n_symbols, task->scratch);
    else
        for (size_t i = 0; i < n; i++)
            x[i] = (int32_t)heedi_draw_below(draws, n_symbols);
    const size_t first = with_source ? 0 : n; /* row that predicts y_0 */
    for (size_t r = 0; r < first; r++) {
        rows->target[r] = r + 1 < n ? x[r + 1] : equals_sign(task);
        rows->weight[r] = 0;
        rows->truth[r] = -1;
    }
    rows->token[first] = equals_sign(task); /* or <s> */
    for (size_t i = 0; i < n; i++) {
        const size_t place = task->rules->place(task, x, i);
        rows->target[first + i] = x[place];
        rows->weight[first + i] = 1;
        rows->truth[first + i] = (int32_t)place;
        if (i + 1 < n || with_source)
            rows->token[first + i + 1] = x[place];
    }
    if (with_source) {
        rows->source[n] = rows->target[n] = equals_sign(task) + 1; /* </s> */
        rows->weight[n] = 1;
        rows->truth[n] = -1;
    }
}

static double probability(const heed_task *task, const heedi_sight *sight, int32_t target) {
    const size_t n = task->settings.length;
    const int32_t *x = sight->source ? sight->source : sight->token;
    const size_t i = sight->source ? sight->row : sight->row - n;
    HEED_CHECK(sight->source || sight->row >= n);
    return target == (i == n ? equals_sign(task) + 1 : x[task->rules->place(task, x, i)]);
}

static size_t candidates(const heed_task *task, size_t row) {
    (void)row;
    return task->settings.length;
}

static size_t place_same(const heed_task *task, const int32_t *x, size_t i) {
    (void)task, (void)x;
    return i;
}

static size_t place_reversed(const heed_task *task, const int32_t *x, size_t i) {
    (void)x;
    return task->settings.length - 1 - i;
}

static size_t place_shifted(const heed_task *task, const int32_t *x, size_t i) {
    (void)x;
    return (i + 1) % task->settings.length;
}

/* The number that exactly i others are less than. */
static size_t place_sorted(const heed_task *task, const int32_t *x, size_t i) {
    const size_t n = task->settings.length;
    for (size_t place = 0; place < n; place++) {
        size_t n_less = 0;
        for (size_t j = 0; j < n; j++)
            n_less += x[j] < x[place];
        if (n_less == i)
            return place;
    }
    heed_bug(__FILE__, __LINE__, "a list to sort with a number twice");
}

#define LIST(name_, origin_, length_, symbols_, different_, plan_, names_, place_)                                     \
    {                                                                                                                  \
        .name = name_, .origin = origin_, .length = length_, .symbols = symbols_, .is_list = true,                     \
        .draws_different = different_, .plan = plan_, .name_symbols = names_, .generate = generate,                    \
        .probability = probability, .candidates = candidates, .place = place_                                          \
    }

#define SNELL "Snell et al. 2021, arXiv 2103.07601"

const heedi_task_rules heedi_task_copy = LIST("copy", "", 20, 32, false, plan, name_symbols, place_same);
const heedi_task_rules heedi_task_reverse = LIST("reverse", "", 20, 32, false, plan, name_symbols, place_reversed);
const heedi_task_rules heedi_task_shift = LIST("shift", "", 20, 32, false, plan, name_symbols, place_shifted);
const heedi_task_rules heedi_task_sort = LIST("sort", "", 16, 64, true, plan, name_numbers, place_sorted);
const heedi_task_rules heedi_task_permutation40 =
    LIST("permutation40", SNELL, 40, 40, true, plan_permutation, name_symbols, place_same);
const heedi_task_rules heedi_task_permutation40of60 =
    LIST("permutation40of60", SNELL, 40, 60, true, plan_permutation, name_symbols, place_same);
