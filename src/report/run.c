#include "report/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "heed/metrics.h"
#include "heed/report.h"
#include "heed/task.h"
#include "report/stored.h"

enum { TEXT_BYTES = 1 << 20 };

/* A small text file, or null. */
static json_t *file_text(const char *dir, const char *name) {
    char path[HEED_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "re");
    if (!file)
        return json_null();
    char *text = calloc(TEXT_BYTES + 1, 1);
    const size_t n = text ? fread(text, 1, TEXT_BYTES, file) : 0;
    fclose(file);
    json_t *json = text ? heedi_json_text(text) : json_null();
    (void)n;
    free(text);
    return json;
}

static json_t *steps_of(const uint64_t *steps, size_t n) {
    json_t *all = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(all, json_integer((json_int_t)steps[i]));
    return all;
}

static heed_status losses(json_t *run, const char *dir, heed_error *error) {
    heed_loss_curve loss;
    heed_curve valid = {0};
    heed_status status = heed_loss_curve_read(&loss, dir, HEED_REPORT_POINTS, error);
    if (status == HEED_NOT_FOUND)
        heed_hint(error, "a run's folder is meant, or one that 'heed controls' wrote");
    if (status == HEED_OK)
        status = heed_curve_read(&valid, dir, error);
    if (status == HEED_OK) {
        json_object_set_new(run, "loss",
                            json_pack("{so so sI sI so}", "step", steps_of(loss.step, loss.n_points), "loss",
                                      heedi_json_numbers(loss.loss, loss.n_points), "width", (json_int_t)loss.width,
                                      "steps", (json_int_t)loss.n_steps, "tokens", heedi_json_number(loss.tokens)));
        json_object_set_new(run, "valid",
                            json_pack("{so so so}", "step", steps_of(valid.step, valid.n_points), "loss",
                                      heedi_json_numbers(valid.loss, valid.n_points), "accuracy",
                                      heedi_json_numbers(valid.accuracy, valid.n_points)));
    }
    heed_loss_curve_reset(&loss);
    heed_curve_reset(&valid);
    return status;
}

/* The least loss that is possible on the validation data of a generated task; NaN where it is not known. */
static double optimum_of(const char *dir) {
    char path[HEED_PATH_MAX + 32];
    heed_config config;
    heed_error ignored = HEED_ERROR_INIT;
    heed_task *task = NULL;
    double optimum = NAN;
    snprintf(path, sizeof path, "%s/config.ini", dir);
    heed_config_defaults(&config);
    if (heed_config_read_file(&config, path, &ignored) != HEED_OK ||
        heed_config_resolve(&config, &ignored) != HEED_OK || config.data.task == HEED_NO_TASK)
        return NAN;
    const heed_task_settings settings = heed_task_settings_of(&config);
    if (heed_task_create(&task, &settings, &ignored) == HEED_OK &&
        heed_task_valid_optimum(task, &optimum, &ignored) != HEED_OK)
        optimum = NAN;
    heed_task_destroy(task);
    return optimum;
}

heed_status heedi_report_run_read(heedi_report_run *run, const char *dir, size_t n_runs, heed_error *error) {
    json_t *logs = NULL, *made = json_object();
    const char *slash = strrchr(dir, '/');
    *run = (heedi_report_run){.json = made};
    json_object_set_new(made, "folder", heedi_json_text(dir));
    json_object_set_new(made, "name", heedi_json_text(slash && slash[1] ? slash + 1 : dir));
    heed_status status = losses(made, dir, error);
    if (status == HEED_OK)
        status = heedi_report_logs_read(run, dir, n_runs, &logs, error);
    if (status == HEED_OK) {
        json_object_set_new(made, "logs", logs);
        json_object_set_new(made, "config", file_text(dir, "config.ini"));
        json_object_set_new(made, "environment", file_text(dir, "environment.json"));
        json_object_set_new(made, "optimum", heedi_json_number(optimum_of(dir)));
    }
    return status;
}

void heedi_report_run_reset(heedi_report_run *run) {
    for (size_t k = 0; k < run->n_logs; k++) {
        heedi_maps_reset(&run->log[k].maps);
        free(run->log[k].statistic);
        heedi_log_reader_close(&run->log[k].log);
    }
    json_decref(run->json);
    *run = (heedi_report_run){0};
}
