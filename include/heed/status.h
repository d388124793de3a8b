/* Errors: one table of codes, and one message that is filled once, where the fault was seen.
 *
 * Functions that can fail return a heed_status and take a heed_error as their last argument. The first failure fills
 * it; later ones leave it alone, so that the message always names the origin. Only main prints and exits. */
#ifndef HEED_STATUS_H
#define HEED_STATUS_H

/* name, exit status of the program, meaning. The numbers follow BSD's sysexits.h where it has a fitting one. */
#define HEED_STATUS_TABLE(X)                                                                                           \
    X(OK, 0, "success")                                                                                                \
    X(USAGE, 64, "the command line is wrong")                                                                          \
    X(DATA, 65, "a file's content is wrong or damaged")                                                                \
    X(NOT_FOUND, 66, "an input file is missing or cannot be read")                                                     \
    X(UNAVAILABLE, 69, "something that is needed is missing, or the ranks do not match")                               \
    X(INTERNAL, 70, "a fault in heed itself")                                                                          \
    X(MEMORY, 71, "out of memory")                                                                                     \
    X(CREATE, 73, "an output file or folder cannot be created")                                                        \
    X(IO, 74, "reading or writing failed")                                                                             \
    X(STOPPED, 75, "stopped on request after a checkpoint: run the same command again to go on")                       \
    X(CONFIG, 78, "a setting is wrong")                                                                                \
    X(NUMERIC, 80, "training diverged: a loss or a gradient is not finite")                                            \
    X(PEER, 81, "a rank was lost, or communication failed")                                                            \
    X(CORRUPT, 83, "a rank's memory changed by itself")                                                                \
    X(VERDICT, 82, "the measured verdict is not the one that the config expects")

typedef enum heed_status {
#define HEED_STATUS_ENUM(name, exit_status, meaning) HEED_##name,
    HEED_STATUS_TABLE(HEED_STATUS_ENUM)
#undef HEED_STATUS_ENUM
        HEED_STATUS_COUNT
} heed_status;

/* Plain bytes, so that a failing rank's error can be sent to the others as it is. */
typedef struct heed_error {
    heed_status status; /* HEED_OK until the first failure */
    int rank;           /* the rank that it comes from, -1 when every rank sees the same */
    char message[1024]; /* what and where, in one line */
    char hint[256];     /* what to do, shown in parentheses; may be empty */
} heed_error;

#define HEED_ERROR_INIT                                                                                                \
    { HEED_OK, -1, "", "" }

/* Fills error with status and the formatted message unless it is filled already. error may be NULL.
 * Returns status, so that a function can end with `return heed_fail(...)`. Not collective. */
heed_status heed_fail(heed_error *error, heed_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds the hint to an error that was just filled; keeps an earlier hint. Returns error->status. Not collective. */
heed_status heed_hint(heed_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The exit status that the program ends with, and the code's meaning; from the table above. Cannot fail. */
int heed_status_exit(heed_status status);
const char *heed_status_meaning(heed_status status);
const char *heed_status_name(heed_status status);

/* A check of our own reasoning that stays on in release builds. When it does not hold the program cannot go on:
 * it prints one line and calls the handler (main's ends all ranks), never returning. */
#define HEED_CHECK(condition) ((condition) ? (void)0 : heed_bug(__FILE__, __LINE__, #condition))
void heed_bug(const char *file, int line, const char *condition) __attribute__((noreturn));
void heed_bug_handler(void (*handler)(int exit_status));

#endif
