#ifndef HEED_PROBE_CONTROLS_H
#define HEED_PROBE_CONTROLS_H

#include "heed/controls.h"

/* Room for so many variants and seeds, all but the curve. After a failure too heed_controls_reset frees it. */
heed_status heedi_controls_alloc(heed_controls *controls, size_t n_variants, size_t n_seeds, heed_error *error);

#endif
