#include "record/attention_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heed/attention_log.h"
#include "heed/batch.h"
#include "heed/store.h"
#include "heed/task.h"
#include "record/step_files.h"

enum { CONFIG_BYTES = 1 << 20 };

heed_status heedi_log_reader_store(const heedi_log_reader *log, size_t i, heed_store **store, heed_error *error) {
    char path[HEED_PATH_MAX];
    const heed_status status = heedi_step_path(path, log->folder, log->step[i], error);
    return status == HEED_OK ? heed_store_open(store, path, true, error) : status;
}

size_t heedi_log_reader_elements(const heedi_log_reader *log) {
    return log->probes * log->layers * log->heads * log->time * log->time;
}

static bool lengths_fit(const int64_t *length, size_t n, size_t time) {
    for (size_t p = 0; p < n; p++)
        if (length[p] < 0 || length[p] > (int64_t)time)
            return false;
    return true;
}

/* The tokens that are looked at, where they are others than those that look. */
static heed_status read_keys(heedi_log_reader *log, heed_store *store, heed_error *error) {
    heed_status status = HEED_OK;
    log->key_length = log->length;
    log->key_text = log->text;
    if (log->kind == HEED_CROSS_ATTENTION) {
        log->key_length = calloc(log->probes + 1, sizeof *log->key_length);
        log->key_text = calloc(log->probes * log->time + 1, log->text_bytes);
        if (!log->key_length || !log->key_text)
            return heed_fail(error, HEED_MEMORY, "%s: out of memory", log->folder);
        status = heed_store_read(store, "key_text", HEED_TYPE_CHAR, 3,
                                 (size_t[]){log->probes, log->time, log->text_bytes}, log->key_text, error);
        if (status == HEED_OK)
            status = heed_store_read(store, "key_length", HEED_TYPE_INT64, 1, &log->probes, log->key_length, error);
    }
    if (status == HEED_OK &&
        !(lengths_fit(log->length, log->probes, log->time) && lengths_fit(log->key_length, log->probes, log->time)))
        status = heed_fail(error, HEED_DATA, "%s: a probe longer than its maps", heed_store_path(store));
    return status;
}

/* Memory for n things is taken only after the file said that it holds them. */
static heed_status read_tokens(heedi_log_reader *log, heed_store *store, heed_error *error) {
    heed_array text;
    heed_status status = heed_store_describe(store, "token_text", &text, error);
    if (status != HEED_OK)
        return status;
    if (text.n_dims != 3 || text.dims[0] != log->probes || text.dims[1] != log->time || text.dims[2] == 0)
        return heed_fail(error, HEED_DATA, "%s: token_text: not the text of its probes", heed_store_path(store));
    log->text_bytes = text.dims[2];
    log->token = calloc(log->probes * log->time + 1, sizeof *log->token);
    log->text = calloc(log->probes * log->time + 1, log->text_bytes);
    log->length = calloc(log->probes + 1, sizeof *log->length);
    if (!log->token || !log->text || !log->length)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", log->folder);
    status = heed_store_read(store, "token", HEED_TYPE_INT32, 2, (size_t[]){log->probes, log->time}, log->token, error);
    if (status == HEED_OK)
        status = heed_store_read(store, "token_text", HEED_TYPE_CHAR, 3, text.dims, log->text, error);
    if (status == HEED_OK)
        status = heed_store_read(store, "probe_length", HEED_TYPE_INT64, 1, &log->probes, log->length, error);
    return status == HEED_OK ? read_keys(log, store, error) : status;
}

/* The first file tells sizes, tokens and the configuration. */
static heed_status read_first(heedi_log_reader *log, heed_error *error) {
    heed_store *store;
    heed_array maps;
    heed_status status = heedi_log_reader_store(log, 0, &store, error);
    if (status != HEED_OK)
        return status;
    status = heed_store_describe(store, "attention", &maps, error);
    if (status == HEED_OK && (maps.n_dims != 6 || maps.dims[0] != 1 || maps.dims[4] != maps.dims[5]))
        status = heed_fail(error, HEED_DATA, "%s: attention: not one step of maps", heed_store_path(store));
    if (status == HEED_OK) {
        log->probes = maps.dims[1];
        log->layers = maps.dims[2];
        log->heads = maps.dims[3];
        log->time = maps.dims[4];
        status = read_tokens(log, store, error);
    }
    if (status == HEED_OK)
        status = heed_store_read_text(store, "/", "config", CONFIG_BYTES, &log->config_text, error);
    heed_store_close(store);
    return status;
}

/* Copies the truth of the probe batch, which must be of the logged tokens. */
static heed_status take_truth(heedi_log_reader *log, const heed_task *task, const heed_batch *batch,
                              heed_error *error) {
    const size_t time = log->time;
    log->n_truth = batch->n_truth;
    log->truth = calloc(log->probes * time * (batch->n_truth + 1), sizeof *log->truth);
    log->chance = calloc(log->probes * time + 1, sizeof *log->chance);
    if (!log->truth || !log->chance)
        return heed_fail(error, HEED_MEMORY, "%s: out of memory", log->folder);
    for (size_t p = 0; p < log->probes; p++)
        for (size_t i = 0; i < time; i++) {
            int32_t *truth = log->truth + (p * time + i) * log->n_truth;
            const size_t row = batch->rows.first_row[p] + i;
            const bool is_there = i < heed_length(&batch->rows, p);
            size_t n = 0;
            for (size_t t = 0; t < log->n_truth; t++) {
                truth[t] = is_there && batch->weight[row] > 0 ? batch->truth[row * log->n_truth + t] : -1;
                n += truth[t] >= 0;
            }
            if (n > 0)
                log->chance[p * time + i] = (double)n / (double)heed_task_candidates(task, i);
            if (is_there && batch->token[row] != log->token[p * time + i])
                return heed_fail(error, HEED_DATA, "%s: its probes are not those of its task", log->folder);
        }
    return HEED_OK;
}

static heed_status make_truth(heedi_log_reader *log, const heed_config *config, heed_error *error) {
    heed_corpus *corpus = NULL;
    heed_batcher *batcher = NULL;
    heed_batch batch = {0};
    const heed_task_settings settings = heed_task_settings_of(config);
    const heed_batch_shape shape = {.time = (size_t)config->model.time,
                                    .batch = (size_t)config->train.batch,
                                    .grain = (size_t)config->train.grain,
                                    .size = 1,
                                    .seed = (uint64_t)config->run.seed};
    if (config->data.task == HEED_NO_TASK) {
        heed_fail(error, HEED_DATA, "%s: was trained on a text, whose true positions nobody knows", log->folder);
        return heed_hint(error, "true positions are known in generated tasks (data.task)");
    }
    heed_status status = heed_corpus_of_task(&corpus, &settings, error);
    if (status == HEED_OK)
        status = heed_batcher_create(&batcher, corpus, &shape, error);
    if (status == HEED_OK)
        status = heed_batcher_probes(batcher, log->probes, &batch, error);
    const bool is_among_keys = batcher && batch.truth && log->kind != HEED_ENCODER_ATTENTION &&
                               batch.truth_in_source == (log->kind == HEED_CROSS_ATTENTION);
    if (status == HEED_OK && !is_among_keys)
        status = heed_fail(error, HEED_DATA, "%s: the task %s has no true positions among the tokens", log->folder,
                           heed_task_name(heed_corpus_task(corpus)));
    if (status == HEED_OK)
        status = take_truth(log, heed_corpus_task(corpus), &batch, error);
    heed_batcher_destroy(batcher);
    heed_corpus_close(corpus);
    return status;
}

heed_status heedi_log_reader_open(heedi_log_reader *log, const char *run_dir, heed_attention_kind kind,
                                  heed_error *error) {
    *log = (heedi_log_reader){.kind = kind};
    if (snprintf(log->folder, sizeof log->folder, "%s/%s", run_dir, heed_attention_folder(kind)) >=
        (int)sizeof log->folder)
        return heed_fail(error, HEED_NOT_FOUND, "%s: the name of this folder is too long", run_dir);
    heed_status status = heedi_step_list(log->folder, false, &log->step, &log->n_logs, error);
    if (status == HEED_OK && log->n_logs == 0) {
        heed_fail(error, HEED_NOT_FOUND, "%s: no attention log lies there", log->folder);
        return heed_hint(error, kind == HEED_SELF_ATTENTION
                                    ? "log.attention_every says how often attention is logged"
                                    : "an encoder-decoder has it, where log.attention_every is not 0");
    }
    if (status == HEED_OK)
        status = read_first(log, error);
    return status;
}

heed_status heedi_log_reader_truth(heedi_log_reader *log, heed_error *error) {
    heed_config config;
    heed_config_defaults(&config);
    heed_status status = heed_config_read_text(&config, log->folder, log->config_text, error);
    if (status == HEED_OK)
        status = heed_config_resolve(&config, error);
    return status == HEED_OK ? make_truth(log, &config, error) : status;
}

void heedi_log_reader_close(heedi_log_reader *log) {
    if (log->kind == HEED_CROSS_ATTENTION) {
        free(log->key_length);
        free(log->key_text);
    }
    free(log->step);
    free(log->token);
    free(log->text);
    free(log->length);
    free(log->config_text);
    free(log->truth);
    free(log->chance);
    *log = (heedi_log_reader){0};
}

heed_status heedi_log_reader_read(const heedi_log_reader *log, size_t i, heedi_map_kind kind, float *map,
                                  heed_error *error) {
    static const char *const names[] = {"attention", "advantage", "credit"};
    const size_t dims[6] = {1, log->probes, log->layers, log->heads, log->time, log->time};
    heed_store *store;
    heed_status status = heedi_log_reader_store(log, i, &store, error);
    if (status != HEED_OK)
        return status;
    status = heed_store_read(store, names[kind], HEED_TYPE_FLOAT32, 6, dims, map, error);
    heed_store_close(store);
    return status;
}

heed_status heedi_log_reader_statistic(const heedi_log_reader *log, size_t i, const char *name, double *values,
                                       heed_error *error) {
    heed_store *store;
    heed_status status = heedi_log_reader_store(log, i, &store, error);
    if (status != HEED_OK)
        return status;
    status = heed_store_read(store, name, HEED_TYPE_FLOAT64, 3, (size_t[]){1, log->layers, log->heads}, values, error);
    heed_store_close(store);
    return status;
}
