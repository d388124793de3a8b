/* heed report: one HTML page from what runs recorded, or a picture of one head's map. */
#include "cli/cli.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/credit_runs.h"
#include "heed/controls.h"
#include "heed/report.h"
#include "heed/variant.h"

enum { MOST_RUNS = 64 };

/* What the page shall show. */
typedef struct contents {
    char *run[MOST_RUNS];
    size_t n_runs;
    char *controls; /* or NULL */
    json_t *credit; /* array */
    char why[1024]; /* there is no credit */
} contents;

static void contents_reset(contents *c) {
    for (size_t i = 0; i < c->n_runs; i++)
        free(c->run[i]);
    free(c->controls);
    json_decref(c->credit);
}

static bool is_there(const char *folder, const char *name) {
    char path[HEED_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

static heed_status add_run(contents *c, const char *dir, heed_error *error) {
    if (c->n_runs == MOST_RUNS)
        return heed_fail(error, HEED_USAGE, "report: more than %d runs", MOST_RUNS);
    if (!is_there(dir, "metrics.jsonl")) {
        heed_fail(error, HEED_NOT_FOUND, "%s: no run lies there, for there is no metrics.jsonl", dir);
        return heed_hint(error, "a folder of 'heed train' or of 'heed controls' is meant");
    }
    if (!(c->run[c->n_runs] = strdup(dir)))
        return heed_fail(error, HEED_MEMORY, "report: out of memory");
    c->n_runs++;
    return HEED_OK;
}

/* Of a folder of controls the runs of its first seed, as far as they are there. */
static heed_status add_controls(contents *c, const char *dir, heed_error *error) {
    heed_controls controls;
    if (c->controls)
        return heed_fail(error, HEED_USAGE, "report: %s: one folder of controls at a time", dir);
    if (!(c->controls = strdup(dir)))
        return heed_fail(error, HEED_MEMORY, "report: out of memory");
    heed_status status = heed_controls_read(&controls, dir, error);
    for (size_t v = 0; status == HEED_OK && v < controls.n_variants && controls.n_seeds > 0; v++) {
        char run[HEED_PATH_MAX];
        snprintf(run, sizeof run, "%.960s/%s-%lld", dir, heed_variants[controls.variant[v]].name,
                 (long long)controls.seed[0]);
        if (is_there(run, "metrics.jsonl"))
            status = add_run(c, run, error);
    }
    heed_controls_reset(&controls);
    return status;
}

/* Credit is known of generated tasks with enough logs. Where it is not, the page says why, and that is no fault. */
static void add_credit(contents *c, const char *place) {
    heed_error why = HEED_ERROR_INIT;
    heedi_credit_runs list = {0};
    heed_status status = heedi_credit_runs_add(&list, place, &why);
    for (size_t i = 0; i < list.n && status == HEED_OK; i++) {
        status = heedi_credit_run_measure(&list.all[i], &why);
        if (status == HEED_OK)
            json_array_append_new(c->credit, heedi_credit_run_json(&list.all[i]));
    }
    if (status != HEED_OK && !c->why[0])
        snprintf(c->why, sizeof c->why, "%s", why.message);
    heedi_credit_runs_reset(&list);
}

static void cut_slashes(char *name) {
    for (size_t n = strlen(name); n > 1 && name[n - 1] == '/'; n--)
        name[n - 1] = 0;
}

static heed_status write_page(heedi_cli *cli, const char *output, heed_error *error) {
    contents c = {.credit = json_array()};
    char by_default[HEED_PATH_MAX];
    heed_status status = HEED_OK;
    for (int i = 0; i < cli->n_arguments && status == HEED_OK; i++) {
        char *place = cli->arguments[i];
        cut_slashes(place);
        status = is_there(place, "controls.h5") ? add_controls(&c, place, error) : add_run(&c, place, error);
        if (status == HEED_OK)
            add_credit(&c, place);
    }
    snprintf(by_default, sizeof by_default, "%.*s/report.html", HEED_PATH_MAX - 16, cli->arguments[0]);
    output = output ? output : by_default;
    char *credit = json_array_size(c.credit) > 0 ? json_dumps(c.credit, JSON_REAL_PRECISION(9)) : NULL;
    const heed_report report = {.runs = (const char *const *)c.run,
                                .n_runs = c.n_runs,
                                .controls = c.controls,
                                .credit = credit,
                                .no_credit = c.why[0] ? c.why : NULL};
    if (status == HEED_OK)
        status = heed_report_write(output, &report, error);
    if (status == HEED_OK)
        printf("%s\n", output);
    free(credit);
    contents_reset(&c);
    return status;
}

/* A picture, when one of its options names a file; which tells its form. */
static heed_status draw_figure(heedi_cli *cli, const char *const *path, heed_figure *figure, heed_error *error) {
    if (cli->n_arguments > 1)
        return heed_fail(error, HEED_USAGE, "report: a picture is of one run");
    cut_slashes(cli->arguments[0]);
    figure->run = cli->arguments[0];
    heed_status status = HEED_OK;
    for (int format = HEED_FIGURE_PNG; format <= HEED_FIGURE_PDF && status == HEED_OK; format++) {
        if (!path[format])
            continue;
        status = heed_figure_draw(path[format], (heed_figure_format)format, figure, error);
        if (status == HEED_OK)
            printf("%s\n", path[format]);
    }
    return status;
}

heed_status heedi_command_report(heedi_cli *cli, heed_error *error) {
    const char *output = NULL, *path[3] = {NULL}, *what = "attention", *kind = "self";
    int64_t layer = 0, head = 0, probe = 0, step = -1;
    const double most = INT32_MAX;
    const heedi_option options[] = {
        {"output", 'o', "FILE", "the page to write; by default report.html in the first folder", .text = &output},
        {"png", 0, "FILE", "instead of a page, draw one map as a PNG", .text = &path[HEED_FIGURE_PNG]},
        {"svg", 0, "FILE", "the same as an SVG", .text = &path[HEED_FIGURE_SVG]},
        {"pdf", 0, "FILE", "the same as a PDF", .text = &path[HEED_FIGURE_PDF]},
        {"what", 'w', "MAP", "of a picture: attention, credit or advantage", .text = &what},
        {"layer", 'l', "N", "of a picture: the layer, from the input", .whole = &layer, .high = most},
        {"head", 'H', "N", "of a picture: the head", .whole = &head, .high = most},
        {"probe", 'p', "N", "of a picture: the probe", .whole = &probe, .high = most},
        {"step", 's', "N", "of a picture: the step of the log; -1 is the last", .whole = &step, .low = -1,
         .high = 1e15},
        {"kind", 'k', "KIND", "of a picture: self-attention (self), or an encoder-decoder's encoder or cross",
         .text = &kind},
        {0}};
    const heedi_syntax syntax = {
        .arguments = "RUN_DIR|CONTROLS_DIR...",
        .about =
            "Writes one HTML page that shows what runs recorded: losses, the controls and their verdict, attention "
            "and credit of every head through training, scores of the heads with phase changes, and what can and "
            "what cannot be concluded. The page needs neither network nor heed: open it in a browser, send it to "
            "a colleague. Several runs are shown beside each other; of a folder of 'heed controls' the runs of its "
            "first seed are. With --png, --svg or --pdf it draws one map of one head instead, for a paper.",
        .examples = "  heed report runs/whale\n"
                    "  heed report runs/wide runs/deep -o compare.html\n"
                    "  heed report runs/why\n"
                    "  heed report runs/whale --svg head.svg --what credit --layer 1 --head 3\n",
        .options = options,
        .least = 1,
        .most = -1,
    };
    if (!heedi_parse(cli, &syntax, error))
        return error->status;
    heed_figure figure = {
        .what = what, .kind = kind, .step = step, .layer = (size_t)layer, .head = (size_t)head, .probe = (size_t)probe};
    return path[0] || path[1] || path[2] ? draw_figure(cli, path, &figure, error) : write_page(cli, output, error);
}
