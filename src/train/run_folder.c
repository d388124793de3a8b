#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "heed/gemm.h"
#include "heed/log.h"
#include "heed/store.h"
#include "train/run.h"

heed_status heedi_folder_make(const char *path, heed_error *error) {
    char part[HEED_PATH_MAX];
    const int length = snprintf(part, sizeof part, "%s", path);
    if (length >= HEED_PATH_MAX)
        return heed_fail(error, HEED_CREATE, "run.dir = %s: the name is too long", path);
    for (char *slash = part + 1;; slash++) {
        if (*slash && *slash != '/')
            continue;
        const char end = *slash;
        *slash = '\0';
        struct stat info;
        const int reason = mkdir(part, 0777) == 0 ? 0 : errno;
        const bool is_there = reason == 0 || (stat(part, &info) == 0 && S_ISDIR(info.st_mode));
        if (!is_there)
            return heed_fail(error, HEED_CREATE, "run.dir = %s: cannot make the folder %s: %s", path, part,
                             reason == EEXIST ? "there is a file of that name" : strerror(reason));
        *slash = end;
        if (!end)
            return HEED_OK;
    }
}

static heed_status path_of(char path[HEED_PATH_MAX], const heedi_run *run, const char *name, heed_error *error) {
    const int length = snprintf(path, HEED_PATH_MAX, "%s/%s", run->config->run.dir, name);
    return length < HEED_PATH_MAX
               ? HEED_OK
               : heed_fail(error, HEED_CREATE, "run.dir = %s: the name is too long", run->config->run.dir);
}

/* Two runs in one folder would spoil each other's files. The lock goes with the process, however it ends; where a file
 * system knows no locks there is none. */
static heed_status lock_folder(heedi_run *run, heed_error *error) {
    if (flock(fileno(run->log), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return HEED_OK;
    heed_fail(error, HEED_CREATE, "run.dir = %s: another heed is training there", run->config->run.dir);
    return heed_hint(error, "wait for it, or choose another run.dir");
}

heed_status heedi_folder_open(heedi_run *run, heed_error *error) {
    char path[HEED_PATH_MAX];
    if (run->comm->rank != 0)
        return HEED_OK;
    heed_status status = path_of(path, run, "checkpoints", error);
    if (status == HEED_OK)
        status = heedi_folder_make(path, error);
    if (status == HEED_OK)
        status = path_of(path, run, "attention", error);
    if (status == HEED_OK)
        status = heedi_folder_make(path, error);
    if (status == HEED_OK)
        status = path_of(path, run, "log.txt", error);
    if (status != HEED_OK)
        return status;
    run->log = fopen(path, "ae");
    if (!run->log)
        return heed_fail(error, HEED_CREATE, "%s: %s", path, strerror(errno));
    status = lock_folder(run, error);
    if (status == HEED_OK)
        heed_log_copy(run->log);
    return status;
}

void heedi_folder_close(heedi_run *run) {
    free(run->pace.hosts);
    free(run->pace.late);
    if (!run->log)
        return;
    heed_log_copy(NULL);
    fclose(run->log);
}

/* Replaces a small text file, whole or not at all. */
static heed_status write_text(const heedi_run *run, const char *name, const char *text, heed_error *error) {
    char path[HEED_PATH_MAX], temporary[HEED_PATH_MAX + 8];
    if (path_of(path, run, name, error) != HEED_OK)
        return error->status;
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    const size_t length = strlen(text);
    const char *end = length && text[length - 1] == '\n' ? "" : "\n";
    FILE *file = fopen(temporary, "we");
    bool good = file && fprintf(file, "%s%s", text, end) >= 0 && fflush(file) == 0 && fsync(fileno(file)) == 0;
    const int reason = errno;
    if (file)
        good = fclose(file) == 0 && good;
    if (good && rename(temporary, path) == 0)
        return HEED_OK;
    return heed_fail(error, HEED_CREATE, "%s: cannot be written: %s", path, strerror(good ? errno : reason));
}

/* Hosts in the order of ranks: [{"host": ..., "ranks": ...}]. names (ranks, 256). */
static json_t *hosts_of(const char *names, int n_ranks) {
    json_t *hosts = json_array();
    for (int rank = 0, count; rank < n_ranks; rank += count) {
        const char *name = names + (size_t)rank * 256;
        for (count = 1; rank + count < n_ranks && strcmp(name, name + (size_t)count * 256) == 0; count++)
            ;
        json_array_append_new(hosts, json_pack("{s:s, s:i}", "host", name, "ranks", count));
    }
    return hosts;
}

static heed_status write_environment(heedi_run *run, const char *names, heed_error *error) {
    const time_t now = time(NULL);
    char started[32];
    strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
    json_t *object = json_pack("{s:s, s:s, s:I, s:i, s:i, s:o, s:s, s:s, s:s, s:s, s:s}", "heed", HEED_VERSION,
                               "started", started, "from_step", (json_int_t)run->trainer.step, "ranks", run->comm->size,
                               "threads_per_rank", run->n_threads, "hosts", hosts_of(names, run->comm->size), "mpi",
                               heed_comm_library(), "blis", heed_gemm_version(), "kernel", heed_gemm_kernel(), "hdf5",
                               heed_store_library(), "numbers", HEED_REAL_NAME);
    char *text = object ? json_dumps(object, JSON_INDENT(2)) : NULL;
    heed_status status = text ? write_text(run, "environment.json", text, error)
                              : heed_fail(error, HEED_MEMORY, "environment.json: out of memory");
    free(text);
    json_decref(object);
    return status;
}

heed_status heedi_folder_describe(heedi_run *run, heed_error *error) {
    heed_comm *comm = run->comm;
    const size_t n_ranks = (size_t)comm->size, width = sizeof comm->host;
    heed_error failed = HEED_ERROR_INIT;
    char *names = calloc(n_ranks, width);
    size_t *counts = calloc(2 * n_ranks, sizeof *counts);
    if (!names || !counts)
        heed_fail(&failed, HEED_MEMORY, "out of memory for %d ranks", comm->size);
    heed_status status = heed_comm_agree(comm, &failed);
    for (size_t rank = 0; status == HEED_OK && rank < n_ranks; rank++) {
        counts[rank] = width;
        counts[n_ranks + rank] = rank * width;
    }
    if (status == HEED_OK)
        status = heed_comm_gather(comm, comm->host, width, names, counts, counts + n_ranks, 0, &failed);
    if (status == HEED_OK && comm->rank == 0)
        status = write_text(run, "config.ini", run->state.config_text, &failed);
    if (status == HEED_OK && comm->rank == 0)
        status = write_environment(run, names, &failed);
    run->pace.hosts = names;
    free(counts);
    if (status != HEED_OK)
        *error = failed;
    return status;
}
