#include "fuzz.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hdf5.h>

#include "engine/store_private.h"
#include "heed/log.h"

void fuzz_broken(const char *file, int line, const char *condition) {
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    abort();
}

void fuzz_expect_form(heed_status status, const heed_error *error) {
    FUZZ_HOLDS(status == error->status);
    FUZZ_HOLDS((status == HEED_OK) == (error->message[0] == '\0'));
    FUZZ_HOLDS(status != HEED_INTERNAL && !strchr(error->message, '\n') && !strchr(error->hint, '\n'));
}

void fuzz_expect_pieces(const heed_tokenizer *tokenizer, const int32_t *tokens, size_t n) {
    for (size_t i = 0; i < n; i++) {
        size_t bytes;
        FUZZ_HOLDS(heed_tokenizer_piece(tokenizer, tokens[i], &bytes));
    }
}

char *fuzz_text(const uint8_t *data, size_t bytes) {
    char *text = malloc(bytes + 1);
    FUZZ_HOLDS(text);
    if (bytes)
        memcpy(text, data, bytes);
    text[bytes] = '\0';
    return text;
}

/* No power fails here, and a search makes files by the thousand. */
int fsync(int fd) {
    (void)fd;
    return 0;
}

static char folder[] = "/tmp/heed-fuzz-XXXXXX";
static pid_t owner;

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info, (void)kind, (void)where;
    return remove(path);
}

static void remove_folder(void) {
    if (getpid() == owner)
        nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* libFuzzer writes what it finds by absolute path, when it is asked to. */
static void enter_folder(void) {
    static bool there;
    if (there)
        return;
    there = true;
    owner = getpid();
    FUZZ_HOLDS(mkdtemp(folder) && chdir(folder) == 0);
    atexit(remove_folder);
    heed_log_setup(1, HEED_ERROR); /* warnings about damage are many */
}

void fuzz_write(const char *path, const void *data, size_t bytes) {
    enter_folder();
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FUZZ_HOLDS(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes && close(fd) == 0);
}

void fuzz_write_sealed(const char *path, const uint8_t *data, size_t bytes) {
    enter_folder();
    if (bytes >= HEEDI_TRAILER_BYTES && memcmp(data + bytes - HEEDI_TRAILER_BYTES, "HEEDEND1", 8) == 0)
        bytes -= HEEDI_TRAILER_BYTES;
    heedi_disk disk = {.fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), .writing = true};
    unsigned char digest[HEEDI_DIGEST_BYTES];
    FUZZ_HOLDS(disk.fd >= 0 && heedi_disk_write(&disk, 0, data, bytes) && heedi_trailer_write(&disk, digest) &&
               close(disk.fd) == 0);
}
