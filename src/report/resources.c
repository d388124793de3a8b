/* The assembler takes the files in: no step that makes C arrays, and the compiler need not read a megabyte of numbers.
 * CMake names the folders (HEED_PAGE, HEED_ECHARTS) and lets this file depend on what lies there. */
#include "report/resources.h"

#include <string.h>

#define TAKE_IN(name, path)                                                                                            \
    __asm__(".section .rodata\n"                                                                                       \
            ".globl heedi_resource_" #name "\n"                                                                        \
            ".globl heedi_resource_" #name "_end\n"                                                                    \
            "heedi_resource_" #name ":\n"                                                                              \
            ".incbin \"" path "\"\n"                                                                                   \
            "heedi_resource_" #name "_end:\n"                                                                          \
            ".byte 0\n"                                                                                                \
            ".previous\n");                                                                                            \
    extern const char heedi_resource_##name[], heedi_resource_##name##_end[]

/* name in index.html, file. The scripts are one script in this order. */
#define RESOURCES(X)                                                                                                   \
    X(html, HEED_PAGE "/index.html")                                                                                   \
    X(style, HEED_PAGE "/style.css")                                                                                   \
    X(echarts, HEED_ECHARTS "/echarts.min.js")                                                                         \
    X(data, HEED_PAGE "/data.js")                                                                                      \
    X(charts, HEED_PAGE "/charts.js")                                                                                  \
    X(words, HEED_PAGE "/words.js")                                                                                    \
    X(curves, HEED_PAGE "/curves.js")                                                                                  \
    X(controls, HEED_PAGE "/controls.js")                                                                              \
    X(heatmaps, HEED_PAGE "/heatmaps.js")                                                                              \
    X(heads, HEED_PAGE "/heads.js")                                                                                    \
    X(probe, HEED_PAGE "/probe.js")                                                                                    \
    X(main, HEED_PAGE "/main.js")

#define DECLARE(name, path) TAKE_IN(name, path);
RESOURCES(DECLARE)

static const struct {
    const char *name, *begin, *end;
} resources[] = {
#define ROW(name, path) {#name, heedi_resource_##name, heedi_resource_##name##_end},
    RESOURCES(ROW)
#undef ROW
};

heedi_resource heedi_page_part(const char *name, size_t length) {
    for (size_t i = 0; i < sizeof resources / sizeof *resources; i++)
        if (strlen(resources[i].name) == length && memcmp(resources[i].name, name, length) == 0)
            return (heedi_resource){resources[i].begin, (size_t)(resources[i].end - resources[i].begin)};
    return (heedi_resource){NULL, 0};
}
