/* heed train: starts a run, or goes on with it. */
#include "cli/cli.h"

#include <signal.h>

#include "heed/log.h"
#include "heed/trace.h"
#include "heed/train.h"

static void ask_to_stop(int signal_number) {
    (void)signal_number;
    heed_train_request_stop();
}

/* SIGTERM and SIGUSR1 come from schedulers, often more than once: each asks for a checkpoint and an orderly end. SIGINT
 * comes from people: the second one finds the default action again and ends the process at once. SIGCONT, which SLURM
 * sends too, means nothing. */
void heedi_listen_for_stops(void) {
    const int signals[] = {SIGTERM, SIGUSR1, SIGINT};
    struct sigaction action = {.sa_handler = ask_to_stop};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        action.sa_flags = signals[i] == SIGINT ? (int)SA_RESETHAND | SA_RESTART : SA_RESTART;
        sigaction(signals[i], &action, NULL);
    }
}

heed_status heedi_command_train(heedi_cli *cli, heed_error *error) {
    bool quiet = false;
    const char *trace = NULL;
    const heedi_option options[] = {
        {"quiet", 'q', NULL, "show warnings and errors only", .on = &quiet},
        {"trace", 0, "FILE", "write what every rank did when, for Perfetto or Chrome", .text = &trace},
        {0}};
    const heedi_syntax syntax = {
        .arguments = "[CONFIG | RUN_DIR] [SECTION.KEY=VALUE...]",
        .about = "Trains a transformer. With a config file it starts the run that the config describes in run.dir, or "
                 "goes on with it "
                 "from its newest checkpoint if it is there already; with a run's folder it goes on with that run. "
                 "Settings on the "
                 "command line win over the file's ('heed config' lists them). Under mpirun all ranks train together; "
                 "the result "
                 "has the same bits for any number of them.\n\n"
                 "SIGTERM, SIGUSR1 or Ctrl-C: a checkpoint is written, and training ends with status 75, as it does in "
                 "time before train.walltime ends; a second Ctrl-C ends it at once.",
        .examples = "  heed train configs/whale.ini\n"
                    "  mpirun -n 8 heed train configs/whale.ini model.width=256 train.steps=5000\n"
                    "  heed train data.text=data/moby-dick.txt run.dir=runs/mine train.steps=200\n"
                    "  heed train runs/whale train.steps=10000      go on, for longer\n",
        .options = options,
        .least = 0,
        .most = -1,
    };
    if (!heedi_parse(cli, &syntax, error))
        return error->status;
    if (cli->n_arguments == 0) {
        heed_fail(error, HEED_USAGE, "train: what to train is missing: a config file, a run's folder, or settings");
        return heed_hint(error, "try 'heed train --help'");
    }
    if (heedi_open_ranks(cli, error) != HEED_OK)
        return error->status;
    heed_config config;
    if (heedi_share_config(cli, &config, heedi_read_config, error) != HEED_OK)
        return error->status;
    if (quiet)
        heed_log_setup(cli->rank, HEED_WARNING);
    heedi_listen_for_stops();
    heedi_progress progress;
    const heed_watch watch = heedi_progress_watch(&progress, quiet);
    if (!trace || heed_trace_start(cli->comm, error) == HEED_OK)
        heed_train(cli->comm, &config, &watch, error);
    heedi_progress_end(&progress);
    heed_error untraced = HEED_ERROR_INIT; /* what training has to say comes first */
    if (trace && heed_trace_finish(cli->comm, trace, &untraced) != HEED_OK && error->status == HEED_OK)
        *error = untraced;
    return error->status;
}
