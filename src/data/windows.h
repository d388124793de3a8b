/* Which tokens of a text a batch is made of, in numbers alone.
 *
 * Training text of N tokens is cut into windows of `time` tokens (and the token after, for the last target). Epoch e
 * shifts the cut by a random offset, so that windows of different epochs begin at different places, and visits each
 * window once, in the order of a keyed permutation. The number of windows is the same in every epoch, which is what
 * makes (epoch, place in it) a division: N / time - 1, so that at least `time` offsets are possible, or one when the
 * text is shorter than two windows. Fewer than 2 * time tokens an epoch stay unread, other ones each time. */
#ifndef HEED_DATA_WINDOWS_H
#define HEED_DATA_WINDOWS_H

#include <stddef.h>
#include <stdint.h>

typedef struct heedi_windows {
    uint64_t seed;
    size_t time;
    uint64_t n_windows; /* an epoch; 0 when the text is shorter than a window and a target */
    uint64_t n_offsets; /* offsets are drawn from [0, n_offsets): all that leave room for n_windows and a target */
} heedi_windows;

heedi_windows heedi_windows_plan(uint64_t n_tokens, size_t time, uint64_t seed);

/* The first token of the i-th window in the order of an epoch. */
uint64_t heedi_windows_start(const heedi_windows *windows, uint64_t epoch, uint64_t i);

#endif
