/* heed probe: what a model uses, found by intervention. */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/probe_print.h"
#include "heed/probe.h"

static const char *const part_names[] = {
#define NAME(name, text, meaning) text,
    HEED_PROBE_PART_TABLE(NAME)
#undef NAME
};

/* "window,ablation" */
static heed_status read_parts(heed_probe_plan *plan, const char *only, heed_error *error) {
    for (size_t k = 0; k < HEED_N_PROBE_PARTS; k++)
        plan->part[k] = !only;
    for (const char *at = only; at && error->status == HEED_OK;) {
        char word[32];
        const size_t length = strcspn(at, ",");
        snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : sizeof word - 1), at);
        size_t k = 0;
        while (k < HEED_N_PROBE_PARTS && strcmp(word, part_names[k]) != 0)
            k++;
        if (k < HEED_N_PROBE_PARTS) {
            plan->part[k] = true;
        } else {
            const int nearest = heedi_nearest(word, part_names, HEED_N_PROBE_PARTS);
            heed_fail(error, HEED_USAGE, "probe: --only = %s: there is no part '%s'", only, word);
            if (nearest >= 0)
                heed_hint(error, "did you mean %s?", part_names[nearest]);
            else
                heed_hint(error, "the parts are scores, rollout, window, span, ablation, patching");
        }
        at = at[length] ? at + length + 1 : NULL;
    }
    return error->status;
}

/* Whether a file can come into being there: measuring takes a while, and this is better known before it. */
static heed_status check_folder(const char *path, heed_error *error) {
    char folder[HEED_PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(folder, sizeof folder, ".");
    else
        snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return access(folder, W_OK) == 0
               ? HEED_OK
               : heed_fail(error, HEED_CREATE, "%s: cannot be created: %s", path, strerror(errno));
}

/* Where the file goes: as asked, or into the run that the checkpoint lies in, where it replaces an earlier one. */
static heed_status find_output(char path[HEED_PATH_MAX], const heedi_subject *subject, const char *output, bool force,
                               heed_error *error) {
    char run[HEED_PATH_MAX];
    char *const inputs[] = {(char *)subject->loaded.path, (char *)subject->data};
    heedi_run_of(run, sizeof run, subject->loaded.path);
    const int length =
        output ? snprintf(path, HEED_PATH_MAX, "%s", output) : snprintf(path, HEED_PATH_MAX, "%s/probe.h5", run);
    if (length >= HEED_PATH_MAX)
        return heed_fail(error, HEED_CREATE, "%s: the name is too long", output ? output : run);
    const heed_status status = heedi_check_output(path, force || !output, inputs, 2, error);
    return status == HEED_OK ? check_folder(path, error) : status;
}

static heed_status write_found(heed_probe *found, const heedi_subject *subject, const char *path, const char *json,
                               heed_error *error) {
    found->step = (int64_t)subject->loaded.state.step;
    snprintf(found->checkpoint, sizeof found->checkpoint, "%s", subject->loaded.path);
    found->config_text = strdup(subject->loaded.state.config_text);
    if (!found->config_text)
        return heed_fail(error, HEED_MEMORY, "probe: out of memory");
    heedi_probe_print(found, subject->data);
    if (json && heedi_probe_write_json(found, json, error) != HEED_OK)
        return error->status;
    if (heed_probe_write(found, path, error) == HEED_OK)
        printf("\neverything in %s\n", path);
    return error->status;
}

typedef struct request {
    const char *place, *store, *text, *output, *json;
    bool force;
} request;

static heed_status probe(heedi_subject *subject, heed_comm *comm, const request *asked, const heed_probe_plan *plan,
                         heed_error *error) {
    char path[HEED_PATH_MAX];
    heed_probe found = {0};
    if (comm->size > HEED_PROBE_RANKS)
        return heed_fail(error, HEED_USAGE, "probe: at most %d ranks can share the work, these are %d",
                         HEED_PROBE_RANKS, comm->size);
    const heedi_wanted wanted = {.place = asked->place,
                                 .store = asked->store,
                                 .text = asked->text,
                                 .batch = HEED_PROBE_BATCH,
                                 .grain = HEED_PROBE_GRAIN};
    if (heedi_subject_open(subject, comm, &wanted, error) != HEED_OK)
        return error->status;
    const heed_probe_subject what = {.config = &subject->config,
                                     .model = subject->loaded.model,
                                     .batcher = subject->batcher,
                                     .tokenizer = heed_corpus_tokenizer(subject->corpus),
                                     .task = heed_corpus_task(subject->corpus)};
    if (comm->rank == 0)
        find_output(path, subject, asked->output, asked->force, error);
    if (heed_comm_agree(comm, error) == HEED_OK)
        heed_probe_measure(comm, &what, plan, &found, error);
    if (error->status == HEED_OK && comm->rank == 0)
        write_found(&found, subject, path, asked->json, error);
    heed_probe_reset(&found);
    return error->status;
}

heed_status heedi_command_probe(heedi_cli *cli, heed_error *error) {
    const char *only = NULL;
    request asked = {0};
    heed_probe_plan plan = {.n_sequences = 256};
    const heedi_option options[] = {
        {"sequences", 'n', "N", "validation sequences to read, at most", .whole = &plan.n_sequences, .low = 4,
         .high = 1e9},
        {"only", 0, "PARTS",
         "some of scores,rollout,window,span,ablation,patching; by default all. The loss as it is, and by position, is "
         "always measured",
         .text = &only},
        {"store", 's', "FILE", "a token store whose validation text is used; by default the run's own",
         .text = &asked.store},
        {"text", 't', "FILE", "a text file to use instead, in the model's own vocabulary", .text = &asked.text},
        {"output", 'o', "FILE", "HDF5 file to write; by default probe.h5 in the run's folder", .text = &asked.output},
        {"json", 'j', "FILE", "write the figures as JSON, too", .text = &asked.json},
        {"force", 'f', NULL, "let -o replace a file", .on = &asked.force},
        {0}};
    const heedi_syntax syntax = {
        .arguments = "RUN_DIR|CHECKPOINT",
        .about =
            "Finds out what a model uses, by taking it away: tokens beyond a window, a head's output, its pattern, its "
            "values. "
            "The loss says what each was worth. Beside it stand what every head looks at, copying, rollout, the "
            "in-context-learning score and, on generated tasks, the alignment error rate. Heads are chosen on one "
            "half of the sequences and reported on the other. Definitions: docs/science.md, section 4. Under mpirun "
            "all "
            "ranks share the work; the result has the same bits for any number of them.",
        .examples = "  heed probe runs/induction\n"
                    "  mpirun -n 4 heed probe runs/whale -n 64 --only window,ablation\n"
                    "  heed probe runs/whale/checkpoints/step-00001000.h5 -o early.h5\n",
        .options = options,
        .least = 1,
        .most = 1,
    };
    if (!heedi_parse(cli, &syntax, error) || heedi_open_ranks(cli, error) != HEED_OK)
        return error->status;
    if (asked.store && asked.text)
        return heed_fail(error, HEED_USAGE, "probe: --store and --text exclude each other");
    if (read_parts(&plan, only, error) != HEED_OK)
        return error->status;
    asked.place = cli->arguments[0];
    heedi_subject *subject = calloc(1, sizeof *subject);
    if (!subject)
        heed_fail(error, HEED_MEMORY, "no memory to probe");
    if (heed_comm_agree(cli->comm, error) == HEED_OK)
        probe(subject, cli->comm, &asked, &plan, error);
    if (subject)
        heedi_subject_close(subject);
    free(subject);
    return error->status;
}
