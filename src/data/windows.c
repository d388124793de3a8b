#include "windows.h"

#include "heed/rng.h"
#include "heed/status.h"

enum { ORDER, OFFSET }; /* sites of HEED_PURPOSE_SHUFFLE */

heedi_windows heedi_windows_plan(uint64_t n_tokens, size_t time, uint64_t seed) {
    HEED_CHECK(time > 0);
    heedi_windows windows = {.seed = seed, .time = time};
    if (n_tokens <= time)
        return windows;
    windows.n_windows = n_tokens / time > 1 ? n_tokens / time - 1 : 1;
    windows.n_offsets = n_tokens - windows.n_windows * time; /* at least 1: the token behind the last window */
    return windows;
}

uint64_t heedi_windows_start(const heedi_windows *windows, uint64_t epoch, uint64_t i) {
    heed_rng rng = {.seed = windows->seed, .purpose = HEED_PURPOSE_SHUFFLE, .site = OFFSET, .step = (uint32_t)epoch};
    const uint64_t offset = heed_rng_below(&rng, 0, windows->n_offsets);
    rng.site = ORDER;
    return offset + heed_rng_permute(&rng, i, windows->n_windows) * windows->time;
}
