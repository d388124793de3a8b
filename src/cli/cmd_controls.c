/* heed controls: trains a model and its matched controls, and says what its attention is worth. */
#include "cli/cli.h"

#include <math.h>
#include <stdio.h>

#include "heed/controls.h"
#include "heed/variant.h"

/* "0.1234 +- 0.0012": mean and half the width of the interval. */
static void print_interval(const double *values, size_t n) {
    const heed_interval interval = heed_interval_of(values, n, HEED_VERDICT_ALPHA);
    printf("  %8.4f +- %-7.4f", interval.mean, (interval.high - interval.low) / 2);
}

static void print_variant(const heed_controls *c, size_t v) {
    const double *loss = c->loss + v * c->n_seeds, *accuracy = c->accuracy + v * c->n_seeds;
    double above[1000];
    const bool has_optimum = !isnan(c->optimum[0]);
    for (size_t s = 0; s < c->n_seeds; s++)
        above[s] = loss[s] - (has_optimum ? c->optimum[s] : 0);
    printf("%-9s %10lld", heed_variants[c->variant[v]].name, (long long)c->trained[v]);
    print_interval(above, c->n_seeds);
    print_interval(accuracy, c->n_seeds);
    if (!isnan(c->recovered[v].mean))
        printf("  %6.3f [%.3f, %.3f]", c->recovered[v].mean, c->recovered[v].low, c->recovered[v].high);
    putchar('\n');
}

static void print_comparison(const char *what, heed_interval interval, double tails, double margin) {
    printf("  %-36s %7.4f  in [%.4f, %.4f] at %.2f %%, held against %.2f\n", what, interval.mean, interval.low,
           interval.high, 100 * (1 - tails), margin);
}

static void print_all(const heed_controls *c, const heed_config *config) {
    const heed_judgement *judgement = &c->judgement;
    printf("%s: %zu variants, %zu seed%s, %lld steps\n\n", config->run.dir, c->n_variants, c->n_seeds,
           c->n_seeds == 1 ? "" : "s", (long long)config->train.steps);
    printf("%-9s %10s  %-19s  %-19s  %s\n", "attention", "parameters",
           isnan(c->optimum[0]) ? "loss (nats)" : "above the optimum", "share right", "gap recovered, 95 %");
    for (size_t v = 0; v < c->n_variants; v++)
        print_variant(c, v);
    printf("\nverdict: %s (%s)\n", heed_verdict_name(judgement->verdict), heed_verdict_meaning(judgement->verdict));
    if (judgement->tails[0] == 0) {
        printf("  a verdict reads softmax, none, uniform and position: train them too (controls.variants)\n");
        return;
    }
    print_comparison("what context is worth, of the loss", judgement->worth, judgement->tails[0], HEED_VERDICT_MARGIN);
    print_comparison("recovered by uniform", judgement->uniform, judgement->tails[1], 1 - HEED_VERDICT_MARGIN);
    print_comparison("recovered by position", judgement->position, judgement->tails[2], 1 - HEED_VERDICT_MARGIN);
    printf(
        "\nparameters: those that are trained. The rules stand in docs/science.md; everything is in %s/controls.h5\n",
        config->run.dir);
}

heed_status heedi_command_controls(heedi_cli *cli, heed_error *error) {
    const heedi_option options[] = {{0}};
    const heedi_syntax syntax = {
        .arguments = "CONFIG [SECTION.KEY=VALUE...]",
        .about = "Trains a model and its matched controls: the same data, seeds, steps and number of trained "
                 "parameters, with attention replaced by variants that may use less (controls.variants, "
                 "controls.runs). From the share of the loss that each recovers comes the verdict: NONE, BAG, "
                 "POSITION, CONTEXT or UNDECIDED, by the rules of docs/science.md. Under mpirun the ranks share the "
                 "runs. Started again after an interruption it does what is left.\n\n"
                 "A config may say which verdict it expects (expect.verdict); another one ends with status 82.",
        .examples = "  heed controls configs/tasks/reverse.ini\n"
                    "  mpirun -n 8 heed controls configs/tasks/induction.ini controls.runs=10\n"
                    "  heed controls configs/whale.ini run.dir=runs/why\n",
        .options = options,
        .least = 1,
        .most = -1,
    };
    if (!heedi_parse(cli, &syntax, error) || heedi_open_ranks(cli, error) != HEED_OK)
        return error->status;
    heed_config config;
    if (heedi_share_config(cli, &config, heedi_read_config, error) != HEED_OK)
        return error->status;
    heedi_listen_for_stops();
    heed_controls controls;
    heed_controls_run(cli->comm, &config, &controls, error);
    if (cli->rank == 0 && (error->status == HEED_OK || error->status == HEED_VERDICT))
        print_all(&controls, &config);
    heed_controls_reset(&controls);
    return error->status;
}
