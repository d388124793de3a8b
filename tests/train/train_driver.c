/* heed_train for test scripts:
 *
 *   train_driver train CONFIG [section.key=value ...] [stop-after=STEP] [pid-files]
 *   train_driver newest FOLDER          path of the newest whole checkpoint, if any
 *   train_driver digest CHECKPOINT      a line for every array of parameters and moments: name, size, sum of its bytes
 *   train_driver probes LOG             how many probes an attention log shows
 *   train_driver kernel                 name of the BLIS kernel, to find out what a BLIS_ARCH_TYPE stands for
 *
 * Ends with heed's exit status and prints its message, like the program itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heed/checkpoint.h"
#include "heed/gemm.h"
#include "heed/log.h"
#include "heed/store.h"
#include "heed/train.h"

static void stop_after(void *context, const heed_progress *progress) {
    if (progress->step >= *(uint64_t *)context)
        heed_train_request_stop();
}

static void write_pid(int rank) {
    char name[32];
    snprintf(name, sizeof name, "pid.%d", rank);
    FILE *file = fopen(name, "w");
    if (file) {
        fprintf(file, "%ld\n", (long)getpid());
        fclose(file);
    }
}

static heed_status train(heed_comm *comm, int argc, char **argv, heed_error *error) {
    uint64_t stop = UINT64_MAX;
    heed_config config;
    heed_config_defaults(&config);
    heed_status status = heed_config_read_file(&config, argv[0], error);
    for (int i = 1; i < argc && status == HEED_OK; i++) {
        if (strncmp(argv[i], "stop-after=", 11) == 0)
            stop = strtoull(argv[i] + 11, NULL, 10) - 1; /* the request is heard in the step that follows */
        else if (strcmp(argv[i], "pid-files") == 0)
            write_pid(comm->rank);
        else
            status = heed_config_override(&config, argv[i], error);
    }
    if (status == HEED_OK)
        status = heed_config_resolve(&config, error);
    if (status != HEED_OK)
        return status;
    if (stop == 0)
        heed_train_request_stop();
    const heed_watch watch = {stop_after, &stop};
    return heed_train(comm, &config, stop == UINT64_MAX ? NULL : &watch, error);
}

static int newest(const char *folder) {
    char path[HEED_PATH_MAX];
    heed_error error = HEED_ERROR_INIT;
    const heed_status status = heed_checkpoint_newest(folder, path, &error);
    if (status == HEED_OK)
        printf("%s\n", path);
    return heed_status_exit(status);
}

/* ---- digest: FNV-1a of the bytes of every array ------------------------------------------------------------------ */

typedef struct name_list {
    size_t n;
    struct {
        char name[128];
        heed_array array;
    } entries[256];
} name_list;

static heed_status collect(void *context, const char *name, const heed_array *array, heed_error *error) {
    (void)error;
    name_list *list = context;
    HEED_CHECK(list->n < 256);
    snprintf(list->entries[list->n].name, sizeof list->entries[0].name, "%s", name);
    list->entries[list->n++].array = *array;
    return HEED_OK;
}

static heed_status print_digest(heed_store *store, const char *name, const heed_array *array, heed_error *error) {
    size_t bytes = heed_type_bytes(array->type);
    for (int i = 0; i < array->n_dims; i++)
        bytes *= array->dims[i];
    unsigned char *data = malloc(bytes);
    HEED_CHECK(data);
    const heed_status status = heed_store_read(store, name, array->type, array->n_dims, array->dims, data, error);
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes && status == HEED_OK; i++)
        hash = (hash ^ data[i]) * 0x100000001b3u;
    free(data);
    printf("%s %zu %016llx\n", name, bytes, (unsigned long long)hash);
    return status;
}

static int digest(const char *path) {
    static name_list list;
    heed_error error = HEED_ERROR_INIT;
    heed_store *store = NULL;
    heed_status status = heed_store_open(&store, path, true, &error);
    if (status == HEED_OK)
        status = heed_store_each(store, "/params", collect, &list, &error);
    if (status == HEED_OK)
        status = heed_store_each(store, "/optimizer", collect, &list, &error);
    for (size_t i = 0; i < list.n && status == HEED_OK; i++)
        status = print_digest(store, list.entries[i].name, &list.entries[i].array, &error);
    heed_store_close(store);
    if (status != HEED_OK)
        fprintf(stderr, "train_driver: %s\n", error.message);
    return heed_status_exit(status);
}

static int probes(const char *path) {
    heed_error error = HEED_ERROR_INIT;
    heed_store *store = NULL;
    heed_array array;
    heed_status status = heed_store_open(&store, path, true, &error);
    if (status == HEED_OK)
        status = heed_store_describe(store, "/probe", &array, &error);
    if (status == HEED_OK)
        printf("%zu\n", array.dims[0]);
    heed_store_close(store);
    return heed_status_exit(status);
}

static int kernel(void) {
    heed_error error = HEED_ERROR_INIT;
    const heed_status status = heed_gemm_open(heed_gemm_best(), 1, &error);
    if (status == HEED_OK)
        printf("%s\n", heed_gemm_kernel());
    heed_gemm_close();
    return heed_status_exit(status);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "kernel") == 0)
        return kernel();
    if (argc == 3 && strcmp(argv[1], "newest") == 0)
        return newest(argv[2]);
    if (argc == 3 && strcmp(argv[1], "probes") == 0)
        return probes(argv[2]);
    if (argc == 3 && strcmp(argv[1], "digest") == 0)
        return digest(argv[2]);
    if (argc < 3 || strcmp(argv[1], "train") != 0)
        return heed_status_exit(HEED_USAGE);
    heed_comm *comm;
    heed_error error = HEED_ERROR_INIT;
    if (heed_comm_open(&comm, &error) != HEED_OK) {
        fprintf(stderr, "train_driver: %s\n", error.message);
        return heed_status_exit(error.status);
    }
    heed_log_setup(comm->rank, HEED_INFO);
    const heed_status status = train(comm, argc - 2, argv + 2, &error);
    if (status != HEED_OK && comm->rank == 0)
        fprintf(stderr, "train_driver: %s (%s)\n", error.message, error.hint);
    if (status == HEED_PEER)
        heed_comm_abort(comm, heed_status_exit(status));
    heed_comm_close(comm);
    return heed_status_exit(status);
}
