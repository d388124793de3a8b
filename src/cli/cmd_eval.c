/* heed eval: the loss of a model on validation text, by the code that training itself uses: the same bits. */
#include "cli/cli.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heed/batch.h"
#include "heed/corpus.h"
#include "heed/log.h"
#include "heed/task.h"

typedef struct evaluation {
    heed_comm *comm;
    heedi_model loaded; /* describe: rank 0 alone; model: all ranks */
    heed_config config; /* all ranks */
    uint64_t vocab;
    char data[HEED_PATH_MAX]; /* the token store, or a text */
    bool is_text, is_task, shuffled;
    heed_corpus *corpus;
    heed_batcher *batcher;
    heed_evaluation found;
    double bytes, characters; /* that these tokens stand for: rank 0, unless it is a task */
    double optimum;           /* of a task: the least loss that is possible */
} evaluation;

/* A run's folder, by the path of one of its checkpoints: "runs/whale/checkpoints/step-1.h5" -> "runs/whale". */
static void run_of(char *folder, size_t bytes, const char *checkpoint) {
    const char *file = strrchr(checkpoint, '/');
    size_t length = file ? (size_t)(file - checkpoint) : 0;
    while (length > 0 && checkpoint[length - 1] != '/')
        length--;
    if (length > 1)
        snprintf(folder, bytes, "%.*s", (int)length - 1, checkpoint);
    else
        snprintf(folder, bytes, "%s", length == 1 ? "/" : file ? "." : "..");
}

/* The token store of a run lies beside its checkpoints, even when the whole run was moved. */
static heed_status find_store(evaluation *eval, const char *store, heed_error *error) {
    const heed_config *config = &eval->loaded.config;
    char run[HEED_PATH_MAX], beside[HEED_PATH_MAX + 16], in_run[HEED_PATH_MAX + 16];
    run_of(run, sizeof run, eval->loaded.path);
    snprintf(beside, sizeof beside, "%s/tokens.h5", run);
    snprintf(in_run, sizeof in_run, "%s/tokens.h5", config->run.dir);
    const char *places[] = {store, *config->data.store ? config->data.store : NULL, beside, in_run};
    for (size_t i = 0; i < (store ? 1 : sizeof places / sizeof *places); i++) {
        if (places[i] && (store || access(places[i], F_OK) == 0) &&
            snprintf(eval->data, sizeof eval->data, "%s", places[i]) < (int)sizeof eval->data)
            return HEED_OK;
    }
    heed_fail(error, HEED_NOT_FOUND, "%s: no token store is known to belong to it", eval->loaded.path);
    return heed_hint(error, "name one with --store, or a text file with --text");
}

/* Token numbers mean something only by the tokenizer that they were made with. */
static heed_status compare_tokenizers(const evaluation *eval, heed_error *error) {
    const heed_tokenizer *ours = eval->loaded.tokenizer, *theirs = heed_corpus_tokenizer(eval->corpus);
    bool same = heed_tokenizer_vocab(ours) == heed_tokenizer_vocab(theirs);
    for (size_t i = 0; same && i < heed_tokenizer_vocab(ours); i++) {
        size_t n_ours, n_theirs;
        const char *a = heed_tokenizer_piece(ours, (int32_t)i, &n_ours);
        const char *b = heed_tokenizer_piece(theirs, (int32_t)i, &n_theirs);
        same = n_ours == n_theirs && memcmp(a, b, n_ours) == 0;
    }
    if (same)
        return HEED_OK;
    heed_fail(error, HEED_DATA, "%s: was made with another vocabulary than %s", eval->data, eval->loaded.path);
    return heed_hint(error, "--text FILE evaluates on a text file with the model's own vocabulary");
}

/* How much text the predicted tokens stand for: all of the validation text but its first token. */
static heed_status measure_text(evaluation *eval, heed_error *error) {
    enum { PIECE = 4096 };
    int32_t tokens[PIECE];
    const size_t end = (size_t)eval->found.tokens + 1;
    for (size_t first = 1, n; first < end; first += n) {
        n = end - first < PIECE ? end - first : PIECE;
        if (heed_corpus_read(eval->corpus, HEED_VALID, first, n, tokens, error) != HEED_OK)
            return error->status;
        for (size_t i = 0; i < n; i++) {
            size_t bytes;
            const char *piece = heed_tokenizer_piece(eval->loaded.tokenizer, tokens[i], &bytes);
            eval->bytes += (double)bytes;
            for (size_t b = 0; b < bytes; b++) /* of a character in UTF-8, only the first byte is not 10xxxxxx */
                eval->characters += ((unsigned char)piece[b] & 0xc0) != 0x80;
        }
    }
    return HEED_OK;
}

/* What rank 0 found out and all need to know. */
static heed_status share(evaluation *eval, const char *place, const char *store, const char *text, heed_error *error) {
    if (eval->comm->rank == 0 && heedi_model_describe(&eval->loaded, place, error) == HEED_OK) {
        eval->config = eval->loaded.config;
        eval->vocab = heed_tokenizer_vocab(eval->loaded.tokenizer);
        if (text)
            snprintf(eval->data, sizeof eval->data, "%s", text);
        else if (!store && eval->config.data.task != HEED_NO_TASK)
            snprintf(eval->data, sizeof eval->data, "its generated task");
        else
            find_store(eval, store, error);
    }
    eval->is_text = text != NULL;
    if (heed_comm_agree(eval->comm, error) != HEED_OK ||
        heed_comm_broadcast(eval->comm, eval->loaded.path, sizeof eval->loaded.path, 0, error) != HEED_OK ||
        heed_comm_broadcast(eval->comm, &eval->config, sizeof eval->config, 0, error) != HEED_OK ||
        heed_comm_broadcast(eval->comm, &eval->vocab, sizeof eval->vocab, 0, error) != HEED_OK)
        return error->status;
    eval->is_task = !store && !text && eval->config.data.task != HEED_NO_TASK;
    return heed_comm_broadcast(eval->comm, eval->data, sizeof eval->data, 0, error);
}

static heed_status make_batcher(evaluation *eval, heed_error *error) {
    const heed_comm *comm = eval->comm;
    const heed_batch_shape shape = {.time = (size_t)eval->config.model.time,
                                    .batch = (size_t)eval->config.train.batch,
                                    .grain = (size_t)eval->config.train.grain,
                                    .rank = comm->rank,
                                    .size = comm->size,
                                    .seed = (uint64_t)eval->config.run.seed};
    const heed_status status = heed_batcher_create(&eval->batcher, eval->corpus, &shape, error);
    return status == HEED_OK ? heed_batcher_check(eval->batcher, &eval->config, error) : status;
}

static heed_status make_model(evaluation *eval, heed_error *error) {
    const size_t n_grains = (size_t)(eval->config.train.batch / eval->config.train.grain);
    const size_t rank = (size_t)eval->comm->rank, size = (size_t)eval->comm->size;
    const size_t own = n_grains * (rank + 1) / size - n_grains * rank / size;
    const size_t n_sequences = own * (size_t)eval->config.train.grain;
    const heed_model_shape shape = {.vocab = (size_t)eval->vocab,
                                    .max_rows = n_sequences * (size_t)eval->config.model.time,
                                    .max_source_rows = n_sequences * heed_batcher_source_time(eval->batcher),
                                    .max_sequences = n_sequences};
    return heed_model_create(&eval->loaded.model, &eval->config, &shape, error);
}

/* A text is encoded with the model's own vocabulary; a store must have been made with it. */
static heed_status open_corpus(evaluation *eval, heed_error *error) {
    const bool knows_tokenizer = eval->loaded.tokenizer != NULL; /* rank 0 */
    if (eval->is_task) {
        const heed_task_settings settings = heed_task_settings_of(&eval->config);
        return heed_corpus_of_task(&eval->corpus, &settings, error);
    }
    if (!eval->is_text) {
        if (heed_corpus_open(&eval->corpus, eval->data, error) == HEED_OK && knows_tokenizer)
            compare_tokenizers(eval, error);
    } else if (knows_tokenizer || heedi_model_read_tokenizer(&eval->loaded, error) == HEED_OK) {
        const size_t time = (size_t)eval->config.model.time;
        if (heed_corpus_of_text(&eval->corpus, eval->loaded.tokenizer, eval->data, error) == HEED_OK &&
            heed_corpus_tokens(eval->corpus, HEED_VALID) <= time)
            heed_fail(error, HEED_DATA, "%s: %zu tokens, fewer than the model's context of %zu and the token after it",
                      eval->data, heed_corpus_tokens(eval->corpus, HEED_VALID), time);
    }
    return error->status;
}

/* Each rank reads the tokens that it needs; the weights come from rank 0. */
static heed_status make_ready(evaluation *eval, heed_error *error) {
    if (open_corpus(eval, error) == HEED_OK && make_batcher(eval, error) == HEED_OK &&
        make_model(eval, error) == HEED_OK && eval->comm->rank == 0)
        heedi_model_read_weights(&eval->loaded, error);
    if (heed_comm_agree(eval->comm, error) != HEED_OK)
        return error->status;
    return heed_comm_broadcast(eval->comm, heed_model_weights(eval->loaded.model),
                               heed_model_params(eval->loaded.model)->n_elements * sizeof(real), 0, error);
}

/* The loss of a task means something beside the least that is possible. */
static void print_task(const evaluation *eval, bool json) {
    const char *name = heed_task_name(heed_corpus_task(eval->corpus));
    if (json) {
        json_t *object =
            json_pack("{ss sI ss sI sf sf sf}", "checkpoint", eval->loaded.path, "step",
                      (json_int_t)eval->loaded.state.step, "task", name, "tokens", (json_int_t)eval->found.tokens,
                      "loss", eval->found.loss, "optimum", eval->optimum, "accuracy", eval->found.accuracy);
        json_dumpf(object, stdout, JSON_REAL_PRECISION(17));
        putchar('\n');
        json_decref(object);
        return;
    }
    printf("%s on %s: %.0f answers\n", eval->loaded.path, name, eval->found.tokens);
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
            json_pack("{ss sI ss sI sf sf sf sf sf}", "checkpoint", eval->loaded.path, "step",
                      (json_int_t)eval->loaded.state.step, "data", eval->data, "tokens", (json_int_t)eval->found.tokens,
                      "loss", eval->found.loss, "perplexity", perplexity, "bits_per_byte", per_byte,
                      "bits_per_character", per_character, "accuracy", eval->found.accuracy);
        json_dumpf(object, stdout, JSON_REAL_PRECISION(17));
        putchar('\n');
        json_decref(object);
        return;
    }
    printf("%s on %s: %.0f tokens\n", eval->loaded.path, eval->data, eval->found.tokens);
    printf("loss                %10.4f nats a token\n", eval->found.loss);
    printf("perplexity          %10.4f\n", perplexity);
    printf("bits per byte       %10.4f\n", per_byte);
    printf("bits per character  %10.4f\n", per_character);
    printf("right               %10.4f of the tokens, by the likeliest one\n", eval->found.accuracy);
}

static heed_status measure(evaluation *eval, size_t max_batches, heed_error *error) {
    return (eval->shuffled ? heed_evaluate_shuffled : heed_evaluate)(eval->comm, &eval->config, eval->loaded.model,
                                                                     eval->batcher, max_batches, &eval->found, error);
}

static heed_status evaluate(evaluation *eval, const char *place, const char *store, const char *text,
                            int64_t max_batches, bool json, heed_error *error) {
    if (share(eval, place, store, text, error) != HEED_OK ||
        heedi_open_engines(eval->comm, eval->config.train.threads, error) != HEED_OK ||
        make_ready(eval, error) != HEED_OK || measure(eval, (size_t)max_batches, error) != HEED_OK)
        return error->status;
    if (eval->is_task) {
        if (eval->comm->rank == 0 &&
            heed_task_valid_optimum(heed_corpus_task(eval->corpus), &eval->optimum, error) == HEED_OK)
            print_task(eval, json);
        return error->status;
    }
    if (eval->comm->rank == 0 && measure_text(eval, error) == HEED_OK) {
        if (!store && !text && strcmp(heed_corpus_digest(eval->corpus), eval->loaded.state.data_digest) != 0)
            heed_say(HEED_WARNING, "%s: not the data that %s was trained on", eval->data, eval->loaded.path);
        print_result(eval, json);
    }
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
        eval->comm = cli->comm;
        eval->shuffled = shuffled;
        evaluate(eval, cli->arguments[0], store, text, max_batches, json, error);
    }
    if (eval) {
        if (eval->batcher)
            heed_batcher_destroy(eval->batcher);
        if (eval->corpus)
            heed_corpus_close(eval->corpus);
        heedi_model_close(&eval->loaded);
    }
    free(eval);
    return error->status;
}
