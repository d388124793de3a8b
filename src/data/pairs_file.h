/* The form of a store of pairs, known to its writer (pairs_prepare.c) and its reader (pairs.c).
 *
 *   /train/source, /train/target   tokens of all pairs one behind the other, 1-d, without marks, of the smallest of
 *                    uint8, uint16, int32 that holds the side's vocabulary
 *   /train/source_first, /train/target_first   uint64 (pairs + 1): where each pair begins, and the end
 *   /valid/...       the same
 *   /tokenizer       of targets, and of sources when it is joint; attribute learned as in a store of text; wanted: of
 * byte pairs, the size asked for /source_tokenizer   when it is not /texts, attributes of /: as in a store of text
 * (corpus_file.h); and joint, 0 or 1 */
#ifndef HEED_DATA_PAIRS_FILE_H
#define HEED_DATA_PAIRS_FILE_H

#include "corpus_file.h"
#include "heed/pairs.h"

#define HEEDI_PAIRS_KIND "store of pairs"
#define HEEDI_PAIRS_FORMAT 1

#define HEEDI_SOURCE_TOKENIZER "/source_tokenizer"

/* "/train/source", and "/train/source_first". */
const char *heedi_pairs_tokens(heed_split split, heed_side side);
const char *heedi_pairs_firsts(heed_split split, heed_side side);

/* Whether both sides have one vocabulary. Errors: HEED_DATA. */
heed_status heedi_pairs_joint(heed_store *store, bool *joint, heed_error *error);

/* The pairs of an open corpus: in a store, or in memory. */
typedef struct heedi_pairs heedi_pairs;

/* Opens the arrays of a store whose tokenizers are known. Errors: HEED_DATA, HEED_MEMORY. Ownership: heedi_pairs_close;
 * store and tokenizers must outlive it. */
heed_status heedi_pairs_open(heedi_pairs **pairs, heed_store *store, const heed_tokenizer *source_tokenizer,
                             const heed_tokenizer *target_tokenizer, heed_error *error);

/* A file's pairs, encoded. digest: the file's. */
heed_status heedi_pairs_of_file(heedi_pairs **pairs, const char *path, const heed_tokenizer *source_tokenizer,
                                const heed_tokenizer *target_tokenizer, char digest[HEEDI_DIGEST_TEXT],
                                heed_error *error);
void heedi_pairs_close(heedi_pairs *pairs);

const heed_tokenizer *heedi_pairs_source_tokenizer(const heedi_pairs *pairs);
size_t heedi_pairs_number(const heedi_pairs *pairs, heed_split split);
size_t heedi_pairs_length(const heedi_pairs *pairs, heed_split split, heed_side side, size_t index);
heed_status heedi_pairs_read(heedi_pairs *pairs, heed_split split, heed_side side, size_t index, int32_t *tokens,
                             heed_error *error);

#endif
