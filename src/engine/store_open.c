/* Which objects of a file that is written stay open. */
#include <hdf5.h>

#include <stdio.h>
#include <string.h>

#include "store_private.h"

/* A place for one more: a free one, or that of the object that nobody asked for the longest. */
static heedi_open *find_place(heed_store *store, bool *ok) {
    *ok = true;
    if (store->n_open < HEEDI_MAX_OPEN)
        return &store->open[store->n_open++];
    heedi_open *oldest = store->open;
    for (size_t i = 1; i < HEEDI_MAX_OPEN; i++)
        if (store->open[i].used < oldest->used)
            oldest = &store->open[i];
    *ok = H5Oclose(oldest->id) >= 0;
    return oldest;
}

bool heedi_store_keep(heed_store *store, const char *name, hid_t id) {
    HEED_CHECK(id >= 0 && strlen(name) < HEEDI_MAX_NAME);
    bool ok;
    heedi_open *place = find_place(store, &ok);
    snprintf(place->name, sizeof place->name, "%s", name);
    place->id = id;
    place->used = ++store->n_asked;
    return ok;
}

hid_t heedi_store_object(heed_store *store, const char *name) {
    for (size_t i = 0; i < store->n_open; i++)
        if (strcmp(store->open[i].name, name) == 0) {
            store->open[i].used = ++store->n_asked;
            return store->open[i].id;
        }
    const hid_t id = H5Oopen(store->file, name, H5P_DEFAULT);
    return id < 0 || heedi_store_keep(store, name, id) ? id : H5I_INVALID_HID;
}

bool heedi_store_let_go(heed_store *store) {
    bool ok = true;
    for (size_t i = 0; i < store->n_open; i++)
        ok = H5Oclose(store->open[i].id) >= 0 && ok;
    store->n_open = 0;
    return ok;
}
