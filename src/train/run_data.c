#include <string.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "heed/log.h"
#include "heed/pairs.h"
#include "heed/store.h"
#include "heed/task.h"
#include "train/run.h"

static heed_status store_path(const heed_config *config, char path[HEED_PATH_MAX], heed_error *error) {
    const bool own = !config->data.store[0];
    const int length = own ? snprintf(path, HEED_PATH_MAX, "%s/tokens.h5", config->run.dir)
                           : snprintf(path, HEED_PATH_MAX, "%s", config->data.store);
    return length < HEED_PATH_MAX
               ? HEED_OK
               : heed_fail(error, HEED_CREATE, "run.dir = %s: the name is too long", config->run.dir);
}

static heed_status matches(const heed_config *config, const char *path, const char *file, bool *same,
                           heed_error *error) {
    const heed_pairs_settings pairs = heed_pairs_settings_of(config);
    if (config->data.pairs[0])
        return heed_pairs_match(path, &file, 1, &pairs, same, error);
    return heed_corpus_matches_vocab(path, &file, 1, config->data.tokenizer, (size_t)config->data.vocab,
                                     config->data.valid_share, same, error);
}

static heed_status prepare(const heed_config *config, const char *path, const char *file, heed_error *error) {
    const heed_pairs_settings pairs = heed_pairs_settings_of(config);
    const heed_status status =
        config->data.pairs[0] ? heed_pairs_prepare(path, &file, 1, &pairs, error)
                              : heed_corpus_prepare_vocab(path, &file, 1, config->data.tokenizer,
                                                          (size_t)config->data.vocab, config->data.valid_share, error);
    heed_store_trim(); /* what a text took is not needed again */
#ifdef __GLIBC__
    malloc_trim(0);
#endif
    if (status == HEED_OK)
        heed_say(HEED_INFO, "prepared %s from %s", path, file);
    return status;
}

/* A run that goes on has its tokens: its text may have moved or changed since, and need not be there. */
heed_status heedi_data_prepare(heedi_run *run, heed_error *error) {
    const heed_config *config = run->config;
    const bool has_pairs = config->data.pairs[0];
    const char *file = has_pairs ? config->data.pairs : config->data.text;
    char path[HEED_PATH_MAX];
    bool same;
    if (run->comm->rank != 0 || run->checkpoint[0])
        return HEED_OK;
    if (config->data.task != HEED_NO_TASK) /* made while training */
        return HEED_OK;
    if (!file[0] && !config->data.store[0]) {
        heed_fail(error, HEED_CONFIG, "data.text, data.store: neither is set, so there is nothing to learn");
        return heed_hint(error, "name a text file, as in: data.text=book.txt");
    }
    if (!file[0] || store_path(config, path, error) != HEED_OK)
        return error->status;
    const heed_status status = matches(config, path, file, &same, error);
    if (status != HEED_OK || same)
        return status;
    if (config->data.store[0] && access(path, F_OK) == 0) { /* other runs may need it as it is */
        const char *key = has_pairs ? "data.pairs" : "data.text";
        heed_fail(error, HEED_DATA, "data.store = %s: holds other tokens than %s = %s gives", path, key, file);
        return heed_hint(error, "leave %s empty to use the store as it is, or remove it to have it made anew", key);
    }
    return prepare(config, path, file, error);
}

/* name: what messages call it. */
static heed_status open_corpus(heedi_run *run, char name[HEED_PATH_MAX], heed_error *error) {
    if (run->config->data.task == HEED_NO_TASK) {
        const heed_status status = store_path(run->config, name, error);
        return status == HEED_OK ? heed_corpus_open(&run->corpus, name, error) : status;
    }
    const heed_task_settings settings = heed_task_settings_of(run->config);
    const heed_status status = heed_corpus_of_task(&run->corpus, &settings, error);
    if (status == HEED_OK)
        snprintf(name, HEED_PATH_MAX, "data.task = %s", heed_task_name(heed_corpus_task(run->corpus)));
    return status;
}

static void say_pairs(const heedi_run *run, const char *name, size_t vocab) {
    const heed_corpus *corpus = run->corpus;
    const heed_tokenizer *source = heed_corpus_source_tokenizer(corpus);
    char of_sources[48] = "";
    if (source != heed_corpus_tokenizer(corpus))
        snprintf(of_sources, sizeof of_sources, ", of sources %zu", heed_tokenizer_vocab(source));
    const size_t n_train = heed_batcher_left_out(run->trainer.batcher, HEED_TRAIN);
    const size_t n_valid = heed_batcher_left_out(run->trainer.batcher, HEED_VALID);
    heed_say(HEED_INFO, "data: %s, %zu pairs to train on, %zu to validate, vocabulary of %zu%s", name,
             heed_corpus_pairs(corpus, HEED_TRAIN), heed_corpus_pairs(corpus, HEED_VALID), vocab, of_sources);
    if (n_train + n_valid > 0)
        heed_say(
            HEED_WARNING,
            "%zu pairs to train on and %zu to validate have a side of more than model.time = %lld tokens: left out",
            n_train, n_valid, (long long)run->config->model.time);
}

static void say_what_it_is(const heedi_run *run, const char *name) {
    const size_t vocab = heed_tokenizer_vocab(heed_corpus_tokenizer(run->corpus));
    const heed_task *task = heed_corpus_task(run->corpus);
    if (task)
        heed_say(HEED_INFO, "data: %s, sequences of %zu tokens made while training, vocabulary of %zu",
                 heed_task_name(task), heed_task_time(task), vocab);
    else if (heed_corpus_has_pairs(run->corpus))
        say_pairs(run, name, vocab);
    else
        heed_say(HEED_INFO, "data: %s, %zu tokens to train on, %zu to validate, vocabulary of %zu", name,
                 heed_corpus_tokens(run->corpus, HEED_TRAIN), heed_corpus_tokens(run->corpus, HEED_VALID), vocab);
}

/* Each rank has opened its own: on clusters a path may mean another file on every node. */
heed_status heedi_data_match(heedi_run *run, heed_error *error) {
    struct {
        char digest[sizeof run->state.data_digest], host[sizeof run->comm->host];
    } first = {"", ""};
    char name[HEED_PATH_MAX] = "data";
    const char *own = run->state.data_digest;
    snprintf(first.digest, sizeof first.digest, "%s", own);
    snprintf(first.host, sizeof first.host, "%s", run->comm->host);
    const heed_status status = heed_comm_broadcast(run->comm, &first, sizeof first, 0, error);
    if (status != HEED_OK || strcmp(first.digest, own) == 0)
        return status;
    if (run->config->data.task == HEED_NO_TASK)
        store_path(run->config, name, error);
    heed_fail(error, HEED_UNAVAILABLE, "ranks do not match: %s has digest %s on rank %d (%s) and %s on rank 0 (%s)",
              name, own, run->comm->rank, run->comm->host, first.digest, first.host);
    return heed_hint(error, "give every node the same file");
}

heed_status heedi_data_open(heedi_run *run, heed_error *error) {
    const heed_config *config = run->config;
    const heed_comm *comm = run->comm;
    char path[HEED_PATH_MAX];
    heed_status status = open_corpus(run, path, error);
    if (status != HEED_OK)
        return status;
    const char *digest = heed_corpus_digest(run->corpus);
    if (run->checkpoint[0] && strcmp(digest, run->state.data_digest) != 0) {
        heed_fail(error, HEED_DATA, "%s: not the tokens that %s was trained on (digest %s, was %s)", path,
                  run->checkpoint, digest, run->state.data_digest);
        return heed_hint(error, "put the old token store back, or train in another run.dir");
    }
    snprintf(run->state.data_digest, sizeof run->state.data_digest, "%s", digest);
    const heed_batch_shape shape = {.time = (size_t)config->model.time,
                                    .batch = (size_t)config->train.batch,
                                    .grain = (size_t)config->train.grain,
                                    .rank = comm->rank,
                                    .size = comm->size,
                                    .seed = (uint64_t)config->run.seed};
    status = heed_batcher_create(&run->trainer.batcher, run->corpus, &shape, error);
    if (status == HEED_OK)
        status = heed_batcher_check(run->trainer.batcher, config, error);
    if (status == HEED_OK)
        say_what_it_is(run, path);
    return status;
}
