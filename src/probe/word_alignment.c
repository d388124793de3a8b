/* One pair is one batch: its tokens become words, and an observer folds what each head of cross-attention looks at. */
#include "heed/word_alignment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "heed/arena.h"
#include "heed/nn/attention.h"

static bool is_space(char byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

size_t heed_words_of_tokens(int32_t *word, const heed_tokenizer *tokenizer, const int32_t *token, size_t n_tokens) {
    const size_t n_between = strlen(heed_tokenizer_separator(tokenizer));
    int32_t n_words = 0;
    bool is_inside = false;
    for (size_t t = 0; t < n_tokens; t++) {
        size_t bytes;
        const char *piece = heed_tokenizer_piece(tokenizer, token[t], &bytes);
        word[t] = -1;
        if (heed_tokenizer_is_mark(tokenizer, token[t]) || !piece)
            continue;
        is_inside = is_inside && n_between == 0;
        for (size_t b = 0; b < bytes; b++) {
            n_words += !is_space(piece[b]) && !is_inside;
            is_inside = !is_space(piece[b]);
            word[t] = is_inside && word[t] < 0 ? n_words - 1 : word[t];
        }
    }
    return (size_t)n_words;
}

/* --- one pair ----------------------------------------------------------------------------------------------------- */

typedef struct side {
    int32_t *token; /* as the model reads them: x </s>, and <s> y */
    int32_t *word;  /* (n_tokens) of those of the text */
    size_t n_tokens, n_words;
} side;

typedef struct work {
    heed_word_alignment *found;
    const heed_aligned_pair *pair;
    int half;
    side source, target;
    real *weights; /* (time, time) */
    double *sum;   /* (target words, source words) */
} work;

static void side_free(side *s) {
    free(s->token);
    free(s->word);
    *s = (side){0};
}

/* Cuts a text into tokens, with the mark before or behind them. */
static heed_status cut(side *s, const char *text, const char *place, const heed_tokenizer *tokenizer, bool is_source,
                       heed_error *error) {
    int32_t *token;
    const heed_status status = heed_tokenizer_encode(tokenizer, place, text, strlen(text), &token, &s->n_tokens, error);
    if (status != HEED_OK)
        return status;
    s->token = malloc((s->n_tokens + 1) * sizeof *s->token);
    s->word = malloc((s->n_tokens + 1) * sizeof *s->word);
    if (s->token && s->word) {
        memcpy(s->token + !is_source, token, s->n_tokens * sizeof *token);
        s->token[is_source ? s->n_tokens : 0] =
            heed_tokenizer_mark(tokenizer, is_source ? HEED_MARK_END : HEED_MARK_BEGIN);
        s->n_words = heed_words_of_tokens(s->word, tokenizer, token, s->n_tokens);
    }
    free(token);
    return s->token && s->word ? HEED_OK : heed_fail(error, HEED_MEMORY, "%s: out of memory", place);
}

static void count_link(heed_link_counts *counts, const heed_aligned_pair *pair, size_t source, size_t target) {
    counts->told++;
    for (size_t l = 0; l < pair->n_links; l++)
        if (pair->link[l].source == source && pair->link[l].target == target) {
            counts->sure += pair->link[l].is_sure;
            counts->possible++;
        }
}

/* weights (rows, stride), of which row t + reading belongs to token t of the target. */
static void count_head(const work *w, const real *weights, size_t stride, heed_reading reading,
                       heed_link_counts *counts) {
    const size_t n = w->source.n_words, m = w->target.n_words;
    memset(w->sum, 0, n * m * sizeof *w->sum);
    for (size_t t = 0; t < w->target.n_tokens; t++)
        for (size_t s = 0; s < w->source.n_tokens; s++)
            if (w->target.word[t] >= 0 && w->source.word[s] >= 0)
                w->sum[(size_t)w->target.word[t] * n + (size_t)w->source.word[s]] +=
                    (double)weights[(t + (size_t)reading) * stride + s];
    for (size_t j = 0; j < m; j++) {
        size_t best = 0;
        for (size_t i = 1; i < n; i++) /* that means are sums by the same number changes no order */
            best = w->sum[j * n + i] > w->sum[j * n + best] ? i : best;
        count_link(counts, w->pair, best, j);
    }
}

static void see(void *context, const heed_attention_view *view) {
    const work *w = context;
    if (view->kind != HEED_CROSS_ATTENTION)
        return;
    for (size_t head = 0; head < view->heads; head++) {
        heed_attention_inspect(view->how, w->weights, NULL, NULL, NULL, NULL, view->query, view->key, view->value,
                               view->query_rows, view->key_rows, 0, head);
        for (int reading = 0; reading < HEED_N_READINGS; reading++) {
            const size_t at = ((size_t)reading * w->found->layers + view->layer) * w->found->heads + head;
            count_head(w, w->weights, w->source.n_tokens + 1, (heed_reading)reading,
                       &w->found->counts[at * HEED_N_HALVES + (size_t)w->half]);
        }
    }
}

static void read_pair(work *w, heed_model *model) {
    static const size_t first_of[2] = {0, 1};
    static const uint32_t sequence[1] = {0};
    const size_t source_rows = w->source.n_tokens + 1, rows = w->target.n_tokens + 1;
    const size_t first_row[2] = {0, rows}, first_source[2] = {0, source_rows};
    const heed_ragged one = {.n_sequences = 1, .sequence = sequence, .n_grains = 1, .first_of = first_of};
    heed_batch batch = {
        .rows = one, .token = w->target.token, .n_global = 1, .source = one, .source_token = w->source.token};
    batch.rows.n_rows = batch.rows.max_length = rows;
    batch.rows.first_row = first_row;
    batch.source.n_rows = batch.source.max_length = source_rows;
    batch.source.first_row = first_source;
    heed_model_observe(model, see, w);
    heed_model_forward(model, &batch, HEED_PASS_EVAL);
    heed_model_observe(model, NULL, NULL);
    const size_t n = w->source.n_words, m = w->target.n_words;
    for (size_t j = 0; j < m; j++)
        count_link(&w->found->diagonal[w->half], w->pair, (2 * j + 1) * n / (2 * m), j);
}

static heed_status take_pair(work *w, const heed_config *config, heed_model *model, const heed_tokenizer *of_source,
                             const heed_tokenizer *of_target, heed_error *error) {
    const heed_aligned_pair *pair = w->pair;
    const size_t time = (size_t)config->model.time;
    char place[64];
    snprintf(place, sizeof place, "line %zu of the alignments", pair->line);
    heed_status status = cut(&w->source, pair->source, place, of_source, true, error);
    if (status == HEED_OK)
        status = cut(&w->target, pair->target, place, of_target, false, error);
    if (status == HEED_OK && (w->source.n_tokens + 1 > time || w->target.n_tokens + 1 > time)) {
        w->found->left_out++;
        return HEED_OK;
    }
    if (status == HEED_OK && (w->source.n_words != pair->n_source || w->target.n_words != pair->n_target))
        status = heed_fail(error, HEED_DATA, "%s: the model's tokens do not tell its words apart", place);
    if (status == HEED_OK && !(w->sum = calloc(w->source.n_words * w->target.n_words, sizeof *w->sum)))
        status = heed_fail(error, HEED_MEMORY, "%s: out of memory", place);
    if (status != HEED_OK)
        return status;
    w->found->pairs[w->half]++;
    for (size_t l = 0; l < pair->n_links; l++) {
        w->found->sure[w->half] += pair->link[l].is_sure;
        w->found->possible[w->half] += !pair->link[l].is_sure;
    }
    read_pair(w, model);
    return HEED_OK;
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

heed_status heed_word_alignment_measure(heed_word_alignment *found, const heed_aligned_pairs *pairs,
                                        const heed_config *config, heed_model *model,
                                        const heed_tokenizer *source_tokenizer, const heed_tokenizer *target_tokenizer,
                                        heed_error *error) {
    const size_t time = (size_t)config->model.time;
    *found = (heed_word_alignment){.layers = (size_t)config->model.layers, .heads = (size_t)config->model.heads};
    if (config->model.kind != HEED_ENCODER_DECODER) {
        heed_fail(error, HEED_CONFIG, "model.kind = decoder: a model without cross-attention");
        return heed_hint(error, "alignments are those of an encoder_decoder");
    }
    found->counts = calloc(HEED_N_READINGS * found->layers * found->heads * HEED_N_HALVES, sizeof *found->counts);
    work w = {.found = found, .weights = calloc(heed_bytes(time, time), sizeof *w.weights)};
    heed_status status = found->counts && w.weights
                             ? HEED_OK
                             : heed_fail(error, HEED_MEMORY, "alignment: no memory for %zu x %zu weights", time, time);
    for (size_t p = 0; p < pairs->n && status == HEED_OK; p++) {
        w.pair = &pairs->pair[p];
        w.half = 2 * p < pairs->n ? HEED_HALF_FIRST : HEED_HALF_SECOND;
        status = take_pair(&w, config, model, source_tokenizer, target_tokenizer, error);
        side_free(&w.source);
        side_free(&w.target);
        free(w.sum);
        w.sum = NULL;
    }
    free(w.weights);
    if (status == HEED_OK && found->pairs[HEED_HALF_FIRST] + found->pairs[HEED_HALF_SECOND] == 0)
        status = heed_fail(error, HEED_DATA, "alignment: no pair fits into model.time = %zu", time);
    return status;
}

void heed_word_alignment_reset(heed_word_alignment *found) {
    free(found->counts);
    *found = (heed_word_alignment){0};
}

const heed_link_counts *heed_word_alignment_at(const heed_word_alignment *found, heed_reading reading, size_t layer,
                                               size_t head) {
    return found->counts + (((size_t)reading * found->layers + layer) * found->heads + head) * HEED_N_HALVES;
}

double heed_word_alignment_error(const heed_word_alignment *found, const heed_link_counts counts[HEED_N_HALVES],
                                 int half) {
    double told = 0, sure = 0, possible = 0, wanted = 0;
    for (int h = 0; h < HEED_N_HALVES; h++) {
        if (half != HEED_N_HALVES && half != h)
            continue;
        told += counts[h].told;
        sure += counts[h].sure;
        possible += counts[h].possible;
        wanted += found->sure[h];
    }
    return told + wanted > 0 ? 1 - (sure + possible) / (told + wanted) : NAN;
}
