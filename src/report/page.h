/* Writing one HTML page: text of ours as it is, what others wrote escaped, bytes as base64. */
#ifndef HEED_REPORT_PAGE_H
#define HEED_REPORT_PAGE_H

#include <jansson.h>
#include <stdio.h>

#include "heed/config.h"
#include "heed/status.h"

typedef struct heedi_page {
    FILE *file;
    char path[HEED_PATH_MAX], temporary[HEED_PATH_MAX];
} heedi_page;

/* The page is written under a temporary name; close publishes it, or removes it after a failure. Errors: HEED_CREATE,
 * HEED_IO. */
heed_status heedi_page_open(heedi_page *page, const char *path, heed_error *error);
heed_status heedi_page_close(heedi_page *page, heed_error *error);

void heedi_page_bytes(heedi_page *page, const char *bytes, size_t n_bytes);
void heedi_page_base64(heedi_page *page, const unsigned char *bytes, size_t n_bytes);

/* JSON that can stand in a script element, whatever its strings hold: "<" is written as \u003c. */
heed_status heedi_page_json(heedi_page *page, const json_t *json, heed_error *error);

/* JSON of what may not fit it: text of any bytes (what is not UTF-8 as \xNN), numbers that may not be finite (null). */
json_t *heedi_json_text(const char *text);
json_t *heedi_json_number(double value);
json_t *heedi_json_numbers(const double *values, size_t n);

#endif
