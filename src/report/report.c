/* The page is index.html with its places filled in, from top to bottom: the maps are written while the logs are read,
 * what is said about them follows. */
#include "heed/report.h"

#include <string.h>

#include "heed/version.h"
#include "report/colours.h"
#include "report/page.h"
#include "report/resources.h"
#include "report/run.h"
#include "report/stored.h"

static heed_status read_stored(json_t *into, const char *key, const char *dir, const char *file, const char *kind,
                               heed_error *error) {
    static const char *const texts[] = {"verdict", "meaning", "expected", "config", "checkpoint", NULL};
    char path[HEED_PATH_MAX + 32];
    json_t *json = NULL;
    snprintf(path, sizeof path, "%s/%s", dir, file);
    const heed_status status = heedi_stored_json(&json, path, kind, 1, texts, error);
    json_object_set_new(into, key, json ? json : json_null());
    return status;
}

static json_t *credit_of(const heed_report *report) {
    json_t *credit = report->credit ? json_loads(report->credit, 0, NULL) : NULL;
    return credit ? credit : json_null();
}

/* {{maps}}: the chunks of all runs; gives the data. */
static heed_status write_runs(const heed_report *report, heedi_page *page, json_t *data, heed_error *error) {
    json_t *runs = json_array();
    heed_status status = HEED_OK;
    json_object_set_new(data, "runs", runs);
    for (size_t r = 0; r < report->n_runs && status == HEED_OK; r++) {
        json_t *run = NULL;
        status = heedi_run_json(&run, report->runs[r], r, report->n_runs, page, error);
        if (status == HEED_OK)
            status = read_stored(run, "probe", report->runs[r], "probe.h5", "probe", error);
        json_array_append_new(runs, run);
    }
    json_object_set_new(data, "controls", json_null());
    if (status == HEED_OK && report->controls) {
        json_object_set_new(data, "controls_folder", heedi_json_text(report->controls));
        status = read_stored(data, "controls", report->controls, "controls.h5", "controls", error);
    }
    json_object_set_new(data, "credit", credit_of(report));
    json_object_set_new(data, "no_credit", heedi_json_text(report->no_credit ? report->no_credit : ""));
    json_object_set_new(data, "heed", json_string(heed_version()));
    json_object_set_new(data, "palettes", heedi_palettes_json());
    return status;
}

static heed_status write_place(const char *name, size_t length, const heed_report *report, heedi_page *page,
                               json_t *data, heed_error *error) {
    if (length == 4 && memcmp(name, "maps", 4) == 0)
        return write_runs(report, page, data, error);
    if (length == 4 && memcmp(name, "json", 4) == 0)
        return heedi_page_json(page, data, error);
    const heedi_resource part = heedi_page_part(name, length);
    HEED_CHECK(part.n_bytes > 0);
    heedi_page_bytes(page, part.bytes, part.n_bytes);
    return HEED_OK;
}

heed_status heed_report_write(const char *path, const heed_report *report, heed_error *error) {
    heedi_page page;
    json_t *data = json_object();
    const heedi_resource html = heedi_page_part("html", 4);
    const char *at = html.bytes, *end = html.bytes + html.n_bytes;
    heed_status status = heedi_page_open(&page, path, error);
    while (status == HEED_OK && at < end) {
        const char *place = memmem(at, (size_t)(end - at), "{{", 2);
        heedi_page_bytes(&page, at, (size_t)((place ? place : end) - at));
        if (!place)
            break;
        const char *close = memmem(place, (size_t)(end - place), "}}", 2);
        HEED_CHECK(close);
        status = write_place(place + 2, (size_t)(close - place - 2), report, &page, data, error);
        at = close + 2;
    }
    json_decref(data);
    return status == HEED_OK || page.file ? heedi_page_close(&page, error) : status;
}
