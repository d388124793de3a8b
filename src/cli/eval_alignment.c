/* heed eval --alignment: do words that cross-attention puts together belong together, as people say? */
#include "cli/cli.h"

#include <jansson.h>
#include <stdio.h>

#include "heed/word_alignment.h"

static const char *const reading_names[HEED_N_READINGS] = {"predicting", "next"};

/* The head with the least error on the first half. */
static void choose(const heed_word_alignment *found, heed_reading reading, size_t *layer, size_t *head) {
    double least = 2;
    *layer = *head = 0;
    for (size_t l = 0; l < found->layers; l++)
        for (size_t h = 0; h < found->heads; h++) {
            const double error =
                heed_word_alignment_error(found, heed_word_alignment_at(found, reading, l, h), HEED_HALF_FIRST);
            if (error < least) {
                least = error;
                *layer = l;
                *head = h;
            }
        }
}

static double error_of(const heed_word_alignment *found, heed_reading reading, size_t layer, size_t head, int half) {
    return heed_word_alignment_error(found, heed_word_alignment_at(found, reading, layer, head), half);
}

static void print_table(const heed_word_alignment *found, const heedi_model *loaded, const char *file) {
    static const char *const titles[HEED_N_READINGS] = {"at the step that predicts", "one step later"};
    printf("%s on %s: %.0f pairs, %.0f links sure, %.0f possible\n", loaded->path, file,
           found->pairs[0] + found->pairs[1], found->sure[0] + found->sure[1], found->possible[0] + found->possible[1]);
    if (found->left_out > 0)
        printf("%.0f pairs are longer than the model's context, and left out\n", found->left_out);
    for (int r = 0; r < HEED_N_READINGS; r++) {
        size_t layer, head;
        printf("\nalignment error rate, %s\nlayer    ", titles[r]);
        for (size_t h = 0; h < found->heads; h++)
            printf("  head %-2zu", h);
        for (size_t l = 0; l < found->layers; l++) {
            printf("\n%5zu    ", l);
            for (size_t h = 0; h < found->heads; h++)
                printf("  %7.3f", error_of(found, (heed_reading)r, l, h, HEED_N_HALVES));
        }
        choose(found, (heed_reading)r, &layer, &head);
        printf("\nbest on the first %.0f pairs: head %zu.%zu with %.3f; on the other %.0f it has %.3f\n",
               found->pairs[0], layer, head, error_of(found, (heed_reading)r, layer, head, HEED_HALF_FIRST),
               found->pairs[1], error_of(found, (heed_reading)r, layer, head, HEED_HALF_SECOND));
    }
    printf("\na diagonal: %.3f, on the other half %.3f\n",
           heed_word_alignment_error(found, found->diagonal, HEED_N_HALVES),
           heed_word_alignment_error(found, found->diagonal, HEED_HALF_SECOND));
}

/* JSON has no NaN: a half without pairs. */
static json_t *number(double value) {
    return value == value ? json_real(value) : json_null();
}

static json_t *errors(const heed_word_alignment *found, const heed_link_counts counts[HEED_N_HALVES]) {
    return json_pack("{so so so}", "all", number(heed_word_alignment_error(found, counts, HEED_N_HALVES)), "first",
                     number(heed_word_alignment_error(found, counts, HEED_HALF_FIRST)), "second",
                     number(heed_word_alignment_error(found, counts, HEED_HALF_SECOND)));
}

static json_t *reading_of(const heed_word_alignment *found, heed_reading reading) {
    size_t layer, head;
    json_t *layers = json_array();
    for (size_t l = 0; l < found->layers; l++) {
        json_t *heads = json_array();
        for (size_t h = 0; h < found->heads; h++)
            json_array_append_new(heads, errors(found, heed_word_alignment_at(found, reading, l, h)));
        json_array_append_new(layers, heads);
    }
    choose(found, reading, &layer, &head);
    return json_pack("{so s[II]}", "heads", layers, "best", (json_int_t)layer, (json_int_t)head);
}

static void print_json(const heed_word_alignment *found, const heedi_model *loaded, const char *file) {
    json_t *object =
        json_pack("{ss sI ss sI sI sI sI so}", "checkpoint", loaded->path, "step", (json_int_t)loaded->state.step,
                  "alignment", file, "pairs", (json_int_t)(found->pairs[0] + found->pairs[1]), "left_out",
                  (json_int_t)found->left_out, "sure", (json_int_t)(found->sure[0] + found->sure[1]), "possible",
                  (json_int_t)(found->possible[0] + found->possible[1]), "diagonal", errors(found, found->diagonal));
    for (int r = 0; r < HEED_N_READINGS; r++)
        json_object_set_new(object, reading_names[r], reading_of(found, (heed_reading)r));
    json_dumpf(object, stdout, JSON_REAL_PRECISION(17));
    putchar('\n');
    json_decref(object);
}

heed_status heedi_eval_alignment(const char *place, const char *file, bool json, heed_error *error) {
    heed_aligned_pairs pairs;
    heed_word_alignment found = {0};
    heedi_model loaded = {0};
    heed_status status = heed_aligned_pairs_read(&pairs, file, error);
    if (status == HEED_OK)
        status = heedi_model_open(&loaded, place, 1, error);
    if (status == HEED_OK)
        status = heed_word_alignment_measure(&found, &pairs, &loaded.config, loaded.model,
                                             loaded.source_tokenizer ? loaded.source_tokenizer : loaded.tokenizer,
                                             loaded.tokenizer, error);
    if (status == HEED_OK)
        (json ? print_json : print_table)(&found, &loaded, file);
    heed_word_alignment_reset(&found);
    heedi_model_close(&loaded);
    heed_aligned_pairs_reset(&pairs);
    return status;
}
