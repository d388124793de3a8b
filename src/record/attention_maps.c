#include "record/attention_maps.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "heed/arena.h"
#include "heed/nn/attention.h"
#include "heed/store.h"

heed_status heed_attention_maps_create(heed_attention_maps **out, size_t probes, size_t layers, size_t heads,
                                       size_t time, heed_error *error) {
    const size_t n_maps = probes * layers * heads, map = heed_bytes(time, time);
    heed_attention_maps *maps = calloc(1, sizeof *maps);
    *out = maps;
    if (maps) {
        *maps = (heed_attention_maps){.probes = probes, .layers = layers, .heads = heads, .time = time};
        maps->scratch = malloc(heed_bytes((size_t)omp_get_max_threads() * HEEDI_N_MAPS, heed_bytes(map, sizeof(real))));
        bool complete = maps->scratch;
        for (int k = 0; k < HEEDI_N_MAPS; k++) {
            maps->half[k] = calloc(heed_bytes(n_maps, map), sizeof *maps->half[k]);
            maps->scale[k] = calloc(n_maps, sizeof *maps->scale[k]);
            complete = complete && maps->half[k] && maps->scale[k];
        }
        maps->has_worker = complete && heedi_worker_begin(&maps->worker, "attention log", error) == HEED_OK;
        if (maps->has_worker)
            return HEED_OK;
    }
    heed_attention_maps_destroy(maps);
    *out = NULL;
    heed_fail(error, HEED_MEMORY, "attention log: %zu maps of %zu x %zu tokens do not fit into memory",
              HEEDI_N_MAPS * n_maps, time, time);
    return heed_hint(error, "use fewer probes (log.probes)");
}

void heed_attention_maps_destroy(heed_attention_maps *maps) {
    if (!maps)
        return;
    if (maps->has_worker)
        heedi_worker_end(&maps->worker);
    heedi_log_job_free(maps->job);
    for (int k = 0; k < HEEDI_N_MAPS; k++) {
        free(maps->half[k]);
        free(maps->scale[k]);
    }
    free(maps->scratch);
    free(maps);
}

/* One map in the corner of its (time, time) place; rows and columns beyond a shorter probe's length are 0. */
static void keep(heed_attention_maps *maps, heedi_map kind, size_t index, const real *values, size_t length) {
    uint16_t *half = maps->half[kind] + index * maps->time * maps->time;
    if (kind == HEEDI_ATTENTION) { /* weights lie in [0, 1]: as they stand */
        maps->scale[kind][index] = 1;
        heed_half_pack_as(half, values, length * length, 1);
    } else {
        maps->scale[kind][index] = heed_half_pack(half, values, length * length);
    }
    for (size_t i = length; length < maps->time && i-- > 0;) /* spread the rows, last one first */
        memmove(half + i * maps->time, half + i * length, length * sizeof *half);
    for (size_t i = 0; length < maps->time && i < maps->time; i++) {
        const size_t from = i < length ? length : 0;
        memset(half + i * maps->time + from, 0, (maps->time - from) * sizeof *half);
    }
}

void heed_attention_maps_see(void *context, const heed_attention_view *view) {
    heed_attention_maps *maps = context;
    const size_t probes = view->query_rows->n_sequences, map = maps->time * maps->time;
    HEED_CHECK(probes <= maps->probes && view->heads == maps->heads && view->layer < maps->layers);
    HEED_CHECK(view->query_rows->max_length <= maps->time && view->d_output);
    heedi_worker_rest(&maps->worker);
    const heed_attention attention = {.heads = view->heads,
                                      .head_width = view->head_width,
                                      .causal = view->causal,
                                      .scale = 1 / (real)sqrt((double)view->head_width),
                                      .query_stride = view->stride,
                                      .key_stride = view->stride};
#pragma omp parallel for schedule(dynamic)
    for (size_t item = 0; item < probes * view->heads; item++) {
        const size_t probe = item / view->heads, head = item % view->heads;
        const size_t length = heed_length(view->query_rows, probe);
        real *scratch = maps->scratch + (size_t)omp_get_thread_num() * HEEDI_N_MAPS * map;
        heed_attention_inspect(&attention, scratch, scratch + map, scratch + 2 * map, view->d_output, view->output,
                               view->query, view->key, view->value, view->query_rows, view->key_rows, probe, head);
        const size_t index = (probe * maps->layers + view->layer) * maps->heads + head;
        for (int k = 0; k < HEEDI_N_MAPS; k++)
            keep(maps, (heedi_map)k, index, scratch + (size_t)k * map, length);
    }
}
