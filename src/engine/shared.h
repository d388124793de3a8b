/* For tests. */
#ifndef HEEDI_SHARED_H
#define HEEDI_SHARED_H

#include <stdbool.h>

/* false on any rank: heed_shared_open finds that this machine does not allow it. */
extern bool heedi_shared_allowed;

#endif
