#include "record/worker.h"

#include <signal.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void *work(void *context) {
    heedi_worker *worker = context;
    pthread_mutex_lock(&worker->mutex);
    for (;;) {
        while (!worker->busy && !worker->ending)
            pthread_cond_wait(&worker->changed, &worker->mutex);
        if (!worker->busy)
            break;
        pthread_mutex_unlock(&worker->mutex);
        heed_error error = HEED_ERROR_INIT;
        const double start = now();
        worker->job(worker->context, &error);
        pthread_mutex_lock(&worker->mutex);
        worker->seconds = now() - start;
        if (worker->error.status == HEED_OK)
            worker->error = error;
        worker->busy = false;
        pthread_cond_broadcast(&worker->changed);
    }
    pthread_mutex_unlock(&worker->mutex);
    return NULL;
}

heed_status heedi_worker_begin(heedi_worker *worker, const char *what, heed_error *error) {
    *worker = (heedi_worker){.error = HEED_ERROR_INIT};
    pthread_mutex_init(&worker->mutex, NULL);
    pthread_cond_init(&worker->changed, NULL);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int failed = pthread_create(&worker->thread, NULL, work, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed)
        return HEED_OK;
    pthread_cond_destroy(&worker->changed);
    pthread_mutex_destroy(&worker->mutex);
    return heed_fail(error, HEED_MEMORY, "%s: no thread: %s", what, strerror(failed));
}

void heedi_worker_end(heedi_worker *worker) {
    pthread_mutex_lock(&worker->mutex);
    worker->ending = true;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
    pthread_join(worker->thread, NULL);
    pthread_cond_destroy(&worker->changed);
    pthread_mutex_destroy(&worker->mutex);
}

static void rest_locked(heedi_worker *worker) {
    while (worker->busy)
        pthread_cond_wait(&worker->changed, &worker->mutex);
}

void heedi_worker_rest(heedi_worker *worker) {
    pthread_mutex_lock(&worker->mutex);
    rest_locked(worker);
    pthread_mutex_unlock(&worker->mutex);
}

void heedi_worker_start(heedi_worker *worker, heedi_job *job, void *context) {
    pthread_mutex_lock(&worker->mutex);
    rest_locked(worker);
    worker->job = job;
    worker->context = context;
    worker->busy = true;
    pthread_cond_broadcast(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
}

bool heedi_worker_idle(heedi_worker *worker) {
    pthread_mutex_lock(&worker->mutex);
    const bool idle = !worker->busy;
    pthread_mutex_unlock(&worker->mutex);
    return idle;
}

double heedi_worker_seconds(heedi_worker *worker) {
    pthread_mutex_lock(&worker->mutex);
    const double seconds = worker->seconds;
    pthread_mutex_unlock(&worker->mutex);
    return seconds;
}

heed_status heedi_worker_wait(heedi_worker *worker, heed_error *error) {
    pthread_mutex_lock(&worker->mutex);
    rest_locked(worker);
    const heed_error found = worker->error;
    worker->error = (heed_error)HEED_ERROR_INIT;
    pthread_mutex_unlock(&worker->mutex);
    if (found.status != HEED_OK && error && error->status == HEED_OK)
        *error = found;
    return found.status;
}
