/* heed inspect: says what files of ours hold, and whether they are whole. */
#include "cli/cli.h"

#include <stdio.h>
#include <sys/stat.h>

#include "cli/inspect.h"
#include "heed/log.h"

static void show(const json_t *found, bool json, bool config, heed_error *error) {
    const char *text = json_string_value(json_object_get(found, "config"));
    if (config && text) {
        fputs(text, stdout);
    } else if (config) {
        heed_fail(error, HEED_DATA, "%s: holds no configuration", json_string_value(json_object_get(found, "file")));
    } else if (json) {
        json_dumpf(found, stdout, JSON_REAL_PRECISION(17) | JSON_PRESERVE_ORDER);
        putchar('\n');
    } else {
        heedi_inspect_print(found);
    }
}

heed_status heedi_command_inspect(heedi_cli *cli, heed_error *error) {
    bool json = false, config = false;
    const heedi_option options[] = {{"json", 'j', NULL, "print one JSON object a line for each argument", .on = &json},
                                    {"config", 'c', NULL,
                                     "print only the configuration that a file was made with: a config file itself",
                                     .on = &config},
                                    {0}};
    const heedi_syntax syntax = {
        .arguments = "FILE|RUN_DIR...",
        .about =
            "Says what a file of heed's holds: its kind, where in a run it belongs, its arrays with types and shapes; "
            "and "
            "verifies its digest. Of a run's folder it verifies every file. A damaged file: one line that says what is "
            "wrong, and status 65; other files are shown all the same.",
        .examples = "  heed inspect runs/whale\n"
                    "  heed inspect runs/whale/checkpoints/step-00001000.h5\n"
                    "  heed inspect --config runs/whale/checkpoints/step-00001000.h5 > again.ini\n"
                    "  heed inspect --json runs/whale/tokens.h5 | jq .vocabulary\n",
        .options = options,
        .least = 1,
        .most = -1,
    };
    if (!heedi_parse(cli, &syntax, error))
        return error->status;
    for (int i = 0; i < cli->n_arguments; i++) {
        const char *place = cli->arguments[i];
        struct stat there;
        heed_error damage = HEED_ERROR_INIT;
        json_t *found = stat(place, &there) == 0 && S_ISDIR(there.st_mode) ? heedi_inspect_run(place, &damage)
                                                                           : heedi_inspect_file(place, &damage);
        if (found)
            show(found, json, config, &damage);
        json_decref(found);
        if (error->status == HEED_OK)
            *error = damage;
        else if (damage.status != HEED_OK) /* the first is the program's last word; the others are not lost */
            heed_say(HEED_WARNING, "%s", damage.message);
    }
    return error->status;
}
