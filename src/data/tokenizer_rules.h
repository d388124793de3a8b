/* What the tokenizer room shares. A tokenizer is a table of pieces: token t stands for bytes
 * [first[t], first[t + 1]) of `bytes`. What differs between kinds is how the table comes about, how text is cut along
 * it, and what a well-formed table looks like: one row of rules a kind. A new kind is one file and one row. */
#ifndef HEED_DATA_TOKENIZER_RULES_H
#define HEED_DATA_TOKENIZER_RULES_H

#include "heed/tokenizer.h"
#include "utf8.h"

struct heed_tokenizer {
    heed_tokenizer_kind kind;
    size_t n_vocab;
    int32_t *first;   /* (n_vocab + 1) */
    char *bytes;      /* (first[n_vocab]) */
    int32_t *of_code; /* characters: (HEEDI_N_CODES) token + 1 of a code point, 0 = none; while learning, 1 = met */
};

typedef struct heedi_tokenizer_rules {
    const char *name;            /* as in the config, and in files */
    size_t max_vocab, max_piece; /* tokens, and bytes a token: what a file may claim */

    /* Makes room for learning or for encoding. */
    heed_status (*begin)(heed_tokenizer *tokenizer, heed_error *error);

    /* Learns from one more piece of text and counts its characters. */
    heed_status (*meet)(heed_tokenizer *tokenizer, const heedi_spot *place, const char *text, size_t bytes,
                        uint64_t *n_characters, heed_error *error);

    /* Ends learning: numbers the tokens and fills the table. */
    heed_status (*settle)(heed_tokenizer *tokenizer, heed_error *error);

    /* Checks a table that came from a file, and indexes it. Returns what is wrong ("token %zu ..."), NULL when nothing
     * is; *token says with which token. */
    const char *(*adopt)(heed_tokenizer *tokenizer, size_t *token);

    /* Cuts text into at most `bytes` tokens: each stands for a byte or more. */
    heed_status (*encode)(const heed_tokenizer *tokenizer, const heedi_spot *place, const char *text, size_t bytes,
                          int32_t *tokens, size_t *n_tokens, heed_error *error);
} heedi_tokenizer_rules;

extern const heedi_tokenizer_rules heedi_byte_rules, heedi_char_rules;
const heedi_tokenizer_rules *heedi_rules_of(heed_tokenizer_kind kind);

/* Learning in pieces: begin, meet every piece of every text, settle. Nothing but destroy may follow a failure.
 * Errors: HEED_MEMORY, HEED_DATA. */
heed_status heedi_tokenizer_begin(heed_tokenizer **tokenizer, heed_tokenizer_kind kind, heed_error *error);
heed_status heedi_tokenizer_meet(heed_tokenizer *tokenizer, const heedi_spot *place, const char *text, size_t bytes,
                                 uint64_t *n_characters, heed_error *error);
heed_status heedi_tokenizer_settle(heed_tokenizer *tokenizer, heed_error *error);

/* Encoding in pieces; tokens has room for `bytes` of them. Errors: HEED_DATA. */
heed_status heedi_tokenizer_encode(const heed_tokenizer *tokenizer, const heedi_spot *place, const char *text,
                                   size_t bytes, int32_t *tokens, size_t *n_tokens, heed_error *error);

/* Memory for a table of n_vocab pieces that have n_bytes together; first[n_vocab] is set. Errors: HEED_MEMORY. */
heed_status heedi_tokenizer_table(heed_tokenizer *tokenizer, size_t n_vocab, size_t n_bytes, heed_error *error);

#endif
