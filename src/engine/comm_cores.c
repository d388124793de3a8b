/* How many cores a rank has. Launchers differ: some bind each rank to cores of its own, some let all ranks of a node
 * roam over all of it. Both come out right if every rank counts each core that it may use as shared by the ranks of its
 * node that may use it too. Hyperthreads of one core count once. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include <omp.h>

#include "engine/comm_engine.h"

/* The lowest-numbered processor on the same core. */
static int core_of(int cpu) {
    char path[128];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    FILE *file = fopen(path, "r");
    int core = cpu;
    if (file) {
        if (fscanf(file, "%d", &core) != 1 || core < 0 || core >= CPU_SETSIZE)
            core = cpu;
        fclose(file);
    }
    return core;
}

/* The cores that this process may use. Empty when the system does not say. */
static void usable_cores(cpu_set_t *cores) {
    cpu_set_t cpus;
    CPU_ZERO(cores);
    if (sched_getaffinity(0, sizeof cpus, &cpus) != 0)
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &cpus))
            CPU_SET(core_of(cpu), cores);
}

/* sets (ranks): everybody's cores. */
static double share_of(const heed_comm *comm, const cpu_set_t *sets) {
    const int first = comm->rank - comm->local_rank;
    double share = 0.0;
    for (int core = 0; core < CPU_SETSIZE; core++) {
        int users = 0;
        for (int rank = first; rank < first + comm->local_size; rank++)
            users += CPU_ISSET(core, &sets[rank]) != 0;
        if (CPU_ISSET(core, &sets[comm->rank]))
            share += 1.0 / users;
    }
    return share;
}

heed_status heedi_comm_count_cores(heed_comm *comm, heed_error *error) {
    const size_t n_ranks = (size_t)comm->size;
    cpu_set_t *sets = calloc(n_ranks, sizeof *sets);
    size_t *counts = calloc(2 * n_ranks, sizeof *counts);
    heed_error failed = HEED_ERROR_INIT;
    if (!sets || !counts)
        heed_fail(&failed, HEED_MEMORY, "out of memory for %d ranks", comm->size);
    heed_status status = heed_comm_agree(comm, &failed);
    if (status == HEED_OK) {
        for (size_t rank = 0; rank < n_ranks; rank++) {
            counts[rank] = sizeof *sets;
            counts[n_ranks + rank] = rank * sizeof *sets;
        }
        usable_cores(&sets[comm->rank]);
        status = heed_comm_allgather(comm, &sets[comm->rank], sets, counts, counts + n_ranks, &failed);
    }
    if (status == HEED_OK)
        comm->cores = share_of(comm, sets);
    else
        *error = failed;
    free(sets);
    free(counts);
    return status;
}

int heed_threads(int64_t asked, double cores) {
    const int threads = asked > 0                   ? (int)asked
                        : getenv("OMP_NUM_THREADS") ? omp_get_max_threads()
                                                    : (int)(cores + 1e-6);
    return threads > 0 ? threads : 1;
}
