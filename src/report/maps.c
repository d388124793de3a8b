#include "report/maps.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "heed/report.h"

const heedi_map_form heedi_map_forms[HEEDI_MAP_FORMS] = {
    {"attention", false, 2, 0.45},
    {"credit", true, 1, 0.45},
    {"advantage", true, 1, 0.1},
};

/* Levels of attention and of the others, from fine to coarse. The first row is what is kept in memory. */
enum { RUNGS = 7 };
static const int ladder[RUNGS][2] = {{255, 127}, {127, 127}, {127, 63}, {63, 63}, {63, 31}, {31, 31}, {31, 15}};

static int levels_of(int f, int rung) {
    return ladder[rung][heedi_map_forms[f].is_signed];
}

size_t heedi_thinned(size_t i, size_t k, size_t n) {
    return k < 2 ? n - 1 : (i * (n - 1) + (k - 1) / 2) / (k - 1);
}

static size_t heads_of(const heedi_maps *maps) {
    return maps->probes * maps->log->layers * maps->log->heads;
}

const char *const heedi_kind_names[HEED_N_ATTENTION_KINDS] = {"self", "encoder", "cross"};

static size_t longest(const int64_t *length, size_t n) {
    size_t most = 1;
    for (size_t p = 0; p < n; p++)
        most = (size_t)length[p] > most ? (size_t)length[p] : most;
    return most;
}

static bool is_causal(const heedi_log_reader *log) {
    return log->kind == HEED_SELF_ATTENTION;
}

/* As many probes as leave room for two logs, at least one; then as many logs as there is room for. */
heed_status heedi_maps_init(heedi_maps *maps, const heedi_log_reader *log, size_t room, heed_error *error) {
    *maps = (heedi_maps){.log = log, .queries = longest(log->length, log->probes)};
    maps->keys = longest(log->key_length, log->probes);
    maps->n_values = is_causal(log) ? maps->queries * (maps->queries + 1) / 2 : maps->queries * maps->keys;
    const double largest = heedi_map_forms[0].share * (double)room;
    const double probe = (double)log->layers * (double)log->heads * (double)maps->n_values;
    maps->probes = 2 * probe * (double)log->probes <= largest ? log->probes : (size_t)(largest / (2 * probe));
    if (maps->probes == 0)
        maps->probes = 1;
    bool complete = true;
    for (int f = 0; f < HEEDI_MAP_FORMS; f++) {
        const double fits = heedi_map_forms[f].share * (double)room / (probe * (double)maps->probes);
        maps->n_kept[f] = fits < (double)log->n_logs ? (size_t)fits : log->n_logs;
        const size_t n_maps = heads_of(maps) * maps->n_kept[f];
        maps->q[f] = calloc(n_maps * maps->n_values + 1, 1);
        maps->scale[f] = calloc(n_maps + 1, sizeof(float));
        complete = complete && maps->q[f] && maps->scale[f];
    }
    if (maps->n_kept[0] > 0)
        maps->one = calloc(heedi_log_reader_elements(log) + 1, sizeof(float));
    if (complete && (maps->one || maps->n_kept[0] == 0))
        return HEED_OK;
    return heed_fail(error, HEED_MEMORY, "%s: out of memory", log->folder);
}

void heedi_maps_reset(heedi_maps *maps) {
    for (int f = 0; f < HEEDI_MAP_FORMS; f++) {
        free(maps->q[f]);
        free(maps->scale[f]);
    }
    free(maps->one);
    *maps = (heedi_maps){0};
}

static unsigned char quantise(int f, float value, float scale) {
    const heedi_map_form *form = &heedi_map_forms[f];
    const double share = scale > 0 && isfinite(value) ? (double)value / (double)scale : 0;
    const double size = fmin(fabs(share), 1);
    const int q = (int)(levels_of(f, 0) * (form->power == 2 ? sqrt(size) : size) + 0.5);
    return (unsigned char)(form->is_signed ? (share < 0 ? 128 - q : 128 + q) : q);
}

/* One map: the visible keys of every query. */
static void take_map(const heedi_maps *maps, int f, unsigned char *q, float *scale, const float *map) {
    const size_t time = maps->log->time;
    const bool is_signed = heedi_map_forms[f].is_signed, causal = is_causal(maps->log);
    *scale = is_signed ? 0 : 1;
    for (size_t i = 0; i < maps->queries && is_signed; i++)
        for (size_t j = 0; j < (causal ? i + 1 : maps->keys); j++)
            *scale = isfinite(map[i * time + j]) ? fmaxf(*scale, fabsf(map[i * time + j])) : *scale;
    for (size_t i = 0; i < maps->queries; i++)
        for (size_t j = 0; j < (causal ? i + 1 : maps->keys); j++)
            *q++ = quantise(f, map[i * time + j], *scale);
}

/* The place of log i among k thinned ones of n; k when it is not one of them. */
static size_t place_of(size_t i, size_t k, size_t n) {
    for (size_t place = 0; place < k; place++)
        if (heedi_thinned(place, k, n) == i)
            return place;
    return k;
}

heed_status heedi_maps_take(heedi_maps *maps, size_t i, heed_store *store, heed_error *error) {
    const heedi_log_reader *log = maps->log;
    const size_t time = log->time, dims[6] = {1, log->probes, log->layers, log->heads, time, time};
    heed_status status = HEED_OK;
    for (int f = 0; f < HEEDI_MAP_FORMS && status == HEED_OK; f++) {
        const heedi_map_form *form = &heedi_map_forms[f];
        const size_t kept = maps->n_kept[f], place = place_of(i, kept, log->n_logs);
        if (place == kept)
            continue;
        status = heed_store_read(store, form->name, HEED_TYPE_FLOAT32, 6, dims, maps->one, error);
        if (status != HEED_OK)
            break;
#pragma omp parallel for
        for (size_t h = 0; h < heads_of(maps); h++)
            take_map(maps, f, maps->q[f] + (h * kept + place) * maps->n_values, maps->scale[f] + h * kept + place,
                     maps->one + h * time * time);
    }
    return status;
}

/* --- chunks ------------------------------------------------------------------------------------------------------- */

typedef struct chunk {
    unsigned char *bytes; /* deflated */
    uLongf n_bytes;
} chunk;

static void put_scale(unsigned char *to, float scale) {
    uint32_t bits;
    memcpy(&bits, &scale, sizeof bits);
    for (int b = 0; b < 4; b++)
        to[b] = (unsigned char)(bits >> 8 * b);
}

/* The map with fewer levels. */
static void coarsen(unsigned char *to, const unsigned char *q, size_t n, int f, int levels) {
    const int zero = heedi_map_forms[f].is_signed ? 128 : 0, most = levels_of(f, 0);
    for (size_t v = 0; v < n; v++) {
        const int finer = q[v] - zero, size = (2 * abs(finer) * levels + most) / (2 * most);
        to[v] = (unsigned char)(zero + (finer < 0 ? -size : size));
    }
}

static chunk compress_head(const heedi_maps *maps, int f, size_t h) {
    const size_t kept = maps->n_kept[f], shown = maps->n_shown[f], n = maps->n_values;
    const size_t head_bytes = heedi_map_forms[f].is_signed ? 4 * shown : 0;
    const uLong plain_bytes = (uLong)(head_bytes + shown * n);
    uLong n_bytes = compressBound(plain_bytes);
    unsigned char *plain = malloc(plain_bytes + 1), *bytes = malloc(n_bytes);
    int fault = plain && bytes ? Z_OK : Z_MEM_ERROR;
    if (fault == Z_OK) {
        unsigned char *values = plain + head_bytes;
        for (size_t k = 0; k < shown; k++) {
            const size_t place = h * kept + heedi_thinned(k, shown, kept);
            if (head_bytes)
                put_scale(plain + 4 * k, maps->scale[f][place]);
            coarsen(values + k * n, maps->q[f] + place * n, n, f, maps->levels[f]);
        }
        for (size_t v = shown * n; v-- > n;)
            values[v] = (unsigned char)(values[v] - values[v - n]);
        fault = compress2(bytes, &n_bytes, plain, plain_bytes, 6);
    }
    free(plain);
    if (fault == Z_OK)
        return (chunk){.bytes = bytes, .n_bytes = n_bytes};
    free(bytes);
    return (chunk){0};
}

/* What the chunks will take as base64, from a few of them. */
static double forecast(const heedi_maps *maps) {
    const size_t n = heads_of(maps), sample = n < 8 ? n : 8;
    double bytes = 0;
    for (int f = 0; f < HEEDI_MAP_FORMS; f++) {
        if (maps->n_shown[f] == 0)
            continue;
        double sampled = 0;
#pragma omp parallel for reduction(+ : sampled)
        for (size_t i = 0; i < sample; i++) {
            const chunk made = compress_head(maps, f, i * n / sample);
            sampled += (double)made.n_bytes;
            free(made.bytes);
        }
        bytes += sampled * (double)n / (double)sample * 4 / 3;
    }
    return bytes;
}

/* The finest levels that fit; where even the coarsest do not, fewer logs. */
static void fit(heedi_maps *maps, size_t n_bytes) {
    double expected = 0;
    for (int rung = 0; rung < RUNGS && (rung == 0 || expected > (double)n_bytes); rung++) {
        for (int f = 0; f < HEEDI_MAP_FORMS; f++) {
            maps->n_shown[f] = maps->n_kept[f];
            maps->levels[f] = levels_of(f, rung);
        }
        expected = forecast(maps);
    }
    for (int f = 0; f < HEEDI_MAP_FORMS && expected > (double)n_bytes; f++)
        maps->n_shown[f] = (size_t)((double)n_bytes / expected * (double)maps->n_kept[f]);
}

json_t *heedi_maps_fit(heedi_maps *maps, size_t n_bytes) {
    json_t *forms = json_array();
    fit(maps, n_bytes);
    for (int f = 0; f < HEEDI_MAP_FORMS; f++) {
        const heedi_map_form *form = &heedi_map_forms[f];
        const size_t shown = maps->n_shown[f], kept = maps->n_kept[f];
        if (shown == 0)
            continue;
        json_t *steps = json_array();
        for (size_t k = 0; k < shown; k++) {
            const size_t log = heedi_thinned(heedi_thinned(k, shown, kept), kept, maps->log->n_logs);
            json_array_append_new(steps, json_integer((json_int_t)maps->log->step[log]));
        }
        json_array_append_new(forms, json_pack("{ss sb si si so}", "name", form->name, "signed", form->is_signed,
                                               "levels", maps->levels[f], "power", form->power, "steps", steps));
    }
    return forms;
}

static bool write_chunk(const heedi_maps *maps, int f, size_t h, const chunk *made, size_t run, heedi_page *page) {
    const size_t heads = maps->log->heads, layers = maps->log->layers;
    char open[128];
    const int length = snprintf(open, sizeof open, "<script type=\"text/plain\" id=\"map-%zu-%s-%s-%zu-%zu-%zu\">", run,
                                heedi_kind_names[maps->log->kind], heedi_map_forms[f].name, h / heads / layers,
                                h / heads % layers, h % heads);
    heedi_page_bytes(page, open, (size_t)length);
    if (made->bytes)
        heedi_page_base64(page, made->bytes, made->n_bytes);
    heedi_page_bytes(page, "</script>\n", 10);
    return made->bytes;
}

/* All forms of a head lie together, so that a browser has them soon. */
heed_status heedi_maps_write(const heedi_maps *maps, size_t run, heedi_page *page, heed_error *error) {
    const size_t n = heads_of(maps) * HEEDI_MAP_FORMS;
    chunk *chunks = calloc(n + 1, sizeof *chunks);
    bool complete = chunks;
    if (chunks) {
#pragma omp parallel for schedule(dynamic)
        for (size_t c = 0; c < n; c++)
            if (maps->n_shown[c % HEEDI_MAP_FORMS] > 0)
                chunks[c] = compress_head(maps, (int)(c % HEEDI_MAP_FORMS), c / HEEDI_MAP_FORMS);
    }
    for (size_t i = 0; chunks && i < n / HEEDI_MAP_FORMS; i++) {
        const size_t h = i == 0 ? maps->first : i <= maps->first ? i - 1 : i;
        for (int f = 0; f < HEEDI_MAP_FORMS; f++) {
            const chunk *made = &chunks[h * HEEDI_MAP_FORMS + (size_t)f];
            if (maps->n_shown[f] > 0)
                complete = write_chunk(maps, f, h, made, run, page) && complete;
            free(made->bytes);
        }
    }
    free(chunks);
    return complete ? HEED_OK : heed_fail(error, HEED_MEMORY, "%s: out of memory", page->path);
}
