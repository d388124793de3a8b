/* Recall: which value was seen with this key? Keys have the numbers 0 .. S - 1, values S .. 2 S - 1,
 * filler from 2 S on. */
#include "task_rules.h"

static size_t half(const heed_task *task) {
    return task->settings.length / 2;
}

static int32_t first_filler(const heed_task *task) {
    return 2 * (int32_t)task->settings.symbols;
}

/* Draws nothing where there is no choice, so that data.task_fillers = 1 gives the sequences without that setting. */
static int32_t draw_filler(const heed_task *task, heedi_draws *draws) {
    const size_t n = task->settings.fillers;
    return first_filler(task) + (n > 1 ? (int32_t)heedi_draw_below(draws, n) : 0);
}

/* Rows of a query. The filler behind it is given up where there are more queries than have room for it. */
static size_t query_width(const heed_task *task) {
    return 2 * task->settings.queries <= task->settings.length - half(task) ? 2 : 1;
}

static heed_status plan(heed_task *task, heed_error *error) {
    const size_t n = task->settings.length, n_pairs = task->settings.pairs, n_symbols = task->settings.symbols;
    const size_t n_queries = task->settings.queries;
    if (n_pairs > n / 4)
        return heedi_task_fail(task, "pairs", n_pairs, error, "has room for at most a quarter of its length of %zu", n);
    if (n_pairs > n_symbols)
        return heedi_task_fail(task, "symbols", n_symbols, error, "needs as many different keys as its %zu pairs",
                               n_pairs);
    if (n_queries > n - half(task))
        return heedi_task_fail(task, "queries", n_queries, error, "has room for %zu in the second half of its length",
                               n - half(task));
    task->time = n;
    task->n_truth = 1;
    task->weight = (double)n_queries;
    return HEED_OK;
}

static heed_status name_symbols(const heed_task *task, heedi_words *words, heed_error *error) {
    size_t number;
    heed_status status = heedi_name_symbols(words, "k", task->settings.symbols, error);
    if (status == HEED_OK)
        status = heedi_name_symbols(words, "v", task->settings.symbols, error);
    if (status == HEED_OK && task->settings.fillers > 1)
        return heedi_name_symbols(words, "f", task->settings.fillers, error);
    return status == HEED_OK ? heedi_words_add(words, ".", 1, &number, error) : status;
}

/* Places, keys and values of the pairs, then places of the queries, and which key each asks for. truth and target serve
 * as room for them until they get their own content. */
static void generate(heed_task *task, heedi_draws *draws, const heedi_rows *rows) {
    const size_t n = task->settings.length, n_pairs = task->settings.pairs, n_symbols = task->settings.symbols;
    const size_t n_queries = task->settings.queries;
    int32_t *place = rows->truth, *key = rows->target, *value = rows->target + n_pairs, *at = rows->truth + n_pairs;
    heedi_draw_places(draws, place, n_pairs, 2, half(task));
    heedi_draw_different(draws, key, n_pairs, n_symbols, task->scratch);
    heedi_draw_different(draws, value, n_pairs, n_symbols, task->scratch);
    heedi_draw_places(draws, at, n_queries, query_width(task), n - half(task));
    for (size_t r = 0; r < n; r++) {
        rows->token[r] = draw_filler(task, draws);
        rows->weight[r] = 0;
    }
    for (size_t p = 0; p < n_pairs; p++) {
        rows->token[place[p]] = key[p];
        rows->token[place[p] + 1] = value[p] + (int32_t)n_symbols;
    }
    for (size_t q = 0; q < n_queries; q++) {
        const size_t row = half(task) + (size_t)at[q];
        rows->token[row] = key[heedi_draw_below(draws, n_pairs)];
        rows->weight[row] = 1;
    }
    heedi_targets_follow(rows, n, first_filler(task));
    for (size_t r = 0; r < n; r++)
        rows->truth[r] = -1;
    for (size_t r = half(task); r < n; r++)
        for (size_t k = 0; k + 1 < half(task) && rows->weight[r] > 0; k++)
            if (rows->token[k] == rows->token[r]) {
                rows->truth[r] = (int32_t)k + 1;
                rows->target[r] = rows->token[k + 1];
            }
}

static double probability(const heed_task *task, const heedi_sight *sight, int32_t target) {
    const int32_t query = sight->token[sight->row];
    HEED_CHECK(sight->row >= half(task) && query < (int32_t)task->settings.symbols);
    size_t k = 0;
    while (sight->token[k] != query)
        k++;
    return sight->token[k + 1] == target;
}

static size_t candidates(const heed_task *task, size_t row) {
    (void)row;
    return task->settings.pairs;
}

const heedi_task_rules heedi_task_recall = {.name = "recall",
                                            .origin = "Arora et al. 2024, arXiv 2312.04927",
                                            .length = 64,
                                            .symbols = 32,
                                            .pairs = 8,
                                            .plan = plan,
                                            .name_symbols = name_symbols,
                                            .generate = generate,
                                            .probability = probability,
                                            .candidates = candidates};
