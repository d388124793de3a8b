#include "cli/inspect.h"

#include <stdio.h>
#include <string.h>

static void print_value(const json_t *value) {
    if (json_is_string(value))
        printf("%s", json_string_value(value));
    else if (json_is_integer(value))
        printf("%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        printf("%.6g", json_real_value(value));
    else
        printf("none");
}

static void print_array(const json_t *array) {
    const json_t *shape = json_object_get(array, "shape");
    printf("    %-44s %-8s (", json_string_value(json_object_get(array, "name")),
           json_string_value(json_object_get(array, "type")));
    for (size_t i = 0; i < json_array_size(shape); i++)
        printf("%s%lld", i ? ", " : "", (long long)json_integer_value(json_array_get(shape, i)));
    printf(")\n");
}

/* One line of a run's list: its name within the folder, its kind, and how far it goes. */
static void print_file(const json_t *file, size_t folder_length) {
    static const char *const shown[] = {"step",      "valid_loss",   "lines",       "first_step",
                                        "last_step", "train_tokens", "valid_tokens"};
    const char *name = json_string_value(json_object_get(file, "file"));
    const json_t *kind = json_object_get(file, "kind");
    printf("    %-32s %-14s", name + folder_length + 1, kind ? json_string_value(kind) : "DAMAGED");
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        const json_t *value = json_object_get(file, shown[i]);
        if (!value || json_is_null(value))
            continue;
        printf("  %s ", shown[i]);
        print_value(value);
    }
    printf("\n");
}

/* The last line of metrics.jsonl and the like. */
static void print_figures(const json_t *figures) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)figures, key, value) {
        printf("    %-16s ", key);
        print_value(value);
        printf("\n");
    }
}

static void print_text(const json_t *text) {
    printf("    %s, %lld bytes\n", json_string_value(json_object_get(text, "name")),
           (long long)json_integer_value(json_object_get(text, "bytes")));
}

void heedi_inspect_print(const json_t *found) {
    const char *key;
    json_t *value;
    size_t i;
    const char *name = json_string_value(json_object_get(found, "file"));
    printf("%s\n", name);
    json_object_foreach((json_t *)found, key, value) {
        if (strcmp(key, "file") == 0 || strcmp(key, "config") == 0)
            continue;
        if (json_is_array(value) || json_is_object(value)) {
            printf("  %s\n", key);
        } else {
            printf("  %-16s ", key);
            print_value(value);
            printf("%s\n", strcmp(key, "digest") == 0 ? " (verified)" : "");
        }
        if (json_is_object(value))
            print_figures(value);
        if (strcmp(key, "arrays") == 0)
            for (i = 0; i < json_array_size(value); i++)
                print_array(json_array_get(value, i));
        if (strcmp(key, "texts") == 0)
            for (i = 0; i < json_array_size(value); i++)
                print_text(json_array_get(value, i));
        if (strcmp(key, "files") == 0)
            for (i = 0; i < json_array_size(value); i++)
                print_file(json_array_get(value, i), strlen(name));
    }
}
