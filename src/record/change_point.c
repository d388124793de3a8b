#include "heed/change_point.h"

#include <math.h>

static double mean_of(const double *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return sum / (double)n;
}

bool heed_change_now(const double *scores) {
    const double before = mean_of(scores, HEED_CHANGE_REFERENCE);
    const double now = mean_of(scores + HEED_CHANGE_REFERENCE + HEED_CHANGE_GAP, HEED_CHANGE_RECENT);
    double squares = 0;
    for (size_t i = 0; i < HEED_CHANGE_REFERENCE; i++)
        squares += (scores[i] - before) * (scores[i] - before);
    const double spread = sqrt(squares / (HEED_CHANGE_REFERENCE - 1)), change = fabs(now - before);
    return change >= HEED_CHANGE_LEAST && change >= HEED_CHANGE_SPREADS * spread; /* false for NaN */
}

size_t heed_change_points(size_t *marks, const double *scores, size_t n) {
    size_t n_marks = 0;
    for (size_t end = HEED_CHANGE_LOGS; end <= n;) {
        const bool changed = heed_change_now(scores + end - HEED_CHANGE_LOGS);
        if (changed)
            marks[n_marks++] = end - 1;
        end += changed ? HEED_CHANGE_LOGS : 1;
    }
    return n_marks;
}
