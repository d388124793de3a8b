/* Communicators of some of the ranks: for measuring how speed grows with them, and for several runs side by side. */
#include <stdlib.h>
#include <string.h>

#include "engine/comm_engine.h"

static heed_status arrange(heed_comm *part, MPI_Comm ranks, heed_error *error) {
    MPI_Comm node;
    heed_status status = heedi_comm_check(MPI_Comm_split_type(ranks, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node),
                                          "MPI_Comm_split_type", error);
    if (status)
        return status;
    status = heedi_comm_arrange(part, ranks, node, error);
    MPI_Comm_free(&node);
    return status;
}

static heed_comm *allocate(const heed_comm *whole) {
    heed_comm *part = calloc(1, sizeof *part);
    struct heedi_comm *engine = calloc(1, sizeof *engine);
    int *counts = calloc((size_t)whole->size, sizeof *counts),
        *displacements = calloc((size_t)whole->size, sizeof(int));
    if (part && engine && counts && displacements) {
        engine->all = MPI_COMM_NULL;
        engine->counts = counts;
        engine->displacements = displacements;
        part->engine = engine;
        memcpy(part->host, whole->host, sizeof part->host);
        part->cores = whole->cores;
        return part;
    }
    free(part);
    free(engine);
    free(counts);
    free(displacements);
    return NULL;
}

heed_status heed_comm_part(heed_comm *whole, int n_ranks, heed_comm **part, heed_error *error) {
    HEED_CHECK(n_ranks >= 1 && n_ranks <= whole->size);
    return heed_comm_split(whole, whole->rank < n_ranks ? 0 : -1, part, error);
}

heed_status heed_comm_split(heed_comm *whole, int group, heed_comm **part, heed_error *error) {
    *part = NULL;
    const bool takes_part = group >= 0;
    heed_error failed = HEED_ERROR_INIT;
    heed_comm *made = takes_part ? allocate(whole) : NULL;
    if (takes_part && !made)
        heed_fail(&failed, HEED_MEMORY, "communication: out of memory");
    MPI_Comm ranks = MPI_COMM_NULL;
    if (heed_comm_agree(whole, &failed) == HEED_OK)
        heedi_comm_check(MPI_Comm_split(whole->engine->all, takes_part ? group : MPI_UNDEFINED, whole->rank, &ranks),
                         "MPI_Comm_split", &failed);
    if (ranks != MPI_COMM_NULL) {
        arrange(made, ranks, &failed);
        MPI_Comm_free(&ranks);
    }
    if (heed_comm_agree(whole, &failed) != HEED_OK) {
        heed_comm_close(made);
        *error = failed;
        return failed.status;
    }
    *part = made;
    return HEED_OK;
}
