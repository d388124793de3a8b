/* Configuration: one typed table of fields drives parsing, range checks, overrides, `heed config`, docs/config.md and
 * the resolved copy that every file of ours carries.
 *
 * Text form: INI, UTF-8, one setting a line: "[section]" and below it "key = value"; comments start with ';' or '#' at
 * the start of a line or after a space. Ahead of the first section, and on the command line, a key is written in full:
 * "section.key=value". Each key at most once in a text. Every fault is one line that names the place, the key, its
 * value and what was expected. */
#ifndef HEED_CONFIG_H
#define HEED_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "heed/status.h"

#define HEED_PATH_MAX 1024
#define HEED_CONFIG_MAX_FIELDS 128

typedef enum heed_model_kind { HEED_DECODER, HEED_ENCODER_DECODER } heed_model_kind;
typedef enum heed_attend { /* model.attention; heed/variant.h says what each may use */
                           HEED_ATTEND_SOFTMAX,
                           HEED_ATTEND_UNIFORM,
                           HEED_ATTEND_POSITION,
                           HEED_ATTEND_CONTENT,
                           HEED_ATTEND_RANDOM,
                           HEED_ATTEND_WINDOW,
                           HEED_ATTEND_NONE,
                           HEED_ATTEND_MLP
} heed_attend;
typedef enum heed_encoder_attend { /* model.encoder_attention: model.attention's, or one of its own */
                                   HEED_ENCODER_AS_DECODER,
                                   HEED_ENCODER_SOFTMAX,
                                   HEED_ENCODER_UNIFORM,
                                   HEED_ENCODER_RANDOM,
                                   HEED_ENCODER_NONE
} heed_encoder_attend;
typedef enum heed_expected { /* expect.verdict */
                             HEED_EXPECT_ANY,
                             HEED_EXPECT_NONE,
                             HEED_EXPECT_BAG,
                             HEED_EXPECT_POSITION,
                             HEED_EXPECT_CONTEXT
} heed_expected;
typedef enum heed_positions { HEED_LEARNED, HEED_SINUSOIDAL, HEED_ROTARY, HEED_NO_POSITIONS } heed_positions;
typedef enum heed_norm_place { HEED_PRE_NORM, HEED_POST_NORM } heed_norm_place;
typedef enum heed_activation { HEED_GELU, HEED_GELU_TANH, HEED_RELU } heed_activation;
typedef enum heed_init { HEED_INIT_GPT2, HEED_INIT_XAVIER, HEED_INIT_UNIFORM_FAN_IN } heed_init;
typedef enum heed_tokenizer_kind {
    HEED_TOKENIZER_CHAR,
    HEED_TOKENIZER_BYTE,
    HEED_TOKENIZER_WORD,
    HEED_TOKENIZER_BPE
} heed_tokenizer_kind;
typedef enum heed_source_tokenizer { /* data.source_tokenizer: data.tokenizer's, or a heed_tokenizer_kind plus one */
                                     HEED_SOURCE_AS_TARGET
} heed_source_tokenizer;
typedef enum heed_task_kind {
    HEED_NO_TASK,
    HEED_TASK_COPY,
    HEED_TASK_REVERSE,
    HEED_TASK_SHIFT,
    HEED_TASK_SORT,
    HEED_TASK_RECALL,
    HEED_TASK_INDUCTION,
    HEED_TASK_MARKOV,
    HEED_TASK_PERMUTATION40,
    HEED_TASK_PERMUTATION40OF60,
    HEED_TASK_TREE,
    HEED_TASK_NOISE
} heed_task_kind;
typedef enum heed_optimizer_kind { HEED_ADAMW, HEED_SGD } heed_optimizer_kind;
typedef enum heed_recompute { HEED_RECOMPUTE_NONE, HEED_RECOMPUTE_ATTENTION, HEED_RECOMPUTE_BLOCK } heed_recompute;
typedef enum heed_on_nonfinite {
    HEED_ON_NONFINITE_STOP,
    HEED_ON_NONFINITE_SKIP,
    HEED_ON_NONFINITE_ROLLBACK
} heed_on_nonfinite;
typedef enum heed_on_corruption { HEED_ON_CORRUPTION_STOP, HEED_ON_CORRUPTION_HEAL } heed_on_corruption;
typedef enum heed_schedule_kind {
    HEED_CONSTANT,
    HEED_LINEAR,
    HEED_COSINE,
    HEED_INVERSE_SQRT,
    HEED_WSD
} heed_schedule_kind;

/* Every field is one row of the table in src/config/table.c, which says its key, default, range and meaning. */
typedef struct heed_config {
    struct {
        char dir[HEED_PATH_MAX];
        int64_t seed;
    } run;
    struct {
        heed_model_kind kind;
        int64_t layers, encoder_layers, heads, width, hidden,
            time; /* hidden: feed-forward width, 0 = 4 width; time: context length in tokens */
        heed_attend attention;
        heed_encoder_attend encoder_attention;
        int64_t window; /* tokens; 0 = a quarter of time */
        heed_positions positions;
        bool scale_embeddings;
        heed_norm_place norm;
        double norm_eps;
        heed_activation activation;
        double dropout;
        bool tied, bias;
        heed_init init;
        double init_std;
    } model;
    struct {
        char text[HEED_PATH_MAX];  /* raw text, prepared by training itself */
        char store[HEED_PATH_MAX]; /* token store; empty = run.dir/tokens.h5 */
        char pairs[HEED_PATH_MAX]; /* instead of a text: a file of sources and targets */
        heed_tokenizer_kind tokenizer;
        heed_source_tokenizer source_tokenizer; /* of pairs */
        bool joint;
        int64_t vocab; /* of a bpe tokenizer */
        double valid_share;
        heed_task_kind task; /* instead of a text */
        int64_t task_length, task_symbols, task_pairs, task_queries, task_fillers,
            task_valid; /* 0: the task's own; valid in sequences */
    } data;
    struct {
        int64_t steps, batch,
            grain; /* batch and grain in sequences; grain 0 = max(1, batch / 8) lowered to a divisor of batch */
        heed_optimizer_kind optimizer;
        double beta1, beta2, eps, momentum, weight_decay;
        heed_schedule_kind schedule;
        double peak_lr, final_lr;
        int64_t warmup, decay; /* steps; decay: length of WSD's last phase */
        double clip;           /* 0 = off */
        double label_smoothing;
        heed_on_nonfinite on_nonfinite;
        double spike_z;       /* standard deviations; 0 = off */
        int64_t spike_window; /* steps; at most HEED_MOST_WINDOW */
        int64_t verify_every; /* steps; 0 = off */
        heed_on_corruption on_corruption;
        char walltime[HEED_PATH_MAX]; /* a time, or "slurm" */
        heed_recompute recompute;
        int64_t threads; /* a rank; 0 = cores / ranks on the node */
        double watchdog; /* seconds; 0 = off */
        char init_from[HEED_PATH_MAX];
    } train;
    struct {
        int64_t every, batches; /* batches 0 = all of the validation text */
    } eval;
    struct {
        int64_t metrics_every, attention_every;
        char probes[HEED_PATH_MAX]; /* a number of validation sequences, or a file */
    } log;
    struct {
        int64_t every, keep, phase_every;
    } checkpoint;
    struct {
        char variants[HEED_PATH_MAX]; /* names, separated by spaces */
        int64_t runs;                 /* of each variant, with run.seed and those that follow */
        int64_t groups;               /* runs at a time; 0 = as many as ranks */
    } controls;
    struct {
        heed_expected verdict;
    } expect;
    struct { /* where each field was set, for messages; written by this module alone */
        char name[HEED_PATH_MAX];
        int32_t line[HEED_CONFIG_MAX_FIELDS];
    } origin;
} heed_config;

/* All defaults. Plain bytes without pointers: a config may be copied by assignment and sent as it is. Cannot fail. Not
 * collective. */
void heed_config_defaults(heed_config *config);

/* Reads INI text over what config holds. name is shown in messages ("configs/whale.ini:14: model.heads = 5: ...").
 * Unknown keys and sections name the nearest known one. After an error config is partly set. When two texts are read
 * one after the other, later messages name lines of the last one. Errors: HEED_CONFIG, HEED_NOT_FOUND (no such file, a
 * folder, unreadable). Not collective. */
heed_status heed_config_read_file(heed_config *config, const char *path, heed_error *error);
heed_status heed_config_read_text(heed_config *config, const char *name, const char *text, heed_error *error);

/* One "section.key=value" from the command line; wins over what a file said. Errors: HEED_CONFIG. Not collective. */
heed_status heed_config_override(heed_config *config, const char *assignment, heed_error *error);

/* Checks combinations (width divisible by heads, batch a multiple of grain, ...) and resolves values that stand for
 * others: hidden 0, grain 0, and an empty run.dir, which becomes runs/ and the name of the config file without its
 * ending. The message names the place (file and line, command line, or default) of the key at fault: of two that do not
 * go together, the one that was set more deliberately. Not touched, because they depend on the machine or the folder:
 * train.threads 0, an empty data.store. Errors: HEED_CONFIG. Not collective. */
heed_status heed_config_resolve(heed_config *config, heed_error *error);

/* The seconds of a time as train.walltime has it: a number of seconds, or [days-]hours:minutes:seconds or
 * minutes:seconds as SLURM writes them. Negative: not a time. */
double heed_walltime_seconds(const char *text);

/* Whether log.probes is a number, of sequences of the validation data, and not the name of a file. Cannot fail. */
bool heed_probes_are_counted(const heed_config *config, size_t *number);

/* Blocks of the encoder: 0 without one. Cannot fail. */
size_t heed_encoder_layers(const heed_config *config);

/* The configuration as INI text that read_text accepts, every key in table order, numbers with as many digits as give
 * the same bits back. The caller frees it; NULL when memory is short. Not collective. */
char *heed_config_text(const heed_config *config);

/* The table for people: every key with type, default, range, meaning and unit. markdown: docs/config.md, word for word.
 * Otherwise plain text that is itself a config file; with the values of config, or the defaults when config is NULL.
 * Not collective. */
void heed_config_print(FILE *out, const heed_config *config, bool markdown);

/* Compares two resolved configurations in what decides parameter bits. Writes the first key that differs to key (or an
 * empty string). Keys that may change when a run resumes (train.steps, cadences, threads, run.dir, ...) are marked so
 * in the table. */
void heed_config_compare(const heed_config *a, const heed_config *b, char *key, size_t key_bytes);

#endif
