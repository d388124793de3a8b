/* Command lines. glibc's argp reads the options and lays out the help, but is never allowed to speak or to exit by
 * itself: under mpirun every rank reads the same command line, and only one of them may talk about it. So argp runs
 * silently, and a fault becomes a heed_error like any other. argp does not say which fault a silent one was;
 * describe_fault() finds out. */
#include "cli/cli.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/table.h"

#define MAX_OPTIONS 16
#define HELP_KEY 'h'

struct reading { /* what argp's callback works on */
    heedi_cli *cli;
    const heedi_syntax *syntax;
    const struct argp_option *known;
    heed_error *error;
    bool help;
};

int heedi_nearest(const char *word, const char *const *names, size_t n_names) {
    int nearest = -1;
    size_t least = strlen(word) < 3 ? 1 : strlen(word) / 3 + 1; /* farther away is no longer a typo */
    for (size_t i = 0; i < n_names; i++) {
        const bool begins = strlen(word) > 1 && strncmp(word, names[i], strlen(word)) == 0;
        const size_t distance = begins ? 0 : heedi_edit_distance(word, names[i]);
        if (distance < least + (nearest < 0)) {
            least = distance;
            nearest = (int)i;
        }
    }
    return nearest;
}

static heed_status misuse(struct reading *reading, const char *what, const char *which) {
    heed_fail(reading->error, HEED_USAGE, "%s: %s%s%s%s", reading->cli->command, what, *which ? " '" : "", which,
              *which ? "'" : "");
    return heed_hint(reading->error, "try 'heed %s --help'", reading->cli->command);
}

static const heedi_option *option_of(const heedi_syntax *syntax, int key) {
    for (const heedi_option *option = syntax->options; option->name; option++)
        if (key == (option->letter ? option->letter : 256 + (int)(option - syntax->options)))
            return option;
    return NULL;
}

static heed_status out_of_range(struct reading *reading, const heedi_option *option, const char *value) {
    const char *kind = option->whole ? "whole number" : "number";
    char expected[96];
    if (option->high < HUGE_VAL)
        snprintf(expected, sizeof expected, "a %s from %.17g to %.17g", kind, option->low, option->high);
    else
        snprintf(expected, sizeof expected, "a %s, at least %.17g", kind, option->low);
    return heed_fail(reading->error, HEED_USAGE, "%s: --%s = %s: expected %s", reading->cli->command, option->name,
                     value, expected);
}

static heed_status take(struct reading *reading, const heedi_option *option, const char *value) {
    char *end = NULL;
    errno = 0;
    if (option->on) {
        *option->on = true;
    } else if (option->text) {
        *option->text = value;
    } else if (option->whole) {
        const long long whole = strtoll(value, &end, 10);
        if (end == value || *end || errno || (double)whole < option->low || (double)whole > option->high)
            return out_of_range(reading, option, value);
        *option->whole = whole;
    } else {
        const double number = strtod(value, &end);
        if (end == value || *end || !(number >= option->low && number <= option->high))
            return out_of_range(reading, option, value);
        *option->number = number;
    }
    return HEED_OK;
}

/* A long option may be cut short as long as it is clear. Returns the number of known options that word may mean. */
static int candidates(const struct argp_option *known, const char *word, size_t length,
                      const struct argp_option **which) {
    int n = 0;
    for (; known->name; known++) {
        if (strncmp(known->name, word, length) != 0)
            continue;
        *which = known;
        if (strlen(known->name) == length)
            return 1;
        n++;
    }
    return n;
}

static void describe_long(struct reading *reading, const char *word) {
    const size_t length = strcspn(word, "=");
    const struct argp_option *which = NULL;
    const int n = candidates(reading->known, word, length, &which);
    char shown[96];
    snprintf(shown, sizeof shown, "--%.*s", (int)(length < 80 ? length : 80), word);
    if (n > 1) {
        misuse(reading, "ambiguous option", shown);
    } else if (n == 1) {
        misuse(reading, which->arg ? "no value after option" : "no value may follow option", shown);
    } else {
        const char *names[MAX_OPTIONS];
        size_t n_names = 0;
        for (const struct argp_option *known = reading->known; known->name; known++)
            names[n_names++] = known->name;
        const int nearest = heedi_nearest(shown + 2, names, n_names);
        if (nearest >= 0) {
            heed_fail(reading->error, HEED_USAGE, "%s: unknown option '%s'", reading->cli->command, shown);
            heed_hint(reading->error, "did you mean --%s?", names[nearest]);
        }
        misuse(reading, "unknown option", shown);
    }
}

/* The fault lies in the argument that argp has just passed, or, within a cluster of letters, in the one it stands at.
 */
static void describe_fault(struct reading *reading, const struct argp_state *state) {
    const char *last = state->next > 0 ? state->argv[state->next - 1] : "";
    const char *here = state->next < state->argc ? state->argv[state->next] : last;
    if (strncmp(last, "--", 2) == 0 && last[2]) {
        describe_long(reading, last + 2);
        return;
    }
    const char *cluster = last[0] == '-' && last[1] ? last : here;
    for (const char *letter = cluster + 1; *letter; letter++) {
        const char shown[3] = {'-', *letter, 0};
        const struct argp_option *known = reading->known;
        while (known->name && known->key != *letter)
            known++;
        if (!known->name) {
            misuse(reading, "unknown option", shown);
            return;
        }
        if (known->arg) {
            misuse(reading, "no value after option", shown);
            return;
        }
    }
    misuse(reading, "unknown option", cluster);
}

static error_t see(int key, char *value, struct argp_state *state) {
    struct reading *reading = state->input;
    switch (key) {
    case HELP_KEY:
        reading->help = true;
        return 0;
    case ARGP_KEY_ARG:
        reading->cli->arguments[reading->cli->n_arguments++] = value;
        return 0;
    case ARGP_KEY_ERROR:
        if (reading->error->status == HEED_OK)
            describe_fault(reading, state);
        return 0;
    default: {
        const heedi_option *option = option_of(reading->syntax, key);
        if (!option)
            return ARGP_ERR_UNKNOWN;
        return take(reading, option, value) == HEED_OK ? 0 : EINVAL;
    }
    }
}

/* The meaning, with the default behind it. Texts live until the process ends: they are small and made once. */
static char *describe(const heedi_option *option) {
    char value[64] = "";
    if (option->whole)
        snprintf(value, sizeof value, "%lld", (long long)*option->whole);
    else if (option->number)
        snprintf(value, sizeof value, "%g", *option->number);
    else if (option->text && *option->text)
        snprintf(value, sizeof value, "%s", *option->text);
    char *text = NULL;
    const int length =
        *value ? asprintf(&text, "%s (default %s)", option->meaning, value) : asprintf(&text, "%s", option->meaning);
    return length < 0 ? NULL : text;
}

static void list_options(const heedi_syntax *syntax, struct argp_option *known) {
    size_t n = 0;
    for (const heedi_option *option = syntax->options; option->name; option++) {
        HEED_CHECK(n + 2 < MAX_OPTIONS);
        known[n] = (struct argp_option){.name = option->name,
                                        .key = option->letter ? option->letter : 256 + (int)n,
                                        .arg = option->value,
                                        .doc = option->meaning};
        n++;
    }
    known[n++] = (struct argp_option){.name = "help", .key = HELP_KEY, .doc = "show this help", .group = -1};
    known[n] = (struct argp_option){0};
}

/* Leaves out argp's sentence on mandatory arguments: the list shows it. */
static char *filter_help(int key, const char *text, void *input) {
    (void)input;
    return key == ARGP_KEY_HELP_DUP_ARGS_NOTE ? NULL : (char *)text;
}

static void print_help(heedi_cli *cli, const heedi_syntax *syntax, struct argp_option *known, char *const *meanings) {
    for (size_t i = 0; meanings[i]; i++)
        known[i].doc = meanings[i];
    char name[64], doc[4096];
    snprintf(name, sizeof name, "heed %s", cli->command);
    snprintf(doc, sizeof doc, "\n%s\vExamples:\n%s", syntax->about, syntax->examples);
    const struct argp argp = {known, NULL, syntax->arguments, doc, NULL, filter_help, NULL};
    argp_help(&argp, stdout, ARGP_HELP_STD_HELP, name);
}

bool heedi_parse(heedi_cli *cli, const heedi_syntax *syntax, heed_error *error) {
    struct argp_option known[MAX_OPTIONS];
    char *meanings[MAX_OPTIONS] = {NULL}; /* before parsing, which overwrites the defaults */
    list_options(syntax, known);
    for (size_t i = 0; syntax->options[i].name; i++)
        meanings[i] = describe(&syntax->options[i]);
    struct reading reading = {cli, syntax, known, error, false};
    cli->n_arguments = 0;
    cli->arguments = calloc((size_t)cli->argc + 1, sizeof *cli->arguments);
    if (!cli->arguments)
        heed_fail(error, HEED_MEMORY, "no memory for the command line");
    const struct argp argp = {known, see, syntax->arguments, NULL, NULL, NULL, NULL};
    if (error->status == HEED_OK &&
        argp_parse(&argp, cli->argc, cli->argv, ARGP_NO_ERRS | ARGP_NO_EXIT | ARGP_NO_HELP, NULL, &reading) != 0)
        misuse(&reading, "the command line cannot be read", "");
    if (reading.help && error->status == HEED_OK) {
        if (cli->rank == 0)
            print_help(cli, syntax, known, meanings);
    } else if (error->status == HEED_OK && cli->n_arguments < syntax->least) {
        heed_fail(error, HEED_USAGE, "%s: %s is missing", cli->command, syntax->arguments);
        heed_hint(error, "try 'heed %s --help'", cli->command);
    } else if (error->status == HEED_OK && syntax->most >= 0 && cli->n_arguments > syntax->most) {
        misuse(&reading, "unexpected argument", cli->arguments[syntax->most]);
    }
    for (size_t i = 0; meanings[i]; i++)
        free(meanings[i]);
    return error->status == HEED_OK && !reading.help;
}
