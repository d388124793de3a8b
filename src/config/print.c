/* The table for people. Plain text is itself a configuration file; Markdown is docs/config.md. */
#include <string.h>

#include "table.h"

static const char preface[] =
    "# Settings\n"
    "\n"
    "<!-- Generated from src/config/table.c by `heed config --markdown`; a test compares. -->\n"
    "\n"
    "A configuration is a text file in INI form, for example [`configs/whale.ini`](../configs/whale.ini):\n"
    "\n"
    "```ini\n"
    "[model]\n"
    "layers = 4      ; a comment starts with ; or # after a space\n"
    "heads = 4\n"
    "```\n"
    "\n"
    "On the command line any key can be overridden: `heed train configs/whale.ini model.width=256 train.steps=5000`.\n"
    "Keys that a file does not mention have the default. An unknown key, a value out of range and settings that do not "
    "go\n"
    "together are refused with one line that names the place and what was expected. The whole configuration, defaults\n"
    "included, is kept in `config.ini` of the run's folder and in every file that the run writes.\n"
    "\n"
    "*Resume*: whether the setting may be changed when a run goes on from its checkpoint. The others decide what the\n"
    "numbers are, so a run keeps them to its end.\n";

static void print_section(FILE *out, const char *key, bool markdown) {
    const int length = (int)strcspn(key, ".");
    if (markdown)
        fprintf(out, "\n## %.*s\n\n| key | default | values | unit | resume | meaning |\n|---|---|---|---|---|---|\n",
                length, key);
    else
        fprintf(out, "\n[%.*s]\n", length, key);
}

/* '|' would end a cell. */
static void print_row(FILE *out, const heedi_field *field) {
    char expected[HEEDI_EXPECTED_MAX];
    heedi_field_expected(field, expected);
    if (field->type == HEEDI_TEXT)
        snprintf(expected, sizeof expected, "text");
    fprintf(out, "| `%s` | ", field->key);
    fprintf(out, *field->initial ? "`%s`" : "%sempty", field->initial);
    fprintf(out, " | %s | %s | %s | %s |\n", expected, field->unit, field->resumable ? "yes" : "no", field->meaning);
}

/* The meaning as a comment, wrapped. */
static void print_comment(FILE *out, const char *text) {
    int column = 0;
    for (const char *word = text; *word;) {
        const int length = (int)strcspn(word, " ");
        if (column == 0 || column + 1 + length > 98)
            column = fprintf(out, column == 0 ? "; %.*s" : "\n; %.*s", length, word);
        else
            column += fprintf(out, " %.*s", length, word);
        word += length;
        word += strspn(word, " ");
    }
    fprintf(out, "\n");
}

static void print_setting(FILE *out, const heedi_field *field, const heed_config *config) {
    char expected[HEEDI_EXPECTED_MAX], value[HEEDI_VALUE_MAX], setting[HEEDI_VALUE_MAX + 64];
    print_comment(out, field->meaning);
    heedi_field_format(field, config, value);
    heedi_field_expected(field, expected);
    if (field->type == HEEDI_TEXT)
        snprintf(expected, sizeof expected, "text");
    snprintf(setting, sizeof setting, "%s =%s%s", strchr(field->key, '.') + 1, *value ? " " : "", value);
    fprintf(out, "%-28s ; %s%s", setting, expected, *field->unit ? ", in " : "");
    fprintf(out, "%s; default %s\n", field->unit, *field->initial ? field->initial : "empty");
}

void heed_config_print(FILE *out, const heed_config *config, bool markdown) {
    heed_config defaults;
    heed_config_defaults(&defaults);
    const char *section = "";
    fputs(markdown ? preface : "; Every setting of heed: its meaning, then key = value ; what it may be; default.\n",
          out);
    for (size_t i = 0; i < heedi_n_fields; i++) {
        const heedi_field *field = &heedi_fields[i];
        if (strncmp(section, field->key, strcspn(field->key, ".") + 1) != 0)
            print_section(out, field->key, markdown);
        section = field->key;
        if (markdown)
            print_row(out, field);
        else
            print_setting(out, field, config ? config : &defaults);
    }
}
