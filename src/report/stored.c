#include "report/stored.h"

#include <stdlib.h>
#include <unistd.h>

#include "heed/report.h"
#include "heed/store.h"
#include "report/page.h"

enum { TEXT_BYTES = 1 << 20 };

typedef struct reading {
    heed_store *store;
    json_t *arrays;
} reading;

static json_t *numbers_of(const heed_array *array, const void *data, size_t n) {
    json_t *values = json_array();
    for (size_t i = 0; i < n; i++) {
        const bool is_real = array->type == HEED_TYPE_FLOAT32 || array->type == HEED_TYPE_FLOAT64;
        json_array_append_new(values, is_real ? heedi_json_number(((const double *)data)[i])
                                              : json_integer((json_int_t)((const int64_t *)data)[i]));
    }
    return values;
}

static json_t *texts_of(char *const *data, size_t n) {
    json_t *values = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(values, heedi_json_text(data[i]));
    return values;
}

/* The types that the page can use, and what they are read as; else false. */
static bool read_as(heed_type stored, heed_type *type) {
    switch (stored) {
    case HEED_TYPE_INT64:
    case HEED_TYPE_UINT64:
        *type = stored;
        return true;
    case HEED_TYPE_FLOAT32:
    case HEED_TYPE_FLOAT64:
        *type = HEED_TYPE_FLOAT64;
        return true;
    case HEED_TYPE_STRING:
        *type = stored;
        return true;
    default:
        return false;
    }
}

static heed_status take_array(void *context, const char *name, const heed_array *array, heed_error *error) {
    const reading *r = context;
    heed_type type;
    size_t n = 1;
    for (int d = 0; d < array->n_dims; d++)
        n = n > HEED_REPORT_STORED_NUMBERS || array->dims[d] > HEED_REPORT_STORED_NUMBERS ? SIZE_MAX
                                                                                          : n * array->dims[d];
    if (!read_as(array->type, &type) || n > HEED_REPORT_STORED_NUMBERS)
        return HEED_OK;
    void *data = calloc(n + 1, sizeof(double));
    heed_status status = data ? heed_store_read(r->store, name, type, array->n_dims, array->dims, data, error)
                              : heed_fail(error, HEED_MEMORY, "%s: out of memory", heed_store_path(r->store));
    if (status == HEED_OK) {
        json_t *dims = json_array();
        for (int d = 0; d < array->n_dims; d++)
            json_array_append_new(dims, json_integer((json_int_t)array->dims[d]));
        json_object_set_new(r->arrays, name + (name[0] == '/'),
                            json_pack("{so so}", "dims", dims, "values",
                                      type == HEED_TYPE_STRING ? texts_of(data, n) : numbers_of(array, data, n)));
    }
    for (size_t i = 0; data && type == HEED_TYPE_STRING && i < n; i++)
        free(((char **)data)[i]);
    free(data);
    return status;
}

static json_t *attributes_of(heed_store *store, const char *const *texts) {
    json_t *all = json_object();
    for (size_t i = 0; texts[i]; i++) {
        heed_error absent = HEED_ERROR_INIT;
        char *text = NULL;
        if (heed_store_read_text(store, "/", texts[i], TEXT_BYTES, &text, &absent) == HEED_OK)
            json_object_set_new(all, texts[i], heedi_json_text(text));
        free(text);
    }
    return all;
}

heed_status heedi_stored_json(json_t **json, const char *path, const char *kind, int64_t format,
                              const char *const *texts, heed_error *error) {
    reading r = {0};
    *json = NULL;
    if (access(path, F_OK) != 0)
        return HEED_OK;
    heed_status status = heed_store_open(&r.store, path, true, error);
    if (status != HEED_OK)
        return status;
    r.arrays = json_object();
    status = heed_store_check_kind(r.store, kind, format, error);
    if (status == HEED_OK)
        status = heed_store_each(r.store, "/", take_array, &r, error);
    if (status == HEED_OK)
        *json = json_pack("{sO so}", "arrays", r.arrays, "attributes", attributes_of(r.store, texts));
    json_decref(r.arrays);
    heed_store_close(r.store);
    return status;
}
