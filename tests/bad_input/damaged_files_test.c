/* Every damage to every kind of file: the reader refuses it with one line that names the file, or the damage is one
 * that the reader need not see. What may pass is listed, and must pass: the list says what a reader relies on. */
#include <fnmatch.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "damage.h"
#include "heed/attention_log.h"
#include "heed/checkpoint.h"
#include "heed/corpus.h"
#include "heed/pairs.h"
#include "heed/params.h"
#include "heed/probe_file.h"
#include "heed/tokenizer.h"

typedef struct reader {
    heed_status (*read)(const char *path, heed_error *error);
    const char *bad;              /* the damaged file */
    const char *const *tolerated; /* patterns of damages that are none to this reader, NULL at the end */
    bool *met;                    /* which of them came */
    size_t n_refused, n_passed, n_wrong;
} reader;

static void complain(reader *r, const char *what, const char *about, const heed_error *error) {
    print_error("%s: %s: %s (%s)\n", what, about, error->message, error->hint);
    r->n_wrong++;
}

static bool is_tolerated(reader *r, const char *what) {
    for (size_t i = 0; r->tolerated[i]; i++)
        if (fnmatch(r->tolerated[i], what, 0) == 0)
            return r->met[i] = true;
    return false;
}

/* What is not there may be named by the folder that it is missing in. */
static bool names_file(const heed_error *error, const reader *r, const char *what) {
    const size_t length = strlen(r->bad);
    if (strcmp(what, "(file): does not exist") == 0)
        return strncmp(error->message, r->bad, strcspn(error->message, ":")) == 0;
    return strncmp(error->message, r->bad, length) == 0 && error->message[length] == ':';
}

static void try_reader(void *context, const char *what) {
    reader *r = context;
    heed_error error = HEED_ERROR_INIT;
    const heed_status status = r->read(r->bad, &error);
    const bool tolerated = is_tolerated(r, what);
    if (status != error.status)
        complain(r, what, "status and error differ", &error);
    else if (status == HEED_OK && !tolerated)
        complain(r, what, "is not noticed", &error);
    else if (status != HEED_OK && tolerated)
        complain(r, what, "should not matter", &error);
    else if (status != HEED_OK && status != HEED_DATA && status != HEED_NOT_FOUND && status != HEED_CONFIG)
        complain(r, what, heed_status_name(status), &error);
    else if (status != HEED_OK && !names_file(&error, r, what))
        complain(r, what, "does not start with the file", &error);
    else
        *(status == HEED_OK ? &r->n_passed : &r->n_refused) += 1;
}

/* Reads every damaged version, at `bad`, of the sound file at path. */
static void check_reader(const char *path, const char *bad, heed_status (*read)(const char *path, heed_error *error),
                         const char *const *tolerated) {
    heed_error error = HEED_ERROR_INIT;
    bool met[64] = {false};
    reader r = {.read = read, .bad = bad, .tolerated = tolerated, .met = met};
    if (read(path, &error) != HEED_OK)
        fail_msg("%s", error.message);
    const size_t n = damage_each(path, bad, try_reader, &r);
    for (size_t i = 0; tolerated[i]; i++)
        if (!met[i])
            fail_msg("no damage is like %s", tolerated[i]);
    print_message("%zu damages: %zu refused, %zu need not be seen, %zu wrong\n", n, r.n_refused, r.n_passed, r.n_wrong);
    assert_int_equal(r.n_wrong, 0);
    assert_true(r.n_refused > 80);
}

/* --- token store ------------------------------------------------------------------------------------------------ */

static void make_tokens(void) {
    heed_error error = HEED_ERROR_INIT;
    FILE *text = fopen("text.txt", "w");
    for (int i = 0; i < 40; i++)
        fprintf(text, "Call me Ishma\xC3\xABl, %d.\n", i);
    fclose(text);
    if (heed_corpus_prepare("tokens.h5", (const char *[]){"text.txt"}, 1, HEED_TOKENIZER_CHAR, 0.25, &error) != HEED_OK)
        fail_msg("%s", error.message);
}

/* As training does: open, then every token. */
static heed_status read_tokens(const char *path, heed_error *error) {
    heed_corpus *corpus;
    heed_status status = heed_corpus_open(&corpus, path, error);
    if (status != HEED_OK)
        return status;
    for (int split = 0; split < 2 && status == HEED_OK; split++) {
        const size_t n = heed_corpus_tokens(corpus, (heed_split)split);
        assert_true(n < 100000);
        int32_t *tokens = malloc((n + 1) * sizeof *tokens);
        status = heed_corpus_read(corpus, (heed_split)split, 0, n, tokens, error);
        free(tokens);
    }
    heed_corpus_close(corpus);
    return status;
}

static void damaged_token_stores(void **state) {
    (void)state;
    static const char *const tolerated[] = {
        "/texts/*", /* where the text came from: told, not relied on */
        "/ texts_digest: *",
        "/ heed_version: *",
        "/ valid_share: *",
        "/train: has a row *", /* another text, as sound */
        "/valid: has a row *",
        "/train: has no rows", /* the batcher says how many tokens it needs */
        "/valid: has no rows",
        NULL,
    };
    make_tokens();
    check_reader("tokens.h5", "damaged.h5", read_tokens, tolerated);
}

/* --- store of pairs --------------------------------------------------------------------------------------------- */

static void make_pairs(void) {
    heed_error error = HEED_ERROR_INIT;
    const heed_pairs_settings settings = {
        .source = HEED_TOKENIZER_CHAR, .target = HEED_TOKENIZER_WORD, .valid_share = 0.25};
    FILE *text = fopen("pairs.tsv", "w");
    for (int i = 0; i < 40; i++)
        fprintf(text, "Ishma\xC3\xABl %d\tCall me number %d.\n", i, i);
    fclose(text);
    if (heed_pairs_prepare("pairs.h5", (const char *[]){"pairs.tsv"}, 1, &settings, &error) != HEED_OK)
        fail_msg("%s", error.message);
}

/* As training does: open, then every pair. */
static heed_status read_pairs(const char *path, heed_error *error) {
    heed_corpus *corpus;
    int32_t tokens[1000];
    heed_status status = heed_corpus_open(&corpus, path, error);
    if (status != HEED_OK)
        return status;
    for (heed_split split = HEED_TRAIN; split <= HEED_VALID; split++)
        for (size_t i = 0; i < heed_corpus_pairs(corpus, split) && status == HEED_OK; i++)
            for (heed_side side = HEED_SOURCE; side <= HEED_TARGET && status == HEED_OK; side++) {
                assert_true(heed_corpus_pair_length(corpus, split, side, i) <= 1000);
                status = heed_corpus_read_pair(corpus, split, side, i, tokens, error);
            }
    heed_corpus_close(corpus);
    return status;
}

static void damaged_stores_of_pairs(void **state) {
    (void)state;
    static const char *const tolerated[] = {
        "/texts/*", /* where the pairs came from: told, not relied on */
        "/ texts_digest: *", "/ heed_version: *", "/ valid_share: *", NULL,
    };
    make_pairs();
    check_reader("pairs.h5", "damaged.h5", read_pairs, tolerated);
}

/* --- checkpoint ------------------------------------------------------------------------------------------------- */

static heed_params *params;
static real *arena[3];

static heed_config small_model(void) {
    heed_config config;
    heed_config_defaults(&config);
    config.model.layers = 1;
    config.model.heads = 2;
    config.model.width = 6;
    config.model.time = 5;
    config.model.bias = true;
    assert_int_equal(heed_config_resolve(&config, NULL), HEED_OK);
    return config;
}

static void make_checkpoint(void) {
    heed_error error = HEED_ERROR_INIT;
    heed_tokenizer *tokenizer;
    const heed_config config = small_model();
    const char text[] = "there she blows";
    assert_int_equal(heed_tokenizer_learn(&tokenizer, HEED_TOKENIZER_CHAR, "text", text, strlen(text), &error),
                     HEED_OK);
    assert_int_equal(heed_params_create(&params, &config, heed_tokenizer_vocab(tokenizer), 0, &error), HEED_OK);
    for (int i = 0; i < 3; i++)
        arena[i] = calloc(params->n_elements, sizeof(real));
    heed_params_init(params, arena[0], &config);
    heed_checkpoint_state state = {.step = 7, .valid_loss = 2, .best_loss = 1.5, .best_step = 5, .kernel = "skx"};
    strcpy(state.data_digest, "0123456789abcdef0123456789abcdef");
    state.config_text = heed_config_text(&config);
    const heed_checkpoint_arenas arenas = {params, arena[0], arena[1], arena[2]};
    if (heed_checkpoint_write("checkpoints", &state, &arenas, tokenizer, &error) != HEED_OK)
        fail_msg("%s", error.message);
    heed_checkpoint_state_reset(&state);
    heed_tokenizer_destroy(tokenizer);
}

/* As resuming does: state, configuration, arenas, tokenizer. */
static heed_status read_checkpoint(const char *path, heed_error *error) {
    heed_checkpoint_state state;
    heed_tokenizer *tokenizer = NULL;
    heed_config config;
    const heed_checkpoint_arenas arenas = {params, arena[0], arena[1], arena[2]};
    heed_status status = heed_checkpoint_read_state(path, &state, error);
    if (status != HEED_OK)
        return status;
    heed_config_defaults(&config);
    status = heed_config_read_text(&config, path, state.config_text, error);
    if (status == HEED_OK)
        status = heed_checkpoint_read(path, &arenas, &tokenizer, error);
    heed_tokenizer_destroy(tokenizer);
    heed_checkpoint_state_reset(&state);
    return status;
}

static void damaged_checkpoints(void **state) {
    (void)state;
    static const char *const tolerated[] = {
        "/ blis: *", /* what wrote it: told, not relied on */
        "/ hdf5: *",
        "/ mpi: *",
        "/ heed_version: *",
        "/ kernel: is as *",             /* compared with the one that runs, and warned of */
        "/ data_digest: is as *",        /* compared with the token store's */
        "/ config: is as low as can be", /* an empty text means all defaults, which the tensors then contradict */
        "/ step: is as high as can be",
        "/ best_step: is as high as can be",
        "/ valid_loss: is as *", /* not a number = none was measured */
        "/ best_loss: is as *",
        NULL,
    };
    make_checkpoint();
    check_reader("checkpoints/step-00000007.h5", "damaged.h5", read_checkpoint, tolerated);
    for (int i = 0; i < 3; i++)
        free(arena[i]);
    heed_params_destroy(params);
}

/* --- attention log ---------------------------------------------------------------------------------------------- */

#define LOG_STEP "./attention/step-00000009.h5"

static void make_attention_log(void) {
    enum { PROBES = 2, LAYERS = 1, HEADS = 2, TIME = 3 };
    heed_error error = HEED_ERROR_INIT;
    heed_tokenizer *tokenizer;
    heed_attention_maps *maps;
    static const char text[] = "thar";
    static const size_t first_row[] = {0, TIME, 2 * TIME}, first_of[] = {0, PROBES};
    static const uint32_t sequence[] = {0, 1};
    static const int32_t token[2 * TIME] = {0, 1, 2, 3, 2, 1};
    static const real weight[2 * TIME] = {1, 1, 1, 1, 1, 1};
    const double statistics[LAYERS * HEADS * HEED_N_STATISTICS] = {0};
    const heed_batch probes = {.rows = {.n_rows = 2 * TIME,
                                        .n_sequences = PROBES,
                                        .max_length = TIME,
                                        .first_row = first_row,
                                        .sequence = sequence,
                                        .n_grains = 1,
                                        .first_of = first_of},
                               .token = token,
                               .target = token,
                               .weight = weight};
    assert_int_equal(heed_tokenizer_learn(&tokenizer, HEED_TOKENIZER_CHAR, "text", text, strlen(text), &error),
                     HEED_OK);
    assert_int_equal(heed_attention_maps_create(&maps, HEED_SELF_ATTENTION, PROBES, LAYERS, HEADS, TIME, &error),
                     HEED_OK);
    if (heed_attention_log_write(".", 9, maps, statistics, &probes, tokenizer, "[model]\n", &error) != HEED_OK)
        fail_msg("%s", error.message);
    assert_int_equal(rename(LOG_STEP, "sound-log.h5"), 0);
    heed_attention_maps_destroy(maps);
    heed_tokenizer_destroy(tokenizer);
}

/* As `heed merge` does; a sound file comes from where damage_each leaves the damaged ones. */
static heed_status merge_log(const char *path, heed_error *error) {
    if (strcmp(path, LOG_STEP) != 0)
        assert_int_equal(link(path, LOG_STEP), 0);
    const heed_status status = heed_attention_log_merge(".", HEED_SELF_ATTENTION, "merged.h5", error);
    assert_true((access("merged.h5", F_OK) == 0) == (status == HEED_OK)); /* whole or not at all */
    assert_true(access("merged.h5.tmp", F_OK) != 0);
    unlink("merged.h5");
    return status;
}

static void damaged_attention_logs(void **state) {
    (void)state;
    static const char *const tolerated[] = {
        "/ config: is as *",     "/ title: *", "/ Conventions: *", "/ heed_version: *",
        "/[a-z]* [A-Za-z_]*: *", /* attributes of arrays are for xarray and people */
        "/[!s]*: begins badly",  /* figures are copied as they are */
        "/[!s]*: ends badly",    NULL,
    };
    make_attention_log();
    check_reader("sound-log.h5", LOG_STEP, merge_log, tolerated);
}

/* --- probe ------------------------------------------------------------------------------------------------------ */

static void make_probe(void) {
    const heed_probe_sizes sizes = {
        .sites = 2, .heads = 2, .windows = 2, .positions = 3, .probes = 2, .time = 3, .bytes = 4};
    heed_error error = HEED_ERROR_INIT;
    heed_probe probe;
    assert_int_equal(heed_probe_alloc(&probe, &sizes, &error), HEED_OK);
    probe.window[0] = 1, probe.window[1] = 2;
    probe.config_text = strdup("[model]\n");
    strcpy(probe.checkpoint, "step-00000007.h5");
    if (heed_probe_write(&probe, "probe.h5", &error) != HEED_OK)
        fail_msg("%s", error.message);
    heed_probe_reset(&probe);
}

static heed_status read_probe(const char *path, heed_error *error) {
    heed_probe probe;
    const heed_status status = heed_probe_read(&probe, path, error);
    if (status == HEED_OK)
        heed_probe_reset(&probe);
    return status;
}

static void damaged_probes(void **state) {
    (void)state;
    static const char *const tolerated[] = {
        "/ config: is as *",
        "/ checkpoint: is as *",
        "/ title: *",
        "/ Conventions: *",
        "/ heed_version: *",
        "/ step: is as high as can be",
        "/[a-z]* [A-Za-z_]*: *", /* attributes of arrays are for xarray and people */
        "/[!hkpqsw]*: * badly",  /* measured numbers may be any; coordinates and what counts may not */
        "/p[!or]*: * badly",
        "/position_*: * badly",
        "/pre*: * badly",
        "/se*: * badly",
        "/span*: * badly",
        "/window_*: * badly",
        NULL,
    };
    make_probe();
    check_reader("probe.h5", "damaged.h5", read_probe, tolerated);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_token_stores), cmocka_unit_test(damaged_stores_of_pairs),
        cmocka_unit_test(damaged_checkpoints),  cmocka_unit_test(damaged_attention_logs),
        cmocka_unit_test(damaged_probes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
