/* heed prepare: text files in, a token store out. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "heed/corpus.h"

/* "texts/moby-dick.txt" -> "moby-dick.h5", in the current folder. */
static void name_after(char *output, size_t bytes, const char *text) {
    const char *slash = strrchr(text, '/');
    const char *name = slash ? slash + 1 : text;
    const char *dot = strrchr(name, '.');
    const size_t length = dot && dot > name ? (size_t)(dot - name) : strlen(name);
    snprintf(output, bytes, "%.*s.h5", (int)(length < bytes ? length : bytes), name);
}

static heed_status report(const char *output, heed_error *error) {
    heed_corpus *corpus = NULL;
    if (heed_corpus_open(&corpus, output, error) != HEED_OK)
        return error->status;
    printf("%s: %zu tokens to train on, %zu to validate, %zu in the vocabulary\n", output,
           heed_corpus_tokens(corpus, HEED_TRAIN), heed_corpus_tokens(corpus, HEED_VALID),
           heed_tokenizer_vocab(heed_corpus_tokenizer(corpus)));
    heed_corpus_close(corpus);
    return HEED_OK;
}

heed_status heedi_command_prepare(heedi_cli *cli, heed_error *error) {
    const char *output = NULL, *tokenizer = "char", *share = NULL;
    bool force = false;
    const heedi_option options[] = {
        {"output", 'o', "FILE", "the token store to write; by default the first text's name with .h5, in this folder",
         .text = &output},
        {"tokenizer", 't', "KIND", "what a token is: char (a Unicode character), byte, or word (between white space)",
         .text = &tokenizer},
        {"valid-share", 'v', "SHARE", "which share of each text's end is kept for validation", .text = &share},
        {"force", 'f', NULL, "replace an existing file", .on = &force},
        {0}};
    const heedi_syntax syntax = {
        .arguments = "TEXT...",
        .about =
            "Turns text files into a token store: tokens to train on, tokens to validate with, the tokenizer, and "
            "where they "
            "came from. A config names it as data.store. (A config may also name raw text as data.text: training then "
            "prepares it by itself.)",
        .examples = "  heed prepare data/moby-dick.txt\n"
                    "  heed prepare --tokenizer byte -o books.h5 books/*.txt\n"
                    "  heed train configs/whale.ini data.store=books.h5\n",
        .options = options,
        .least = 1,
        .most = -1,
    };
    if (!heedi_parse(cli, &syntax, error))
        return error->status;
    heed_config config;
    heed_config_defaults(&config);
    char assignment[HEED_PATH_MAX];
    snprintf(assignment, sizeof assignment, "data.tokenizer=%s", tokenizer);
    if (heed_config_override(&config, assignment, error) != HEED_OK)
        return error->status;
    snprintf(assignment, sizeof assignment, "data.valid_share=%s", share ? share : "");
    if (share && heed_config_override(&config, assignment, error) != HEED_OK)
        return error->status;
    char by_default[HEED_PATH_MAX];
    name_after(by_default, sizeof by_default, cli->arguments[0]);
    output = output ? output : by_default;
    if (heedi_check_output(output, force, cli->arguments, cli->n_arguments, error) != HEED_OK)
        return error->status;
    if (heed_corpus_prepare(output, (const char *const *)cli->arguments, (size_t)cli->n_arguments,
                            config.data.tokenizer, config.data.valid_share, error) != HEED_OK)
        return error->status;
    return report(output, error);
}
