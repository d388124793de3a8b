/* heed merge: the attention log of a run, one file a log step, becomes one file. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "heed/attention_log.h"

heed_status heedi_command_merge(heedi_cli *cli, heed_error *error) {
    const char *output = NULL, *kind_name = "self";
    static const char *const kind_names[HEED_N_ATTENTION_KINDS] = {"self", "encoder", "cross"};
    int kind = 0;
    bool force = false;
    const heedi_option options[] = {
        {"output", 'o', "FILE", "the file to write; by default attention.h5 in the run's folder", .text = &output},
        {"kind", 'k', "self|encoder|cross", "the attention of an encoder-decoder that is wanted", .text = &kind_name},
        {"force", 'f', NULL, "replace an existing file", .on = &force},
        {0}};
    const heedi_syntax syntax = {
        .arguments = "RUN_DIR",
        .about = "Makes one file of a run's attention log, which has one file a log step: the same arrays with all "
                 "steps behind each "
                 "other, in netCDF-4 form for xarray, h5py and ncdump. The log itself stays as it is.",
        .examples = "  heed merge runs/whale\n"
                    "  heed merge runs/whale -o whale-attention.h5\n"
                    "  heed merge runs/reverse-cross --kind cross\n",
        .options = options,
        .least = 1,
        .most = 1,
    };
    if (!heedi_parse(cli, &syntax, error))
        return error->status;
    while (kind < HEED_N_ATTENTION_KINDS && strcmp(kind_name, kind_names[kind]) != 0)
        kind++;
    if (kind == HEED_N_ATTENTION_KINDS) {
        heed_fail(error, HEED_USAGE, "merge: --kind = %s: no kind of attention", kind_name);
        return heed_hint(error, "kinds: self, encoder, cross");
    }
    const char *run = cli->arguments[0];
    char by_default[HEED_PATH_MAX];
    size_t length = strlen(run);
    while (length > 1 && run[length - 1] == '/')
        length--;
    snprintf(by_default, sizeof by_default, "%.*s/%s.h5", (int)(length < HEED_PATH_MAX ? length : HEED_PATH_MAX), run,
             heed_attention_folder((heed_attention_kind)kind));
    output = output ? output : by_default;
    if (heedi_check_output(output, force, NULL, 0, error) != HEED_OK ||
        heed_attention_log_merge(run, (heed_attention_kind)kind, output, error) != HEED_OK)
        return error->status;
    printf("%s\n", output);
    return HEED_OK;
}
