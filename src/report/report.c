/* The page is index.html with its places filled in, from top to bottom. The maps come last, so that a browser has drawn
 * the page before it has read them. */
#include "heed/report.h"

#include <stdlib.h>
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

/* Everything on the page but the maps, which stay with the runs. */
static heed_status read_all(const heed_report *report, heedi_report_run *runs, json_t *data, heed_error *error) {
    json_t *all = json_array();
    heed_status status = HEED_OK;
    json_object_set_new(data, "runs", all);
    for (size_t r = 0; r < report->n_runs && status == HEED_OK; r++) {
        status = heedi_report_run_read(&runs[r], report->runs[r], report->n_runs, error);
        if (status == HEED_OK)
            status = read_stored(runs[r].json, "probe", report->runs[r], "probe.h5", "probe", error);
        json_array_append(all, runs[r].json);
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

static heed_status write_maps(const heed_report *report, const heedi_report_run *runs, heedi_page *page,
                              heed_error *error) {
    heed_status status = HEED_OK;
    for (size_t r = 0; r < report->n_runs; r++)
        for (size_t k = 0; k < runs[r].n_logs && status == HEED_OK; k++)
            status = heedi_maps_write(&runs[r].log[k].maps, r, page, error);
    return status;
}

static heed_status write_place(const char *name, size_t length, const heed_report *report, const heedi_report_run *runs,
                               const json_t *data, heedi_page *page, heed_error *error) {
    if (length == 4 && memcmp(name, "maps", 4) == 0)
        return write_maps(report, runs, page, error);
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
    heedi_report_run *runs = calloc(report->n_runs + 1, sizeof *runs);
    const heedi_resource html = heedi_page_part("html", 4);
    const char *at = html.bytes, *end = html.bytes + html.n_bytes;
    heed_status status = heedi_page_open(&page, path, error);
    if (status == HEED_OK)
        status = runs ? read_all(report, runs, data, error) : heed_fail(error, HEED_MEMORY, "%s: out of memory", path);
    while (status == HEED_OK && at < end) {
        const char *place = memmem(at, (size_t)(end - at), "{{", 2);
        heedi_page_bytes(&page, at, (size_t)((place ? place : end) - at));
        if (!place)
            break;
        const char *close = memmem(place, (size_t)(end - place), "}}", 2);
        HEED_CHECK(close);
        status = write_place(place + 2, (size_t)(close - place - 2), report, runs, data, &page, error);
        at = close + 2;
    }
    for (size_t r = 0; runs && r < report->n_runs; r++)
        heedi_report_run_reset(&runs[r]);
    free(runs);
    json_decref(data);
    return status == HEED_OK || page.file ? heedi_page_close(&page, error) : status;
}
