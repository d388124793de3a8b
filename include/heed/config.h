/* Configuration: one typed table of fields drives parsing, range checks, overrides, `heed config`, docs/config.md and the resolved
 * copy that every file of ours carries.
 *
 * Text form: INI ("[section]", "key = value", ';' or '#' comments); on the command line "section.key=value". */
#ifndef HEED_CONFIG_H
#define HEED_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "heed/status.h"

#define HEED_PATH_MAX 1024

typedef enum heed_model_kind { HEED_DECODER } heed_model_kind;
typedef enum heed_positions { HEED_LEARNED, HEED_SINUSOIDAL, HEED_ROTARY, HEED_NO_POSITIONS } heed_positions;
typedef enum heed_norm_place { HEED_PRE_NORM } heed_norm_place;
typedef enum heed_activation { HEED_GELU, HEED_GELU_TANH, HEED_RELU } heed_activation;
typedef enum heed_init { HEED_INIT_GPT2, HEED_INIT_XAVIER, HEED_INIT_UNIFORM_FAN_IN } heed_init;
typedef enum heed_tokenizer_kind { HEED_TOKENIZER_CHAR, HEED_TOKENIZER_BYTE } heed_tokenizer_kind;
typedef enum heed_optimizer_kind { HEED_ADAMW, HEED_SGD } heed_optimizer_kind;
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
        int64_t layers, heads, width, hidden, time; /* hidden: feed-forward width, 0 = 4 width; time: context length in tokens */
        heed_positions positions;
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
        heed_tokenizer_kind tokenizer;
        double valid_share;
    } data;
    struct {
        int64_t steps, batch, grain; /* batch and grain in sequences; grain 0 = max(1, batch / 8) lowered to a divisor of batch */
        heed_optimizer_kind optimizer;
        double beta1, beta2, eps, momentum, weight_decay;
        heed_schedule_kind schedule;
        double peak_lr, final_lr;
        int64_t warmup, decay; /* steps; decay: length of WSD's last phase */
        double clip;           /* 0 = off */
        int64_t threads;       /* a rank; 0 = cores / ranks on the node */
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
        int64_t every, keep;
    } checkpoint;
} heed_config;

/* All defaults. */
void heed_config_defaults(heed_config *config);

/* Reads INI text. name is shown in messages ("configs/whale.ini:14: model.heads = 5: ..."). Unknown keys name the nearest known one.
 * Errors: HEED_CONFIG, HEED_NOT_FOUND. Not collective. */
heed_status heed_config_read_file(heed_config *config, const char *path, heed_error *error);
heed_status heed_config_read_text(heed_config *config, const char *name, const char *text, heed_error *error);

/* One "section.key=value" from the command line. */
heed_status heed_config_override(heed_config *config, const char *assignment, heed_error *error);

/* Checks combinations (width divisible by heads, batch a multiple of grain, ...) and resolves values that stand for others
 * (grain 0, hidden 0). The message names file and line of the key that is at fault, as remembered by config's reader. */
heed_status heed_config_resolve(heed_config *config, heed_error *error);

/* The resolved configuration as INI text that read_text accepts, every key in table order. The caller frees it. */
char *heed_config_text(const heed_config *config);

/* The table for people: plain text for `heed config`, Markdown for docs/config.md. */
void heed_config_print(FILE *out, const heed_config *config, bool markdown);

/* Compares what decides parameter bits. Writes the first key that differs to key (or an empty string). Keys that may
 * change when a run resumes (train.steps, cadences, threads, run.dir, ...) are marked so in the table. */
void heed_config_compare(const heed_config *a, const heed_config *b, char *key, size_t key_bytes);

#endif
