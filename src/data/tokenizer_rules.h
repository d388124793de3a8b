/* What the tokenizer room shares. A tokenizer is a table of pieces: token t stands for bytes
 * [first[t], first[t + 1]) of `bytes`. What differs between kinds is how the table comes about, how text is cut along
 * it, and what a well-formed table looks like: one row of rules a kind. A new kind is one file and one row. */
#ifndef HEED_DATA_TOKENIZER_RULES_H
#define HEED_DATA_TOKENIZER_RULES_H

#include "bpe.h"
#include "heed/tokenizer.h"
#include "utf8.h"
#include "words.h"

#define HEEDI_MAX_MARKS 64 /* of a vocabulary */

struct heed_tokenizer {
    heed_tokenizer_kind kind;
    size_t n_text;    /* tokens that text is cut into; behind them come those that no text has: marks */
    size_t n_vocab;   /* both */
    int32_t *first;   /* (n_vocab + 1) */
    char *bytes;      /* (first[n_vocab]) */
    int32_t *of_code; /* characters: (HEEDI_N_CODES) token + 1 of a code point, 0 = none; while learning, 1 = met */
    heedi_bpe *bpe;   /* byte pairs */
    heedi_words
        words; /* words, pieces: their numbers are the tokens; while learning, in the order in which they came */
};

typedef struct heedi_tokenizer_rules {
    const char *name;            /* as in the config, and in files */
    const char *separator;       /* that decoding puts between two tokens; NULL: nothing */
    size_t max_vocab, max_piece; /* tokens, and bytes a token: what a file may claim */
    bool learns_first;           /* tokens can be counted only when all is learned: meet counts none */

    /* Makes room for learning or for encoding. */
    heed_status (*begin)(heed_tokenizer *tokenizer, heed_error *error);

    /* Learns from one more piece of text and counts its tokens. */
    heed_status (*meet)(heed_tokenizer *tokenizer, const heedi_spot *place, const char *text, size_t bytes,
                        uint64_t *n_tokens, heed_error *error);

    /* Ends learning: numbers the tokens and fills the table. */
    heed_status (*settle)(heed_tokenizer *tokenizer, heed_error *error);

    /* Checks a table that came from elsewhere, and indexes it. *fault becomes what is wrong ("token %zu ..."), *token
     * with which token; both stay as they are when nothing is. Errors: HEED_MEMORY. */
    heed_status (*adopt)(heed_tokenizer *tokenizer, size_t *token, const char **fault, heed_error *error);

    /* Cuts text into at most `bytes` tokens: each stands for a byte or more. */
    heed_status (*encode)(const heed_tokenizer *tokenizer, const heedi_spot *place, const char *text, size_t bytes,
                          int32_t *tokens, size_t *n_tokens, heed_error *error);

    /* How much of a text can be cut without seeing what follows it; NULL: all whole characters. */
    size_t (*whole)(const char *text, size_t bytes);
} heedi_tokenizer_rules;

extern const heedi_tokenizer_rules heedi_byte_rules, heedi_char_rules, heedi_word_rules, heedi_bpe_rules;
const heedi_tokenizer_rules *heedi_rules_of(heed_tokenizer_kind kind);

/* Learning in pieces: begin, meet every piece of every text, settle. Nothing but destroy may follow a failure.
 * Errors: HEED_MEMORY, HEED_DATA. */
heed_status heedi_tokenizer_begin(heed_tokenizer **tokenizer, heed_tokenizer_kind kind, heed_error *error);
heed_status heedi_tokenizer_meet(heed_tokenizer *tokenizer, const heedi_spot *place, const char *text, size_t bytes,
                                 uint64_t *n_tokens, heed_error *error);
heed_status heedi_tokenizer_settle(heed_tokenizer *tokenizer, heed_error *error);

/* Encoding in pieces; tokens has room for `bytes` of them. Errors: HEED_DATA. */
heed_status heedi_tokenizer_encode(const heed_tokenizer *tokenizer, const heedi_spot *place, const char *text,
                                   size_t bytes, int32_t *tokens, size_t *n_tokens, heed_error *error);

/* Memory for a table of n_vocab pieces that have n_bytes together; first[n_vocab] is set. None of them is a mark.
 * Errors: HEED_MEMORY, HEED_DATA (pieces of more than 2 GiB). */
heed_status heedi_tokenizer_table(heed_tokenizer *tokenizer, size_t n_vocab, size_t n_bytes, heed_error *error);

/* The table of these words, in their order. */
heed_status heedi_tokenizer_table_of(heed_tokenizer *tokenizer, const heedi_words *words, heed_error *error);

/* A word tokenizer whose vocabulary is given. The words must be words, and in UTF-8. Nothing but destroy may follow a
 * failure. Errors: HEED_MEMORY. */
heed_status heedi_tokenizer_of_words(heed_tokenizer **tokenizer, const heedi_words *words, heed_error *error);

/* Adds a token behind all others that no text is cut into. Errors: HEED_MEMORY. */
heed_status heedi_tokenizer_add_mark(heed_tokenizer *tokenizer, const char *mark, heed_error *error);

#endif
