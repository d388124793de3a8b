/* heed prepare: text files in, a token store out. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "heed/pairs.h"

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
    const bool has_pairs = heed_corpus_has_pairs(corpus);
    const heed_tokenizer *target = heed_corpus_tokenizer(corpus), *source = heed_corpus_source_tokenizer(corpus);
    size_t (*count)(const heed_corpus *, heed_split) = has_pairs ? heed_corpus_pairs : heed_corpus_tokens;
    printf("%s: %zu %s to train on, %zu to validate, %zu in the vocabulary", output, count(corpus, HEED_TRAIN),
           has_pairs ? "pairs" : "tokens", count(corpus, HEED_VALID), heed_tokenizer_vocab(target));
    if (has_pairs && source != target)
        printf(" of targets, %zu in that of sources", heed_tokenizer_vocab(source));
    putchar('\n');
    heed_corpus_close(corpus);
    return HEED_OK;
}

typedef struct job {
    const char *output, *gpt2;
    const char *const *files;
    size_t n_files;
    bool pairs;
    heed_config config; /* the data section */
} job;

static heed_status prepare_gpt2(const job *j, heed_error *error) {
    char encoder[HEED_PATH_MAX], merges[HEED_PATH_MAX];
    const double valid_share = j->config.data.valid_share;
    heed_tokenizer *tokenizer;
    snprintf(encoder, sizeof encoder, "%s/encoder.json", j->gpt2);
    snprintf(merges, sizeof merges, "%s/vocab.bpe", j->gpt2);
    heed_status status = heed_tokenizer_of_gpt2(&tokenizer, encoder, merges, error);
    if (status != HEED_OK)
        return status;
    status = j->pairs ? heed_pairs_prepare_with(j->output, j->files, j->n_files, tokenizer, valid_share, error)
                      : heed_corpus_prepare_with(j->output, j->files, j->n_files, tokenizer, valid_share, error);
    heed_tokenizer_destroy(tokenizer);
    return status;
}

static heed_status prepare(const job *j, heed_error *error) {
    const heed_pairs_settings pairs = heed_pairs_settings_of(&j->config);
    if (j->gpt2)
        return prepare_gpt2(j, error);
    if (j->pairs)
        return heed_pairs_prepare(j->output, j->files, j->n_files, &pairs, error);
    return heed_corpus_prepare_vocab(j->output, j->files, j->n_files, j->config.data.tokenizer,
                                     (size_t)j->config.data.vocab, j->config.data.valid_share, error);
}

/* Options that mean a setting are read as one, so that range and message are the setting's. */
static heed_status set(heed_config *config, const char *key, const char *value, heed_error *error) {
    char assignment[HEED_PATH_MAX];
    if (!value)
        return HEED_OK;
    snprintf(assignment, sizeof assignment, "%s=%s", key, value);
    return heed_config_override(config, assignment, error);
}

typedef struct wishes { /* options that are settings; NULL and false: not given */
    const char *tokenizer, *source, *share, *vocab;
    bool joint;
} wishes;

static heed_status check(const job *j, const wishes *typed, heed_error *error) {
    if (j->gpt2 && (typed->tokenizer || typed->vocab || typed->source))
        return heed_fail(error, HEED_USAGE, "prepare: --gpt2 and --%s exclude each other",
                         typed->tokenizer ? "tokenizer"
                         : typed->vocab   ? "vocab"
                                          : "source-tokenizer");
    if (!j->pairs && (typed->joint || typed->source))
        return heed_fail(error, HEED_USAGE, "prepare: --%s is for --pairs",
                         typed->joint ? "joint" : "source-tokenizer");
    return HEED_OK;
}

static heed_status configure(job *j, const wishes *typed, heed_error *error) {
    const char *const settings[][2] = {
        {"data.tokenizer", typed->tokenizer},
        {"data.source_tokenizer", typed->source},
        {"data.joint", typed->joint ? "yes" : NULL},
        {"data.valid_share", typed->share},
        {"data.vocab", typed->vocab},
    };
    heed_config_defaults(&j->config);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (set(&j->config, settings[i][0], settings[i][1], error) != HEED_OK)
            return error->status;
    return HEED_OK;
}

heed_status heedi_command_prepare(heedi_cli *cli, heed_error *error) {
    const char *output = NULL;
    bool force = false;
    wishes typed = {0};
    job j = {0};
    const heedi_option options[] = {
        {"output", 'o', "FILE", "the token store to write; by default the first text's name with .h5, in this folder",
         .text = &output},
        {"tokenizer", 't', "KIND",
         "what a token is: char (a Unicode character; the default), byte, word (between white space), or bpe (byte "
         "pairs)",
         .text = &typed.tokenizer},
        {"vocab", 'n', "N", "bpe: how many tokens to learn; by default 4096", .text = &typed.vocab},
        {"gpt2", 0, "FOLDER", "byte pairs as GPT-2 has them, from encoder.json and vocab.bpe in this folder",
         .text = &j.gpt2},
        {"pairs", 'p', NULL, "the files hold pairs: on each line a source, a tab and a target", .on = &j.pairs},
        {"source-tokenizer", 0, "KIND", "pairs: what a token of the source is; by default as --tokenizer says",
         .text = &typed.source},
        {"joint", 'j', NULL, "pairs: one vocabulary for sources and targets", .on = &typed.joint},
        {"valid-share", 'v', "SHARE",
         "which share is kept for validation: each text's end, or the pairs whose sources have the least digests",
         .text = &typed.share},
        {"force", 'f', NULL, "replace an existing file", .on = &force},
        {0}};
    const heedi_syntax syntax = {
        .arguments = "TEXT...",
        .about =
            "Turns text files into a token store: tokens to train on, tokens to validate with, the tokenizer, and "
            "where they came from. A config names it as data.store. (A config may also name raw text as data.text, or "
            "pairs as data.pairs: training then prepares it by itself.)",
        .examples = "  heed prepare data/moby-dick.txt\n"
                    "  heed prepare --tokenizer byte -o books.h5 books/*.txt\n"
                    "  heed prepare --tokenizer bpe --vocab 2000 data/moby-dick.txt\n"
                    "  heed prepare --pairs --joint -t bpe data/gospels.en-es.tsv\n"
                    "  heed prepare --pairs -t word --source-tokenizer char words-and-sounds.tsv\n"
                    "  heed train configs/whale.ini data.store=books.h5\n",
        .options = options,
        .least = 1,
        .most = -1,
    };
    if (!heedi_parse(cli, &syntax, error))
        return error->status;
    if (check(&j, &typed, error) != HEED_OK || configure(&j, &typed, error) != HEED_OK)
        return error->status;
    char by_default[HEED_PATH_MAX];
    name_after(by_default, sizeof by_default, cli->arguments[0]);
    j.output = output ? output : by_default;
    j.files = (const char *const *)cli->arguments;
    j.n_files = (size_t)cli->n_arguments;
    if (heedi_check_output(j.output, force, cli->arguments, cli->n_arguments, error) != HEED_OK ||
        prepare(&j, error) != HEED_OK)
        return error->status;
    return report(j.output, error);
}
