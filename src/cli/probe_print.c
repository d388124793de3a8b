#include "cli/probe_print.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

/* --- text --------------------------------------------------------------------------------------------------------- */

/* What was not measured is a dash. */
static void print_number(const char *format, double value) {
    char text[48];
    snprintf(text, sizeof text, format, isnan(value) ? 0.0 : value);
    for (char *at = text; isnan(value) && *at; at++)
        *at = strchr("0.", *at) ? (at[1] == '0' || at[1] == '.' ? ' ' : '-') : *at;
    fputs(text, stdout);
}

static void print_windows(const heed_probe *f) {
    const double loss = f->loss[HEED_PROBE_ALL];
    if (isnan(f->window_loss[0]) && isnan(f->span_loss[0]))
        return;
    printf("\n%8s %29s   %30s\n", "", "the last w tokens alone", "w positions in every layer");
    printf("%8s %9s %9s %9s   %9s %10s %9s\n", "w", "loss", "more", "+-", "loss", "more", "+-");
    for (size_t w = 0; w < f->sizes.windows; w++) {
        printf("%8lld", (long long)f->window[w]);
        print_number(" %9.4f", f->window_loss[w]);
        print_number(" %9.4f", f->window_loss[w] - loss);
        print_number(" %9.4f  ", f->window_error[w]);
        print_number(" %9.4f", f->span_loss[w]);
        print_number(" %10.4f", f->span_loss[w] - loss);
        print_number(" %9.4f\n", f->span_error[w]);
    }
}

static void print_head(const heed_probe *f, size_t site, size_t head) {
    const bool plain = f->sizes.sites > 0 && f->site_kind[site] == HEED_SITE_SELF;
    printf("%s%lld.%zu",
           plain                                   ? ""
           : f->site_kind[site] == HEED_SITE_CROSS ? "cross "
                                                   : "encoder ",
           (long long)f->site_layer[site], head);
}

static void print_scores(const heed_probe *f) {
    const size_t n = f->sizes.sites * f->sizes.heads;
    if (isnan(f->entropy[0]))
        return;
    printf("\n%8s %7s %8s %6s %8s %9s %9s %9s %8s %9s %9s\n", "head", "entropy", "distance", "top1", "previous",
           "duplicate", "induction", "on target", "copying", "AER", "AER next");
    for (size_t h = 0; h < n; h++) {
        printf("   ");
        print_head(f, h / f->sizes.heads, h % f->sizes.heads);
        print_number("  %7.3f", f->entropy[h]);
        print_number(" %8.2f", f->distance[h]);
        print_number(" %6.3f", f->top1[h]);
        print_number(" %8.3f", f->previous[h]);
        print_number(" %9.3f", f->duplicate[h]);
        print_number(" %9.3f", f->induction[h]);
        print_number(" %9.3f", f->on_target[h]);
        print_number(" %8.3f", f->copying[h]);
        print_number(" %9.3f", f->alignment_error[h]);
        print_number(" %9.3f\n", f->alignment_error_next[h]);
    }
}

static void print_changes(const heed_probe *f) {
    const size_t n = f->sizes.sites * f->sizes.heads;
    const double *const columns[][2] = {{f->ablate_zero, f->ablate_zero_error},
                                        {f->ablate_mean, f->ablate_mean_error},
                                        {f->ablate_uniform, f->ablate_uniform_error},
                                        {f->ablate_places, f->ablate_places_error},
                                        {f->patch_values, f->patch_values_error}};
    if (isnan(f->ablate_zero[0]) && isnan(f->patch_values[0]))
        return;
    printf("\nwhat the loss rises by (+- standard error) when a head's ...\n%8s %17s %17s %17s %17s %17s\n", "head",
           "output is 0", "is its mean", "weights are equal", "go by place", "values are others");
    for (size_t h = 0; h < n; h++) {
        printf("   ");
        print_head(f, h / f->sizes.heads, h % f->sizes.heads);
        printf(" ");
        for (size_t k = 0; k < sizeof columns / sizeof *columns; k++) {
            print_number(" %9.4f", columns[k][0][h]);
            print_number(" %7.4f", columns[k][1][h]);
        }
        printf("\n");
    }
}

static void print_best(const heed_probe *f) {
    const struct {
        const char *what;
        const double *values;
        int sign;
    } rows[] = {{"attends to the token before", f->previous, 1},
                {"attends to earlier places of its token", f->duplicate, 1},
                {"attends to what followed them (induction)", f->induction, 1},
                {"attends to the true positions", f->on_target, 1},
                {"lowest alignment error rate", f->alignment_error, -1},
                {"lowest alignment error rate, a step later", f->alignment_error_next, -1},
                {"is missed most (output 0)", f->ablate_zero, 1},
                {"is missed most (weights by place)", f->ablate_places, 1}};
    bool any = false;
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        heed_probe_pick pick;
        if (!heed_probe_best(&pick, f, rows[k].values, rows[k].sign))
            continue;
        if (!any)
            printf("\nthe head that, chosen on the first half of the sequences and reported on the second, ...\n");
        any = true;
        printf("  %-44s ", rows[k].what);
        print_head(f, pick.site, pick.head);
        printf("  %8.4f\n", pick.reported);
    }
    if (!isnan(f->alignment_error_chance[0]))
        printf("  alignment error rate of a guess among the candidates: %.4f\n", f->alignment_error_chance[0]);
    if (!isnan(f->rollout_entropy[0])) {
        printf("rollout: entropy %.3f nats, distance %.2f", f->rollout_entropy[0], f->rollout_distance[0]);
        if (!isnan(f->rollout_on_target[0]))
            printf(", on the true positions %.3f, alignment error rate %.3f", f->rollout_on_target[0],
                   f->rollout_alignment_error[0]);
        printf("\n");
    }
}

void heedi_probe_print(const heed_probe *f, const char *data) {
    printf("%s on %s: %.0f sequences, %.0f scored tokens\n", f->checkpoint, data, f->sequences[0], f->tokens[0]);
    printf("loss        %.4f +- %.4f nats a token\n", f->loss[0], f->loss_error[0]);
    if (!isnan(*f->in_context_early))
        printf("in context  %.4f +- %.4f: loss at position %.0f minus loss at position %.0f\n", f->in_context_score[0],
               f->in_context_error[0], *f->in_context_late, *f->in_context_early);
    print_windows(f);
    print_scores(f);
    print_changes(f);
    print_best(f);
}

/* --- JSON --------------------------------------------------------------------------------------------------------- */

static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null(); /* JSON has no NaN */
}

/* How the elements of an array are kept. */
typedef enum form { REALS, WHOLES, OTHERS } form;

/* Nested arrays; *at counts the elements that are used up. */
static json_t *nested(const heed_probe *f, const char *axes, form kept, const void *data, size_t *at) {
    if (!*axes) {
        const size_t k = (*at)++;
        return kept == REALS ? number(((const double *)data)[k]) : json_integer(((const int64_t *)data)[k]);
    }
    json_t *all = json_array();
    for (size_t i = 0; i < heed_probe_length(f, *axes); i++)
        json_array_append_new(all, nested(f, axes + 1, kept, data, at));
    return all;
}

static void put(json_t *all, const heed_probe *f, const char *name, const char *axes, form kept, const void *data) {
    size_t at = 0;
    if (kept != OTHERS)
        json_object_set_new(all, name, nested(f, axes, kept, data, &at));
}

heed_status heedi_probe_write_json(const heed_probe *f, const char *path, heed_error *error) {
    json_t *all = json_pack("{ss sI}", "checkpoint", f->checkpoint, "step", (json_int_t)f->step);
#define PUT(type, name, axes, unit, meaning)                                                                           \
    put(all, f, #name, axes, _Generic((type){0}, double : REALS, int64_t : WHOLES, default : OTHERS), f->name);
    HEED_PROBE_TABLE(PUT)
#undef PUT
    FILE *file = fopen(path, "we");
    if (!all)
        heed_fail(error, HEED_DATA, "%s: a name that is not UTF-8", f->checkpoint);
    else if (!file)
        heed_fail(error, HEED_CREATE, "%s: %s", path, strerror(errno));
    else if (json_dumpf(all, file, JSON_REAL_PRECISION(17)) != 0 || fputc('\n', file) == EOF)
        heed_fail(error, HEED_IO, "%s: cannot be written: %s", path, strerror(errno));
    if (file && fclose(file) != 0 && error->status == HEED_OK)
        heed_fail(error, HEED_IO, "%s: cannot be written: %s", path, strerror(errno));
    json_decref(all);
    return error->status;
}
