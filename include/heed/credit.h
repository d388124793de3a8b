/* Which comes first, credit or attention, and does early credit tell where attention will be? Measured on the attention
 * logs of finished runs by the rules of docs/science.md, section 3.
 *
 * A head is chosen on the even probes (the one with the most attention on true positions at the end), and everything is
 * measured on the odd ones. Queries are those that have true positions. */
#ifndef HEED_CREDIT_H
#define HEED_CREDIT_H

#include <stddef.h>
#include <stdint.h>

#include "heed/model.h"
#include "heed/phase.h"
#include "heed/status.h"

enum { HEED_ONSET_LOGS = 3 }; /* successive logs above the threshold */
enum { HEED_EARLY_LOGS = 5 }; /* at least so many logs are early */
#define HEED_ONSET_FACTOR 2.0 /* the threshold, in base rates */
#define HEED_EARLY_SHARE 0.05 /* of the steps */

/* The step of the first of three successive logs whose share lies above twice the base rate; NaN when there is none. */
double heed_onset(const double *share, const uint64_t *step, size_t n_logs, double base_rate);

/* Two maps over the same keys of one query: whether their largest elements are the same key, and Kendall's tau. */
typedef struct heed_agreement {
    double match, tau; /* means over queries */
} heed_agreement;

typedef struct heed_credit {
    heed_attention_kind kind;               /* whose keys the true positions are: self or cross */
    size_t layer, head;                     /* the chosen one */
    size_t n_logs, n_early;                 /* logs of the run, and how many of them are early */
    double base_rate;                       /* informed chance, mean over queries */
    double attention_at_end;                /* on true positions, of the chosen head */
    double onset_credit, onset_attention;   /* steps; NaN: never */
    heed_agreement credit;                  /* of mean early credit with attention at the end */
    heed_agreement attention;               /* of mean early attention with it */
    heed_agreement twin;                    /* of the frozen twin's mean early credit with it; NaN without one */
    heed_agreement uniform;                 /* of the uniform twin's advantage at the end with it; NaN without one */
    double *share_credit, *share_attention; /* (n_logs) of the chosen head, on true positions */
    size_t n_marks;
    heed_phase_mark *marks; /* (n_marks) of all heads */
    uint64_t *step;         /* (n_logs) */
} heed_credit;

/* Reads run_dir/attention, or attention-cross where the true positions are those of sources. frozen: a run whose
 * queries and keys stayed as initialised; uniform: one whose attention is uniform; both with the same seed and probes,
 * or NULL. Errors: HEED_NOT_FOUND, HEED_DATA (no generated task, fewer than two probes or five logs, twins that do not
 * fit), HEED_MEMORY. Ownership: heed_credit_reset. Not collective. */
heed_status heed_credit_measure(heed_credit *found, const char *run_dir, const char *frozen, const char *uniform,
                                heed_error *error);
void heed_credit_reset(heed_credit *found);

#endif
