/* How many threads a rank uses. */
#include <omp.h>

#include "heed/log.h"
#include "train/run.h"

heed_status heedi_threads_choose(heedi_run *run, heed_error *error) {
    (void)error; /* the other parts of a start may fail */
    const double cores = run->comm->cores;
    run->n_threads = heed_threads(run->config->train.threads, cores);
    if (run->comm->rank == 0 && cores > 0 && run->n_threads > cores + 0.5)
        heed_say(HEED_WARNING, "%d thread%s a rank, but only %.3g cores a rank: expect it to be slow", run->n_threads,
                 run->n_threads == 1 ? "" : "s", cores);
    omp_set_num_threads(run->n_threads);
    return HEED_OK;
}
