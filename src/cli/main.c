/* heed's one way in and out: finds the command, lets it run, makes all ranks agree on how it ended, and says so once.
 */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/match.h"
#include "heed/log.h"

struct command {
    const char *name;
    bool all_ranks;
    const char *summary;
    heed_status (*run)(heedi_cli *cli, heed_error *error);
};

static const struct command commands[] = {
#define ROW(name, all_ranks, summary) {#name, all_ranks, summary, heedi_command_##name},
    HEED_COMMAND_TABLE(ROW)
#undef ROW
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static heed_comm *open_comm; /* for end_all_ranks alone */

static void end_all_ranks(int exit_status) {
    if (open_comm)
        heed_comm_abort(open_comm, exit_status);
}

/* What the launcher says of its processes, by the environment that it gave us: Open MPI's mpirun, MPICH's (and srun's
 * PMI), and srun without any. The first that is set speaks. */
struct launch {
    long size, rank; /* 1 and 0 without a launcher */
};

static struct launch read_launch(void) {
    static const char *const variables[][2] = {{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
                                               {"PMI_SIZE", "PMI_RANK"},
                                               {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *size = getenv(variables[i][0]), *rank = getenv(variables[i][1]);
        if (size && rank)
            return (struct launch){atol(size), atol(rank)};
    }
    return (struct launch){1, 0};
}

heed_status heedi_open_ranks(heedi_cli *cli, heed_error *error) {
    if (cli->comm)
        return HEED_OK;
    if (heed_comm_open(&cli->comm, error) != HEED_OK) {
        /* Processes of another MPI's launcher each believe to be alone, and fail alike: one of them is to say so. */
        if (error->status == HEED_UNAVAILABLE || error->status == HEED_PEER)
            cli->rank = (int)read_launch().rank;
        return error->status;
    }
    open_comm = cli->comm;
    cli->rank = cli->comm->rank;
    heed_log_setup(cli->rank, HEED_INFO);
    return heedi_match_ranks(cli->comm, error);
}

static void print_help(void) {
    printf(
        "Usage: heed COMMAND [ARGUMENT...]\n\n"
        "Trains transformers data-parallel over MPI, and records why their attention learns context.\n\nCommands:\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        printf("  %-10s %s%s\n", commands[i].name, commands[i].summary,
               commands[i].all_ranks ? " (alone or under mpirun)" : "");
    printf("\n'heed COMMAND --help' explains a command, with examples.\n\nExit status:\n");
    for (int status = 0; status < HEED_STATUS_COUNT; status++)
        printf("  %-3d %s\n", heed_status_exit((heed_status)status), heed_status_meaning((heed_status)status));
    printf("\nExamples:\n"
           "  heed train configs/whale.ini\n"
           "  mpirun -n 8 heed train configs/whale.ini model.width=256 train.steps=5000\n"
           "  heed generate runs/whale --prompt 'Call me '\n"
           "  heed inspect runs/whale\n");
}

static const struct command *find_command(const char *name, heed_error *error) {
    const char *names[N_COMMANDS];
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
        names[i] = commands[i].name;
    }
    heed_fail(error, HEED_USAGE, "%s '%s'", name[0] == '-' ? "unknown option" : "unknown command", name);
    const int nearest = heedi_nearest(name, names, N_COMMANDS);
    if (nearest >= 0)
        heed_hint(error, "did you mean 'heed %s'?", names[nearest]);
    heed_hint(error, "'heed --help' lists the commands");
    return NULL;
}

/* `heed help` and `heed help COMMAND` are read as `heed --help` and `heed COMMAND --help`. */
static const struct command *read_command(heedi_cli *cli, int argc, char **argv, heed_error *error) {
    static char *help[] = {NULL, "--help", NULL};
    if (argc < 2) {
        heed_fail(error, HEED_USAGE, "a command is missing");
        heed_hint(error, "'heed --help' lists the commands");
        return NULL;
    }
    const bool asks = strcmp(argv[1], "help") == 0;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || (asks && argc == 2)) {
        if (cli->rank == 0)
            print_help();
        return NULL;
    }
    const char *name = asks ? argv[2] : argv[1];
    const struct command *command = find_command(strcmp(name, "--version") == 0 ? "version" : name, error);
    if (!command)
        return NULL;
    help[0] = argv[1];
    cli->command = command->name;
    cli->argc = asks ? 2 : argc - 1;
    cli->argv = asks ? help : argv + 1;
    return command;
}

static void say_error(const heed_error *error) {
    fprintf(stderr, "heed: %s%s%s%s\n", error->message, error->hint[0] ? " (" : "", error->hint,
            error->hint[0] ? ")" : "");
}

/* Communication failed here, perhaps on this rank alone, while others wait for it: this rank ends them. Where all saw
 * it, rank 0 speaks first, and for all. */
static void give_up(const heedi_cli *cli, const heed_error *error) {
    if (cli->rank != 0)
        sleep(1);
    say_error(error);
    heed_comm_abort(cli->comm, heed_status_exit(error->status));
}

/* What was printed has arrived, or it is an error like any other. */
static void finish_output(heed_error *error) {
    if ((fflush(stdout) != 0 || ferror(stdout)) && error->status == HEED_OK)
        heed_fail(error, HEED_IO, "standard output: %s", strerror(errno));
}

int main(int argc, char **argv) {
    heed_error error = HEED_ERROR_INIT;
    heedi_cli cli = {0};
    heed_bug_handler(end_all_ranks);
    heed_log_setup(0, HEED_INFO);
    const struct command *command = NULL;
    if (read_launch().size <= 1 || heedi_open_ranks(&cli, &error) == HEED_OK)
        command = read_command(&cli, argc, argv, &error);
    if (command && (command->all_ranks || cli.rank == 0))
        command->run(&cli, &error);
    finish_output(&error);
    if ((cli.comm || error.status == HEED_PEER) && heed_comm_agree(cli.comm, &error) == HEED_PEER)
        give_up(&cli, &error);
    if (error.status != HEED_OK && cli.rank == 0)
        say_error(&error);
    free(cli.arguments);
    open_comm = NULL;
    if (cli.comm)
        heed_comm_close(cli.comm);
    return heed_status_exit(error.status);
}
