/* How `heed inspect` is divided: inspect_file.c finds out what a file holds, as JSON; inspect_print.c turns that into
 * text. */
#ifndef HEED_CLI_INSPECT_H
#define HEED_CLI_INSPECT_H

#include <jansson.h>

#include "heed/status.h"

/* What the file at path holds: "file", "kind", ..., "arrays". The caller owns the reference. NULL after an error:
 * HEED_NOT_FOUND, HEED_DATA (damaged, or nothing of ours), HEED_MEMORY. */
json_t *heedi_inspect_file(const char *path, heed_error *error);

/* What a run's folder holds, with a summary of every file of it; a damaged one has "damage" in place of all else, and
 * the first damage found fills error all the same. */
json_t *heedi_inspect_run(const char *folder, heed_error *error);

/* "decoder, 4 layers, 4 heads, width 128, context 64" of a configuration's text; empty if that cannot be read. */
void heedi_model_in_words(char *words, size_t bytes, const char *config_text);

/* The same for people. */
void heedi_inspect_print(const json_t *found);

#endif
