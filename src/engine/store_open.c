/* Which objects of a file that is written stay open. */
#include <hdf5.h>

#include <stdio.h>
#include <string.h>

#include "store_private.h"

bool heedi_store_keep(heed_store *store, const char *name, hid_t id) {
    HEED_CHECK(id >= 0 && strlen(name) < HEEDI_MAX_NAME);
    heedi_open *place = &store->open[store->n_opened++ % HEEDI_MAX_OPEN];
    const bool ok = store->n_opened <= HEEDI_MAX_OPEN || H5Oclose(place->id) >= 0;
    snprintf(place->name, sizeof place->name, "%s", name);
    place->id = id;
    return ok;
}

hid_t heedi_store_object(heed_store *store, const char *name) {
    const size_t n = store->n_opened < HEEDI_MAX_OPEN ? store->n_opened : HEEDI_MAX_OPEN;
    for (size_t i = 0; i < n; i++)
        if (strcmp(store->open[i].name, name) == 0)
            return store->open[i].id;
    const hid_t id = H5Oopen(store->file, name, H5P_DEFAULT);
    return id < 0 || heedi_store_keep(store, name, id) ? id : H5I_INVALID_HID;
}

bool heedi_store_let_go(heed_store *store) {
    const size_t n = store->n_opened < HEEDI_MAX_OPEN ? store->n_opened : HEEDI_MAX_OPEN;
    bool ok = true;
    for (size_t i = 0; i < n; i++)
        ok = H5Oclose(store->open[i].id) >= 0 && ok;
    store->n_opened = 0;
    return ok;
}
