/* A background thread that does one job at a time, for files that are written while training goes on. */
#ifndef HEED_RECORD_WORKER_H
#define HEED_RECORD_WORKER_H

#include <pthread.h>
#include <stdbool.h>

#include "heed/status.h"

typedef void heedi_job(void *context, heed_error *error);

typedef struct heedi_worker {
    pthread_t thread;
    pthread_mutex_t mutex; /* guards all that follows */
    pthread_cond_t changed;
    bool busy, ending;
    heedi_job *job;
    void *context;
    double seconds;   /* that the last job took */
    heed_error error; /* of the first job that failed since the last wait */
} heedi_worker;

/* Starts the thread. It blocks all signals, so that those of the run reach the main thread. what names it in messages.
 * Errors: HEED_MEMORY. Ownership: heedi_worker_end, which waits for the job under way. */
heed_status heedi_worker_begin(heedi_worker *worker, const char *what, heed_error *error);
void heedi_worker_end(heedi_worker *worker);

/* Waits until no job is under way; does not tell how the last one went. What a job works on may then be changed. */
void heedi_worker_rest(heedi_worker *worker);

/* Starts a job after an earlier one has ended. context belongs to it until then. */
void heedi_worker_start(heedi_worker *worker, heedi_job *job, void *context);

bool heedi_worker_idle(heedi_worker *worker);
double heedi_worker_seconds(heedi_worker *worker);

/* Waits, and tells once of the first job that failed since the last wait. */
heed_status heedi_worker_wait(heedi_worker *worker, heed_error *error);

#endif
