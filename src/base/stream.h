/* Streams through memory. A processor fetches ahead along addresses by itself, but stops at the end of every page, and
 * one core's loads keep no more than some 16 cache lines under way. What is asked for into the second cache keeps three
 * times as many: a kernel that has little to compute then runs as fast as memory answers. What will be written is asked
 * for as well, since a line is fetched before it is changed. */
#ifndef HEEDI_STREAM_H
#define HEEDI_STREAM_H

#include <stddef.h>

#include "heed/real.h"

/* Elements of a cache line in single precision, and of the run of four lines that a kernel takes at a time. */
enum { HEEDI_LINE = 16, HEEDI_RUN = 64, HEEDI_AHEAD = 2048 };

/* Where the run that begins at `from` ends. */
static inline __attribute__((always_inline)) size_t heedi_run_end(size_t from, size_t to) {
    return to - from < HEEDI_RUN ? to : from + HEEDI_RUN;
}

/* Asks for the line that comes HEEDI_AHEAD elements behind x, whether or not there is one. */
static inline __attribute__((always_inline)) void heedi_ask_line_ahead(const real *x) {
    __builtin_prefetch(x + HEEDI_AHEAD, 0, 2);
}

/* The same for a run. */
static inline __attribute__((always_inline)) void heedi_ask_ahead(const real *x) {
    for (size_t i = 0; i < HEEDI_RUN; i += HEEDI_LINE)
        heedi_ask_line_ahead(x + i);
}

#endif
