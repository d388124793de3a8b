#include "heed/similarity.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "utf8.h"

size_t heed_token_distance(const int32_t *a, size_t n_a, const int32_t *b, size_t n_b, size_t *scratch) {
    for (size_t j = 0; j <= n_b; j++)
        scratch[j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        size_t diagonal = scratch[0];
        scratch[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            const size_t above = scratch[j], left = scratch[j - 1];
            size_t least = diagonal + (a[i - 1] != b[j - 1]);
            least = above + 1 < least ? above + 1 : least;
            scratch[j] = left + 1 < least ? left + 1 : least;
            diagonal = above;
        }
    }
    return scratch[n_b];
}

/* --- chrF ------------------------------------------------------------------------------------------------------- */

static bool is_space(int32_t code) {
    const utf8proc_category_t category = utf8proc_category(code);
    return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x1F) || code == 0x85 ||
           category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

typedef struct grams { /* where the n-grams of a text begin, sorted */
    int32_t *code;
    size_t n_codes;
    size_t *start;
} grams;

static heed_status read_codes(grams *g, const char *text, size_t bytes, heed_error *error) {
    *g = (grams){.code = malloc((bytes + 1) * sizeof *g->code), .start = malloc((bytes + 1) * sizeof *g->start)};
    if (!g->code || !g->start)
        return heed_fail(error, HEED_MEMORY, "no memory to compare %zu bytes of text", bytes);
    for (size_t at = 0; at < bytes;) {
        int32_t code = 0xFFFD;
        const size_t length = heedi_utf8_next(text + at, bytes - at, &code);
        if (length == 0)
            code = 0xFFFD;
        if (!is_space(code))
            g->code[g->n_codes++] = code;
        at += length ? length : 1;
    }
    return HEED_OK;
}

static int compare_grams(const int32_t *a, const int32_t *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return 0;
}

typedef struct order {
    const int32_t *code;
    size_t n;
} order;

static int by_gram(const void *a, const void *b, void *context) {
    const order *o = context;
    return compare_grams(o->code + *(const size_t *)a, o->code + *(const size_t *)b, o->n);
}

static size_t sort_grams(grams *g, size_t n) {
    const size_t n_grams = g->n_codes >= n ? g->n_codes - n + 1 : 0;
    order o = {g->code, n};
    for (size_t i = 0; i < n_grams; i++)
        g->start[i] = i;
    qsort_r(g->start, n_grams, sizeof *g->start, by_gram, &o);
    return n_grams;
}

/* Walks through both sorted lists. */
static size_t count_common(const grams *a, size_t n_a, const grams *b, size_t n_b, size_t n) {
    size_t common = 0;
    for (size_t i = 0, j = 0; i < n_a && j < n_b;) {
        const int difference = compare_grams(a->code + a->start[i], b->code + b->start[j], n);
        common += difference == 0;
        i += difference <= 0;
        j += difference >= 0;
    }
    return common;
}

heed_status heed_chrf_add(heed_chrf *counts, const char *hypothesis, size_t hypothesis_bytes, const char *reference,
                          size_t reference_bytes, heed_error *error) {
    grams h = {0}, r = {0};
    heed_status status = read_codes(&h, hypothesis, hypothesis_bytes, error);
    if (status == HEED_OK)
        status = read_codes(&r, reference, reference_bytes, error);
    for (size_t n = 1; n <= HEED_CHRF_ORDER && status == HEED_OK; n++) {
        const size_t n_h = sort_grams(&h, n), n_r = sort_grams(&r, n);
        counts->hypothesis[n - 1] += (double)n_h;
        counts->reference[n - 1] += (double)n_r;
        counts->common[n - 1] += (double)count_common(&h, n_h, &r, n_r, n);
    }
    free(h.code);
    free(h.start);
    free(r.code);
    free(r.start);
    return status;
}

double heed_chrf_score(const heed_chrf *counts) {
    const double beta_squared = 4;
    double precision = 0, recall = 0, n = 0;
    for (size_t i = 0; i < HEED_CHRF_ORDER; i++)
        if (counts->hypothesis[i] > 0 && counts->reference[i] > 0) {
            precision += counts->common[i] / counts->hypothesis[i];
            recall += counts->common[i] / counts->reference[i];
            n++;
        }
    if (n == 0 || precision + recall == 0)
        return 0;
    precision /= n;
    recall /= n;
    return 100 * (1 + beta_squared) * precision * recall / (beta_squared * precision + recall);
}
