/* Tasks that read on: the target is the next token, and what followed earlier occurrences of the row's token tells it.
 * Induction repeats a segment, a Markov chain repeats its habits; and noise, where nothing tells. */
#include "task_rules.h"

#include <stdlib.h>

static heed_status name_symbols(const heed_task *task, heedi_words *words, heed_error *error) {
    return heedi_name_symbols(words, "s", task->settings.symbols, error);
}

static size_t candidates(const heed_task *task, size_t row) {
    (void)task;
    return row;
}

/* The truth of a row: places behind an earlier occurrence of its token. */
static void look_behind_earlier(const heed_task *task, const heedi_rows *rows, size_t row) {
    int32_t *truth = rows->truth + row * task->n_truth;
    size_t n = 0;
    for (size_t j = 1; j <= row; j++)
        if (rows->token[j - 1] == rows->token[row])
            truth[n++] = (int32_t)j;
    while (n < task->n_truth)
        truth[n++] = -1;
}

/* --- induction -------------------------------------------------------------------------------------------------- */

static size_t shortest(const heed_task *task) {
    return task->settings.length / 4;
}

static size_t longest(const heed_task *task) {
    return task->settings.length / 2;
}

static heed_status plan_induction(heed_task *task, heed_error *error) {
    const size_t n = task->settings.length, n_symbols = task->settings.symbols;
    if (n < 8)
        return heedi_task_fail(task, "length", n, error, "needs 8 tokens or more");
    if (n_symbols < longest(task))
        return heedi_task_fail(task, "symbols", n_symbols, error, "needs %zu different symbols, half its length",
                               longest(task));
    task->time = n;
    task->n_truth = n / shortest(task);
    return HEED_OK;
}

/* Drawn first, so that the weight of a sequence is known without drawing the rest. */
static size_t draw_period(const heed_task *task, heedi_draws *draws) {
    return shortest(task) + heedi_draw_below(draws, longest(task) - shortest(task) + 1);
}

static double weight_of_induction(const heed_task *task, heedi_draws *draws) {
    return (double)(task->settings.length - draw_period(task, draws));
}

static void generate_induction(heed_task *task, heedi_draws *draws, const heedi_rows *rows) {
    const size_t n = task->settings.length, period = draw_period(task, draws);
    heedi_draw_different(draws, rows->token, period, task->settings.symbols, task->scratch);
    for (size_t r = period; r < n; r++)
        rows->token[r] = rows->token[r - period];
    heedi_targets_follow(rows, n, rows->token[n % period]);
    for (size_t r = 0; r < n; r++) {
        rows->weight[r] = r >= period;
        look_behind_earlier(task, rows, r);
    }
}

static double probability_of_induction(const heed_task *task, const heedi_sight *sight, int32_t target) {
    (void)task;
    size_t j = sight->row; /* the place behind the last earlier occurrence */
    while (j > 0 && sight->token[j - 1] != sight->token[sight->row])
        j--;
    HEED_CHECK(j > 0);
    return sight->token[j] == target;
}

const heedi_task_rules heedi_task_induction = {.name = "induction",
                                               .origin = "Olsson et al. 2022, arXiv 2209.11895",
                                               .length = 64,
                                               .symbols = 64,
                                               .plan = plan_induction,
                                               .name_symbols = name_symbols,
                                               .generate = generate_induction,
                                               .weight_of = weight_of_induction,
                                               .probability = probability_of_induction,
                                               .candidates = candidates};

/* --- chains ----------------------------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* A transition matrix whose rows come from the flat Dirichlet distribution: S - 1 uniform cuts of the unit interval,
 * here of 64-bit numbers, leave S pieces that are so distributed. */
static void draw_matrix(heed_task *task, heedi_draws *draws) {
    const size_t n_symbols = task->settings.symbols, n_cuts = n_symbols - 1;
    for (size_t a = 0; a < n_symbols; a++) {
        uint64_t *cut = task->cuts + a * n_cuts;
        for (size_t c = 0; c < n_cuts; c++)
            cut[c] = heedi_draw_word(draws);
        qsort(cut, n_cuts, sizeof *cut, ascending);
    }
}

/* What follows a: the number of cuts below a uniform number. */
static int32_t draw_next(const heed_task *task, heedi_draws *draws, int32_t a) {
    const size_t n_cuts = task->settings.symbols - 1;
    const uint64_t *cut = task->cuts + (size_t)a * n_cuts, at = heedi_draw_word(draws);
    int32_t next = 0;
    while ((size_t)next < n_cuts && cut[next] <= at)
        next++;
    return next;
}

static heed_status plan_chain(heed_task *task, heed_error *error) {
    const size_t n = task->settings.length, n_symbols = task->settings.symbols;
    const bool is_tree = task->rules == &heedi_task_tree;
    if (n_symbols < 2 || n_symbols > 256)
        return heedi_task_fail(task, "symbols", n_symbols, error, "has 2 to 256 symbols");
    if (n > 4096)
        return heedi_task_fail(task, "length", n, error, "has at most 4096 tokens");
    if (is_tree && n < 3)
        return heedi_task_fail(task, "length", n, error, "needs 3 tokens or more");
    task->time = n;
    task->n_truth = is_tree ? n - 2 : n;
    task->weight = is_tree ? 1 : (double)n;
    return HEED_OK;
}

static void generate_markov(heed_task *task, heedi_draws *draws, const heedi_rows *rows) {
    const size_t n = task->settings.length;
    draw_matrix(task, draws);
    rows->token[0] = (int32_t)heedi_draw_below(draws, task->settings.symbols);
    for (size_t r = 1; r < n; r++)
        rows->token[r] = draw_next(task, draws, rows->token[r - 1]);
    heedi_targets_follow(rows, n, draw_next(task, draws, rows->token[n - 1]));
    for (size_t r = 0; r < n; r++) {
        rows->weight[r] = 1;
        look_behind_earlier(task, rows, r);
    }
}

/* Posterior predictive of the flat Dirichlet: (count + 1) / (all + S). */
static double predictive(const heed_task *task, size_t n_target, size_t n_all) {
    return (double)(n_target + 1) / (double)(n_all + task->settings.symbols);
}

static double probability_of_markov(const heed_task *task, const heedi_sight *sight, int32_t target) {
    size_t n_target = 0, n_all = 0;
    for (size_t j = 1; j <= sight->row; j++)
        if (sight->token[j - 1] == sight->token[sight->row]) {
            n_all++;
            n_target += sight->token[j] == target;
        }
    return predictive(task, n_target, n_all);
}

const heedi_task_rules heedi_task_markov = {.name = "markov",
                                            .origin = "Edelman et al. 2024, arXiv 2402.11004",
                                            .length = 100,
                                            .symbols = 3,
                                            .plan = plan_chain,
                                            .name_symbols = name_symbols,
                                            .generate = generate_markov,
                                            .probability = probability_of_markov,
                                            .candidates = candidates};

static void generate_tree(heed_task *task, heedi_draws *draws, const heedi_rows *rows) {
    const size_t n = task->settings.length;
    draw_matrix(task, draws);
    for (size_t j = 0; j < n; j++)
        rows->token[j] = task->parents[j] < 0 ? (int32_t)heedi_draw_below(draws, task->settings.symbols)
                                              : draw_next(task, draws, rows->token[task->parents[j]]);
    heedi_targets_follow(rows, n, draw_next(task, draws, rows->token[n - 1]));
    for (size_t i = 0; i < n * task->n_truth; i++)
        rows->truth[i] = -1;
    for (size_t r = 0; r < n; r++)
        rows->weight[r] = r == n - 1;
    int32_t *truth = rows->truth + (n - 1) * task->n_truth;
    for (size_t j = 1; j < n - 1; j++)
        if (rows->token[task->parents[j]] == rows->token[n - 1])
            *truth++ = (int32_t)j;
}

static double probability_of_tree(const heed_task *task, const heedi_sight *sight, int32_t target) {
    size_t n_target = 0, n_all = 0;
    HEED_CHECK(sight->row == task->settings.length - 1);
    for (size_t j = 1; j < sight->row; j++)
        if (sight->token[task->parents[j]] == sight->token[sight->row]) {
            n_all++;
            n_target += sight->token[j] == target;
        }
    return predictive(task, n_target, n_all);
}

static size_t candidates_of_tree(const heed_task *task, size_t row) {
    (void)row;
    return task->settings.length - 2;
}

const heedi_task_rules heedi_task_tree = {.name = "tree",
                                          .origin = "Nichani et al. 2024, arXiv 2402.14735",
                                          .length = 20,
                                          .symbols = 10,
                                          .plan = plan_chain,
                                          .name_symbols = name_symbols,
                                          .generate = generate_tree,
                                          .probability = probability_of_tree,
                                          .candidates = candidates_of_tree};

/* --- noise ------------------------------------------------------------------------------------------------------ */

static heed_status plan_noise(heed_task *task, heed_error *error) {
    (void)error;
    task->time = task->settings.length;
    task->weight = (double)task->settings.length;
    return HEED_OK;
}

static void generate_noise(heed_task *task, heedi_draws *draws, const heedi_rows *rows) {
    const size_t n = task->settings.length;
    for (size_t r = 0; r < n; r++) {
        rows->token[r] = (int32_t)heedi_draw_below(draws, task->settings.symbols);
        rows->weight[r] = 1;
    }
    heedi_targets_follow(rows, n, (int32_t)heedi_draw_below(draws, task->settings.symbols));
}

static double probability_of_noise(const heed_task *task, const heedi_sight *sight, int32_t target) {
    (void)sight, (void)target;
    return 1.0 / (double)task->settings.symbols;
}

const heedi_task_rules heedi_task_noise = {.name = "noise",
                                           .origin = "",
                                           .length = 64,
                                           .symbols = 32,
                                           .plan = plan_noise,
                                           .name_symbols = name_symbols,
                                           .generate = generate_noise,
                                           .probability = probability_of_noise};
