/* A text as sequences: training visits the windows of windows.h; validation takes windows one behind the other, the
 * last one shorter; probes are windows anywhere in the validation text, spread evenly. The truth about text is not
 * known. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sequences.h"
#include "windows.h"

typedef struct text_sequences {
    heedi_sequences base;
    heed_corpus *corpus;
    heedi_windows windows;
    uint64_t n_targets; /* of the validation text */
    int32_t *tokens;    /* (time + 1): a window as it is read, with the token behind it */
} text_sequences;

/* A window without the token behind it. */
typedef struct span {
    uint64_t first;
    size_t length;
} span;

static heed_status fail_short(size_t time, size_t n_train, heed_error *error) {
    heed_fail(error, HEED_CONFIG, "model.time = %zu: the training text has only %zu tokens", time, n_train);
    return heed_hint(error, "a window and the token after it must fit: use more text, or a shorter model.time");
}

static heed_status fail_untrained(const heedi_sequences *sequences, heed_error *error) {
    return fail_short(sequences->time, 0, error);
}

static size_t probe_length(const text_sequences *text) {
    return text->n_targets < text->base.time ? (size_t)text->n_targets : text->base.time;
}

static heed_status check_probes(const heedi_sequences *sequences, size_t n_probes, heed_error *error) {
    const text_sequences *text = (const text_sequences *)sequences;
    const uint64_t n_targets = text->n_targets;
    const size_t length = probe_length(text);
    if (length > 0 && n_probes <= n_targets - length + 1)
        return HEED_OK;
    heed_fail(error, HEED_CONFIG, "log.probes = %zu: the validation text of %" PRIu64 " tokens has not that many",
              n_probes, n_targets ? n_targets + 1 : 0);
    return heed_hint(error, "use more text, a larger data.valid_share, or fewer probes");
}

static span span_of(const text_sequences *text, const heedi_which *which) {
    const size_t time = text->base.time, length = probe_length(text);
    if (which->set == HEEDI_TO_TRAIN)
        return (span){heedi_windows_start(&text->windows, which->round, which->index), time};
    if (which->set == HEEDI_TO_PROBE) /* each in the middle of its share of the text */
        return (span){(text->n_targets - length + 1) * (2 * which->index + 1) / (2 * which->round), length};
    const uint64_t first = which->index * time, left = text->n_targets - first;
    return (span){first, left < time ? (size_t)left : time};
}

static heedi_extent extent(heedi_sequences *sequences, const heedi_which *which) {
    const text_sequences *text = (const text_sequences *)sequences;
    const size_t n_rows = which->set == HEEDI_TO_TRAIN ? text->base.time : span_of(text, which).length;
    return (heedi_extent){.n_rows = n_rows, .weight = (double)n_rows};
}

static heed_status read(heedi_sequences *sequences, const heedi_which *which, const heedi_rows *rows,
                        heed_error *error) {
    text_sequences *text = (text_sequences *)sequences;
    const heed_split split = which->set == HEEDI_TO_TRAIN ? HEED_TRAIN : HEED_VALID;
    const span where = span_of(text, which);
    const heed_status status =
        heed_corpus_read(text->corpus, split, where.first, where.length + 1, text->tokens, error);
    if (status != HEED_OK)
        return status;
    memcpy(rows->token, text->tokens, where.length * sizeof *rows->token);
    memcpy(rows->target, text->tokens + 1, where.length * sizeof *rows->target);
    for (size_t i = 0; i < where.length; i++)
        rows->weight[i] = 1;
    return HEED_OK;
}

static void destroy(heedi_sequences *sequences) {
    text_sequences *text = (text_sequences *)sequences;
    free(text->tokens);
    free(text);
}

static const heedi_sequences_verbs verbs = {fail_untrained, check_probes, extent, read, destroy};

heed_status heedi_text_sequences(heedi_sequences **sequences, heed_corpus *corpus, const heed_batch_shape *shape,
                                 heed_error *error) {
    const size_t n_train = heed_corpus_tokens(corpus, HEED_TRAIN), n_valid = heed_corpus_tokens(corpus, HEED_VALID);
    if (n_train > 0 && n_train <= shape->time) /* 0: a store made for evaluation */
        return fail_short(shape->time, n_train, error);
    text_sequences *text = calloc(1, sizeof *text);
    int32_t *tokens = malloc((shape->time + 1) * sizeof *tokens);
    if (!text || !tokens) {
        free(text);
        free(tokens);
        return heed_fail(error, HEED_MEMORY, "batch: out of memory");
    }
    text->corpus = corpus;
    text->windows = heedi_windows_plan(n_train, shape->time, shape->seed);
    text->n_targets = n_valid ? n_valid - 1 : 0;
    text->tokens = tokens;
    text->base = (heedi_sequences){.verbs = &verbs,
                                   .time = shape->time,
                                   .n_train = text->windows.n_windows,
                                   .n_valid = text->n_targets ? (text->n_targets - 1) / shape->time + 1 : 0};
    *sequences = &text->base;
    return HEED_OK;
}
