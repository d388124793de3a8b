/* Memory that changes by itself. Every rank digests its copy of every shard when a step has ended (seal) and again when
 * its gradients of the next one are done (verify), before the owners' new values overwrite them: a copy that is not
 * what it was names its rank, since nothing writes to parameters in between. At the seal the copies are also held
 * against the owners', which finds what was damaged on its way. */
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "heed/stage.h"
#include "train/gradsync_state.h"

static uint64_t digest(const void *data, size_t bytes) {
    return bytes ? XXH3_64bits(data, bytes) : 0;
}

static uint64_t piece_digest(const heed_gradsync *sync, const real *weights, size_t b, size_t rank) {
    const heedi_bucket *bucket = &sync->plan.buckets[b];
    const char *at = (const char *)(weights + bucket->parameter) + bucket->shard_offset[rank];
    return bucket->tied ? 0 : digest(at, bucket->shard_bytes[rank]);
}

static uint64_t moment_digest(const heed_gradsync *sync) {
    const size_t bytes = sync->plan.own_elements * sizeof(real);
    const uint64_t both[] = {sync->m ? digest(sync->m, bytes) : 0, sync->v ? digest(sync->v, bytes) : 0};
    return digest(both, sizeof both);
}

/* Of the whole shard of a rank, from its pieces. */
static double shard_digest(const heed_gradsync *sync, size_t rank) {
    uint64_t sum = 0;
    for (size_t b = 0; b < sync->plan.n_buckets; b++) {
        const uint64_t two[] = {sum, sync->digests[b * (size_t)sync->plan.size + rank]};
        sum = digest(two, sizeof two);
    }
    return (double)(sum >> 11); /* 53 bits: a double holds them, and a sum with zeros keeps them */
}

/* Is this rank's memory at fault? More copies than not differ from that of owner s: then the owner's is. differ (ranks)
 * counts those copies. */
static bool is_to_blame(const heed_gradsync *sync, const double *differ, const bool *differs_here, size_t *shard) {
    const size_t size = (size_t)sync->plan.size, own = (size_t)sync->plan.rank;
    for (*shard = 0; *shard < size; ++*shard)
        if (differs_here[*shard] && 2.0 * differ[*shard] <= (double)size)
            return true;
    *shard = own;
    return 2.0 * differ[own] > (double)size;
}

static heed_status compare_copies(heed_gradsync *sync, heed_error *failed, heed_error *error) {
    const size_t size = (size_t)sync->plan.size;
    double *owners = sync->per_rank, *differ = sync->per_rank + size;
    bool *differs_here = sync->differs_here;
    memset(sync->per_rank, 0, 2 * size * sizeof *sync->per_rank);
    owners[sync->plan.rank] = shard_digest(sync, (size_t)sync->plan.rank);
    heed_status status = heed_comm_sum(sync->comm, owners, size, error);
    double all = 0.0;
    for (size_t r = 0; r < size && status == HEED_OK; r++)
        differ[r] = differs_here[r] = shard_digest(sync, r) != owners[r];
    if (status == HEED_OK)
        status = heed_comm_sum(sync->comm, differ, size, error);
    for (size_t r = 0; r < size; r++)
        all += differ[r];
    if (status != HEED_OK || all == 0.0)
        return status;
    size_t shard;
    if (is_to_blame(sync, differ, differs_here, &shard))
        heed_fail(failed, HEED_CORRUPT,
                  "parameters of rank %d on %s changed on their way or in its memory: its copy of rank %zu's shard is "
                  "not that of the other ranks",
                  sync->plan.rank, sync->comm->host, shard);
    heed_error agreed = *failed;
    status = heed_comm_agree(sync->comm, &agreed);
    *error = agreed;
    return status;
}

heed_status heed_gradsync_seal(heed_gradsync *sync, const real *weights, heed_error *failed, heed_error *error) {
    HEED_IN_STAGE(VERIFY);
    if (heed_gradsync_complete(sync, error) != HEED_OK)
        return error->status;
    const size_t size = (size_t)sync->plan.size, n_pieces = sync->plan.n_buckets * size;
#pragma omp parallel for schedule(dynamic) num_threads(sync->n_threads)
    for (size_t i = 0; i < n_pieces; i++)
        sync->digests[i] = piece_digest(sync, weights, i / size, i % size);
    sync->moment_digest = moment_digest(sync);
    sync->sealed = true;
    return compare_copies(sync, failed, error);
}

/* The tensors that have elements in the piece. */
static void name_tensors(const heed_gradsync *sync, size_t piece, char *names, size_t names_bytes) {
    const size_t size = (size_t)sync->plan.size;
    const heedi_bucket *bucket = &sync->plan.buckets[piece / size];
    const size_t from = bucket->parameter + bucket->shard_offset[piece % size] / sizeof(real);
    const size_t end = from + bucket->shard_bytes[piece % size] / sizeof(real);
    const char *first = NULL, *last = NULL;
    for (size_t t = 0; t < sync->params->n_tensors; t++) {
        const heed_tensor *tensor = &sync->params->tensors[t];
        if (tensor->tied_to >= 0 || tensor->offset >= end || tensor->offset + tensor->size <= from)
            continue;
        first = first ? first : tensor->name;
        last = tensor->name;
    }
    if (first == last)
        snprintf(names, names_bytes, "%s", first ? first : "a gap");
    else
        snprintf(names, names_bytes, "%s to %s", first, last);
}

void heed_gradsync_verify(heed_gradsync *sync, const real *weights, heed_error *failed) {
    if (!sync->sealed)
        return;
    HEED_IN_STAGE(VERIFY);
    const size_t size = (size_t)sync->plan.size, n_pieces = sync->plan.n_buckets * size;
    size_t changed = n_pieces;
#pragma omp parallel for schedule(dynamic) num_threads(sync->n_threads) reduction(min : changed)
    for (size_t i = 0; i < n_pieces; i++)
        if (i < changed && piece_digest(sync, weights, i / size, i % size) != sync->digests[i])
            changed = i;
    sync->moments_changed = moment_digest(sync) != sync->moment_digest;
    if (changed < n_pieces) {
        char names[160];
        name_tensors(sync, changed, names, sizeof names);
        heed_fail(failed, HEED_CORRUPT,
                  "memory of rank %d on %s changed by itself: a parameter in %s, of the shard of rank %zu",
                  sync->plan.rank, sync->comm->host, names, changed % size);
    } else if (sync->moments_changed) {
        heed_fail(failed, HEED_CORRUPT, "memory of rank %d on %s changed by itself: a moment of its shard",
                  sync->plan.rank, sync->comm->host);
    }
}

bool heed_gradsync_moments_changed(const heed_gradsync *sync) {
    return sync->sealed && sync->moments_changed;
}
