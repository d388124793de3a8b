/* The table of fields, and the verbs on one field. Internal to config; the tests generate their cases from it. */
#ifndef HEED_CONFIG_TABLE_H
#define HEED_CONFIG_TABLE_H

#include "heed/config.h"

typedef enum heedi_field_type { HEEDI_INT, HEEDI_REAL, HEEDI_BOOL, HEEDI_CHOICE, HEEDI_TEXT } heedi_field_type;

typedef struct heedi_field {
    const char *key; /* "section.key" */
    heedi_field_type type;
    size_t offset;
    const char *initial; /* the default, as text */
    int64_t min, max;    /* HEEDI_INT: min <= value <= max */
    double low, high;    /* HEEDI_REAL: low <= value <= high ... */
    bool above_low;      /* ... or low < value */
    bool below_high;     /* ... or value < high */
    const char *choices; /* HEEDI_CHOICE: names in the order of the enum, separated by '|' */
    bool resumable;      /* may differ when a run resumes */
    const char *unit;    /* or "" */
    const char *meaning;
} heedi_field;

extern const heedi_field heedi_fields[];
extern const size_t heedi_n_fields;

/* Where a field was set: a line number of the text that was read, or one of these. */
enum { HEEDI_BY_DEFAULT = 0, HEEDI_BY_COMMAND_LINE = -1, HEEDI_BY_EARLIER_TEXT = -2 };

#define HEEDI_VALUE_MAX (HEED_PATH_MAX + 16) /* holds any field's value as text */
#define HEEDI_EXPECTED_MAX 256

/* Sets one field from text. Returns false, leaving it alone, when the text is no value of this field. */
bool heedi_field_parse(const heedi_field *field, heed_config *config, const char *text);

/* The field's value as text that heedi_field_parse reads back to the same bits. */
void heedi_field_format(const heedi_field *field, const heed_config *config, char text[HEEDI_VALUE_MAX]);

/* What a value may be, in words: "a whole number from 1 to 1024". */
void heedi_field_expected(const heedi_field *field, char text[HEEDI_EXPECTED_MAX]);

/* Calls for names of a choice: the i-th, copied to name (64 bytes); false behind the last. */
bool heedi_field_choice(const heedi_field *field, size_t i, char name[64]);

/* Index of a key, or heedi_n_fields. */
size_t heedi_field_find(const char *key);

/* The known key nearest to an unknown one, by edit distance; the same name in another section counts as near.
 * distance (may be NULL): how far it is. */
const heedi_field *heedi_field_nearest(const char *key, size_t *distance);

/* The section nearest to an unknown one (copied to name), and whether a name is that of a section. */
void heedi_section_nearest(const char *section, char name[64]);
bool heedi_section_known(const char *section);

/* Number of single-character edits (insert, delete, replace, swap of neighbours) that turn a into b; looks at the first
 * 64 bytes. */
size_t heedi_edit_distance(const char *a, const char *b);

/* Copies text for a message: control characters and bytes that are not UTF-8 as \xHH, shortened with "..." to fit out.
 * Returns out. */
char *heedi_config_show(char *out, size_t out_bytes, const char *text, size_t text_bytes);

/* "configs/whale.ini:14", "command line" or "default", for a field as it was set. */
#define HEEDI_PLACE_MAX 320
void heedi_field_place(const heed_config *config, size_t field, char place[HEEDI_PLACE_MAX]);

/* The rules on combinations, for the tests: how many, and the assignments (separated by spaces) that break the i-th. */
size_t heedi_n_rules(void);
const char *heedi_rule_breaker(size_t i);

#endif
