#include "engine/comm_engine.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "heed/arena.h"
#include "heed/log.h"
#include "heed/watchdog.h"

size_t heedi_comm_most_bytes = (size_t)1 << 30;

heed_status heedi_comm_check(int code, const char *call, heed_error *error) {
    if (code == MPI_SUCCESS)
        return HEED_OK;
    char text[MPI_MAX_ERROR_STRING] = "";
    int length, runs = 0; /* before MPI runs, asking for words would end the process */
    if (MPI_Initialized(&runs) != MPI_SUCCESS || !runs || MPI_Error_string(code, text, &length) != MPI_SUCCESS)
        snprintf(text, sizeof text, "error %d", code);
    return heed_fail(error, HEED_PEER, "%s: %s", call, text);
}

const char *heed_comm_library(void) {
    static char line[MPI_MAX_LIBRARY_VERSION_STRING];
    if (!line[0]) {
        int length;
        if (MPI_Get_library_version(line, &length) != MPI_SUCCESS)
            snprintf(line, sizeof line, "MPI");
        line[strcspn(line, "\r\n")] = '\0';
        for (char *c = line; *c; c++)
            if (*c == '\t')
                *c = ' ';
    }
    return line;
}

double heed_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* --- start and end ---------------------------------------------------------------------------------------------- */

heed_status heedi_comm_arrange(heed_comm *comm, MPI_Comm world, MPI_Comm node, heed_error *error) {
    struct heedi_comm *engine = comm->engine;
    int world_rank, leader; /* the node's first rank in world stands for the node */
    heed_status status = heedi_comm_check(MPI_Comm_rank(world, &world_rank), "MPI_Comm_rank", error);
    if (!status)
        status =
            heedi_comm_check(MPI_Allreduce(&world_rank, &leader, 1, MPI_INT, MPI_MIN, node), "MPI_Allreduce", error);
    if (!status) /* ranks of a node have the same key, and ties keep the order of world */
        status = heedi_comm_check(MPI_Comm_split(world, 0, leader, &engine->all), "MPI_Comm_split", error);
    if (status)
        return status;
    status =
        heedi_comm_check(MPI_Comm_set_errhandler(engine->all, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler", error);
    if (!status)
        status = heedi_comm_check(MPI_Comm_rank(engine->all, &comm->rank), "MPI_Comm_rank", error);
    if (!status)
        status = heedi_comm_check(MPI_Comm_size(engine->all, &comm->size), "MPI_Comm_size", error);
    if (!status)
        status = heedi_comm_check(MPI_Comm_size(node, &comm->local_size), "MPI_Comm_size", error);
    if (status)
        return status;
    const int leads = world_rank == leader;
    int n_leaders, first; /* leaders among the ranks up to this one; our rank of the node's first */
    status = heedi_comm_check(MPI_Scan(&leads, &n_leaders, 1, MPI_INT, MPI_SUM, engine->all), "MPI_Scan", error);
    if (!status)
        status = heedi_comm_check(MPI_Allreduce(&leads, &comm->n_nodes, 1, MPI_INT, MPI_SUM, engine->all),
                                  "MPI_Allreduce", error);
    if (!status)
        status =
            heedi_comm_check(MPI_Allreduce(&comm->rank, &first, 1, MPI_INT, MPI_MIN, node), "MPI_Allreduce", error);
    if (status)
        return status;
    comm->node = n_leaders - 1;
    comm->local_rank = comm->rank - first;
    return HEED_OK;
}

/* How many ranks the launcher meant to start, 0 when it does not say. Open MPI's mpirun may itself run under srun, so
 * its own word comes first. */
static long launched_ranks(void) {
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        if (text)
            return strtol(text, NULL, 10);
    }
    return 0;
}

/* A program that is started by another MPI's launcher runs as many single ranks that know nothing of each other. */
static heed_status check_launcher(int size, heed_error *error) {
    const long launched = launched_ranks();
    if (size > 1 || launched <= 1)
        return HEED_OK;
    heed_fail(error, HEED_UNAVAILABLE, "the launcher started %ld ranks, but each of them is alone: %s does not know it",
              launched, heed_comm_library());
    return heed_hint(error, "use the mpirun of the MPI that heed was built with, or srun --mpi=pmix");
}

/* A process that no launcher started has nobody to talk to. Open MPI would start a daemon beside it, in case it spawns
 * ranks later, and look for a network: half of the time of a short command. Without the daemon all such processes are
 * job 0, and would make and remove one folder for their sessions, each from under the others. What the environment sets
 * stays. */
static void start_alone(void) {
    static const char *const launchers[] = {"PMIX_RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK"};
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++)
        if (getenv(launchers[i]))
            return;
    setenv("OMPI_MCA_ess_singleton_isolated", "1", 0);
    setenv("OMPI_MCA_orte_create_session_dirs", "0", 0);
    setenv("OMPI_MCA_pml", "ob1", 0);
}

/* Open MPI waits by asking over and over. Where more ranks than cores run, its question would keep the very rank that
 * it waits for off the core until the scheduler steps in, milliseconds later: four ranks on two cores take 48 ms for a
 * step of 20. So a rank that waits offers its core to others, which costs nothing to be seen where there are none. What
 * the user has set stays. */
static void wait_politely(void) {
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
}

static heed_status start_mpi(struct heedi_comm *engine, heed_error *error) {
    int started = 0, thread_level = MPI_THREAD_SINGLE;
    heed_status status = heedi_comm_check(MPI_Initialized(&started), "MPI_Initialized", error);
    if (!status && !started) {
        start_alone();
        wait_politely();
        status =
            heedi_comm_check(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &thread_level), "MPI_Init_thread", error);
        engine->ends_mpi = !status;
    }
    if (!status)
        status = heedi_comm_check(MPI_Query_thread(&thread_level), "MPI_Query_thread", error);
    if (!status && thread_level < MPI_THREAD_FUNNELED)
        status = heed_fail(error, HEED_UNAVAILABLE, "%s: does not allow threads beside it", heed_comm_library());
    if (!status)
        status = heedi_comm_check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler",
                                  error);
    return status;
}

static heed_status start(heed_comm *comm, heed_error *error) {
    int size = 0, length;
    char host[MPI_MAX_PROCESSOR_NAME] = "";
    heed_status status = start_mpi(comm->engine, error);
    if (!status)
        status = heedi_comm_check(MPI_Comm_size(MPI_COMM_WORLD, &size), "MPI_Comm_size", error);
    if (!status)
        status = check_launcher(size, error);
    if (!status)
        status = heedi_comm_check(MPI_Get_processor_name(host, &length), "MPI_Get_processor_name", error);
    if (status)
        return status;
    snprintf(comm->host, sizeof comm->host, "%s", host);
    MPI_Comm node;
    status = heedi_comm_check(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node),
                              "MPI_Comm_split_type", error);
    if (status)
        return status;
    status = heedi_comm_arrange(comm, MPI_COMM_WORLD, node, error);
    if (!status) /* else the others may be elsewhere */
        MPI_Comm_free(&node);
    return status;
}

/* The others may wait for this rank in a call that it never comes to: MPI is left as it is, for the program to end. */
static void let_go(struct heedi_comm *engine) {
    engine->ends_mpi = false;
    engine->all = MPI_COMM_NULL;
}

heed_status heed_comm_open(heed_comm **comm, heed_error *error) {
    *comm = calloc(1, sizeof **comm);
    struct heedi_comm *engine = *comm ? calloc(1, sizeof *engine) : NULL;
    if (!engine) {
        free(*comm);
        *comm = NULL;
        return heed_fail(error, HEED_MEMORY, "communication: out of memory");
    }
    engine->all = MPI_COMM_NULL;
    (*comm)->engine = engine;
    heed_status status = start(*comm, error);
    if (!status) {
        const size_t size = (size_t)(*comm)->size;
        engine->counts = calloc(size, sizeof(int));
        engine->displacements = calloc(size, sizeof(int));
        heed_error local = HEED_ERROR_INIT;
        if (!engine->counts || !engine->displacements)
            heed_fail(&local, HEED_MEMORY, "communication: out of memory");
        status = heed_comm_agree(*comm, &local);
        if (!status)
            status = heedi_comm_count_cores(*comm, &local);
        if (status && error && !error->status)
            *error = local;
    }
    if (status == HEED_PEER)
        let_go(engine);
    if (status) {
        heed_comm_close(*comm);
        *comm = NULL;
    }
    return status;
}

void heed_comm_close(heed_comm *comm) {
    if (!comm)
        return;
    struct heedi_comm *engine = comm->engine;
    heed_watchdog_stop(comm);
    while (engine->free_exchanges) {
        struct heedi_exchange *exchange = engine->free_exchanges;
        engine->free_exchanges = exchange->next;
        free(exchange->requests);
        free(exchange->statuses);
        free(exchange);
    }
    if (engine->all != MPI_COMM_NULL)
        MPI_Comm_free(&engine->all);
    if (engine->ends_mpi && MPI_Finalize() != MPI_SUCCESS) { /* mpirun alone would say a status of its own */
        heed_say(HEED_ERROR, "MPI failed to end, after all was done");
        heed_comm_abort(NULL, heed_status_exit(HEED_PEER));
    }
    free(engine->counts);
    free(engine->displacements);
    free(engine);
    free(comm);
}

void heed_comm_abort(heed_comm *comm, int exit_status) {
    int runs = 0;
    if (MPI_Initialized(&runs) == MPI_SUCCESS && runs)
        MPI_Abort(comm ? comm->engine->all : MPI_COMM_WORLD, exit_status);
    _exit(exit_status);
}

void heed_comm_leave(int exit_status) {
    _exit(exit_status);
}

/* --- agreement and collectives ---------------------------------------------------------------------------------- */

heed_status heed_comm_agree(heed_comm *comm, heed_error *error) {
    if (error->status == HEED_PEER) /* the others may be in the call that failed here: agreement is impossible */
        return HEED_PEER;
    int mine = error->status ? comm->rank : comm->size, lowest;
    heed_error lost = HEED_ERROR_INIT;
    if (heedi_comm_check(MPI_Allreduce(&mine, &lowest, 1, MPI_INT, MPI_MIN, comm->engine->all), "MPI_Allreduce",
                         &lost)) {
        if (!error->status)
            *error = lost;
        return error->status;
    }
    if (lowest == comm->size)
        return HEED_OK;
    if (lowest == comm->rank)
        error->rank = comm->rank;
    if (heed_comm_broadcast(comm, error, sizeof *error, lowest, &lost) && !error->status)
        *error = lost;
    return error->status;
}

heed_status heed_comm_barrier(heed_comm *comm, heed_error *error) {
    return heedi_comm_check(MPI_Barrier(comm->engine->all), "MPI_Barrier", error);
}

heed_status heed_comm_broadcast(heed_comm *comm, void *data, size_t bytes, int root, heed_error *error) {
    heed_status status = HEED_OK;
    for (size_t done = 0; done < bytes && !status;) {
        const size_t part = bytes - done < heedi_comm_most_bytes ? bytes - done : heedi_comm_most_bytes;
        status = heedi_comm_check(MPI_Bcast((char *)data + done, (int)part, MPI_BYTE, root, comm->engine->all),
                                  "MPI_Bcast", error);
        done += part;
    }
    return status;
}

static heed_status reduce(heed_comm *comm, double *values, size_t n_values, MPI_Op op, heed_error *error) {
    const size_t most = heedi_comm_most_bytes / sizeof *values;
    heed_status status = HEED_OK;
    for (size_t done = 0; done < n_values && !status;) {
        const size_t part = n_values - done < most ? n_values - done : most;
        status =
            heedi_comm_check(MPI_Allreduce(MPI_IN_PLACE, values + done, (int)part, MPI_DOUBLE, op, comm->engine->all),
                             "MPI_Allreduce", error);
        done += part;
    }
    return status;
}

heed_status heed_comm_sum(heed_comm *comm, double *values, size_t n_values, heed_error *error) {
    return reduce(comm, values, n_values, MPI_SUM, error);
}

heed_status heed_comm_max(heed_comm *comm, double *values, size_t n_values, heed_error *error) {
    return reduce(comm, values, n_values, MPI_MAX, error);
}
