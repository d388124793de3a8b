/* heed credit: which comes first, credit or attention? Read from attention logs. */
#include "cli/cli.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "heed/credit.h"
#include "heed/statistics.h"

enum { MOST_RUNS = 1000 };

/* A run and what was measured on it. */
typedef struct subject {
    char run[HEED_PATH_MAX], frozen[HEED_PATH_MAX], uniform[HEED_PATH_MAX]; /* twins: empty without one */
    heed_credit found;
} subject;

typedef struct subjects {
    subject *all;
    size_t n;
} subjects;

static bool has_logs(const char *run) {
    char path[HEED_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/attention", run);
    return access(path, F_OK) == 0;
}

static heed_status add(subjects *list, const char *run, const char *frozen, const char *uniform, heed_error *error) {
    if (list->n == MOST_RUNS)
        return heed_fail(error, HEED_USAGE, "credit: more than %d runs", MOST_RUNS);
    subject *grown = realloc(list->all, (list->n + 1) * sizeof *grown);
    if (!grown)
        return heed_fail(error, HEED_MEMORY, "credit: out of memory");
    list->all = grown;
    subject *added = &grown[list->n++];
    memset(added, 0, sizeof *added);
    snprintf(added->run, sizeof added->run, "%s", run);
    snprintf(added->frozen, sizeof added->frozen, "%s", has_logs(frozen) ? frozen : "");
    snprintf(added->uniform, sizeof added->uniform, "%s", has_logs(uniform) ? uniform : "");
    return HEED_OK;
}

static int by_seed(const void *a, const void *b) {
    const long long x = *(const long long *)a, y = *(const long long *)b;
    return (x > y) - (x < y);
}

/* The runs with softmax attention in a folder of controls, and their twins of the same seed. */
static heed_status add_controls(subjects *list, const char *folder, heed_error *error) {
    long long seeds[MOST_RUNS];
    size_t n = 0;
    DIR *directory = opendir(folder);
    if (!directory)
        return heed_fail(error, HEED_NOT_FOUND, "%s: %s", folder, strerror(errno));
    for (struct dirent *entry; (entry = readdir(directory)) && n < MOST_RUNS;) {
        char *end = NULL;
        const bool is_run = strncmp(entry->d_name, "softmax-", 8) == 0;
        const long long seed = is_run ? strtoll(entry->d_name + 8, &end, 10) : 0;
        if (is_run && end != entry->d_name + 8 && !*end)
            seeds[n++] = seed;
    }
    closedir(directory);
    qsort(seeds, n, sizeof *seeds, by_seed);
    heed_status status = HEED_OK;
    for (size_t i = 0; i < n && status == HEED_OK; i++) {
        char run[HEED_PATH_MAX], frozen[HEED_PATH_MAX], uniform[HEED_PATH_MAX];
        snprintf(run, sizeof run, "%.980s/softmax-%lld", folder, seeds[i]);
        snprintf(frozen, sizeof frozen, "%.980s/random-%lld", folder, seeds[i]);
        snprintf(uniform, sizeof uniform, "%.980s/uniform-%lld", folder, seeds[i]);
        status = add(list, run, frozen, uniform, error);
    }
    if (status == HEED_OK && n == 0) {
        heed_fail(error, HEED_NOT_FOUND, "%s: neither a run with attention logs nor a folder of controls", folder);
        return heed_hint(error, "log.attention_every says how often attention is logged");
    }
    return status;
}

static void print_step(double step) {
    if (isnan(step))
        printf("  %6s", "never");
    else
        printf("  %6.0f", step);
}

static void print_subject(const subject *s) {
    const heed_credit *f = &s->found;
    printf("%-28s %2zu.%-2zu %6.3f", s->run, f->layer, f->head, f->attention_at_end);
    print_step(f->onset_credit);
    print_step(f->onset_attention);
    printf("  %6.3f %6.3f %6.3f %6.3f %6.3f  %6.3f %6.3f %6.3f %6.3f\n", f->credit.match, f->attention.match,
           f->twin.match, f->uniform.match, f->base_rate, f->credit.tau, f->attention.tau, f->twin.tau, f->uniform.tau);
}

/* The difference between an agreement and a baseline's, run by run. */
static void print_difference(const char *what, const double *difference, size_t n) {
    const heed_interval interval = heed_interval_of(difference, n, 0.05);
    if (!isnan(interval.mean))
        printf("  beyond %-28s %7.3f  in [%.3f, %.3f]%s\n", what, interval.mean, interval.low, interval.high,
               interval.low > 0 ? "  predicts better" : "");
}

static void print_summary(const subjects *list) {
    size_t first = 0, both = 0;
    double lag[MOST_RUNS] = {0}, over[8][MOST_RUNS];
    for (size_t i = 0; i < list->n; i++) {
        const heed_credit *f = &list->all[i].found;
        const double d = f->onset_attention - f->onset_credit;
        if (!isnan(d))
            lag[both++] = d;
        first += d > 0;
        over[0][i] = f->credit.match - f->attention.match;
        over[1][i] = f->credit.match - f->twin.match;
        over[2][i] = f->credit.match - f->base_rate;
        over[3][i] = f->credit.tau - f->attention.tau;
        over[4][i] = f->credit.tau - f->twin.tau;
        over[5][i] = f->credit.tau;
        over[6][i] = f->uniform.match - f->base_rate;
        over[7][i] = f->uniform.tau;
    }
    printf("\ncredit first in %zu of %zu runs", first, list->n);
    const heed_interval interval = heed_interval_of(lag, both, 0.05);
    if (both > 1)
        printf("; attention follows %.0f steps later [%.0f, %.0f] (95 %%, %zu runs in which both began)", interval.mean,
               interval.low, interval.high, both);
    printf("\nearly credit's top-1 match with attention at the end\n");
    print_difference("early attention's", over[0], list->n);
    print_difference("the frozen twin's credit's", over[1], list->n);
    print_difference("the informed chance", over[2], list->n);
    printf("early credit's Kendall tau with attention at the end\n");
    print_difference("early attention's", over[3], list->n);
    print_difference("the frozen twin's credit's", over[4], list->n);
    print_difference("0", over[5], list->n);
    if (isnan(heed_interval_of(over[7], list->n, 0.05).mean))
        return;
    printf("values before attention: the uniform twin's advantage at its end, with attention at the end\n");
    print_difference("the informed chance (match)", over[6], list->n);
    print_difference("0 (tau)", over[7], list->n);
}

static void print_marks(const subject *s) {
    for (size_t m = 0; m < s->found.n_marks; m++) {
        const heed_phase_mark *mark = &s->found.marks[m];
        printf("%-28s step %6llu: %s of head %zu.%zu from %.3f to %.3f\n", s->run, (unsigned long long)mark->step,
               mark->score, mark->layer, mark->head, mark->before, mark->now);
    }
}

static void print_table(const subjects *list) {
    printf("%-28s %5s %6s  %6s  %6s  %34s  %27s\n", "", "", "", "onset", "onset", "top-1 match with the end",
           "tau with the end");
    printf("%-28s %5s %6s  %6s  %6s  %6s %6s %6s %6s %6s  %6s %6s %6s %6s\n", "run", "head", "at end", "credit", "attn",
           "credit", "attn", "twin", "unif", "chance", "credit", "attn", "twin", "unif");
    for (size_t i = 0; i < list->n; i++)
        print_subject(&list->all[i]);
    print_summary(list);
    printf("\nphase changes\n");
    for (size_t i = 0; i < list->n; i++)
        print_marks(&list->all[i]);
}

/* JSON has no NaN. */
static json_t *number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *agreement(heed_agreement a) {
    return json_pack("{so so}", "match", number(a.match), "tau", number(a.tau));
}

static json_t *marks_of(const heed_credit *f) {
    json_t *all = json_array();
    for (size_t m = 0; m < f->n_marks; m++) {
        const heed_phase_mark *mark = &f->marks[m];
        json_array_append_new(all,
                              json_pack("{ss sI sI sI so so}", "score", mark->score, "layer", (json_int_t)mark->layer,
                                        "head", (json_int_t)mark->head, "step", (json_int_t)mark->step, "before",
                                        number(mark->before), "now", number(mark->now)));
    }
    return all;
}

static void print_json(const subjects *list) {
    json_t *all = json_array();
    for (size_t i = 0; i < list->n; i++) {
        const subject *s = &list->all[i];
        const heed_credit *f = &s->found;
        json_t *steps = json_array(), *credit = json_array(), *attention = json_array();
        for (size_t k = 0; k < f->n_logs; k++) {
            json_array_append_new(steps, json_integer((json_int_t)f->step[k]));
            json_array_append_new(credit, number(f->share_credit[k]));
            json_array_append_new(attention, number(f->share_attention[k]));
        }
        json_array_append_new(
            all,
            json_pack("{ss sI sI so so so so so so so so so so so so}", "run", s->run, "layer", (json_int_t)f->layer,
                      "head", (json_int_t)f->head, "base_rate", number(f->base_rate), "attention_at_end",
                      number(f->attention_at_end), "onset_credit", number(f->onset_credit), "onset_attention",
                      number(f->onset_attention), "early_credit", agreement(f->credit), "early_attention",
                      agreement(f->attention), "frozen_twin", agreement(f->twin), "uniform_twin", agreement(f->uniform),
                      "step", steps, "credit_share", credit, "attention_share", attention, "marks", marks_of(f)));
    }
    json_dumpf(all, stdout, JSON_REAL_PRECISION(17));
    putchar('\n');
    json_decref(all);
}

static heed_status measure(subjects *list, heed_error *error) {
    heed_status status = HEED_OK;
    for (size_t i = 0; i < list->n && status == HEED_OK; i++) {
        subject *s = &list->all[i];
        status = heed_credit_measure(&s->found, s->run, s->frozen[0] ? s->frozen : NULL,
                                     s->uniform[0] ? s->uniform : NULL, error);
    }
    return status;
}

heed_status heedi_command_credit(heedi_cli *cli, heed_error *error) {
    bool json = false;
    const heedi_option options[] = {{"json", 'j', NULL, "print JSON, with the shares at every log", .on = &json}, {0}};
    const heedi_syntax syntax = {
        .arguments = "RUN_DIR|CONTROLS_DIR...",
        .about = "Reads the attention logs of runs on a generated task, and says when credit and when attention began "
                 "to lie on "
                 "the true positions, and how well early credit tells where attention is in the end: beside early "
                 "attention, "
                 "the credit of a twin whose queries and keys are frozen, and the informed chance. The rules stand in "
                 "docs/science.md. It also marks phase changes of the heads' scores. Of a folder of 'heed controls' it "
                 "reads the runs softmax-SEED, with random-SEED and "
                 "uniform-SEED as their twins.",
        .examples = "  heed controls configs/tasks/induction.ini\n"
                    "  heed credit runs/induction\n"
                    "  heed credit runs/mine --json\n",
        .options = options,
        .least = 1,
        .most = -1,
    };
    if (!heedi_parse(cli, &syntax, error))
        return error->status;
    subjects list = {0};
    heed_status status = HEED_OK;
    for (int i = 0; i < cli->n_arguments && status == HEED_OK; i++)
        status = has_logs(cli->arguments[i]) ? add(&list, cli->arguments[i], "", "", error)
                                             : add_controls(&list, cli->arguments[i], error);
    if (status == HEED_OK)
        status = measure(&list, error);
    if (status == HEED_OK && json)
        print_json(&list);
    else if (status == HEED_OK)
        print_table(&list);
    for (size_t i = 0; i < list.n; i++)
        heed_credit_reset(&list.all[i].found);
    free(list.all);
    return status;
}
