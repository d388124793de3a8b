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

static heed_status prepare_gpt2(const char *output, const char *const *texts, size_t n_texts, const char *folder,
                                double valid_share, heed_error *error) {
    char encoder[HEED_PATH_MAX], merges[HEED_PATH_MAX];
    heed_tokenizer *tokenizer;
    snprintf(encoder, sizeof encoder, "%s/encoder.json", folder);
    snprintf(merges, sizeof merges, "%s/vocab.bpe", folder);
    heed_status status = heed_tokenizer_of_gpt2(&tokenizer, encoder, merges, error);
    if (status != HEED_OK)
        return status;
    status = heed_corpus_prepare_with(output, texts, n_texts, tokenizer, valid_share, error);
    heed_tokenizer_destroy(tokenizer);
    return status;
}

heed_status heedi_command_prepare(heedi_cli *cli, heed_error *error) {
    const char *output = NULL, *tokenizer = NULL, *share = NULL, *vocab = NULL, *gpt2 = NULL;
    bool force = false;
    const heedi_option options[] = {
        {"output", 'o', "FILE", "the token store to write; by default the first text's name with .h5, in this folder",
         .text = &output},
        {"tokenizer", 't', "KIND",
         "what a token is: char (a Unicode character; the default), byte, word (between white space), or bpe (byte "
         "pairs)",
         .text = &tokenizer},
        {"vocab", 'n', "N", "bpe: how many tokens to learn; by default 4096", .text = &vocab},
        {"gpt2", 0, "FOLDER", "byte pairs as GPT-2 has them, from encoder.json and vocab.bpe in this folder",
         .text = &gpt2},
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
                    "  heed prepare --tokenizer bpe --vocab 2000 data/moby-dick.txt\n"
                    "  heed train configs/whale.ini data.store=books.h5\n",
        .options = options,
        .least = 1,
        .most = -1,
    };
    if (!heedi_parse(cli, &syntax, error))
        return error->status;
    if (gpt2 && (tokenizer || vocab))
        return heed_fail(error, HEED_USAGE, "prepare: --gpt2 and --%s exclude each other",
                         tokenizer ? "tokenizer" : "vocab");
    heed_config config;
    heed_config_defaults(&config);
    char assignment[HEED_PATH_MAX];
    snprintf(assignment, sizeof assignment, "data.tokenizer=%s", tokenizer ? tokenizer : "");
    if (tokenizer && heed_config_override(&config, assignment, error) != HEED_OK)
        return error->status;
    snprintf(assignment, sizeof assignment, "data.valid_share=%s", share ? share : "");
    if (share && heed_config_override(&config, assignment, error) != HEED_OK)
        return error->status;
    snprintf(assignment, sizeof assignment, "data.vocab=%s", vocab ? vocab : "");
    if (vocab && heed_config_override(&config, assignment, error) != HEED_OK)
        return error->status;
    char by_default[HEED_PATH_MAX];
    name_after(by_default, sizeof by_default, cli->arguments[0]);
    output = output ? output : by_default;
    if (heedi_check_output(output, force, cli->arguments, cli->n_arguments, error) != HEED_OK)
        return error->status;
    const char *const *texts = (const char *const *)cli->arguments;
    const size_t n_texts = (size_t)cli->n_arguments;
    if (gpt2)
        prepare_gpt2(output, texts, n_texts, gpt2, config.data.valid_share, error);
    else
        heed_corpus_prepare_vocab(output, texts, n_texts, config.data.tokenizer, (size_t)config.data.vocab,
                                  config.data.valid_share, error);
    if (error->status != HEED_OK)
        return error->status;
    return report(output, error);
}
