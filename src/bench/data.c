/* What is to be learned decides how large a model is, and pairs how long their sequences are: so the data is read once,
 * and numbers remain. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "heed/pairs.h"
#include "heed/task.h"

/* The whole file. The caller frees it. */
static char *read_text(const char *path, size_t *bytes, heed_error *error) {
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    long length = -1;
    if (file && fseek(file, 0, SEEK_END) == 0 && (length = ftell(file)) >= 0 && fseek(file, 0, SEEK_SET) == 0)
        text = malloc((size_t)length + 1);
    if (!text || fread(text, 1, (size_t)length, file) != (size_t)length) {
        heed_fail(error, file ? HEED_IO : HEED_NOT_FOUND, "%s: %s", path, strerror(errno));
        free(text);
        text = NULL;
    }
    *bytes = text ? (size_t)length : 0;
    if (file)
        fclose(file);
    return text;
}

static heed_status learn_text(heedi_bench_data *data, const heed_config *config, heed_error *error) {
    size_t bytes;
    char *text = read_text(config->data.text, &bytes, error);
    if (text)
        heed_tokenizer_learn(&data->learned, config->data.tokenizer, config->data.text, text, bytes, error);
    data->tokenizer = data->learned;
    free(text);
    return error->status;
}

static void store_path(char path[HEED_PATH_MAX + 16], const heedi_bench_data *data) {
    snprintf(path, HEED_PATH_MAX + 16, "%s/tokens.h5", data->folder);
}

static heed_status learn_pairs(heedi_bench_data *data, const heed_config *config, heed_error *error) {
    const char *parent = getenv("TMPDIR"), *const file = config->data.pairs;
    const heed_pairs_settings settings = heed_pairs_settings_of(config);
    char path[HEED_PATH_MAX + 16];
    const char *const within = parent && parent[0] ? parent : "/tmp";
    if (snprintf(data->folder, sizeof data->folder, "%s/heed-XXXXXX", within) >= (int)sizeof data->folder)
        errno = ENAMETOOLONG, *data->folder = 0;
    if (!data->folder[0] || !mkdtemp(data->folder)) {
        *data->folder = 0;
        return heed_fail(error, HEED_CREATE, "TMPDIR = %s: %s", within, strerror(errno));
    }
    store_path(path, data);
    return heed_pairs_prepare(path, &file, 1, &settings, error) == HEED_OK
               ? heed_corpus_open(&data->corpus, path, error)
               : error->status;
}

static heed_status read_data(heedi_bench_data *data, const heed_config *config, heed_error *error) {
    if (config->data.task != HEED_NO_TASK) {
        const heed_task_settings settings = heed_task_settings_of(config);
        return heed_corpus_of_task(&data->corpus, &settings, error);
    }
    if (config->data.store[0] && access(config->data.store, F_OK) == 0)
        return heed_corpus_open(&data->corpus, config->data.store, error);
    if (config->data.pairs[0])
        return learn_pairs(data, config, error);
    if (config->data.text[0])
        return learn_text(data, config, error);
    return heed_corpus_open(&data->corpus, config->data.store, error); /* says what is wrong with it */
}

/* Rows of sequences as training will have them: those of pairs that fit, with a mark each. */
static heed_status measure_pairs(const heed_corpus *corpus, size_t most, heedi_sizes *sizes, heed_error *error) {
    size_t n = 0, rows = 0, source_rows = 0;
    for (int split = HEED_TRAIN; split <= HEED_VALID; split++)
        for (size_t i = 0; i < heed_corpus_pairs(corpus, (heed_split)split); i++) {
            const size_t source = 1 + heed_corpus_pair_length(corpus, (heed_split)split, HEED_SOURCE, i);
            const size_t target = 1 + heed_corpus_pair_length(corpus, (heed_split)split, HEED_TARGET, i);
            if (source > most || target > most)
                continue;
            sizes->most_source_rows = source > sizes->most_source_rows ? source : sizes->most_source_rows;
            if (split == HEED_TRAIN)
                n++, rows += target, source_rows += source;
        }
    if (n == 0)
        return heed_fail(error, HEED_CONFIG, "model.time = %zu: every pair has a side of more tokens", most);
    sizes->rows = (rows + n - 1) / n;
    sizes->source_rows = (source_rows + n - 1) / n;
    return HEED_OK;
}

static heed_status measure(const heedi_bench_data *data, const heed_config *config, heedi_sizes *sizes,
                           heed_error *error) {
    const heed_corpus *corpus = data->corpus;
    const heed_task *task = corpus ? heed_corpus_task(corpus) : NULL;
    const size_t most = (size_t)config->model.time;
    *sizes = (heedi_sizes){.vocab = heed_tokenizer_vocab(data->tokenizer), .rows = most};
    if (config->model.kind == HEED_DECODER)
        return HEED_OK;
    if (!task) {
        sizes->source_vocab = heed_corpus_source_vocab(corpus);
        return measure_pairs(corpus, most, sizes, error);
    }
    sizes->rows = heed_task_time(task);
    sizes->source_rows = sizes->most_source_rows = heed_task_source_time(task);
    const size_t longer = sizes->rows > sizes->source_rows ? sizes->rows : sizes->source_rows;
    if (longer <= most)
        return HEED_OK;
    return heed_fail(error, HEED_CONFIG, "model.time = %zu: a sequence of the task %s has %zu tokens", most,
                     heed_task_name(task), longer);
}

static bool has_sources(const heed_corpus *corpus) {
    const heed_task *task = corpus ? heed_corpus_task(corpus) : NULL;
    return corpus && (task ? heed_task_source_time(task) > 0 : heed_corpus_has_pairs(corpus));
}

heed_status heedi_bench_data_open(heedi_bench_data *data, const heed_config *config, heed_error *error) {
    *data = (heedi_bench_data){0};
    if (read_data(data, config, error) != HEED_OK)
        return error->status;
    if (has_sources(data->corpus) != (config->model.kind == HEED_ENCODER_DECODER))
        return heed_fail(error, HEED_CONFIG, "model.kind = %s: the data %s",
                         config->model.kind == HEED_DECODER ? "decoder" : "encoder_decoder",
                         config->model.kind == HEED_DECODER ? "are pairs" : "have no sources");
    if (data->corpus)
        data->tokenizer = heed_corpus_tokenizer(data->corpus);
    return measure(data, config, &data->sizes, error);
}

void heedi_bench_data_reset(heedi_bench_data *data) {
    heed_tokenizer_destroy(data->learned);
    heed_corpus_close(data->corpus);
    if (data->folder[0]) {
        char path[HEED_PATH_MAX + 16];
        store_path(path, data);
        unlink(path);
        rmdir(data->folder);
    }
    *data = (heedi_bench_data){0};
}
