/* heed eval: the loss of a model on validation text, by the code that training itself uses: the same bits. */
#include "cli/cli.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heed/task.h"

typedef struct evaluation {
    heedi_subject subject;
    bool shuffled;
    heed_evaluation found;
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

/* The loss of a task means something beside the least that is possible. */
static void print_task(const evaluation *eval, bool json) {
    const char *name = heed_task_name(heed_corpus_task(eval->subject.corpus));
    if (json) {
        json_t *object = json_pack("{ss sI ss sI sf sf sf}", "checkpoint", eval->subject.loaded.path, "step",
                                   (json_int_t)eval->subject.loaded.state.step, "task", name, "tokens",
                                   (json_int_t)eval->found.tokens, "loss", eval->found.loss, "optimum", eval->optimum,
                                   "accuracy", eval->found.accuracy);
        json_dumpf(object, stdout, JSON_REAL_PRECISION(17));
        putchar('\n');
        json_decref(object);
        return;
    }
    printf("%s on %s: %.0f answers\n", eval->subject.loaded.path, name, eval->found.tokens);
    printf("loss                %10.4f nats an answer\n", eval->found.loss);
    printf("best possible       %10.4f\n", eval->optimum);
    printf("above it            %10.4f\n", eval->found.loss - eval->optimum);
    printf("right               %10.4f of the answers\n", eval->found.accuracy);
}

static void print_result(const evaluation *eval, bool json) {
    const double bits = eval->found.loss * eval->found.tokens / log(2.0);
    const double per_byte = bits / eval->bytes, per_character = bits / eval->characters;
    const double perplexity = exp(eval->found.loss);
    if (json) {
        json_t *object =
            json_pack("{ss sI ss sI sf sf sf sf sf}", "checkpoint", eval->subject.loaded.path, "step",
                      (json_int_t)eval->subject.loaded.state.step, "data", eval->subject.data, "tokens",
                      (json_int_t)eval->found.tokens, "loss", eval->found.loss, "perplexity", perplexity,
                      "bits_per_byte", per_byte, "bits_per_character", per_character, "accuracy", eval->found.accuracy);
        json_dumpf(object, stdout, JSON_REAL_PRECISION(17));
        putchar('\n');
        json_decref(object);
        return;
    }
    printf("%s on %s: %.0f tokens\n", eval->subject.loaded.path, eval->subject.data, eval->found.tokens);
    printf("loss                %10.4f nats a token\n", eval->found.loss);
    printf("perplexity          %10.4f\n", perplexity);
    printf("bits per byte       %10.4f\n", per_byte);
    printf("bits per character  %10.4f\n", per_character);
    printf("right               %10.4f of the tokens, by the likeliest one\n", eval->found.accuracy);
}

static heed_status measure(evaluation *eval, size_t max_batches, heed_error *error) {
    return (eval->shuffled ? heed_evaluate_shuffled : heed_evaluate)(eval->subject.comm, &eval->subject.config,
                                                                     eval->subject.loaded.model, eval->subject.batcher,
                                                                     max_batches, &eval->found, error);
}

static heed_status evaluate(evaluation *eval, heed_comm *comm, const char *place, const char *store, const char *text,
                            int64_t max_batches, bool json, heed_error *error) {
    if (heedi_subject_open(&eval->subject, comm, place, store, text, 0, 0, error) != HEED_OK ||
        measure(eval, (size_t)max_batches, error) != HEED_OK)
        return error->status;
    if (eval->subject.is_task) {
        if (eval->subject.comm->rank == 0 &&
            heed_task_valid_optimum(heed_corpus_task(eval->subject.corpus), &eval->optimum, error) == HEED_OK)
            print_task(eval, json);
        return error->status;
    }
    if (eval->subject.comm->rank == 0 && measure_text(eval, error) == HEED_OK)
        print_result(eval, json);
    return error->status;
}

heed_status heedi_command_eval(heedi_cli *cli, heed_error *error) {
    const char *store = NULL, *text = NULL;
    int64_t max_batches = 0;
    bool json = false, shuffled = false;
    const heedi_option options[] = {
        {"store", 's', "FILE", "a token store whose validation text is used; by default the run's own", .text = &store},
        {"text", 't', "FILE", "a text file to use instead, all of it, in the model's own vocabulary", .text = &text},
        {"batches", 'b', "N", "stop after N batches of the run's size; 0: all of the text", .whole = &max_batches,
         .low = 0, .high = 1e9},
        {"shuffle-context", 0, NULL,
         "put the tokens before each predicted one into a random order: what does order tell?", .on = &shuffled},
        {"json", 'j', NULL, "print one JSON object, numbers with all their digits", .on = &json},
        {0}};
    const heedi_syntax syntax = {
        .arguments = "RUN_DIR|CHECKPOINT",
        .about = "Measures a model on validation text: loss (nats a token), perplexity, bits a byte and bits a "
                 "character. Of a run's "
                 "folder the newest checkpoint is taken. Under mpirun all ranks share the work; the result has the "
                 "same bits "
                 "for any number of them.",
        .examples = "  heed eval runs/whale\n"
                    "  mpirun -n 4 heed eval runs/whale/checkpoints/step-00001000.h5 --json\n"
                    "  heed eval runs/whale --text other.txt\n"
                    "  heed eval runs/whale --shuffle-context --batches 4\n",
        .options = options,
        .least = 1,
        .most = 1,
    };
    if (!heedi_parse(cli, &syntax, error) || heedi_open_ranks(cli, error) != HEED_OK)
        return error->status;
    if (store && text) {
        heed_fail(error, HEED_USAGE, "eval: --store and --text exclude each other");
        return error->status;
    }
    evaluation *eval = calloc(1, sizeof *eval);
    if (!eval)
        heed_fail(error, HEED_MEMORY, "no memory to evaluate");
    if (heed_comm_agree(cli->comm, error) == HEED_OK) {
        eval->shuffled = shuffled;
        evaluate(eval, cli->comm, cli->arguments[0], store, text, max_batches, json, error);
    }
    if (eval)
        heedi_subject_close(&eval->subject);
    free(eval);
    return error->status;
}
