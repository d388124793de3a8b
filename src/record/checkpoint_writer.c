/* The background writer: one thread that saves what it is handed, one save at a time.
 *
 * The arenas of a save belong to the thread from start until it is idle again; state is copied. All other
 * fields are guarded by the mutex. The thread blocks all signals, so that those of the run reach the main thread. */
#include "heed/checkpoint.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "heed/comm.h"
#include "heed/log.h"
#include "record/checkpoint_folder.h"

struct heed_checkpoint_writer {
    char folder[HEED_PATH_MAX];
    size_t keep;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool busy, ending;
    double seconds;
    heed_error error; /* of the first save that failed since the last wait */
    heed_checkpoint_state state;
    heed_checkpoint_arenas arenas;
    const heed_tokenizer *tokenizer;
};

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void save(heed_checkpoint_writer *writer, heed_error *error) {
    const heed_checkpoint_state *state = &writer->state;
    if (heed_checkpoint_write(writer->folder, state, &writer->arenas, writer->tokenizer, error) != HEED_OK)
        return;
    heed_say(HEED_INFO, "checkpoint %s/step-%08llu.h5 saved", writer->folder, (unsigned long long)state->step);
    heed_error trouble = HEED_ERROR_INIT;
    if (heedi_checkpoint_prune(writer->folder, writer->keep, &trouble) != HEED_OK)
        heed_say(HEED_WARNING, "%s (old checkpoints stay)", trouble.message);
}

static void *work(void *context) {
    heed_checkpoint_writer *writer = context;
    pthread_mutex_lock(&writer->mutex);
    for (;;) {
        while (!writer->busy && !writer->ending)
            pthread_cond_wait(&writer->changed, &writer->mutex);
        if (!writer->busy)
            break;
        pthread_mutex_unlock(&writer->mutex);
        heed_error error = HEED_ERROR_INIT;
        const double start = now();
        save(writer, &error);
        pthread_mutex_lock(&writer->mutex);
        heed_checkpoint_state_reset(&writer->state);
        writer->seconds = now() - start;
        if (writer->error.status == HEED_OK)
            writer->error = error;
        writer->busy = false;
        pthread_cond_broadcast(&writer->changed);
    }
    pthread_mutex_unlock(&writer->mutex);
    return NULL;
}

heed_status heed_checkpoint_writer_create(heed_checkpoint_writer **out, const char *folder, size_t keep,
                                          heed_error *error) {
    *out = NULL;
    if (strlen(folder) >= HEED_PATH_MAX)
        return heed_fail(error, HEED_CREATE, "%s: the name of this folder is too long", folder);
    heed_checkpoint_writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return heed_fail(error, HEED_MEMORY, "checkpoint writer: out of memory");
    strcpy(writer->folder, folder);
    writer->keep = keep;
    writer->error = (heed_error)HEED_ERROR_INIT;
    pthread_mutex_init(&writer->mutex, NULL);
    pthread_cond_init(&writer->changed, NULL);
    heed_comm_library(); /* asks MPI here, which only this thread may; the answer is kept */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&writer->thread, NULL, work, writer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        pthread_cond_destroy(&writer->changed);
        pthread_mutex_destroy(&writer->mutex);
        free(writer);
        return heed_fail(error, HEED_MEMORY, "checkpoint writer: no thread: %s", strerror(failed));
    }
    *out = writer;
    return HEED_OK;
}

heed_status heed_checkpoint_writer_start(heed_checkpoint_writer *writer, const heed_checkpoint_state *state,
                                         const heed_checkpoint_arenas *arenas, const heed_tokenizer *tokenizer,
                                         heed_error *error) {
    char *config_text = strdup(state->config_text ? state->config_text : "");
    if (!config_text)
        return heed_fail(error, HEED_MEMORY, "checkpoint writer: out of memory");
    pthread_mutex_lock(&writer->mutex);
    while (writer->busy)
        pthread_cond_wait(&writer->changed, &writer->mutex);
    writer->state = *state;
    writer->state.config_text = config_text;
    writer->arenas = *arenas;
    writer->tokenizer = tokenizer;
    writer->busy = true;
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->mutex);
    return HEED_OK;
}

bool heed_checkpoint_writer_idle(heed_checkpoint_writer *writer) {
    pthread_mutex_lock(&writer->mutex);
    const bool idle = !writer->busy;
    pthread_mutex_unlock(&writer->mutex);
    return idle;
}

heed_status heed_checkpoint_writer_wait(heed_checkpoint_writer *writer, heed_error *error) {
    pthread_mutex_lock(&writer->mutex);
    while (writer->busy)
        pthread_cond_wait(&writer->changed, &writer->mutex);
    const heed_error found = writer->error;
    writer->error = (heed_error)HEED_ERROR_INIT;
    pthread_mutex_unlock(&writer->mutex);
    if (found.status != HEED_OK && error && error->status == HEED_OK)
        *error = found;
    return found.status;
}

double heed_checkpoint_writer_seconds(heed_checkpoint_writer *writer) {
    pthread_mutex_lock(&writer->mutex);
    const double seconds = writer->seconds;
    pthread_mutex_unlock(&writer->mutex);
    return seconds;
}

void heed_checkpoint_writer_destroy(heed_checkpoint_writer *writer) {
    if (!writer)
        return;
    pthread_mutex_lock(&writer->mutex);
    writer->ending = true;
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->mutex);
    pthread_join(writer->thread, NULL); /* after the save under way */
    pthread_cond_destroy(&writer->changed);
    pthread_mutex_destroy(&writer->mutex);
    free(writer);
}
