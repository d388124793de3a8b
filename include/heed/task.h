/* Generated tasks: endless data of which the true alignment and the best possible loss are known.
 *
 * Nothing is stored. Sequence i is drawn from numbers keyed by (seed, HEED_PURPOSE_TASK, training or validation, i), so
 * every training step has fresh sequences, no validation sequence is ever trained on by key, and a sequence depends
 * neither on the batch size nor on the ranks. Generators use whole numbers only: the same sequences on every machine.
 *
 * Notation: n = length, S = symbols, P = pairs, row r sees tokens 0 .. r and predicts target[r]. Rows that ask for
 * nothing have weight 0. "=" and "." are tokens of their own. Loss is in nats a scored row; the Bayes-optimal loss is
 * the mean over sequences of -log p(target | what the row sees), p being the posterior predictive distribution of the
 * generator. Candidates of a row: the positions that a reader would consider who knows the form of the task but not
 * this answer; a guess among them is right once in that many times per true position: the informed chance.
 *
 *   copy, reverse, shift   n = 20, S = 32. x of n independent symbols, then its answer y:
 *       x_0 .. x_{n-1} = y_0 .. y_{n-1}, y_i = x_{p(i)}; p(i) = i, n - 1 - i, (i + 1) mod n.
 *     Scored: y. Truth: p(i). Candidates: the n places of x. Optimum: 0, since y is a function of x.
 *   sort   n = 16, S = 64. The same with x of n different numbers and y ascending: x_{p(i)} is the i-th smallest.
 *     Scored, truth, candidates, optimum: as copy.
 *   permutation40, permutation40of60   copy with n = 40 different symbols out of S = 40 or 60 (Snell et al. 2021,
 *     arXiv 2103.07601: when all 40 are always there, their co-occurrence teaches no symbol's translation).
 *     Scored, truth, candidates, optimum: as copy.
 *   recall   n = 64, S = 32, P = 8, Q = P: multi-query associative recall (Arora et al. 2024, "Zoology", arXiv
 * 2312.04927). In the first half P pairs "key value" at random places, different keys of S, different values of S; in
 * the second half Q queries at random places, each one of the P keys, drawn with replacement, so that elimination does
 * not help; filler between them, at least one behind each query while there is room (Q <= n/4). Zoology puts all pairs
 *     first, draws as many queries as pairs without replacement and their places from a power law. With Q > P the task
 *     is the same, and a sequence says more often which value was asked for. Each filler is drawn, independently, from
 *     F symbols of its own, F = 1, and says nothing. (Zoology's is 0, or on request a random key or value.)
 *     Scored: queries, whose target is the key's value; the answer never appears among the tokens. Truth: the place of
 *     that value. Candidates: P. Optimum: 0. Best without knowing which value belongs to which key: log P, 1/P right.
 *   induction   n = 64, S = 64. A segment of m different symbols, m uniform in [n/4, n/2] for each sequence, repeated
 *     (Olsson et al. 2022, arXiv 2209.11895; with one period for all, one layer solves it by offset).
 *     Scored: rows r >= m, whose token was met before. Truth: all places behind an earlier occurrence of the row's
 *     token, r + 1 - m, r + 1 - 2 m, ... >= 1. Candidates: places 1 .. r. Optimum: 0, as a repeated token tells m.
 *   markov   n = 100, S = 3. A chain for each sequence, rows of its transition matrix from the flat Dirichlet, walked
 *     from a uniform start (Edelman et al. 2024, arXiv 2402.11004, who start from the stationary distribution: with a
 *     uniform start the posterior is exact). Scored: all rows. Truth: places j behind an earlier occurrence of the
 * row's token, x_{j-1} = x_r, 1 <= j <= r. Candidates: places 1 .. r. Optimum: -log p with p(b | x_0 .. x_r = a) =
 * (c_ab + 1) / (sum_b c_ab + S), c_ab = how often b followed a up to row r. tree   n = 20, S = 10. A random recursive
 * tree over places 0 .. n - 2 that is the same in all sequences, with parent(j) uniform in [0, j); x_0 uniform, x_j
 * drawn from row x_{parent(j)} of a transition matrix like markov's; the last token a, uniform, asks for a draw from
 * row a (Nichani et al. 2024, arXiv 2402.14735, whose root is drawn from the stationary distribution). Scored: the last
 * row. Truth: places j with x_{parent(j)} = a. Candidates: places 1 .. n - 2. Optimum: as markov, with c_ab = how many
 * j have x_{parent(j)} = a and x_j = b. noise   n = 64, S = 32. Independent symbols. Scored: all rows. No truth.
 * Optimum: log S.
 *
 * For encoder-decoder models (with_source) the tasks that answer a list come as pairs: source x </s>, rows <s> y,
 * targets y </s>, all scored; the truth is a place of the source, and none for </s>. */
#ifndef HEED_TASK_H
#define HEED_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/batch.h"
#include "heed/config.h"
#include "heed/status.h"
#include "heed/tokenizer.h"

#define HEED_TASK_LONGEST_LIST 1024 /* symbols of a list that is answered with a list */

struct heed_task_settings {
    heed_task_kind kind;
    size_t length, symbols;         /* 0: the task's usual one, as told above */
    size_t pairs, queries, fillers; /* the same; recall alone */
    uint64_t n_valid;               /* validation sequences */
    uint64_t seed;
    bool with_source;
};

/* What a configuration asks for (data.task and the keys with its name, run.seed, model.kind). Cannot fail. */
heed_task_settings heed_task_settings_of(const heed_config *config);

/* Errors: HEED_CONFIG (numbers that the task cannot have, named as the config names them), HEED_MEMORY.
 * Ownership: heed_task_destroy. Not collective. */
heed_status heed_task_create(heed_task **task, const heed_task_settings *settings, heed_error *error);
void heed_task_destroy(heed_task *task);

const char *heed_task_name(const heed_task *task);
const char *heed_task_origin(const heed_task *task);              /* the paper that it comes from, or "" */
const heed_task_settings *heed_task_what(const heed_task *task);  /* with the usual numbers filled in */
const heed_tokenizer *heed_task_tokenizer(const heed_task *task); /* its symbols as words */
const char *heed_task_digest(const heed_task *task);              /* hex, of all that decides the sequences */
size_t heed_task_time(const heed_task *task);                     /* rows of a sequence */
size_t heed_task_source_time(const heed_task *task);              /* of a source; 0: none */

/* tree: the parent of each of `length` places, -1 for none. Other tasks: NULL. */
const int32_t *heed_task_parents(const heed_task *task);

/* The Bayes-optimal probability that row `row` of a sequence of the batch has this target, from what the row sees
 * (token 0 .. row, and source). The row must be scored. Over the vocabulary it sums to 1. Cannot fail. */
double heed_task_probability(const heed_task *task, const heed_batch *batch, size_t sequence, size_t row,
                             int32_t target);

/* How many candidates the row's truth is among (0 without truth). Cannot fail. */
size_t heed_task_candidates(const heed_task *task, size_t row);

/* Sum over the rows of a batch of weight * -log p(target), in nats. nats (rows), unless NULL, gets -log p of each
 * scored row and 0 for the others. Cannot fail. */
double heed_task_optimum(const heed_task *task, const heed_batch *batch, double *nats);

/* The optimal loss of the whole validation set, in nats a scored row. Errors: HEED_MEMORY. Not collective. */
heed_status heed_task_valid_optimum(heed_task *task, double *nats, heed_error *error);

#endif
