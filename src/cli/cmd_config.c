/* heed config: every setting, what it means, and what it would be. */
#include "cli/cli.h"

#include <stdio.h>

#include "heed/config.h"

heed_status heedi_command_config(heedi_cli *cli, heed_error *error) {
    bool markdown = false;
    const heedi_option options[] = {
        {"markdown", 'm', NULL, "write the table of all settings as Markdown (docs/config.md)", .on = &markdown}, {0}};
    const heedi_syntax syntax = {
        .arguments = "[CONFIG | RUN_DIR] [SECTION.KEY=VALUE...]",
        .about =
            "Lists every setting with its type, default, range and meaning. With a config file, a run's folder or "
            "settings, "
            "shows the values that training would use, checked and resolved. What it writes is a config file itself.",
        .examples = "  heed config | less\n"
                    "  heed config configs/whale.ini model.width=256\n"
                    "  heed config data.text=my.txt train.batch=32 > my.ini\n",
        .options = options,
        .least = 0,
        .most = -1,
    };
    if (!heedi_parse(cli, &syntax, error))
        return error->status;
    heed_config config;
    if (cli->n_arguments > 0 && heedi_read_config(cli, &config, error) != HEED_OK)
        return error->status;
    heed_config_print(stdout, cli->n_arguments > 0 ? &config : NULL, markdown);
    return HEED_OK;
}
