/* Writing one file of the attention log, at once or in the background. */
#include "heed/attention_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sizes.h"
#include "heed/config.h"
#include "heed/log.h"
#include "record/attention_log.h"
#include "record/attention_maps.h"
#include "record/piece_text.h"
#include "record/step_files.h"

/* The tokens along one axis of the maps. */
typedef struct axis {
    int64_t *length;         /* (probes) */
    int32_t *token, *target; /* (probes, time) */
    char **piece;            /* (probes, time): each token as text */
    char *text;              /* the same as (probes, time, bytes), padded with NUL */
} axis;

/* Everything of a file that is not in the maps already. */
typedef struct content {
    int64_t step;
    int64_t *count;                       /* 0, 1, 2, ...: coordinates */
    double *statistic[HEED_N_STATISTICS]; /* (layers, heads) each */
    axis query, key;                      /* key: of cross-attention, whose tokens are others than the queries' */
    uint8_t *byte;                        /* (bytes), all zero */
    size_t n_tokens, bytes;               /* probes * time; of the longest text */
} content;

static void axis_free(axis *a, size_t n_tokens) {
    for (size_t i = 0; a->piece && i < n_tokens; i++)
        free(a->piece[i]);
    free(a->length);
    free(a->token);
    free(a->target);
    free(a->piece);
    free(a->text);
}

static void content_free(content *c) {
    for (int k = 0; k < HEED_N_STATISTICS; k++)
        free(c->statistic[k]);
    axis_free(&c->query, c->n_tokens);
    axis_free(&c->key, c->n_tokens);
    free(c->count);
    free(c->byte);
}

static bool axis_alloc(axis *a, size_t probes, size_t n_tokens) {
    a->length = calloc(probes, sizeof *a->length);
    a->token = calloc(n_tokens, sizeof *a->token);
    a->target = calloc(n_tokens, sizeof *a->target);
    a->piece = calloc(n_tokens, sizeof *a->piece);
    return a->length && a->token && a->target && a->piece;
}

static bool content_alloc(content *c, const heed_attention_maps *maps) {
    const size_t most = heedi_max(heedi_max(maps->probes, maps->layers), heedi_max(maps->heads, maps->time));
    bool complete = true;
    c->n_tokens = maps->probes * maps->time;
    for (int k = 0; k < HEED_N_STATISTICS; k++)
        complete = (c->statistic[k] = calloc(maps->layers * maps->heads, sizeof(double))) && complete;
    c->count = calloc(most, sizeof *c->count);
    for (size_t i = 0; c->count && i < most; i++)
        c->count[i] = (int64_t)i;
    return complete && c->count && axis_alloc(&c->query, maps->probes, c->n_tokens) &&
           axis_alloc(&c->key, maps->probes, c->n_tokens);
}

/* token, target: of all rows; a source has no targets. */
static bool fill_axis(axis *a, const heed_ragged *rows, const int32_t *token, const int32_t *target,
                      const heed_tokenizer *tokenizer, size_t n_probes, size_t time) {
    for (size_t p = 0; p < n_probes; p++) {
        const size_t length = p < rows->n_sequences ? heed_length(rows, p) : 0;
        a->length[p] = (int64_t)length;
        for (size_t i = 0; i < time; i++) {
            const size_t at = p * time + i, row = i < length ? rows->first_row[p] + i : 0;
            a->token[at] = i < length ? token[row] : -1;
            a->target[at] = i < length && target ? target[row] : -1;
            size_t bytes = 0;
            const char *piece = i < length ? heed_tokenizer_piece(tokenizer, a->token[at], &bytes) : NULL;
            if (!(a->piece[at] = heedi_piece_text(piece ? piece : "", piece ? bytes : 0)))
                return false;
        }
    }
    return true;
}

static bool put_text(axis *a, size_t n_tokens, size_t bytes) {
    a->text = calloc(n_tokens, bytes);
    for (size_t i = 0; a->text && i < n_tokens; i++)
        memcpy(a->text + i * bytes, a->piece[i], strlen(a->piece[i]));
    return a->text != NULL;
}

static bool fill_tokens(content *c, const heed_attention_maps *maps, const heed_batch *probes,
                        const heed_tokenizer *tokenizer) {
    const bool crosses = maps->kind == HEED_CROSS_ATTENTION, encodes = maps->kind == HEED_ENCODER_ATTENTION;
    const heed_ragged *rows = encodes ? &probes->source : &probes->rows;
    const heed_tokenizer *of_source = maps->source_tokenizer ? maps->source_tokenizer : tokenizer;
    if (!fill_axis(&c->query, rows, encodes ? probes->source_token : probes->token, encodes ? NULL : probes->target,
                   encodes ? of_source : tokenizer, maps->probes, maps->time))
        return false;
    if (crosses &&
        !fill_axis(&c->key, &probes->source, probes->source_token, NULL, of_source, maps->probes, maps->time))
        return false;
    c->bytes = 1;
    for (size_t i = 0; i < c->n_tokens; i++) {
        c->bytes = heedi_max(c->bytes, strlen(c->query.piece[i]));
        c->bytes = crosses ? heedi_max(c->bytes, strlen(c->key.piece[i])) : c->bytes;
    }
    c->byte = calloc(c->bytes, 1);
    return c->byte && put_text(&c->query, c->n_tokens, c->bytes) &&
           (!crosses || put_text(&c->key, c->n_tokens, c->bytes));
}

static heed_status write_arrays(heed_store *store, const heed_attention_maps *maps, const content *c,
                                heed_error *error) {
    const heedi_log_sizes sizes = {1, maps->probes, maps->layers, maps->heads, maps->time, c->bytes};
    const void *data[HEEDI_LOG_N] = {[HEEDI_LOG_STEP] = &c->step,
                                     [HEEDI_LOG_LENGTH] = c->query.length,
                                     [HEEDI_LOG_TOKEN] = c->query.token,
                                     [HEEDI_LOG_TARGET] = c->query.target,
                                     [HEEDI_LOG_TEXT] = c->query.text,
                                     [HEEDI_LOG_BYTE] = c->byte,
                                     [HEEDI_LOG_KEY_LENGTH] = c->key.length,
                                     [HEEDI_LOG_KEY_TOKEN] = c->key.token,
                                     [HEEDI_LOG_KEY_TEXT] = c->key.text};
    for (int id = HEEDI_LOG_PROBE; id <= HEEDI_LOG_KEY; id++)
        data[id] = c->count;
    for (int k = 0; k < HEEDI_N_MAPS; k++)
        data[HEEDI_LOG_MAP + k] = maps->map[k];
    for (int k = 0; k < HEED_N_STATISTICS; k++)
        data[HEEDI_LOG_STATISTIC + k] = c->statistic[k];
    heed_status status = HEED_OK;
    for (int id = 0; id < heedi_log_arrays(maps->kind) && status == HEED_OK; id++) {
        size_t dims[HEED_STORE_MAX_DIMS], n;
        const int n_dims = heedi_log_shape(dims, &n, (heedi_log_id)id, &sizes);
        status = heed_store_write(store, heedi_log_table[id].name, heedi_log_table[id].type, n_dims, dims, data[id],
                                  heedi_log_deflates((heedi_log_id)id), error);
    }
    return status;
}

/* --- jobs ------------------------------------------------------------------------------------------------------- */

struct heedi_log_job {
    const heed_attention_maps *maps;
    content content;
    char path[HEED_PATH_MAX], *config_text;
};

void heedi_log_job_free(heedi_log_job *job) {
    if (!job)
        return;
    content_free(&job->content);
    free(job->config_text);
    free(job);
}

/* Copies all that the caller may change before the job is done, but for the maps. */
static heed_status job_create(heedi_log_job **out, const char *run_dir, uint64_t step, const heed_attention_maps *maps,
                              const double *statistics, const heed_batch *probes, const heed_tokenizer *tokenizer,
                              const char *config_text, heed_error *error) {
    heedi_log_job *job = calloc(1, sizeof *job);
    char folder[HEED_PATH_MAX];
    heed_status status = HEED_OK;
    *out = NULL;
    if (!job || !(job->config_text = strdup(config_text)) || !content_alloc(&job->content, maps) ||
        !fill_tokens(&job->content, maps, probes, tokenizer))
        status = heed_fail(error, HEED_MEMORY, "%s: attention log: out of memory", run_dir);
    else if (snprintf(folder, sizeof folder, "%s/%s", run_dir, heed_attention_folder(maps->kind)) >= HEED_PATH_MAX)
        status = heed_fail(error, HEED_CREATE, "%s: the name of this folder is too long", run_dir);
    if (status == HEED_OK)
        status = heedi_make_folder(folder, error);
    if (status == HEED_OK)
        status = heedi_step_path(job->path, folder, step, error);
    if (status != HEED_OK) {
        heedi_log_job_free(job);
        return status;
    }
    job->maps = maps;
    job->content.step = (int64_t)step;
    for (size_t h = 0; h < maps->layers * maps->heads; h++)
        for (size_t k = 0; k < HEED_N_STATISTICS; k++)
            job->content.statistic[k][h] = statistics[h * HEED_N_STATISTICS + k];
    *out = job;
    return HEED_OK;
}

static void write_job(void *context, heed_error *error) {
    const heedi_log_job *job = context;
    heed_store *store;
    if (heed_store_create(&store, job->path, error) != HEED_OK)
        return;
    heed_status status = write_arrays(store, job->maps, &job->content, error);
    if (status == HEED_OK)
        status = heedi_log_annotate(store, job->maps->kind, job->config_text, error);
    if (status == HEED_OK)
        heed_store_seal(store, error);
    else
        heed_store_discard(store);
}

heed_status heed_attention_log_start(heed_attention_maps *maps, const char *run_dir, uint64_t step,
                                     const double *statistics, const heed_batch *probes,
                                     const heed_tokenizer *tokenizer, const char *config_text, heed_error *error) {
    heedi_log_job *job;
    const heed_status status = job_create(&job, run_dir, step, maps, statistics, probes, tokenizer, config_text, error);
    if (status != HEED_OK)
        return status;
    heedi_worker_rest(&maps->worker);
    heedi_log_job_free(maps->job);
    maps->job = job;
    maps->unwritten = false;
    heedi_worker_start(&maps->worker, write_job, job);
    return HEED_OK;
}

heed_status heed_attention_log_wait(heed_attention_maps *maps, heed_error *error) {
    heed_error failed = HEED_ERROR_INIT;
    maps->unwritten = heedi_worker_wait(&maps->worker, &failed) != HEED_OK || maps->unwritten;
    if (!maps->unwritten)
        return HEED_OK;
    heedi_worker_start(&maps->worker, write_job, maps->job); /* the maps are still those of that step */
    const heed_status status = heedi_worker_wait(&maps->worker, error);
    maps->unwritten = status != HEED_OK;
    if (status == HEED_OK)
        heed_say(HEED_WARNING, "%s (now it is written)", failed.status == HEED_OK ? maps->job->path : failed.message);
    return status;
}

heed_status heed_attention_log_write(const char *run_dir, uint64_t step, const heed_attention_maps *maps,
                                     const double *statistics, const heed_batch *probes,
                                     const heed_tokenizer *tokenizer, const char *config_text, heed_error *error) {
    heed_error own = HEED_ERROR_INIT;
    heedi_log_job *job;
    if (job_create(&job, run_dir, step, maps, statistics, probes, tokenizer, config_text, &own) == HEED_OK) {
        write_job(job, &own);
        heedi_log_job_free(job);
    }
    if (own.status != HEED_OK && error && error->status == HEED_OK)
        *error = own;
    return own.status;
}
