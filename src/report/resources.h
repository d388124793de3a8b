/* The page's own text (src/report/page/) and the charting library, as bytes inside the program. */
#ifndef HEED_REPORT_RESOURCES_H
#define HEED_REPORT_RESOURCES_H

#include <stddef.h>

typedef struct heedi_resource {
    const char *bytes;
    size_t n_bytes;
} heedi_resource;

/* index.html is "html", with places that are marked as {{name}}; the others are what stands there. n_bytes is 0 where
 * the name is none of them. Cannot fail. */
heedi_resource heedi_page_part(const char *name, size_t length);

#endif
