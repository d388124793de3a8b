/* What the fuzz targets share. A target is one function of libFuzzer's, in a file of its own: it hands any bytes to one
 * parser or loader, which must neither crash, nor hang, nor leak, nor ask for much memory; where it accepts them, the
 * target holds what came out against what the header promises.
 *
 * Every build makes a program of each target that replays the inputs that are kept in corpus/TARGET (replay.c); the
 * preset `fuzz` makes libFuzzer's instead, with clang. */
#ifndef HEED_TESTS_FUZZ_H
#define HEED_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heed/status.h"
#include "heed/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Ends the program unless condition holds. */
#define FUZZ_HOLDS(condition) ((condition) ? (void)0 : fuzz_broken(__FILE__, __LINE__, #condition))
void fuzz_broken(const char *file, int line, const char *condition) __attribute__((noreturn));

/* A failure has one line that says what, and a success none. */
void fuzz_expect_form(heed_status status, const heed_error *error);

/* Every token has a piece. */
void fuzz_expect_pieces(const heed_tokenizer *tokenizer, const int32_t *tokens, size_t n);

/* The bytes as NUL-terminated text, which the caller frees. */
char *fuzz_text(const uint8_t *data, size_t bytes);

/* Writes a file in a folder of this process alone, which is the working folder from then on. */
void fuzz_write(const char *path, const void *data, size_t bytes);

/* The same as a file of heed with a right trailer, so that its digest keeps nothing from what lies behind it. A trailer
 * that the bytes end with already is replaced. */
void fuzz_write_sealed(const char *path, const uint8_t *data, size_t bytes);

#endif
