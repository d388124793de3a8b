/* controls.h5, written and read by one table of its arrays. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "heed/store.h"
#include "heed/variant.h"
#include "probe/controls.h"

#define KIND "controls"
#define FORMAT 1
enum { COMPARISONS = 3, MAX_ARRAYS = 24 };

/* One array: its name, type, dimensions as letters (v variants, s seeds, p points, c comparisons) and content. */
typedef struct array {
    const char *name;
    heed_type type;
    const char *dims;
    void *data; /* written from, or read into */
} array;

/* What is laid out in another way in the file. */
typedef struct columns {
    const char *name[HEED_ATTEND_MLP + 1];
    double mean[HEED_ATTEND_MLP + 1], low[HEED_ATTEND_MLP + 1], high[HEED_ATTEND_MLP + 1];
    double compared_mean[COMPARISONS], compared_low[COMPARISONS], compared_high[COMPARISONS], margin[COMPARISONS],
        tails[COMPARISONS];
    const char *compared[COMPARISONS];
} columns;

static void fill_columns(columns *made, const heed_controls *c) {
    static const char *const names[COMPARISONS] = {"worth", "uniform", "position"};
    const heed_interval compared[COMPARISONS] = {c->judgement.worth, c->judgement.uniform, c->judgement.position};
    for (size_t v = 0; v < c->n_variants; v++) {
        made->name[v] = heed_variants[c->variant[v]].name;
        made->mean[v] = c->recovered[v].mean;
        made->low[v] = c->recovered[v].low;
        made->high[v] = c->recovered[v].high;
    }
    for (int i = 0; i < COMPARISONS; i++) {
        made->compared[i] = names[i];
        made->tails[i] = c->judgement.tails[i];
        made->compared_mean[i] = compared[i].mean;
        made->compared_low[i] = compared[i].low;
        made->compared_high[i] = compared[i].high;
        made->margin[i] = i == 0 ? HEED_VERDICT_MARGIN : 1 - HEED_VERDICT_MARGIN;
    }
}

/* The table. Returns the number of rows. */
static size_t list_arrays(array rows[MAX_ARRAYS], const heed_controls *c, columns *made) {
    const array all[] = {
        {"variant", HEED_TYPE_STRING, "v", made->name},
        {"seed", HEED_TYPE_INT64, "s", c->seed},
        {"hidden", HEED_TYPE_INT64, "v", c->hidden},
        {"parameters", HEED_TYPE_INT64, "v", c->parameters},
        {"trained", HEED_TYPE_INT64, "v", c->trained},
        {"loss", HEED_TYPE_FLOAT64, "vs", c->loss},
        {"accuracy", HEED_TYPE_FLOAT64, "vs", c->accuracy},
        {"optimum", HEED_TYPE_FLOAT64, "s", c->optimum},
        {"step", HEED_TYPE_UINT64, "p", c->step},
        {"curve", HEED_TYPE_FLOAT64, "vsp", c->curve},
        {"fraction", HEED_TYPE_FLOAT64, "vs", c->fraction},
        {"recovered/mean", HEED_TYPE_FLOAT64, "v", made->mean},
        {"recovered/low", HEED_TYPE_FLOAT64, "v", made->low},
        {"recovered/high", HEED_TYPE_FLOAT64, "v", made->high},
        {"comparison/name", HEED_TYPE_STRING, "c", made->compared},
        {"comparison/mean", HEED_TYPE_FLOAT64, "c", made->compared_mean},
        {"comparison/low", HEED_TYPE_FLOAT64, "c", made->compared_low},
        {"comparison/high", HEED_TYPE_FLOAT64, "c", made->compared_high},
        {"comparison/margin", HEED_TYPE_FLOAT64, "c", made->margin},
        {"comparison/tails", HEED_TYPE_FLOAT64, "c", made->tails},
    };
    memcpy(rows, all, sizeof all);
    return sizeof all / sizeof *all;
}

static int shape_of(size_t dims[3], const char *letters, const heed_controls *c) {
    int n = 0;
    for (; letters[n]; n++)
        dims[n] = letters[n] == 'v'   ? c->n_variants
                  : letters[n] == 's' ? c->n_seeds
                  : letters[n] == 'p' ? c->n_points
                                      : COMPARISONS;
    return n;
}

static heed_status path_in(char path[HEED_PATH_MAX], const char *run_dir, heed_error *error) {
    return snprintf(path, HEED_PATH_MAX, "%s/controls.h5", run_dir) < HEED_PATH_MAX
               ? HEED_OK
               : heed_fail(error, HEED_CREATE, "run.dir = %s: the name is too long", run_dir);
}

static heed_status write_all(heed_store *store, const heed_controls *c, const heed_config *config, heed_error *error) {
    static const char *const expected[] = {"", "NONE", "BAG", "POSITION", "CONTEXT"};
    columns made = {0};
    array rows[MAX_ARRAYS];
    char *text = heed_config_text(config);
    fill_columns(&made, c);
    const size_t n = list_arrays(rows, c, &made);
    heed_status status = text ? heed_store_write_kind(store, KIND, FORMAT, error)
                              : heed_fail(error, HEED_MEMORY, "controls: out of memory");
    for (size_t i = 0; i < n && status == HEED_OK; i++) {
        size_t dims[3];
        const int n_dims = shape_of(dims, rows[i].dims, c);
        status = heed_store_write(store, rows[i].name, rows[i].type, n_dims, dims, rows[i].data, false, error);
    }
    if (status == HEED_OK)
        status = heed_store_write_text(store, "/", "verdict", heed_verdict_name(c->judgement.verdict), error);
    if (status == HEED_OK)
        status = heed_store_write_text(store, "/", "meaning", heed_verdict_meaning(c->judgement.verdict), error);
    if (status == HEED_OK)
        status = heed_store_write_text(store, "/", "expected", expected[config->expect.verdict], error);
    if (status == HEED_OK)
        status = heed_store_write_text(store, "/", "config", text, error);
    free(text);
    return status;
}

heed_status heed_controls_write(const heed_controls *c, const heed_config *config, heed_error *error) {
    char path[HEED_PATH_MAX];
    heed_store *store;
    heed_status status = path_in(path, config->run.dir, error);
    if (status == HEED_OK)
        status = heed_store_create(&store, path, error);
    if (status != HEED_OK)
        return status;
    status = write_all(store, c, config, error);
    if (status == HEED_OK)
        return heed_store_seal(store, error);
    heed_store_discard(store);
    return status;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

/* variants, seeds and points are the shape of the curve. */
static heed_status read_sizes(heed_controls *c, heed_store *store, heed_error *error) {
    heed_array curve;
    const heed_status status = heed_store_describe(store, "curve", &curve, error);
    if (status != HEED_OK)
        return status;
    if (curve.n_dims != 3 || curve.dims[0] > heed_n_variants)
        return heed_fail(error, HEED_DATA, "%s: curve: not of the form (variant, seed, step)", heed_store_path(store));
    c->n_variants = curve.dims[0];
    c->n_seeds = curve.dims[1];
    c->n_points = curve.dims[2];
    return HEED_OK;
}

static heed_status take_names(heed_controls *c, char *const *names, const heed_store *store, heed_error *error) {
    for (size_t i = 0; i < c->n_variants; i++) {
        size_t v = 0;
        while (v < heed_n_variants && strcmp(heed_variants[v].name, names[i]) != 0)
            v++;
        if (v == heed_n_variants)
            return heed_fail(error, HEED_DATA, "%s: variant: '%s' is none", heed_store_path(store), names[i]);
        c->variant[i] = (heed_attend)v;
    }
    return HEED_OK;
}

static void take_columns(heed_controls *c, const columns *made) {
    heed_interval *const compared[COMPARISONS] = {&c->judgement.worth, &c->judgement.uniform, &c->judgement.position};
    for (size_t v = 0; v < c->n_variants; v++)
        c->recovered[v] = (heed_interval){made->mean[v], made->low[v], made->high[v]};
    for (int i = 0; i < COMPARISONS; i++)
        *compared[i] = (heed_interval){made->compared_mean[i], made->compared_low[i], made->compared_high[i]};
    memcpy(c->judgement.tails, made->tails, sizeof made->tails);
}

static heed_status take_verdict(heed_controls *c, heed_store *store, heed_error *error) {
    char *name = NULL;
    const heed_status status = heed_store_read_text(store, "/", "verdict", 64, &name, error);
    if (status != HEED_OK)
        return status;
    int verdict = 0;
    while (verdict < HEED_N_VERDICTS && strcmp(heed_verdict_name((heed_verdict_kind)verdict), name) != 0)
        verdict++;
    free(name);
    if (verdict == HEED_N_VERDICTS)
        return heed_fail(error, HEED_DATA, "%s: verdict: none that is known", heed_store_path(store));
    c->judgement.verdict = (heed_verdict_kind)verdict;
    return HEED_OK;
}

static heed_status read_all(heed_controls *c, heed_store *store, heed_error *error) {
    columns made = {0};
    array rows[MAX_ARRAYS];
    char *names[HEED_ATTEND_MLP + 1] = {0};
    heed_status status = read_sizes(c, store, error);
    if (status == HEED_OK)
        status = heedi_controls_alloc(c, c->n_variants, c->n_seeds, error);
    c->step = calloc(c->n_points + 1, sizeof *c->step);
    c->curve = calloc(c->n_variants * c->n_seeds * c->n_points + 1, sizeof *c->curve);
    if (status == HEED_OK && (!c->step || !c->curve))
        status = heed_fail(error, HEED_MEMORY, "%s: out of memory", heed_store_path(store));
    const size_t n = status == HEED_OK ? list_arrays(rows, c, &made) : 0;
    for (size_t i = 0; i < n && status == HEED_OK; i++) {
        size_t dims[3];
        const int n_dims = shape_of(dims, rows[i].dims, c);
        if (strcmp(rows[i].name, "comparison/name") == 0) /* is always the same */
            continue;
        void *data = strcmp(rows[i].name, "variant") == 0 ? (void *)names : rows[i].data;
        status = heed_store_read(store, rows[i].name, rows[i].type, n_dims, dims, data, error);
    }
    if (status == HEED_OK)
        status = take_names(c, names, store, error);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        free(names[i]);
    take_columns(c, &made);
    return status == HEED_OK ? take_verdict(c, store, error) : status;
}

heed_status heed_controls_read(heed_controls *c, const char *run_dir, heed_error *error) {
    char path[HEED_PATH_MAX];
    heed_store *store;
    *c = (heed_controls){0};
    heed_status status = path_in(path, run_dir, error);
    if (status == HEED_OK)
        status = heed_store_open(&store, path, true, error);
    if (status != HEED_OK)
        return status;
    status = heed_store_check_kind(store, KIND, FORMAT, error);
    if (status == HEED_OK)
        status = read_all(c, store, error);
    heed_store_close(store);
    if (status != HEED_OK)
        heed_controls_reset(c);
    return status;
}
