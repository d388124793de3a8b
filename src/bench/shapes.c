#include <string.h>

#include "bench/bench.h"

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
