/* How good an encoder-decoder's answers are: every source of the validation set is answered by the rank whose batch it
 * lies in, and what is counted is added over the ranks. */
#include <stdlib.h>

#include "heed/similarity.h"
#include "heed/stage.h"
#include "heed/train.h"

typedef struct counts { /* nothing but doubles that hold whole numbers */
    double n, exact, reference_tokens, distance;
    heed_chrf chrf;
} counts;

typedef struct judge {
    heed_search *search;
    const heed_tokenizer *tokenizer;
    size_t *scratch; /* (most rows + 1) */
    counts counts;
} judge;

static heed_status compare_texts(judge *j, const int32_t *answer, size_t n_answer, const int32_t *reference,
                                 size_t n_reference, heed_error *error) {
    char *hypothesis = NULL, *wanted = NULL;
    size_t n_hypothesis, n_wanted;
    heed_status status = heed_tokenizer_decode(j->tokenizer, answer, n_answer, &hypothesis, &n_hypothesis, error);
    if (status == HEED_OK)
        status = heed_tokenizer_decode(j->tokenizer, reference, n_reference, &wanted, &n_wanted, error);
    if (status == HEED_OK)
        status = heed_chrf_add(&j->counts.chrf, hypothesis, n_hypothesis, wanted, n_wanted, error);
    free(hypothesis);
    free(wanted);
    return status;
}

static heed_status judge_sequence(judge *j, const heed_batch *batch, size_t s, heed_error *error) {
    const int32_t *reference = batch->target + batch->rows.first_row[s], *answer;
    const size_t n_reference = heed_length(&batch->rows, s) - 1; /* without its end */
    size_t n_answer;
    double score;
    const heed_status status = heed_search_run(j->search, batch->source_token + batch->source.first_row[s],
                                               heed_length(&batch->source, s), &answer, &n_answer, &score, error);
    if (status != HEED_OK)
        return status;
    const size_t distance = heed_token_distance(answer, n_answer, reference, n_reference, j->scratch);
    j->counts.n++;
    j->counts.exact += distance == 0;
    j->counts.distance += (double)distance;
    j->counts.reference_tokens += (double)n_reference;
    return compare_texts(j, answer, n_answer, reference, n_reference, error);
}

/* What this rank has to answer. */
static void judge_batches(judge *j, heed_batcher *batcher, size_t n_batches, heed_error *error) {
    for (size_t i = 0; i < n_batches && error->status == HEED_OK; i++) {
        heed_batch batch = {0};
        heed_batcher_eval(batcher, i, &batch, error);
        for (size_t s = 0; s < batch.rows.n_sequences && error->status == HEED_OK; s++)
            judge_sequence(j, &batch, s, error);
    }
}

heed_status heed_evaluate_answers(heed_comm *comm, heed_model *model, heed_batcher *batcher,
                                  const heed_tokenizer *tokenizer, const heed_search_rule *rule, size_t max_batches,
                                  heed_answers *found, heed_error *error) {
    HEED_IN_STAGE(EVALUATE);
    const size_t n_all = heed_batcher_eval_count(batcher);
    const size_t n_batches = max_batches && max_batches < n_all ? max_batches : n_all;
    judge j = {.tokenizer = tokenizer, .scratch = malloc((heed_batcher_time(batcher) + 1) * sizeof *j.scratch)};
    if (!j.scratch)
        heed_fail(error, HEED_MEMORY, "evaluation: out of memory");
    else if (heed_search_create(&j.search, model, rule, error) == HEED_OK)
        judge_batches(&j, batcher, n_batches, error);
    heed_search_destroy(j.search);
    free(j.scratch);
    heed_status status = heed_comm_agree(comm, error);
    if (status == HEED_OK)
        status = heed_comm_sum(comm, (double *)&j.counts, sizeof j.counts / sizeof(double), error);
    *found = (heed_answers){.n = j.counts.n,
                            .exact = j.counts.exact,
                            .reference_tokens = j.counts.reference_tokens,
                            .distance = j.counts.distance,
                            .characters = j.counts.chrf.reference[0],
                            .chrf = heed_chrf_score(&j.counts.chrf)};
    return status;
}
