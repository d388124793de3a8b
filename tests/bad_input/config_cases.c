/* Prints one case of bad input a line, made from the table of settings and the table of rules on combinations:
 *
 *     kind <tab> setting[ setting...] <tab> what heed says behind the place
 *
 * kind is the category, of which the quick tests take one case each. No value holds a tab. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/table.h"

static void say(const char *kind, const heedi_field *field, const char *value) {
    char expected[HEEDI_EXPECTED_MAX];
    heedi_field_expected(field, expected);
    printf("%s\t%s=%s\t%s = %s: expected %s\n", kind, field->key, value, field->key, *value ? value : "", expected);
}

static void say_int(const heedi_field *field) {
    char value[64];
    snprintf(value, sizeof value, "%" PRId64, field->min - 1);
    say("below", field, value);
    snprintf(value, sizeof value, "%" PRIu64, (uint64_t)field->max + 1);
    say("above", field, value);
    say("overflow", field, "99999999999999999999");
    say("not-whole", field, "1.5");
    say("junk", field, "1x");
}

static void say_real(const heedi_field *field) {
    char value[64];
    snprintf(value, sizeof value, "%.17g", field->above_low ? field->low : nextafter(field->low, -1));
    say("below", field, value);
    snprintf(value, sizeof value, "%.17g", field->below_high ? field->high : nextafter(field->high, INFINITY));
    say("above", field, value);
    say("overflow", field, "1e400");
    say("nan", field, "nan");
    say("infinite", field, "inf");
    say("junk", field, "0.1x");
}

int main(void) {
    for (size_t i = 0; i < heedi_n_fields; i++) {
        const heedi_field *field = &heedi_fields[i];
        char twisted[80];
        const size_t last = strlen(field->key) - 1;
        if (field->type == HEEDI_INT)
            say_int(field);
        else if (field->type == HEEDI_REAL)
            say_real(field);
        else if (field->type == HEEDI_BOOL)
            say("neither", field, "maybe");
        else if (field->type == HEEDI_CHOICE)
            say("no-choice", field, "whale");
        if (field->type != HEEDI_TEXT)
            say("empty", field, "");
        snprintf(twisted, sizeof twisted, "%.*sq", (int)last, field->key);
        if (heedi_field_find(twisted) == heedi_n_fields)
            printf("unknown\t%s=1\t%s: no such key\n", twisted, twisted);
    }
    for (size_t i = 0; i < heedi_n_rules(); i++)
        printf("combination\t%s\t\n", heedi_rule_breaker(i));
    return 0;
}
