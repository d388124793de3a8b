/* What `heed train` and `heed config` are given: [CONFIG | RUN_DIR] [section.key=value ...]. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/bench.h"

/* A path may hold '=' too, but hardly ahead of its first '/'. */
static bool is_setting(const char *argument) {
    const char *equals = strchr(argument, '=');
    return equals && !memchr(argument, '/', (size_t)(equals - argument));
}

/* A run goes on where it lies, wherever it lay when it was started. */
static heed_status read_run(heed_config *config, const char *folder, heed_error *error) {
    char path[HEED_PATH_MAX], assignment[HEED_PATH_MAX + 16];
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/')
        length--;
    if (snprintf(path, sizeof path, "%.*s/config.ini", (int)length, folder) >= (int)sizeof path)
        return heed_fail(error, HEED_NOT_FOUND, "%s: the path is too long", folder);
    struct stat there;
    if (stat(path, &there) != 0) {
        heed_fail(error, HEED_NOT_FOUND, "%s: no run lives in this folder, as it has no config.ini", folder);
        return heed_hint(error, "a new run is started with a config file: heed train CONFIG run.dir=%.*s",
                         length < 128 ? (int)length : 128, folder);
    }
    if (heed_config_read_file(config, path, error) != HEED_OK)
        return error->status;
    snprintf(assignment, sizeof assignment, "run.dir=%.*s", (int)length, folder);
    return heed_config_override(config, assignment, error);
}

heed_status heedi_read_config(heedi_cli *cli, heed_config *config, heed_error *error) {
    const char *source = NULL;
    heed_config_defaults(config);
    for (int i = 0; i < cli->n_arguments; i++) {
        const char *argument = cli->arguments[i];
        if (is_setting(argument))
            continue;
        if (source) {
            heed_fail(error, HEED_USAGE, "%s: unexpected argument '%s'", cli->command, argument);
            return heed_hint(error, "a setting is written section.key=value, without spaces");
        }
        source = argument;
    }
    struct stat there;
    const bool is_run = source && stat(source, &there) == 0 && S_ISDIR(there.st_mode);
    if (is_run && read_run(config, source, error) != HEED_OK)
        return error->status;
    if (source && !is_run && heed_config_read_file(config, source, error) != HEED_OK)
        return error->status;
    for (int i = 0; i < cli->n_arguments; i++) {
        if (is_setting(cli->arguments[i]) && heed_config_override(config, cli->arguments[i], error) != HEED_OK)
            return error->status;
    }
    return heed_config_resolve(config, error);
}

heed_status heedi_share_config(heedi_cli *cli, heed_config *config,
                               heed_status (*read)(heedi_cli *cli, heed_config *config, heed_error *error),
                               heed_error *error) {
    if (cli->rank == 0)
        read(cli, config, error);
    if (heed_comm_agree(cli->comm, error) != HEED_OK)
        return error->status;
    return heed_comm_broadcast(cli->comm, config, sizeof *config, 0, error);
}

heed_status heedi_read_shape(const char *name, char *const *settings, int n_settings, heed_config *config,
                             heed_error *error) {
    if (!heedi_shape_config(config, name)) {
        heed_config_defaults(config);
        if (heed_config_read_file(config, name, error) != HEED_OK)
            return heed_hint(error, "S, M and L are built in; anything else is a config file");
    }
    for (int i = 0; i < n_settings; i++)
        if (heed_config_override(config, settings[i], error) != HEED_OK)
            return error->status;
    return heed_config_resolve(config, error);
}
