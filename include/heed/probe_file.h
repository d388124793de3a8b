/* probe.h5: what a model uses, found by intervention (heed/probe.h, docs/science.md section 4). Writing and reading
 * follow one table of arrays; docs/files.md has the schema. The form is netCDF-4, so that xarray opens it.
 *
 * An attention *site* is one attention layer of a model: those of an encoder first, then those of the decoder by layer,
 * self-attention before cross-attention. What was not measured is NaN. Losses are in nats a scored token. An `_error`
 * is a standard error over sequences; that of a difference belongs to the paired difference. */
#ifndef HEED_PROBE_FILE_H
#define HEED_PROBE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/config.h"
#include "heed/status.h"
#include "heed/tokenizer.h"

#define HEED_PROBE_KIND "probe"

/* The axis `sample`: what is chosen on the first half of the sequences is reported on the second. */
typedef enum heed_probe_sample {
    HEED_PROBE_ALL,
    HEED_PROBE_CHOSEN_ON,
    HEED_PROBE_REPORTED_ON,
    HEED_PROBE_SAMPLES
} heed_probe_sample;

typedef enum heed_probe_site { HEED_SITE_SELF, HEED_SITE_ENCODER, HEED_SITE_CROSS, HEED_SITE_KINDS } heed_probe_site;
const char *heed_probe_site_name(int64_t kind); /* "self", "encoder", "cross" */

/* Type, name here and in the file, axes (a sample, s site, h head, w window, p position, r probe, q query, k key, b
 * byte), unit, meaning. The first rows, of one axis each, are the coordinates. */
#define HEED_PROBE_TABLE(X)                                                                                            \
    X(int64_t, sample, "a", "1", "0: all sequences; 1: the first half, to choose on; 2: the second, to report on")     \
    X(int64_t, site, "s", "1", "number of the attention layer")                                                        \
    X(int64_t, head, "h", "1", "number of the attention head")                                                         \
    X(int64_t, window, "w", "token", "tokens that are visible")                                                        \
    X(int64_t, position, "p", "1", "position of the token that predicts")                                              \
    X(int64_t, probe, "r", "1", "number of a sequence that is shown")                                                  \
    X(int64_t, query, "q", "1", "position of the token that attends")                                                  \
    X(int64_t, key, "k", "1", "position of the token that is attended to")                                             \
    X(uint8_t, token_byte, "b", "1", "bytes of a token's text")                                                        \
    X(int64_t, site_kind, "s", "1", "0: a decoder's self-attention, 1: an encoder's, 2: cross-attention")              \
    X(int64_t, site_layer, "s", "1", "number of the layer in its stack, from the input")                               \
    X(double, sequences, "a", "1", "sequences that were read")                                                         \
    X(double, tokens, "a", "token", "scored tokens in them")                                                           \
    X(double, loss, "a", "nat", "loss of the model as it is")                                                          \
    X(double, loss_error, "a", "nat", "standard error of loss")                                                        \
    X(double, window_loss, "w", "nat", "loss when a token's prediction may depend on the last `window` tokens alone")  \
    X(double, window_error, "w", "nat", "standard error of window_loss minus loss")                                    \
    X(double, span_loss, "w", "nat", "loss when every attention layer sees the last `window` positions alone")         \
    X(double, span_error, "w", "nat", "standard error of span_loss minus loss")                                        \
    X(double, position_loss, "p", "nat", "loss of the tokens at this position")                                        \
    X(double, position_error, "p", "nat", "standard error of position_loss")                                           \
    X(double, position_count, "p", "token", "scored tokens at this position")                                          \
    X(double, in_context_early, "", "1", "the early position of the in-context-learning score")                        \
    X(double, in_context_late, "", "1", "the late position of the in-context-learning score")                          \
    X(double, in_context_score, "a", "nat", "loss at the late position minus loss at the early one")                   \
    X(double, in_context_error, "a", "nat", "standard error of in_context_score")                                      \
    X(double, entropy, "ash", "nat", "entropy of a query's weights")                                                   \
    X(double, distance, "ash", "token", "distance from query to key, weighted by attention")                           \
    X(double, top1, "ash", "1", "a query's largest weight")                                                            \
    X(double, previous, "ash", "1", "weight of the token before the query")                                            \
    X(double, duplicate, "ash", "1", "weight of earlier places of the query's token")                                  \
    X(double, induction, "ash", "1", "weight of places behind earlier places of the query's token")                    \
    X(double, on_target, "ash", "1", "weight of the true positions")                                                   \
    X(double, copying, "sh", "1", "sum of the eigenvalues of the head's OV circuit by the sum of their sizes")         \
    X(double, alignment_error, "ash", "1", "share of queries whose largest weight is on no true position")             \
    X(double, alignment_error_next, "ash", "1", "the same, read one step later")                                       \
    X(double, alignment_error_chance, "a", "1", "the same for a guess among the candidates")                           \
    X(double, ablate_zero, "ash", "nat", "loss without the head's output, minus loss")                                 \
    X(double, ablate_zero_error, "ash", "nat", "standard error of ablate_zero")                                        \
    X(double, ablate_mean, "ash", "nat", "loss with the head's mean output, minus loss")                               \
    X(double, ablate_mean_error, "ash", "nat", "standard error of ablate_mean")                                        \
    X(double, ablate_uniform, "ash", "nat", "loss with equal weights of all visible keys, minus loss")                 \
    X(double, ablate_uniform_error, "ash", "nat", "standard error of ablate_uniform")                                  \
    X(double, ablate_places, "ash", "nat", "loss with the mean weights of each query and key position, minus loss")    \
    X(double, ablate_places_error, "ash", "nat", "standard error of ablate_places")                                    \
    X(double, patch_values, "ash", "nat", "loss with another sequence's values, minus loss")                           \
    X(double, patch_values_error, "ash", "nat", "standard error of patch_values")                                      \
    X(double, rollout_entropy, "a", "nat", "entropy of attention rollout")                                             \
    X(double, rollout_distance, "a", "token", "distance from query to key, weighted by rollout")                       \
    X(double, rollout_on_target, "a", "1", "rollout on the true positions")                                            \
    X(double, rollout_alignment_error, "a", "1", "share of queries whose largest rollout is on no true position")      \
    X(float, rollout, "rqk", "1", "attention rollout of the sequences that are shown")                                 \
    X(int64_t, probe_length, "r", "token", "tokens of a sequence that is shown")                                       \
    X(int32_t, token, "rq", "1", "number of the token; -1 past the sequence's end")                                    \
    X(int32_t, target, "rq", "1", "number of the token that follows; -1 past the sequence's end")                      \
    X(char, token_text, "rqb", "1", "text of the token; bytes that are not UTF-8 as \\xNN")
#define HEED_PROBE_COORDINATES 9

typedef struct heed_probe_sizes {
    size_t sites, heads, windows, positions, probes, time, bytes;
} heed_probe_sizes;

typedef struct heed_probe {
    heed_probe_sizes sizes;
    int64_t step;                   /* of the checkpoint: updates done */
    char checkpoint[HEED_PATH_MAX]; /* its path, as it was given */
    char *config_text;              /* the model's */
#define HEED_PROBE_MEMBER(type, name, axes, unit, meaning) type *name;
    HEED_PROBE_TABLE(HEED_PROBE_MEMBER)
#undef HEED_PROBE_MEMBER
} heed_probe;

/* Arrays for these sizes, with the coordinates (windows excepted) filled in, measured numbers NaN, and all else 0.
 * Errors: HEED_MEMORY. Ownership: heed_probe_reset, after a failure too. */
heed_status heed_probe_alloc(heed_probe *probe, const heed_probe_sizes *sizes, heed_error *error);
void heed_probe_reset(heed_probe *probe);

/* Elements along an axis, by its letter. */
size_t heed_probe_length(const heed_probe *probe, char axis);

/* Fills token_text from token, with the room that its longest text needs. Errors: HEED_MEMORY. */
heed_status heed_probe_set_text(heed_probe *probe, const heed_tokenizer *tokenizer, heed_error *error);

/* Writes, and reads, a file. Ownership of what is read: heed_probe_reset. Errors: HEED_CREATE, HEED_IO;
 * HEED_NOT_FOUND, HEED_DATA, HEED_MEMORY. Not collective. */
heed_status heed_probe_write(const heed_probe *probe, const char *path, heed_error *error);
heed_status heed_probe_read(heed_probe *probe, const char *path, heed_error *error);

/* The head with the largest (sign = 1) or smallest (sign = -1) of values (sample, site, head) on the first half, and
 * what it has on the second. Of equals the first; NaN is passed over. False when there are no numbers. Cannot fail. */
typedef struct heed_probe_pick {
    size_t site, head;
    double chosen, reported;
} heed_probe_pick;
bool heed_probe_best(heed_probe_pick *pick, const heed_probe *probe, const double *values, int sign);

#endif
