/* Which heed this is, for `heed version` and for every file that a run writes. */
#ifndef HEED_VERSION_H
#define HEED_VERSION_H

/* The release and, where known, what git says of the sources: "0.1.0 (v0.1.0-12-g1a2b3c4-dirty)". Cannot fail. */
const char *heed_version(void);

/* Git's part alone: "v0.1.0-12-g1a2b3c4-dirty", or "" for sources without a history. Cannot fail. */
const char *heed_version_describe(void);

#endif
