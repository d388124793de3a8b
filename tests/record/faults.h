/* The system calls by which a file is published, listened to and made to fail one by one. The linker sends libheed's
 * calls here (--wrap); HDF5's go through libheed's driver and so come here too. */
#ifndef HEED_TESTS_RECORD_FAULTS_H
#define HEED_TESTS_RECORD_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

/* From now on: call number `nth` (from 1) fails with `reason`; 0 = none does. A negative nth makes a write of call -nth
 * a short one. The list of calls is cleared. */
void faults_begin(int nth, int reason);

/* Whether there is no memory to keep a file in until it is sealed: HDF5's writes then go to the file as they come. */
void faults_no_memory(bool none);

/* Stops listening; returns how many calls there were. */
int faults_end(void);

/* What the calls were, a letter each: o open, w write, t write of a trailer, c cut (ftruncate), s fsync of a file, d
 * fsync of a folder, x close, r rename, ! a message to the user. */
const char *faults_calls(void);

#endif
