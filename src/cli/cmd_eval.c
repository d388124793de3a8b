/* heed eval: the loss of a model on validation data, by the code that training itself uses: the same bits; and, of a
 * model that answers sources, how good its answers are. */
#include "cli/cli.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heed/pairs.h"
#include "heed/task.h"

typedef struct evaluation {
    heedi_subject subject;
    bool shuffled;
    size_t beam; /* 0: no answers */
    double length_penalty;
    heed_evaluation found;
    heed_answers answers;     /* where there are sources */
    double bytes, characters; /* that these tokens stand for: rank 0, unless it is a task */
    double optimum;           /* of a task: the least loss that is possible */
} evaluation;

/* How much text the predicted tokens stand for: all of the validation text but its first token. */
static heed_status measure_text(evaluation *eval, heed_error *error) {
    enum { PIECE = 4096 };
    int32_t tokens[PIECE];
    const size_t end = (size_t)eval->found.tokens + 1;
    for (size_t first = 1, n; first < end; first += n) {
        n = end - first < PIECE ? end - first : PIECE;
        if (heed_corpus_read(eval->subject.corpus, HEED_VALID, first, n, tokens, error) != HEED_OK)
            return error->status;
        for (size_t i = 0; i < n; i++) {
            size_t bytes;
            const char *piece = heed_tokenizer_piece(eval->subject.loaded.tokenizer, tokens[i], &bytes);
            eval->bytes += (double)bytes;
            for (size_t b = 0; b < bytes; b++) /* of a character in UTF-8, only the first byte is not 10xxxxxx */
                eval->characters += ((unsigned char)piece[b] & 0xc0) != 0x80;
        }
    }
    return HEED_OK;
}

static bool has_answers(const evaluation *eval) {
    return eval->subject.config.model.kind == HEED_ENCODER_DECODER && eval->beam > 0;
}

/* What every kind of data has in common, then `more`, then what the answers are worth. */
static void print_json(const evaluation *eval, json_t *more) {
    const heed_answers *a = &eval->answers;
    json_t *object = json_pack("{ss sI sI sf sf}", "checkpoint", eval->subject.loaded.path, "step",
                               (json_int_t)eval->subject.loaded.state.step, "tokens", (json_int_t)eval->found.tokens,
                               "loss", eval->found.loss, "accuracy", eval->found.accuracy);
    json_object_update(object, more);
    json_decref(more);
    if (has_answers(eval)) {
        json_t *answers = json_pack("{sI sI sf sI sf sf}", "beam", (json_int_t)eval->beam, "answers", (json_int_t)a->n,
                                    "exact", a->exact / a->n, "reference_tokens", (json_int_t)a->reference_tokens,
                                    "edit_distance", a->distance / a->reference_tokens, "chrf", a->chrf);
        json_object_update(object, answers);
        json_decref(answers);
    }
    json_dumpf(object, stdout, JSON_REAL_PRECISION(17));
    putchar('\n');
    json_decref(object);
}

static void print_answers(const evaluation *eval) {
    const heed_answers *a = &eval->answers;
    if (!has_answers(eval))
        return;
    printf("answers             %10.0f by %s\n", a->n,
           eval->beam > 1 ? "beam search" : "the likeliest token each time");
    printf("exact               %10.4f of them\n", a->exact / a->n);
    printf("edit distance       %10.4f a token of what was wanted\n", a->distance / a->reference_tokens);
    if (!eval->subject.is_task)
        printf("chrF                %10.2f of 100\n", a->chrf);
}

/* The loss of a task means something beside the least that is possible. */
static void print_task(const evaluation *eval, bool json) {
    const char *name = heed_task_name(heed_corpus_task(eval->subject.corpus));
    if (json) {
        print_json(eval, json_pack("{ss sf}", "task", name, "optimum", eval->optimum));
        return;
    }
    printf("%s on %s: %.0f answers\n", eval->subject.loaded.path, name, eval->found.tokens);
    printf("loss                %10.4f nats an answer\n", eval->found.loss);
    printf("best possible       %10.4f\n", eval->optimum);
    printf("above it            %10.4f\n", eval->found.loss - eval->optimum);
    printf("right               %10.4f of the answers\n", eval->found.accuracy);
    print_answers(eval);
}

static void print_pairs(const evaluation *eval, bool json) {
    const size_t n_left_out = heed_batcher_left_out(eval->subject.batcher, HEED_VALID);
    const size_t n = heed_corpus_pairs(eval->subject.corpus, HEED_VALID) - n_left_out;
    const double perplexity = exp(eval->found.loss);
    if (json) {
        print_json(eval, json_pack("{ss sI sI sf}", "data", eval->subject.data, "pairs", (json_int_t)n, "left_out",
                                   (json_int_t)n_left_out, "perplexity", perplexity));
        return;
    }
    printf("%s on %s: %zu pairs, %.0f tokens with their ends\n", eval->subject.loaded.path, eval->subject.data, n,
           eval->found.tokens);
    printf("loss                %10.4f nats a token\n", eval->found.loss);
    printf("perplexity          %10.4f\n", perplexity);
    printf("right               %10.4f of the tokens, by the likeliest one after the right ones\n",
           eval->found.accuracy);
    print_answers(eval);
}

static void print_result(const evaluation *eval, bool json) {
    const double bits = eval->found.loss * eval->found.tokens / log(2.0);
    const double per_byte = bits / eval->bytes, per_character = bits / eval->characters;
    const double perplexity = exp(eval->found.loss);
    if (json) {
        print_json(eval, json_pack("{ss sf sf sf}", "data", eval->subject.data, "perplexity", perplexity,
                                   "bits_per_byte", per_byte, "bits_per_character", per_character));
        return;
    }
    printf("%s on %s: %.0f tokens\n", eval->subject.loaded.path, eval->subject.data, eval->found.tokens);
    printf("loss                %10.4f nats a token\n", eval->found.loss);
    printf("perplexity          %10.4f\n", perplexity);
    printf("bits per byte       %10.4f\n", per_byte);
    printf("bits per character  %10.4f\n", per_character);
    printf("right               %10.4f of the tokens, by the likeliest one\n", eval->found.accuracy);
}

/* The corpus knows its vocabulary on every rank; the checkpoint's may have been read on rank 0 alone. */
static heed_status measure_answers(evaluation *eval, size_t max_batches, heed_error *error) {
    const heed_tokenizer *tokenizer = heed_corpus_tokenizer(eval->subject.corpus);
    const heed_search_rule rule = {.beam = eval->beam,
                                   .length_penalty = eval->length_penalty,
                                   .begin = heed_tokenizer_mark(tokenizer, HEED_MARK_BEGIN),
                                   .end = heed_tokenizer_mark(tokenizer, HEED_MARK_END),
                                   .most = (size_t)eval->subject.config.model.time};
    return heed_evaluate_answers(eval->subject.comm, eval->subject.loaded.model, eval->subject.batcher, tokenizer,
                                 &rule, max_batches, &eval->answers, error);
}

static heed_status measure(evaluation *eval, size_t max_batches, heed_error *error) {
    const heed_status status = (eval->shuffled ? heed_evaluate_shuffled : heed_evaluate)(
        eval->subject.comm, &eval->subject.config, eval->subject.loaded.model, eval->subject.batcher, max_batches,
        &eval->found, error);
    return status == HEED_OK && has_answers(eval) ? measure_answers(eval, max_batches, error) : status;
}

/* Rank 0 says what was found. */
static heed_status report(evaluation *eval, bool json, heed_error *error) {
    if (eval->subject.is_task) {
        if (heed_task_valid_optimum(heed_corpus_task(eval->subject.corpus), &eval->optimum, error) == HEED_OK)
            print_task(eval, json);
        return error->status;
    }
    if (heed_corpus_has_pairs(eval->subject.corpus))
        print_pairs(eval, json);
    else if (measure_text(eval, error) == HEED_OK)
        print_result(eval, json);
    return error->status;
}

static heed_status evaluate(evaluation *eval, heed_comm *comm, const heedi_wanted *wanted, int64_t max_batches,
                            bool json, heed_error *error) {
    if (heedi_subject_open(&eval->subject, comm, wanted, error) != HEED_OK)
        return error->status;
    if (eval->shuffled && eval->subject.config.model.kind == HEED_ENCODER_DECODER)
        return heed_fail(error, HEED_USAGE, "eval: --shuffle-context is for decoders, which have one context");
    if (measure(eval, (size_t)max_batches, error) != HEED_OK)
        return error->status;
    return comm->rank == 0 ? report(eval, json, error) : HEED_OK;
}

/* how: the settings of an evaluation, which is otherwise empty. */
static heed_status evaluate_data(heed_comm *comm, const heedi_wanted *wanted, const evaluation *how,
                                 int64_t max_batches, bool json, heed_error *error) {
    evaluation *eval = malloc(sizeof *eval);
    if (!eval)
        heed_fail(error, HEED_MEMORY, "no memory to evaluate");
    else
        *eval = *how;
    if (heed_comm_agree(comm, error) == HEED_OK)
        evaluate(eval, comm, wanted, max_batches, json, error);
    if (eval)
        heedi_subject_close(&eval->subject);
    free(eval);
    return error->status;
}

static heed_status evaluate_alignment(const heedi_cli *cli, const char *file, bool json, heed_error *error) {
    if (cli->comm->rank == 0)
        heedi_eval_alignment(cli->arguments[0], file, json, error);
    return heed_comm_agree(cli->comm, error);
}

heed_status heedi_command_eval(heedi_cli *cli, heed_error *error) {
    const char *store = NULL, *text = NULL, *pairs = NULL, *alignment = NULL;
    int64_t max_batches = 0, beam = 1;
    double length_penalty = 0.6;
    bool json = false, shuffled = false;
    const heedi_option options[] = {
        {"store", 's', "FILE", "a token store whose validation text is used; by default the run's own", .text = &store},
        {"text", 't', "FILE", "a text file to use instead, all of it, in the model's own vocabulary", .text = &text},
        {"pairs", 'p', "FILE", "a file of pairs to use instead, all of it, in the model's own vocabularies",
         .text = &pairs},
        {"alignment", 'a', "FILE",
         "encoder-decoder: instead, hold cross-attention against words that were aligned by hand (rank 0 alone)",
         .text = &alignment},
        {"beam", 0, "N",
         "encoder-decoder: hypotheses side by side when sources are answered; 1: always the likeliest token; 0: no "
         "answers, the loss alone",
         .whole = &beam, .low = 0, .high = 1024},
        {"length-penalty", 0, "A", "encoder-decoder: as in heed generate", .number = &length_penalty, .low = 0,
         .high = 100},
        {"batches", 'b', "N", "stop after N batches of the run's size; 0: all of the text", .whole = &max_batches,
         .low = 0, .high = 1e9},
        {"shuffle-context", 0, NULL,
         "put the tokens before each predicted one into a random order: what does order tell?", .on = &shuffled},
        {"json", 'j', NULL, "print one JSON object, numbers with all their digits", .on = &json},
        {0}};
    const heedi_syntax syntax = {
        .arguments = "RUN_DIR|CHECKPOINT",
        .about = "Measures a model on validation text: loss (nats a token), perplexity, bits a byte and bits a "
                 "character. A model that was trained on pairs also answers every source: exact matches, edit distance "
                 "a token, chrF. Of a run's folder the newest checkpoint is taken. Under mpirun all ranks share the "
                 "work; the result has the "
                 "same bits "
                 "for any number of them.",
        .examples = "  heed eval runs/whale\n"
                    "  mpirun -n 4 heed eval runs/whale/checkpoints/step-00001000.h5 --json\n"
                    "  heed eval runs/whale --text other.txt\n"
                    "  mpirun -n 2 heed eval runs/gospels --beam 4\n"
                    "  heed eval runs/sounds --pairs other.tsv\n"
                    "  heed eval runs/gospels --alignment data/gospels.align.tsv\n"
                    "  heed eval runs/whale --shuffle-context --batches 4\n",
        .options = options,
        .least = 1,
        .most = 1,
    };
    if (!heedi_parse(cli, &syntax, error) || heedi_open_ranks(cli, error) != HEED_OK)
        return error->status;
    if ((store != NULL) + (text != NULL) + (pairs != NULL) + (alignment != NULL) > 1)
        return heed_fail(error, HEED_USAGE, "eval: --store, --text, --pairs and --alignment exclude each other");
    if (alignment)
        return evaluate_alignment(cli, alignment, json, error);
    const heedi_wanted wanted = {
        .place = cli->arguments[0], .store = store, .text = text, .pairs = pairs, .n_hypotheses = (size_t)beam};
    const evaluation how = {.shuffled = shuffled, .beam = (size_t)beam, .length_penalty = length_penalty};
    return evaluate_data(cli->comm, &wanted, &how, max_batches, json, error);
}
