#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "heed/corpus.h"
#include "heed/task.h"

#define SHAPE(layers, heads, width, time, batch, vocab)                                                                \
    (const char *const[]) {                                                                                            \
        "model.layers=" #layers, "model.heads=" #heads, "model.width=" #width, "model.time=" #time,                    \
            "train.batch=" #batch, "data.task=noise", "data.task_symbols=" #vocab, "run.dir=bench", NULL               \
    }

const heedi_shape heedi_shapes[] = {
    {"S", "4 layers, 4 heads, width 128, time 64, batch 12, vocabulary 65", SHAPE(4, 4, 128, 64, 12, 65)},
    {"M", "6 layers, 6 heads, width 384, time 256, batch 8, vocabulary 65", SHAPE(6, 6, 384, 256, 8, 65)},
    {"L", "GPT-2 124M: 12 layers, 12 heads, width 768, time 64, batch 4, vocabulary 50257",
     SHAPE(12, 12, 768, 64, 4, 50257)},
    {0},
};

bool heedi_shape_config(heed_config *config, const char *name) {
    const heedi_shape *shape = heedi_shapes;
    while (shape->name && strcmp(shape->name, name) != 0)
        shape++;
    if (!shape->name)
        return false;
    heed_error error = HEED_ERROR_INIT;
    heed_config_defaults(config);
    for (const char *const *setting = shape->settings; *setting; setting++)
        HEED_CHECK(heed_config_override(config, *setting, &error) == HEED_OK);
    return true;
}

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

static heed_status learn_text(heedi_vocabulary *data, const heed_config *config, heed_error *error) {
    size_t bytes;
    char *text = read_text(config->data.text, &bytes, error);
    if (text)
        heed_tokenizer_learn(&data->learned, config->data.tokenizer, config->data.text, text, bytes, error);
    data->tokenizer = data->learned;
    free(text);
    return error->status;
}

heed_status heedi_vocabulary_open(heedi_vocabulary *data, const heed_config *config, heed_error *error) {
    *data = (heedi_vocabulary){0};
    if (config->data.task == HEED_NO_TASK && !config->data.store[0])
        return learn_text(data, config, error);
    if (config->data.task != HEED_NO_TASK) {
        const heed_task_settings settings = heed_task_settings_of(config);
        heed_corpus_of_task(&data->corpus, &settings, error);
    } else {
        heed_corpus_open(&data->corpus, config->data.store, error);
    }
    if (error->status == HEED_OK)
        data->tokenizer = heed_corpus_tokenizer(data->corpus);
    return error->status;
}

void heedi_vocabulary_reset(heedi_vocabulary *data) {
    heed_tokenizer_destroy(data->learned);
    heed_corpus_close(data->corpus);
    *data = (heedi_vocabulary){0};
}
