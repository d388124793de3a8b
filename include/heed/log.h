/* Messages for people. Results and figures go to files; this is the running commentary on stderr and in the run's
 * log.txt. One rank speaks (rank 0); other ranks' messages are dropped unless they warn. HEED_ERROR
 * is for those who end the program themselves: an error that is returned is main's to print. */
#ifndef HEED_LOG_H
#define HEED_LOG_H

#include <stdbool.h>
#include <stdio.h>

typedef enum heed_level { HEED_DEBUG, HEED_INFO, HEED_WARNING, HEED_ERROR } heed_level;

/* Sets who is speaking, and the level from which on lines are shown. Not collective. */
void heed_log_setup(int rank, heed_level shown);

/* A second place for every line from HEED_INFO on, shown or not, usually log.txt of the run; NULL for none. The caller
 * keeps ownership of file. */
void heed_log_copy(FILE *file);

/* Tells that the terminal's last line on stderr is one that is drawn again and again (a progress line): every line that
 * is printed from now on erases it first. Not collective. */
void heed_log_live(bool live);

/* Prints one line "heed: ..." (a newline is added). Thread-safe. Allocates nothing. Cannot fail. */
void heed_say(heed_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
