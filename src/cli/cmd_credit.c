/* heed credit: which comes first, credit or attention? Read from attention logs. */
#include "cli/cli.h"

#include <math.h>
#include <stdio.h>

#include "cli/credit_runs.h"
#include "heed/statistics.h"

static void print_step(double step) {
    if (isnan(step))
        printf("  %6s", "never");
    else
        printf("  %6.0f", step);
}

static void print_subject(const heedi_credit_run *s) {
    const heed_credit *f = &s->found;
    printf("%-28s %5s %2zu.%-2zu %6.3f", s->run, f->kind == HEED_CROSS_ATTENTION ? "cross" : "", f->layer, f->head,
           f->attention_at_end);
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

static void print_summary(const heedi_credit_runs *list) {
    size_t first = 0, both = 0;
    double lag[HEEDI_MOST_CREDIT_RUNS] = {0}, over[8][HEEDI_MOST_CREDIT_RUNS];
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

static void print_marks(const heedi_credit_run *s) {
    for (size_t m = 0; m < s->found.n_marks; m++) {
        const heed_phase_mark *mark = &s->found.marks[m];
        printf("%-28s step %6llu: %s of head %zu.%zu from %.3f to %.3f\n", s->run, (unsigned long long)mark->step,
               mark->score, mark->layer, mark->head, mark->before, mark->now);
    }
}

static void print_table(const heedi_credit_runs *list) {
    printf("%-28s %11s %6s  %6s  %6s  %34s  %27s\n", "", "", "", "onset", "onset", "top-1 match with the end",
           "tau with the end");
    printf("%-28s %11s %6s  %6s  %6s  %6s %6s %6s %6s %6s  %6s %6s %6s %6s\n", "run", "head", "at end", "credit",
           "attn", "credit", "attn", "twin", "unif", "chance", "credit", "attn", "twin", "unif");
    for (size_t i = 0; i < list->n; i++)
        print_subject(&list->all[i]);
    print_summary(list);
    printf("\nphase changes\n");
    for (size_t i = 0; i < list->n; i++)
        print_marks(&list->all[i]);
}

static void print_json(const heedi_credit_runs *list) {
    json_t *all = json_array();
    for (size_t i = 0; i < list->n; i++)
        json_array_append_new(all, heedi_credit_run_json(&list->all[i]));
    json_dumpf(all, stdout, JSON_REAL_PRECISION(17));
    putchar('\n');
    json_decref(all);
}

heed_status heedi_command_credit(heedi_cli *cli, heed_error *error) {
    bool json = false;
    const heedi_option options[] = {{"json", 'j', NULL, "print JSON, with the shares at every log", .on = &json}, {0}};
    const heedi_syntax syntax = {
        .arguments = "RUN_DIR|CONTROLS_DIR...",
        .about =
            "Reads the attention logs of runs on a generated task, and says when credit and when attention began "
            "to lie on "
            "the true positions, and how well early credit tells where attention is in the end: beside early "
            "attention, "
            "the credit of a twin whose queries and keys are frozen, and the informed chance. Of a task told as pairs "
            "it is cross-attention that is read. The rules stand in "
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
    heedi_credit_runs list = {0};
    heed_status status = HEED_OK;
    for (int i = 0; i < cli->n_arguments && status == HEED_OK; i++)
        status = heedi_credit_runs_add(&list, cli->arguments[i], error);
    for (size_t i = 0; i < list.n && status == HEED_OK; i++)
        status = heedi_credit_run_measure(&list.all[i], error);
    if (status == HEED_OK && json)
        print_json(&list);
    else if (status == HEED_OK)
        print_table(&list);
    heedi_credit_runs_reset(&list);
    return status;
}
