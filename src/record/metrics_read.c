/* Reading metrics.jsonl back. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "heed/config.h"
#include "heed/metrics.h"

static double number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static heed_status add_point(heed_curve *curve, const json_t *line, heed_error *error) {
    const size_t n = curve->n_points + 1;
    uint64_t *step = realloc(curve->step, n * sizeof *step);
    if (step)
        curve->step = step;
    double *loss = realloc(curve->loss, n * sizeof *loss);
    if (loss)
        curve->loss = loss;
    double *accuracy = realloc(curve->accuracy, n * sizeof *accuracy);
    if (accuracy)
        curve->accuracy = accuracy;
    if (!step || !loss || !accuracy)
        return heed_fail(error, HEED_MEMORY, "metrics: out of memory");
    step[n - 1] = (uint64_t)json_integer_value(json_object_get(line, "step"));
    loss[n - 1] = number(line, "valid_loss");
    accuracy[n - 1] = number(line, "valid_accuracy");
    curve->n_points = n;
    return HEED_OK;
}

static heed_status read_line(heed_curve *curve, const char *path, size_t place, const char *text, heed_error *error) {
    json_error_t reason;
    json_t *line = json_loads(text, JSON_REJECT_DUPLICATES, &reason);
    heed_status status = HEED_OK;
    if (!line || !json_is_integer(json_object_get(line, "step")))
        status = heed_fail(error, HEED_DATA, "%s:%zu: not a line of metrics", path, place);
    else if (json_object_get(line, "valid_loss"))
        status = add_point(curve, line, error);
    json_decref(line);
    return status;
}

heed_status heed_curve_read(heed_curve *curve, const char *run_dir, heed_error *error) {
    char path[HEED_PATH_MAX + 32], *text = NULL;
    size_t capacity = 0, place = 0;
    heed_status status = HEED_OK;
    *curve = (heed_curve){0};
    snprintf(path, sizeof path, "%s/metrics.jsonl", run_dir);
    FILE *file = fopen(path, "re");
    if (!file)
        return heed_fail(error, HEED_NOT_FOUND, "%s: %s", path, strerror(errno));
    for (ssize_t n; status == HEED_OK && (n = getline(&text, &capacity, file)) > 0 && text[n - 1] == '\n';)
        status = read_line(curve, path, ++place, text, error);
    free(text);
    fclose(file);
    if (status != HEED_OK)
        heed_curve_reset(curve);
    return status;
}

void heed_curve_reset(heed_curve *curve) {
    free(curve->step);
    free(curve->loss);
    free(curve->accuracy);
    *curve = (heed_curve){0};
}
