/* Of two sizes. */
#ifndef HEEDI_SIZES_H
#define HEEDI_SIZES_H

#include <stddef.h>

static inline size_t heedi_min(size_t a, size_t b) {
    return a < b ? a : b;
}

static inline size_t heedi_max(size_t a, size_t b) {
    return a > b ? a : b;
}

static inline size_t heedi_round_up(size_t n, size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

#endif
