/* A model and the data that it is held against: what measuring commands open on all ranks. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "heed/log.h"
#include "heed/pairs.h"
#include "heed/task.h"

void heedi_run_of(char *folder, size_t bytes, const char *checkpoint) {
    const char *file = strrchr(checkpoint, '/');
    size_t length = file ? (size_t)(file - checkpoint) : 0;
    while (length > 0 && checkpoint[length - 1] != '/')
        length--;
    if (length > 1)
        snprintf(folder, bytes, "%.*s", (int)length - 1, checkpoint);
    else
        snprintf(folder, bytes, "%s", length == 1 ? "/" : file ? "." : "..");
}

/* The token store of a run lies beside its checkpoints, even when the whole run was moved. */
static heed_status find_store(heedi_subject *subject, const char *store, heed_error *error) {
    const heed_config *config = &subject->loaded.config;
    char run[HEED_PATH_MAX], beside[HEED_PATH_MAX + 16], in_run[HEED_PATH_MAX + 16];
    heedi_run_of(run, sizeof run, subject->loaded.path);
    snprintf(beside, sizeof beside, "%s/tokens.h5", run);
    snprintf(in_run, sizeof in_run, "%s/tokens.h5", config->run.dir);
    const char *places[] = {store, *config->data.store ? config->data.store : NULL, beside, in_run};
    for (size_t i = 0; i < (store ? 1 : sizeof places / sizeof *places); i++) {
        if (places[i] && (store || access(places[i], F_OK) == 0) &&
            snprintf(subject->data, sizeof subject->data, "%s", places[i]) < (int)sizeof subject->data)
            return HEED_OK;
    }
    heed_fail(error, HEED_NOT_FOUND, "%s: no token store is known to belong to it", subject->loaded.path);
    return heed_hint(error, "name one with --store, or a text file with --text");
}

/* Token numbers mean something only by the tokenizer that they were made with. */
static heed_status compare_tokenizers(const heedi_subject *subject, heed_error *error) {
    const heed_tokenizer *ours = subject->loaded.source_tokenizer;
    const heed_tokenizer *theirs = heed_corpus_separate_sources(subject->corpus);
    const bool same_sources = ours && theirs ? heed_tokenizer_same(ours, theirs) : !ours && !theirs;
    if (same_sources && heed_tokenizer_same(subject->loaded.tokenizer, heed_corpus_tokenizer(subject->corpus)))
        return HEED_OK;
    heed_fail(error, HEED_DATA, "%s: was made with another vocabulary than %s", subject->data, subject->loaded.path);
    return heed_hint(error, "--text FILE evaluates on a text file with the model's own vocabulary");
}

/* What rank 0 found out and all need to know. */
static heed_status share(heedi_subject *subject, const heedi_wanted *wanted, heed_error *error) {
    const char *file = wanted->text ? wanted->text : wanted->pairs;
    if (subject->comm->rank == 0 && heedi_model_describe(&subject->loaded, wanted->place, error) == HEED_OK) {
        subject->config = subject->loaded.config;
        subject->vocab = heed_tokenizer_vocab(subject->loaded.tokenizer);
        if (file)
            snprintf(subject->data, sizeof subject->data, "%s", file);
        else if (!wanted->store && subject->config.data.task != HEED_NO_TASK)
            snprintf(subject->data, sizeof subject->data, "its generated task");
        else
            find_store(subject, wanted->store, error);
    }
    subject->is_text = wanted->text != NULL;
    subject->is_pairs = wanted->pairs != NULL;
    subject->from_run = !wanted->store && !file;
    if (heed_comm_agree(subject->comm, error) != HEED_OK ||
        heed_comm_broadcast(subject->comm, subject->loaded.path, sizeof subject->loaded.path, 0, error) != HEED_OK ||
        heed_comm_broadcast(subject->comm, &subject->config, sizeof subject->config, 0, error) != HEED_OK ||
        heed_comm_broadcast(subject->comm, &subject->vocab, sizeof subject->vocab, 0, error) != HEED_OK)
        return error->status;
    subject->is_task = subject->from_run && subject->config.data.task != HEED_NO_TASK;
    return heed_comm_broadcast(subject->comm, subject->data, sizeof subject->data, 0, error);
}

static heed_status make_batcher(heedi_subject *subject, size_t batch, size_t grain, heed_error *error) {
    const heed_comm *comm = subject->comm;
    const heed_batch_shape shape = {.time = (size_t)subject->config.model.time,
                                    .batch = batch,
                                    .grain = grain,
                                    .rank = comm->rank,
                                    .size = comm->size,
                                    .seed = (uint64_t)subject->config.run.seed};
    const heed_status status = heed_batcher_create(&subject->batcher, subject->corpus, &shape, error);
    return status == HEED_OK ? heed_batcher_check(subject->batcher, &subject->config, error) : status;
}

static heed_status make_model(heedi_subject *subject, size_t batch, size_t grain, size_t n_hypotheses,
                              heed_error *error) {
    const size_t n_grains = batch / grain, rank = (size_t)subject->comm->rank, size = (size_t)subject->comm->size;
    const size_t n_sequences = (n_grains * (rank + 1) / size - n_grains * rank / size) * grain;
    const heed_model_shape shape = {.vocab = (size_t)subject->vocab,
                                    .max_hypotheses = n_hypotheses,
                                    .source_vocab = heed_corpus_source_vocab(subject->corpus),
                                    .max_rows = n_sequences * (size_t)subject->config.model.time,
                                    .max_source_rows = n_sequences * heed_batcher_source_time(subject->batcher),
                                    .max_sequences = n_sequences};
    return heed_model_create(&subject->loaded.model, &subject->config, &shape, error);
}

/* A text is encoded with the model's own vocabulary; a store must have been made with it. */
static heed_status open_corpus(heedi_subject *subject, heed_error *error) {
    const bool knows_tokenizer = subject->loaded.tokenizer != NULL; /* rank 0 */
    if (subject->is_task) {
        const heed_task_settings settings = heed_task_settings_of(&subject->config);
        return heed_corpus_of_task(&subject->corpus, &settings, error);
    }
    if (subject->is_pairs) {
        const heedi_model *loaded = &subject->loaded;
        if (knows_tokenizer || heedi_model_read_tokenizer(&subject->loaded, error) == HEED_OK)
            heed_corpus_of_pairs(&subject->corpus,
                                 loaded->source_tokenizer ? loaded->source_tokenizer : loaded->tokenizer,
                                 loaded->tokenizer, subject->data, error);
    } else if (!subject->is_text) {
        if (heed_corpus_open(&subject->corpus, subject->data, error) == HEED_OK && knows_tokenizer)
            compare_tokenizers(subject, error);
    } else if (knows_tokenizer || heedi_model_read_tokenizer(&subject->loaded, error) == HEED_OK) {
        const size_t time = (size_t)subject->config.model.time;
        if (heed_corpus_of_text(&subject->corpus, subject->loaded.tokenizer, subject->data, error) == HEED_OK &&
            heed_corpus_tokens(subject->corpus, HEED_VALID) <= time)
            heed_fail(error, HEED_DATA, "%s: %zu tokens, fewer than the model's context of %zu and the token after it",
                      subject->data, heed_corpus_tokens(subject->corpus, HEED_VALID), time);
    }
    return error->status;
}

/* Each rank reads the tokens that it needs; the weights come from rank 0. */
static heed_status make_ready(heedi_subject *subject, const heedi_wanted *wanted, heed_error *error) {
    const size_t batch = wanted->batch ? wanted->batch : (size_t)subject->config.train.batch;
    const size_t grain = wanted->grain ? wanted->grain : (size_t)subject->config.train.grain;
    if (open_corpus(subject, error) == HEED_OK && make_batcher(subject, batch, grain, error) == HEED_OK &&
        make_model(subject, batch, grain, wanted->n_hypotheses, error) == HEED_OK && subject->comm->rank == 0)
        heedi_model_read_weights(&subject->loaded, error);
    if (heed_comm_agree(subject->comm, error) != HEED_OK)
        return error->status;
    if (subject->comm->rank == 0 && subject->from_run &&
        strcmp(heed_corpus_digest(subject->corpus), subject->loaded.state.data_digest) != 0)
        heed_say(HEED_WARNING, "%s: not the data that %s was trained on", subject->data, subject->loaded.path);
    return heed_comm_broadcast(subject->comm, heed_model_weights(subject->loaded.model),
                               heed_model_params(subject->loaded.model)->n_elements * sizeof(real), 0, error);
}

heed_status heedi_subject_open(heedi_subject *subject, heed_comm *comm, const heedi_wanted *wanted, heed_error *error) {
    *subject = (heedi_subject){.comm = comm};
    if (share(subject, wanted, error) != HEED_OK ||
        heedi_open_engines(comm, subject->config.train.threads, error) != HEED_OK)
        return error->status;
    return make_ready(subject, wanted, error);
}

void heedi_subject_close(heedi_subject *subject) {
    if (subject->batcher)
        heed_batcher_destroy(subject->batcher);
    if (subject->corpus)
        heed_corpus_close(subject->corpus);
    heedi_model_close(&subject->loaded);
}
