/* heed generate: lets a model write on. */
#include "cli/cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heed/gemm.h"
#include "heed/log.h"
#include "heed/sample.h"

/* A text under way. The model sees a window of model.time tokens through its key/value cache. When the window is full,
 * the cache is cleared and fed the last half of it again: then the next half window costs one pass a token as before.
 */
typedef struct writing {
    heed_model *model;
    size_t time;     /* tokens that the window holds */
    size_t n_cached; /* of them are in the cache */
    int32_t *token;  /* all tokens so far */
    size_t n_tokens;
    const real *logits; /* of what follows */
} writing;

static void feed(writing *text, int32_t token) {
    if (text->n_cached == text->time) {
        heed_model_decode_begin(text->model, NULL, 0);
        text->n_cached = 0;
        for (size_t i = text->n_tokens - text->time / 2; i < text->n_tokens; i++, text->n_cached++)
            heed_model_decode(text->model, &text->token[i], NULL, 1);
    }
    text->token[text->n_tokens++] = token;
    text->n_cached++;
    text->logits = heed_model_decode(text->model, &token, NULL, 1);
}

/* Words are told apart by what stands between them. */
static void print_token(const heed_tokenizer *tokenizer, int32_t token, bool is_first) {
    size_t bytes;
    const char *piece = heed_tokenizer_piece(tokenizer, token, &bytes);
    if (!is_first)
        fputs(heed_tokenizer_separator(tokenizer), stdout);
    if (piece)
        fwrite(piece, 1, bytes, stdout);
}

/* Of a long prompt only the last window counts; the rest is printed but not seen. */
static heed_status write_on(heedi_model *loaded, const int32_t *prompt, size_t n_prompt, size_t n_tokens, bool echo,
                            const heed_sample_rule *rule, heed_error *error) {
    const size_t time = (size_t)loaded->config.model.time;
    const size_t seen = n_prompt < time ? n_prompt : time;
    const bool terminal = isatty(STDOUT_FILENO);
    writing text = {.model = loaded->model, .time = time};
    text.token = malloc(heed_bytes(seen + n_tokens + 1, sizeof *text.token));
    heed_sampler sampler;
    if (!text.token)
        return heed_fail(error, HEED_MEMORY, "no memory for %zu tokens", seen + n_tokens);
    if (heed_sampler_init(&sampler, rule, heed_model_vocab(loaded->model), error) != HEED_OK) {
        free(text.token);
        return error->status;
    }
    if (seen < n_prompt)
        heed_say(HEED_WARNING, "the prompt has %zu tokens; the model sees the last %zu", n_prompt, seen);
    heed_model_decode_begin(text.model, NULL, 0);
    for (size_t i = 0; echo && i < n_prompt; i++)
        print_token(loaded->tokenizer, prompt[i], i == 0);
    for (size_t i = n_prompt - seen; i < n_prompt; i++)
        feed(&text, prompt[i]);
    for (size_t i = 0; i < n_tokens && !ferror(stdout); i++) {
        if (heed_sampler_see(&sampler, text.logits, error) != HEED_OK)
            break;
        const int32_t token = heed_sampler_draw(&sampler, (uint32_t)i);
        print_token(loaded->tokenizer, token, i == 0 && !echo);
        if (terminal)
            fflush(stdout);
        if (i + 1 < n_tokens)
            feed(&text, token);
    }
    putchar('\n');
    heed_sampler_reset(&sampler);
    free(text.token);
    return error->status;
}

/* Without a prompt the text starts after a line break, or whatever the vocabulary has first. */
static heed_status encode_prompt(const heed_tokenizer *tokenizer, const char *prompt, int32_t **tokens,
                                 size_t *n_tokens, heed_error *error) {
    if (prompt && *prompt) {
        if (heed_tokenizer_encode(tokenizer, "--prompt", prompt, strlen(prompt), tokens, n_tokens, error) != HEED_OK)
            heed_hint(error, "the model knows the characters of the text that it was trained on, and no others");
        return error->status;
    }
    heed_error none = HEED_ERROR_INIT;
    if (heed_tokenizer_encode(tokenizer, "start", "\n", 1, tokens, n_tokens, &none) == HEED_OK)
        return HEED_OK;
    *tokens = calloc(1, sizeof **tokens);
    *n_tokens = 1;
    return *tokens ? HEED_OK : heed_fail(error, HEED_MEMORY, "no memory for a token");
}

heed_status heedi_command_generate(heedi_cli *cli, heed_error *error) {
    const char *prompt = NULL;
    int64_t n_tokens = 500, top_k = 0, seed = 1, beam = 4;
    double penalty = 0.6;
    heed_sample_rule rule = {.temperature = 1, .top_p = 1};
    const heedi_option options[] = {
        {"prompt", 'p', "TEXT", "what to go on from", .text = &prompt},
        {"tokens", 'n', "N", "how many tokens to write", .whole = &n_tokens, .low = 0, .high = 1e9},
        {"temperature", 't', "T", "below 1: safer, above 1: bolder, 0: always the likeliest token",
         .number = &rule.temperature, .low = 0, .high = HUGE_VAL},
        {"top-k", 'k', "K", "draw among the K likeliest tokens only; 0: all", .whole = &top_k, .low = 0, .high = 1e9},
        {"top-p", 0, "P", "draw among the likeliest tokens that make up P of the probability", .number = &rule.top_p,
         .low = 0, .high = 1},
        {"seed", 's', "S", "same seed, same text", .whole = &seed, .low = 0, .high = 9.2e18},
        {"beam", 'b', "N", "encoder-decoder: hypotheses side by side; 1: always the likeliest token", .whole = &beam,
         .low = 1, .high = 1024},
        {"length-penalty", 0, "A",
         "encoder-decoder: log probabilities are divided by ((5 + tokens) / 6)^A before they are compared; more "
         "favours "
         "longer answers",
         .number = &penalty, .low = 0, .high = 100},
        {0}};
    const heedi_syntax syntax = {
        .arguments = "RUN_DIR|CHECKPOINT",
        .about = "Writes text with a trained model, to standard output: the prompt, and what the model adds to it. A "
                 "model that was trained on pairs answers sources instead: those given behind the run, or the lines of "
                 "standard input, one answer a line. Of a run's folder the newest checkpoint is taken.",
        .examples = "  heed generate runs/whale\n"
                    "  heed generate runs/whale --prompt 'Call me ' --tokens 300 --temperature 0.8\n"
                    "  heed generate runs/whale/checkpoints/step-00001000.h5 --top-k 20 --seed 7\n"
                    "  heed generate runs/gospels 'He said to them,'\n"
                    "  heed generate runs/gospels --beam 1 < verses.txt\n",
        .options = options,
        .least = 1,
        .most = -1,
    };
    if (!heedi_parse(cli, &syntax, error))
        return error->status;
    rule.top_k = (size_t)top_k;
    rule.seed = (uint64_t)seed;
    heedi_model loaded;
    if (heedi_model_open(&loaded, cli->arguments[0], (size_t)beam, error) != HEED_OK)
        return error->status;
    int32_t *tokens = NULL;
    size_t n_prompt = 0;
    char *const *sources = cli->arguments + 1;
    if (loaded.config.model.kind == HEED_ENCODER_DECODER && prompt)
        heed_fail(error, HEED_USAGE, "generate: --prompt: %s answers sources: give them without an option",
                  loaded.path);
    else if (loaded.config.model.kind == HEED_ENCODER_DECODER)
        heedi_answer(&loaded, sources, cli->n_arguments - 1, (size_t)beam, penalty, error);
    else if (cli->n_arguments > 1)
        heed_fail(error, HEED_USAGE,
                  "generate: '%s': only an encoder-decoder answers a source (--prompt is gone on from)", sources[0]);
    else if (encode_prompt(loaded.tokenizer, prompt, &tokens, &n_prompt, error) == HEED_OK)
        write_on(&loaded, tokens, n_prompt, (size_t)n_tokens, prompt && *prompt, &rule, error);
    free(tokens);
    heedi_model_close(&loaded);
    return error->status;
}
