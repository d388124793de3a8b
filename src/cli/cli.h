/* What main and the commands share: the table of commands, the state of one invocation, and the reading of arguments.
 */
#ifndef HEED_CLI_H
#define HEED_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/batch.h"
#include "heed/checkpoint.h"
#include "heed/comm.h"
#include "heed/config.h"
#include "heed/corpus.h"
#include "heed/model.h"
#include "heed/status.h"
#include "heed/train.h"

/* name, whether every rank runs it (otherwise rank 0 alone does), summary. Drives dispatch, `heed --help` and the
 * tests. */
#define HEED_COMMAND_TABLE(X)                                                                                          \
    X(prepare, false, "turn text files into a token store")                                                            \
    X(train, true, "train a transformer, or go on with a run")                                                         \
    X(controls, true, "train a model's matched controls, and judge what its attention is worth")                       \
    X(credit, false, "say whether credit came before attention, by a run's attention log")                             \
    X(probe, true, "say what a model uses, by taking it away")                                                         \
    X(eval, true, "measure a model's loss on text")                                                                    \
    X(generate, false, "let a model write")                                                                            \
    X(inspect, false, "say what a file of heed's holds, and whether it is whole")                                      \
    X(report, false, "write a page that shows what runs recorded, and what their attention learned")                   \
    X(merge, false, "make one file of a run's attention log")                                                          \
    X(bench, true, "measure the machine, and the training step by stage")                                              \
    X(plan, true, "say what a run on a cluster will take, before it is queued")                                        \
    X(config, false, "list all settings, or show those of a config")                                                   \
    X(version, false, "show heed's version and what it runs on")

typedef struct heedi_cli {
    heed_comm *comm;     /* NULL until ranks are opened */
    int rank;            /* 0 without comm */
    const char *command; /* "train" */
    int argc;            /* the command's own arguments; argv[0] is its name */
    char **argv;
    int n_arguments; /* what heedi_parse leaves that is no option; points into argv */
    char **arguments;
} heedi_cli;

#define HEED_COMMAND_DECLARE(name, all_ranks, summary)                                                                 \
    heed_status heedi_command_##name(heedi_cli *cli, heed_error *error);
HEED_COMMAND_TABLE(HEED_COMMAND_DECLARE)
#undef HEED_COMMAND_DECLARE

/* Starts MPI for a command that works on all ranks, unless main did so because a launcher started several processes.
 * Errors: HEED_PEER; HEED_UNAVAILABLE when launcher and MPI library do not belong together. Collective. */
heed_status heedi_open_ranks(heedi_cli *cli, heed_error *error);

/* One option of a command: --name VALUE, or -letter VALUE. The target says its type and holds its default, which the
 * help shows. */
typedef struct heedi_option {
    const char *name;
    char letter;         /* 0 = none */
    const char *value;   /* what stands for the value in the help; NULL for a switch */
    const char *meaning; /* without the default */
    bool *on;            /* a switch; or one of the following three, of which the last two take values in [low, high] */
    const char **text;
    int64_t *whole;
    double *number;
    double low, high;
} heedi_option;

typedef struct heedi_syntax {
    const char *arguments;       /* "RUN_DIR|CHECKPOINT": the usage line, and the name of what is missing */
    const char *about;           /* what the command does */
    const char *examples;        /* shown last in the help, one a line */
    const heedi_option *options; /* ended by one without a name */
    int least, most;             /* arguments that are no options; most < 0: any number */
} heedi_syntax;

/* Reads the command's options into their targets and its other arguments into cli. Returns true when the command shall
 * go on; false after --help (which rank 0 prints) or a fault, which fills error (HEED_USAGE). Not collective. */
bool heedi_parse(heedi_cli *cli, const heedi_syntax *syntax, heed_error *error);

/* The index of the name nearest to word (edits and swaps of neighbours), or -1 when none is near enough to be meant. */
int heedi_nearest(const char *word, const char *const *names, size_t n_names);

/* Reads [CONFIG | RUN_DIR] [section.key=value ...] from cli's arguments and resolves it. Of a run's folder the
 * config.ini is read, and run.dir becomes that folder. Errors: HEED_USAGE, HEED_CONFIG, HEED_NOT_FOUND. Not collective.
 */
heed_status heedi_read_config(heedi_cli *cli, heed_config *config, heed_error *error);

/* Rank 0 reads what is broadcast to all, with the places where it was set: later messages name them on any rank.
 * Errors: those of read. Collective. */
heed_status heedi_share_config(heedi_cli *cli, heed_config *config,
                               heed_status (*read)(heedi_cli *cli, heed_config *config, heed_error *error),
                               heed_error *error);

/* The shape of that name (S, M, L) or a config file, with settings on top, resolved. Errors: HEED_CONFIG,
 * HEED_NOT_FOUND. Not collective. */
heed_status heedi_read_shape(const char *name, char *const *settings, int n_settings, heed_config *config,
                             heed_error *error);

/* Lets SIGTERM, SIGUSR1 and SIGINT ask training to stop after a checkpoint; the second one ends the process. */
void heedi_listen_for_stops(void);

/* Refuses (HEED_CREATE, HEED_USAGE) an output that is one of the inputs, a folder, or, unless force is set, exists. */
heed_status heedi_check_output(const char *output, bool force, char *const *inputs, int n_inputs, heed_error *error);

/* The live line of a run. The watch belongs to progress, which the caller keeps until heedi_progress_end. */
typedef struct heedi_progress {
    bool terminal;
    double last_drawing, last_line; /* heed_seconds() */
} heedi_progress;
heed_watch heedi_progress_watch(heedi_progress *progress, bool quiet);
void heedi_progress_end(heedi_progress *progress);

/* What a checkpoint holds, and a model made of it. */
typedef struct heedi_model {
    char path[HEED_PATH_MAX]; /* of the checkpoint */
    heed_checkpoint_state state;
    heed_config config;                           /* resolved */
    heed_tokenizer *tokenizer, *source_tokenizer; /* the latter NULL unless sources have their own vocabulary */
    heed_model *model;                            /* with its weights; not for training */
} heedi_model;

/* Starts BLIS and OpenMP: the lowest instruction-set level among the ranks, and threads a rank (0: OMP_NUM_THREADS, or
 * the cores that this process may use divided by the ranks on its node). comm NULL: this process alone. Errors:
 * HEED_UNAVAILABLE, HEED_PEER. Collective. */
heed_status heedi_open_engines(heed_comm *comm, int64_t threads, heed_error *error);

/* The checkpoint that place means: itself, or the newest one of a run's folder (path holds HEED_PATH_MAX bytes).
 * Errors: HEED_NOT_FOUND. Not collective. */
heed_status heedi_find_checkpoint(const char *place, char *path, heed_error *error);

/* Reads all but the model; reads the weights into the model; or both, with BLIS started and a model made for one
 * sequence. close frees what there is, after a failure too. Not collective. */
heed_status heedi_model_describe(heedi_model *loaded, const char *place, heed_error *error);
heed_status heedi_model_read_tokenizer(heedi_model *loaded, heed_error *error); /* path is known */
heed_status heedi_model_read_weights(heedi_model *loaded, heed_error *error);
heed_status heedi_model_open(heedi_model *loaded, const char *place, size_t n_hypotheses, heed_error *error);
void heedi_model_close(heedi_model *loaded);

/* A run's folder, by the path of one of its checkpoints: "runs/whale/checkpoints/step-1.h5" -> "runs/whale". */
void heedi_run_of(char *folder, size_t bytes, const char *checkpoint);

/* A model and the data that it is held against, on all ranks. */
typedef struct heedi_subject {
    heed_comm *comm;
    heedi_model loaded; /* describe: rank 0 alone; model: all ranks */
    heed_config config; /* all ranks */
    uint64_t vocab;
    char data[HEED_PATH_MAX]; /* the token store, a text, or a file of pairs */
    bool is_text, is_pairs, is_task, from_run;
    heed_corpus *corpus;
    heed_batcher *batcher;
} heedi_subject;

/* What to open: the model of a checkpoint or run, and its validation data, or what takes its place (one of the three,
 * or none). batch, grain: how it is dealt over the ranks (0: as in training). */
typedef struct heedi_wanted {
    const char *place, *store, *text, *pairs;
    size_t batch, grain;
    size_t n_hypotheses; /* to decode side by side (0: 1) */
} heedi_wanted;

/* Errors: those of what is opened. Ownership: close, after a failure too. Collective. */
heed_status heedi_subject_open(heedi_subject *subject, heed_comm *comm, const heedi_wanted *wanted, heed_error *error);
void heedi_subject_close(heedi_subject *subject);

/* Holds cross-attention of the model that place means against alignments made by hand (heed/word_alignment.h), and
 * prints what it finds. Errors: those of the files, and of heed_word_alignment_measure. Not collective. */
heed_status heedi_eval_alignment(const char *place, const char *file, bool json, heed_error *error);

/* Answers each source, or each line of standard input when there are none, with an encoder-decoder that was opened for
 * `beam` hypotheses; one line on standard output each. Errors: HEED_DATA (a source that the vocabulary does not know,
 * or that is too long), HEED_NUMERIC, HEED_MEMORY, HEED_IO. Not collective. */
heed_status heedi_answer(heedi_model *loaded, char *const *sources, int n_sources, size_t beam, double length_penalty,
                         heed_error *error);

#endif
