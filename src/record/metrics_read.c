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

typedef heed_status (*take_line)(void *into, const json_t *line, heed_error *error);

static heed_status read_line(take_line take, void *into, const char *path, size_t place, const char *text,
                             heed_error *error) {
    json_error_t reason;
    json_t *line = json_loads(text, JSON_REJECT_DUPLICATES, &reason);
    heed_status status = HEED_OK;
    if (!line || !json_is_integer(json_object_get(line, "step")))
        status = heed_fail(error, HEED_DATA, "%s:%zu: not a line of metrics", path, place);
    else
        status = take(into, line, error);
    json_decref(line);
    return status;
}

/* A torn last line, without its end, is left out. */
static heed_status read_lines(take_line take, void *into, const char *run_dir, heed_error *error) {
    char path[HEED_PATH_MAX + 32], *text = NULL;
    size_t capacity = 0, place = 0;
    heed_status status = HEED_OK;
    snprintf(path, sizeof path, "%s/metrics.jsonl", run_dir);
    FILE *file = fopen(path, "re");
    if (!file)
        return heed_fail(error, HEED_NOT_FOUND, "%s: %s", path, strerror(errno));
    for (ssize_t n; status == HEED_OK && (n = getline(&text, &capacity, file)) > 0 && text[n - 1] == '\n';)
        status = read_line(take, into, path, ++place, text, error);
    free(text);
    fclose(file);
    return status;
}

static heed_status take_point(void *into, const json_t *line, heed_error *error) {
    return json_object_get(line, "valid_loss") ? add_point(into, line, error) : HEED_OK;
}

heed_status heed_curve_read(heed_curve *curve, const char *run_dir, heed_error *error) {
    *curve = (heed_curve){0};
    const heed_status status = read_lines(take_point, curve, run_dir, error);
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

/* --- training losses ---------------------------------------------------------------------------------------------- */

typedef struct bounded {
    heed_loss_curve *curve;
    size_t most;
    uint64_t in_last; /* steps that the last point is the sum of, until the end */
} bounded;

/* Two neighbours become one, so that there is room again. All points are full sums of `width` losses here. */
static void halve(heed_loss_curve *curve) {
    for (size_t i = 0; i < curve->n_points / 2; i++) {
        curve->loss[i] = curve->loss[2 * i] + curve->loss[2 * i + 1];
        curve->step[i] = curve->step[2 * i + 1];
    }
    curve->n_points /= 2;
    curve->width *= 2;
}

static heed_status take_loss(void *into, const json_t *line, heed_error *error) {
    bounded *b = into;
    heed_loss_curve *curve = b->curve;
    (void)error;
    if (curve->n_points == 0 || b->in_last == curve->width) {
        if (curve->n_points == b->most)
            halve(curve);
        curve->loss[curve->n_points++] = 0;
        b->in_last = 0;
    }
    curve->loss[curve->n_points - 1] += number(line, "loss");
    curve->step[curve->n_points - 1] = (uint64_t)json_integer_value(json_object_get(line, "step"));
    curve->tokens += number(line, "tokens");
    curve->n_steps++;
    b->in_last++;
    return HEED_OK;
}

heed_status heed_loss_curve_read(heed_loss_curve *curve, const char *run_dir, size_t most, heed_error *error) {
    HEED_CHECK(most >= 2 && most % 2 == 0);
    *curve =
        (heed_loss_curve){.width = 1, .step = calloc(most, sizeof(uint64_t)), .loss = calloc(most, sizeof(double))};
    bounded b = {curve, most, 0};
    const heed_status status = curve->step && curve->loss ? read_lines(take_loss, &b, run_dir, error)
                                                          : heed_fail(error, HEED_MEMORY, "metrics: out of memory");
    for (size_t i = 0; i < curve->n_points; i++)
        curve->loss[i] /= (double)(i + 1 < curve->n_points ? curve->width : b.in_last);
    if (status != HEED_OK)
        heed_loss_curve_reset(curve);
    return status;
}

void heed_loss_curve_reset(heed_loss_curve *curve) {
    free(curve->step);
    free(curve->loss);
    *curve = (heed_loss_curve){0};
}
