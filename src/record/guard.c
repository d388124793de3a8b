/* The list of steps that were left out, and /guard of a checkpoint: writing and reading side by side. */
#include "record/guard.h"

#include <string.h>

bool heed_guard_skips(const heed_guard *guard, uint64_t step) {
    for (uint64_t i = 0; i < guard->n_skipped; i++)
        if (guard->skipped[i] == step)
            return true;
    return false;
}

bool heed_guard_skip(heed_guard *guard, uint64_t step) {
    uint64_t at = guard->n_skipped;
    if (heed_guard_skips(guard, step))
        return true;
    if (at == HEED_MOST_SKIPPED)
        return false;
    for (; at > 0 && guard->skipped[at - 1] > step; at--)
        guard->skipped[at] = guard->skipped[at - 1];
    guard->skipped[at] = step;
    guard->n_skipped++;
    return true;
}

uint64_t heed_guard_row(const heed_guard *guard, uint64_t step) {
    uint64_t n = 0;
    while (step > n + 1 && heed_guard_skips(guard, step - n - 1))
        n++;
    return n;
}

heed_status heedi_guard_write(heed_store *store, const heed_guard *guard, heed_error *error) {
    const size_t one = 1, n_skipped = guard->n_skipped, n_losses = guard->n_losses;
    heed_status status = HEED_OK;
    if (guard->suspect)
        status = heed_store_write(store, "/guard/suspect", HEED_TYPE_UINT64, 1, &one, &guard->suspect, false, error);
    if (status == HEED_OK && n_skipped)
        status =
            heed_store_write(store, "/guard/skipped", HEED_TYPE_UINT64, 1, &n_skipped, guard->skipped, false, error);
    if (status == HEED_OK && n_losses)
        status = heed_store_write(store, "/guard/losses", HEED_TYPE_FLOAT64, 1, &n_losses, guard->losses, false, error);
    return status;
}

/* An array of at most `most` elements; none where it is absent. */
static heed_status read_array(heed_store *store, const char *name, heed_type type, size_t most, void *values,
                              uint64_t *n_values, heed_error *error) {
    heed_array array;
    *n_values = 0;
    if (!heed_store_has(store, name))
        return HEED_OK;
    heed_status status = heed_store_describe(store, name, &array, error);
    if (status == HEED_OK && (array.n_dims != 1 || array.dims[0] > most))
        return heed_fail(error, HEED_DATA, "%s: %s: expected at most %zu numbers", heed_store_path(store), name, most);
    if (status == HEED_OK)
        status = heed_store_read(store, name, type, 1, array.dims, values, error);
    if (status == HEED_OK)
        *n_values = array.dims[0];
    return status;
}

heed_status heedi_guard_read(heed_store *store, heed_guard *guard, heed_error *error) {
    uint64_t n_suspects;
    memset(guard, 0, sizeof *guard);
    heed_status status = read_array(store, "/guard/suspect", HEED_TYPE_UINT64, 1, &guard->suspect, &n_suspects, error);
    if (status == HEED_OK)
        status = read_array(store, "/guard/skipped", HEED_TYPE_UINT64, HEED_MOST_SKIPPED, guard->skipped,
                            &guard->n_skipped, error);
    if (status == HEED_OK)
        status = read_array(store, "/guard/losses", HEED_TYPE_FLOAT64, HEED_MOST_WINDOW, guard->losses,
                            &guard->n_losses, error);
    return status;
}
