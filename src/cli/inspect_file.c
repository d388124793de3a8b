#include "cli/inspect.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/pairs_file.h"
#include "heed/checkpoint.h"
#include "heed/corpus.h"
#include "heed/probe_file.h"
#include "heed/store.h"
#include "record/attention_log.h"

#define TEXT_MAX ((size_t)1 << 20)

static const char *type_name(heed_type type) {
    switch (type) {
    case HEED_TYPE_UINT8:
        return "uint8";
    case HEED_TYPE_UINT16:
        return "uint16";
    case HEED_TYPE_INT32:
        return "int32";
    case HEED_TYPE_INT64:
        return "int64";
    case HEED_TYPE_UINT64:
        return "uint64";
    case HEED_TYPE_FLOAT16:
        return "float16";
    case HEED_TYPE_FLOAT32:
        return "float32";
    case HEED_TYPE_FLOAT64:
        return "float64";
    case HEED_TYPE_CHAR:
        return "char";
    case HEED_TYPE_STRING:
        return "string";
    }
    return "?";
}

static heed_status see_array(void *context, const char *name, const heed_array *array, heed_error *error) {
    json_t *shape = json_array();
    for (int i = 0; i < array->n_dims; i++)
        json_array_append_new(shape, json_integer((json_int_t)array->dims[i]));
    json_t *row = json_pack("{ss ss so}", "name", name, "type", type_name(array->type), "shape", shape);
    if (json_array_append_new(context, row) != 0)
        return heed_fail(error, HEED_MEMORY, "no memory for the list of arrays");
    return HEED_OK;
}

/* JSON has no NaN. */
static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static void set_text(json_t *found, const char *key, heed_store *store, const char *object, const char *attribute) {
    heed_error none = HEED_ERROR_INIT;
    char *text = NULL;
    if (heed_store_read_text(store, object, attribute, TEXT_MAX, &text, &none) == HEED_OK)
        json_object_set_new(found, key, json_string(text));
    free(text);
}

void heedi_model_in_words(char *words, size_t bytes, const char *config_text) {
    heed_config *config = malloc(sizeof *config);
    heed_error none = HEED_ERROR_INIT;
    *words = 0;
    if (!config)
        return;
    heed_config_defaults(config);
    if (heed_config_read_text(config, "config", config_text, &none) == HEED_OK)
        snprintf(words, bytes, "%s, layers %lld, heads %lld, width %lld, context %lld",
                 config->model.kind == HEED_DECODER ? "decoder" : "encoder-decoder", (long long)config->model.layers,
                 (long long)config->model.heads, (long long)config->model.width, (long long)config->model.time);
    free(config);
}

static void describe_tokenizer(json_t *found, const heed_tokenizer *tokenizer) {
    json_object_set_new(found, "tokenizer", json_string(heed_tokenizer_name(tokenizer)));
    json_object_set_new(found, "vocabulary", json_integer((json_int_t)heed_tokenizer_vocab(tokenizer)));
}

static json_int_t count_parameters(const json_t *arrays) {
    json_int_t total = 0;
    for (size_t i = 0; i < json_array_size(arrays); i++) {
        const json_t *array = json_array_get(arrays, i), *shape = json_object_get(array, "shape");
        json_int_t size = 1;
        for (size_t k = 0; k < json_array_size(shape); k++)
            size *= json_integer_value(json_array_get(shape, k));
        if (strncmp(json_string_value(json_object_get(array, "name")), "/params/", 8) == 0)
            total += size;
    }
    return total;
}

static heed_status describe_checkpoint(json_t *found, heed_store *store, const json_t *arrays, heed_error *error) {
    heed_checkpoint_state state;
    heed_tokenizer *tokenizer = NULL;
    char words[128];
    if (heed_tokenizer_read(&tokenizer, store, "/tokenizer", error) != HEED_OK)
        return error->status;
    if (heed_checkpoint_read_state(heed_store_path(store), &state, error) == HEED_OK) {
        json_object_set_new(found, "step", json_integer((json_int_t)state.step));
        json_object_set_new(found, "valid_loss", number(state.valid_loss));
        json_object_set_new(found, "best_loss", number(state.best_loss));
        json_object_set_new(found, "best_step", json_integer((json_int_t)state.best_step));
        heedi_model_in_words(words, sizeof words, state.config_text);
        json_object_set_new(found, "model", json_string(words));
        json_object_set_new(found, "parameters", json_integer(count_parameters(arrays)));
        describe_tokenizer(found, tokenizer);
        json_object_set_new(found, "data_digest", json_string(state.data_digest));
        json_object_set_new(found, "kernel", json_string(state.kernel));
        json_object_set_new(found, "config", json_string(state.config_text));
        heed_checkpoint_state_reset(&state);
    }
    heed_tokenizer_destroy(tokenizer);
    return error->status;
}

/* Where the tokens come from. */
static heed_status describe_texts(json_t *found, heed_store *store, heed_error *error) {
    heed_array array;
    if (heed_store_describe(store, "/texts/name", &array, error) != HEED_OK)
        return error->status;
    const size_t n = array.n_dims == 1 ? array.dims[0] : 0;
    char **names = calloc(n + 1, sizeof *names);
    uint64_t *bytes = calloc(n + 1, sizeof *bytes);
    json_t *texts = json_array();
    if (!names || !bytes)
        heed_fail(error, HEED_MEMORY, "no memory for the names of %zu texts", n);
    else if (heed_store_read(store, "/texts/bytes", HEED_TYPE_UINT64, 1, &n, bytes, error) == HEED_OK &&
             heed_store_read(store, "/texts/name", HEED_TYPE_STRING, 1, &n, names, error) == HEED_OK)
        for (size_t i = 0; i < n; i++)
            json_array_append_new(texts, json_pack("{ss sI}", "name", names[i], "bytes", (json_int_t)bytes[i]));
    for (size_t i = 0; names && i < n; i++)
        free(names[i]);
    free(names);
    free(bytes);
    json_object_set_new(found, "texts", texts);
    return error->status;
}

static heed_status describe_pairs(json_t *found, heed_store *store, const json_t *arrays, heed_error *error) {
    (void)arrays;
    heed_corpus *corpus = NULL;
    if (heed_corpus_open(&corpus, heed_store_path(store), error) != HEED_OK)
        return error->status;
    const heed_tokenizer *source = heed_corpus_source_tokenizer(corpus);
    json_object_set_new(found, "train_pairs", json_integer((json_int_t)heed_corpus_pairs(corpus, HEED_TRAIN)));
    json_object_set_new(found, "valid_pairs", json_integer((json_int_t)heed_corpus_pairs(corpus, HEED_VALID)));
    describe_tokenizer(found, heed_corpus_tokenizer(corpus));
    json_object_set_new(found, "source_tokenizer", json_string(heed_tokenizer_name(source)));
    json_object_set_new(found, "source_vocabulary", json_integer((json_int_t)heed_tokenizer_vocab(source)));
    json_object_set_new(found, "joint", json_string(source == heed_corpus_tokenizer(corpus) ? "yes" : "no"));
    json_object_set_new(found, "data_digest", json_string(heed_corpus_digest(corpus)));
    heed_corpus_close(corpus);
    return describe_texts(found, store, error);
}

static heed_status describe_tokens(json_t *found, heed_store *store, const json_t *arrays, heed_error *error) {
    (void)arrays;
    heed_corpus *corpus = NULL;
    if (heed_corpus_open(&corpus, heed_store_path(store), error) != HEED_OK)
        return error->status;
    json_object_set_new(found, "train_tokens", json_integer((json_int_t)heed_corpus_tokens(corpus, HEED_TRAIN)));
    json_object_set_new(found, "valid_tokens", json_integer((json_int_t)heed_corpus_tokens(corpus, HEED_VALID)));
    describe_tokenizer(found, heed_corpus_tokenizer(corpus));
    json_object_set_new(found, "data_digest", json_string(heed_corpus_digest(corpus)));
    heed_corpus_close(corpus);
    return describe_texts(found, store, error);
}

/* Length of a one-dimensional array, 0 when there is none of that name. */
static size_t length_of(heed_store *store, const char *name) {
    heed_error none = HEED_ERROR_INIT;
    heed_array array;
    if (!heed_store_has(store, name) || heed_store_describe(store, name, &array, &none) != HEED_OK || array.n_dims != 1)
        return 0;
    return array.dims[0];
}

static heed_status describe_attention(json_t *found, heed_store *store, const json_t *arrays, heed_error *error) {
    (void)arrays;
    static const char *const axes[][2] = {
        {"step", "steps"}, {"probe", "probes"}, {"layer", "layers"}, {"head", "heads"}, {"query", "time"}};
    for (size_t i = 0; i < sizeof axes / sizeof *axes; i++)
        json_object_set_new(found, axes[i][1], json_integer((json_int_t)length_of(store, axes[i][0])));
    const size_t n_steps = length_of(store, "step");
    int64_t first = 0, last = 0;
    if (n_steps == 0)
        return heed_fail(error, HEED_DATA, "%s: an attention log without steps", heed_store_path(store));
    if (heed_store_read_rows(store, "step", HEED_TYPE_INT64, 0, 1, &first, error) != HEED_OK ||
        heed_store_read_rows(store, "step", HEED_TYPE_INT64, n_steps - 1, 1, &last, error) != HEED_OK)
        return error->status;
    json_object_set_new(found, "first_step", json_integer(first));
    json_object_set_new(found, "last_step", json_integer(last));
    set_text(found, "config", store, "/", "config");
    return HEED_OK;
}

static heed_status describe_probe(json_t *found, heed_store *store, const json_t *arrays, heed_error *error) {
    (void)arrays;
    heed_probe probe;
    heed_probe_pick pick;
    if (heed_probe_read(&probe, heed_store_path(store), error) != HEED_OK)
        return error->status;
    json_object_set_new(found, "checkpoint", json_string(probe.checkpoint));
    json_object_set_new(found, "step", json_integer((json_int_t)probe.step));
    json_object_set_new(found, "sequences", number(probe.sequences[HEED_PROBE_ALL]));
    json_object_set_new(found, "loss", number(probe.loss[HEED_PROBE_ALL]));
    if (heed_probe_best(&pick, &probe, probe.ablate_zero, 1)) {
        char words[80];
        snprintf(words, sizeof words, "%s-attention %lld, head %zu: %.4f nats",
                 heed_probe_site_name(probe.site_kind[pick.site]), (long long)probe.site_layer[pick.site], pick.head,
                 pick.reported);
        json_object_set_new(found, "missed_most", json_string(words));
    }
    json_object_set_new(found, "config", json_string(probe.config_text));
    heed_probe_reset(&probe);
    return HEED_OK;
}

/* --- files of every kind ------------------------------------------------------------------------------------------ */

static heed_status describe_store(json_t *found, heed_store *store, heed_error *error) {
    static const struct {
        const char *kind;
        heed_status (*describe)(json_t *found, heed_store *store, const json_t *arrays, heed_error *error);
    } kinds[] = {{HEEDI_CORPUS_KIND, describe_tokens},
                 {HEEDI_PAIRS_KIND, describe_pairs},
                 {"checkpoint", describe_checkpoint},
                 {HEEDI_LOG_KIND, describe_attention},
                 {HEED_PROBE_KIND, describe_probe}};
    char *kind = NULL;
    int64_t format = 0;
    if (heed_store_read_text(store, "/", "heed_kind", TEXT_MAX, &kind, error) != HEED_OK ||
        heed_store_read_int(store, "/", "heed_format", &format, error) != HEED_OK) {
        free(kind);
        return error->status;
    }
    json_object_set_new(found, "kind", json_string(kind));
    json_object_set_new(found, "format", json_integer(format));
    set_text(found, "version", store, "/", "heed_version");
    json_object_set_new(found, "bytes", json_integer((json_int_t)heed_store_bytes(store)));
    json_object_set_new(found, "digest", json_string(heed_store_digest(store)));
    json_t *arrays = json_array();
    heed_store_each(store, "/", see_array, arrays, error);
    size_t i = 0;
    while (i < sizeof kinds / sizeof *kinds && strcmp(kind, kinds[i].kind) != 0)
        i++;
    if (i == sizeof kinds / sizeof *kinds)
        heed_fail(error, HEED_DATA, "%s: heed_kind = %s: not a kind that this version knows", heed_store_path(store),
                  kind);
    free(kind);
    if (error->status == HEED_OK)
        kinds[i].describe(found, store, arrays, error);
    json_object_set_new(found, "arrays", arrays); /* last: they are many */
    return error->status;
}

/* metrics.jsonl, timing.jsonl: how many lines, and the last of them. */
static heed_status describe_lines(json_t *found, const char *path, heed_error *error) {
    FILE *file = fopen(path, "re");
    if (!file)
        return heed_fail(error, HEED_NOT_FOUND, "%s: %s", path, strerror(errno));
    json_t *first = NULL, *last = NULL;
    char *line = NULL;
    size_t room = 0;
    long n_lines = 0;
    for (ssize_t length; error->status == HEED_OK && (length = getline(&line, &room, file)) > 0; n_lines++) {
        json_error_t fault;
        json_t *object = line[length - 1] == '\n' ? json_loadb(line, (size_t)length, 0, &fault) : NULL;
        if (!object || !json_is_integer(json_object_get(object, "step")))
            heed_fail(error, HEED_DATA, "%s:%ld: not a whole line of figures", path, n_lines + 1);
        json_decref(last);
        last = object;
        if (n_lines == 0)
            first = json_incref(object);
    }
    json_object_set_new(found, "kind", json_string("figures"));
    json_object_set_new(found, "lines", json_integer(n_lines));
    json_object_set(found, "first_step", json_object_get(first, "step"));
    json_object_set(found, "last", last);
    json_decref(first);
    json_decref(last);
    free(line);
    fclose(file);
    return error->status;
}

static bool ends_with(const char *text, const char *end) {
    const size_t n_text = strlen(text), n_end = strlen(end);
    return n_text >= n_end && strcmp(text + n_text - n_end, end) == 0;
}

static heed_status describe_config(json_t *found, const char *path, heed_error *error) {
    heed_config *config = malloc(sizeof *config);
    if (!config)
        return heed_fail(error, HEED_MEMORY, "no memory for a config");
    heed_config_defaults(config);
    if (heed_config_read_file(config, path, error) == HEED_OK && heed_config_resolve(config, error) == HEED_OK) {
        char words[128], *text = heed_config_text(config);
        heedi_model_in_words(words, sizeof words, text ? text : "");
        json_object_set_new(found, "kind", json_string("config"));
        json_object_set_new(found, "model", json_string(words));
        json_object_set_new(found, "config", json_string(text ? text : ""));
        free(text);
    }
    free(config);
    return error->status;
}

json_t *heedi_inspect_file(const char *path, heed_error *error) {
    json_t *found = json_pack("{ss}", "file", path);
    heed_store *store = NULL;
    if (!found)
        heed_fail(error, HEED_DATA, "%s: a name that is not UTF-8", path);
    else if (ends_with(path, ".jsonl"))
        describe_lines(found, path, error);
    else if (ends_with(path, ".ini"))
        describe_config(found, path, error);
    else if (heed_store_open(&store, path, true, error) == HEED_OK)
        describe_store(found, store, error);
    if (store)
        heed_store_close(store);
    if (error->status == HEED_OK)
        return found;
    json_decref(found);
    return NULL;
}
