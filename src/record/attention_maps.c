#include "record/attention_maps.h"

#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "heed/arena.h"
#include "heed/multiversion.h"
#include "heed/nn/attention.h"

static size_t add(size_t a, size_t b) {
    size_t sum;
    return __builtin_add_overflow(a, b, &sum) ? SIZE_MAX : sum;
}

/* Of one of the maps, and of the scratch of all threads. */
static size_t map_bytes_of(size_t n_maps, size_t time) {
    return heed_aligned(heed_bytes(heed_bytes(n_maps, heed_bytes(time, time)), sizeof(float)));
}

static size_t scratch_bytes_of(size_t time) {
    const size_t n_threads = (size_t)omp_get_max_threads();
    return heed_aligned(heed_bytes(n_threads * HEEDI_N_MAPS, heed_bytes(heed_bytes(time, time), sizeof(real))));
}

/* All of one kind, in whole huge pages: logs lie a hundred steps apart, and a virtual machine may take small pages that
 * were not used for so long 6 microseconds each to find again. */
static size_t kind_bytes_of(size_t n_maps, size_t time) {
    return heed_in_huge_pages(add(heed_bytes(HEEDI_N_MAPS, map_bytes_of(n_maps, time)), scratch_bytes_of(time)));
}

size_t heed_attention_layers(const heed_config *config, heed_attention_kind kind) {
    const size_t encoder = heed_encoder_layers(config), decoder = (size_t)config->model.layers;
    return kind == HEED_ENCODER_ATTENTION ? encoder : kind == HEED_SELF_ATTENTION || encoder > 0 ? decoder : 0;
}

size_t heed_attention_maps_bytes(const heed_config *config, size_t probes) {
    const size_t heads = (size_t)config->model.heads, time = (size_t)config->model.time;
    size_t bytes = 0;
    for (int kind = 0; kind < HEED_N_ATTENTION_KINDS && probes > 0; kind++) {
        const size_t layers = heed_attention_layers(config, (heed_attention_kind)kind);
        bytes = layers > 0 ? add(bytes, kind_bytes_of(heed_bytes(probes, layers * heads), time)) : bytes;
    }
    return bytes;
}

heed_status heed_attention_maps_create(heed_attention_maps **out, heed_attention_kind kind, size_t probes,
                                       size_t layers, size_t heads, size_t time, heed_error *error) {
    const size_t n_maps = probes * layers * heads;
    const size_t map_bytes = map_bytes_of(n_maps, time), scratch_bytes = scratch_bytes_of(time);
    heed_attention_maps *maps = calloc(1, sizeof *maps);
    *out = maps;
    if (maps) {
        *maps = (heed_attention_maps){.kind = kind, .probes = probes, .layers = layers, .heads = heads, .time = time};
        if (heed_arena_init(&maps->arena, kind_bytes_of(n_maps, time), "attention log", error) == HEED_OK) {
            for (int k = 0; k < HEEDI_N_MAPS; k++)
                maps->map[k] = heed_arena_take(&maps->arena, map_bytes);
            maps->scratch = heed_arena_take(&maps->arena, scratch_bytes);
            maps->has_worker = heedi_worker_begin(&maps->worker, "attention log", error) == HEED_OK;
        }
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
    heed_arena_reset(&maps->arena);
    free(maps);
}

void heed_attention_maps_set_sources(heed_attention_maps *maps, const heed_tokenizer *tokenizer) {
    maps->source_tokenizer = tokenizer;
}

/* Rounds to 11 significant bits, to nearest even; a carry out of the fraction belongs into the exponent. */
HEED_MULTIVERSION static void round_row(float *to, const real *from, size_t n) {
    for (size_t j = 0; j < n; j++) {
        const float x = (float)from[j];
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        const uint32_t rounded = (bits + 0xfffu + (bits >> 13 & 1u)) & ~0x1fffu;
        bits = (bits & 0x7f800000u) == 0x7f800000u ? bits : rounded; /* infinity and NaN stay */
        memcpy(&to[j], &bits, sizeof bits);
    }
}

/* One map in the corner of its (time, time) place; what lies beyond the ends of a shorter probe is 0. */
static void keep(float *to, size_t time, const real *from, size_t n_queries, size_t n_keys) {
    for (size_t i = 0; i < time; i++) {
        const size_t n = i < n_queries ? n_keys : 0;
        round_row(to + i * time, from + i * n_keys, n);
        memset(to + i * time + n, 0, (time - n) * sizeof *to);
    }
}

void heed_attention_maps_see(void *context, const heed_attention_view *view) {
    heed_attention_maps *maps = context;
    const size_t probes = view->query_rows->n_sequences, map = maps->time * maps->time;
    HEED_CHECK(view->kind == maps->kind && view->key_rows->max_length <= maps->time);
    HEED_CHECK(probes <= maps->probes && view->heads == maps->heads && view->layer < maps->layers);
    HEED_CHECK(view->query_rows->max_length <= maps->time && view->d_output);
    heedi_worker_rest(&maps->worker);
#pragma omp parallel for schedule(dynamic)
    for (size_t item = 0; item < probes * view->heads; item++) {
        const size_t probe = item / view->heads, head = item % view->heads;
        const size_t n_queries = heed_length(view->query_rows, probe), n_keys = heed_length(view->key_rows, probe);
        real *scratch = maps->scratch + (size_t)omp_get_thread_num() * HEEDI_N_MAPS * map;
        heed_attention_inspect(view->how, scratch, scratch + map, scratch + 2 * map, view->d_output, view->output,
                               view->query, view->key, view->value, view->query_rows, view->key_rows, probe, head);
        const size_t index = (probe * maps->layers + view->layer) * maps->heads + head;
        for (int k = 0; k < HEEDI_N_MAPS; k++)
            keep(maps->map[k] + index * map, maps->time, scratch + (size_t)k * map, n_queries, n_keys);
    }
}

heed_status heed_attention_maps_gather(heed_attention_maps *maps, heed_comm *comm, const size_t *first, size_t *room,
                                       heed_error *error) {
    const size_t n_ranks = (size_t)comm->size;
    const size_t probe_bytes = maps ? maps->layers * maps->heads * maps->time * maps->time * sizeof(float) : 0;
    size_t own_bytes = maps ? maps->probes * probe_bytes : 0;
    if (comm->rank == 0) {
        HEED_CHECK(first[n_ranks] == maps->probes);
        own_bytes = first[1] * probe_bytes;
        for (size_t rank = 0; rank < n_ranks; rank++) {
            room[rank] = (first[rank + 1] - first[rank]) * probe_bytes;
            room[n_ranks + rank] = first[rank] * probe_bytes;
        }
        heed_error given_up = HEED_ERROR_INIT;
        heedi_worker_wait(&maps->worker, &given_up);
        maps->unwritten = false; /* what was not written no longer has its maps */
    }
    heed_status status = HEED_OK;
    for (int k = 0; k < HEEDI_N_MAPS && status == HEED_OK; k++) {
        float *mine = maps ? maps->map[k] : NULL;
        status = heed_comm_gather(comm, mine, own_bytes, mine, room, room ? room + n_ranks : NULL, 0, error);
    }
    return status;
}
