/* The whole configuration: defaults, text, comparison. */
#include "heed/config.h"

#include <stdlib.h>
#include <string.h>

#include "table.h"

void heed_config_defaults(heed_config *config) {
    memset(config, 0, sizeof *config);
    for (size_t i = 0; i < heedi_n_fields; i++)
        HEED_CHECK(heedi_field_parse(&heedi_fields[i], config, heedi_fields[i].initial));
}

char *heed_config_text(const heed_config *config) {
    char *text = NULL;
    size_t n_bytes;
    FILE *out = open_memstream(&text, &n_bytes);
    if (!out)
        return NULL;
    const char *section = "";
    for (size_t i = 0; i < heedi_n_fields; i++) {
        const char *key = heedi_fields[i].key;
        const int length = (int)strcspn(key, ".");
        char value[HEEDI_VALUE_MAX];
        if (strncmp(section, key, (size_t)length + 1) != 0)
            fprintf(out, "%s[%.*s]\n", *section ? "\n" : "", length, key);
        section = key;
        heedi_field_format(&heedi_fields[i], config, value);
        fprintf(out, "%s =%s%s\n", key + length + 1, *value ? " " : "", value);
    }
    const bool failed = ferror(out);
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}

void heed_config_compare(const heed_config *a, const heed_config *b, char *key, size_t key_bytes) {
    snprintf(key, key_bytes, "%s", "");
    for (size_t i = 0; i < heedi_n_fields; i++) {
        char value_a[HEEDI_VALUE_MAX], value_b[HEEDI_VALUE_MAX];
        if (heedi_fields[i].resumable)
            continue;
        heedi_field_format(&heedi_fields[i], a, value_a);
        heedi_field_format(&heedi_fields[i], b, value_b);
        if (strcmp(value_a, value_b) != 0) {
            snprintf(key, key_bytes, "%s", heedi_fields[i].key);
            return;
        }
    }
}
