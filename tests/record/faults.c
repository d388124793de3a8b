#include "record/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "heed/log.h"
#include "heed/store.h"

static struct {
    bool listening;
    int nth, reason, n;
    char calls[4096];
} faults;

int __real_open(const char *path, int flags, ...);
ssize_t __real_pwrite(int fd, const void *data, size_t bytes, off_t offset);
ssize_t __real_write(int fd, const void *data, size_t bytes);
int __real_ftruncate(int fd, off_t length);
int __real_close(int fd);
void *__real_mmap(void *start, size_t bytes, int protection, int flags, int fd, off_t offset);
int __real_rename(const char *from, const char *to);

int __wrap_open(const char *path, int flags, ...);
ssize_t __wrap_pwrite(int fd, const void *data, size_t bytes, off_t offset);
ssize_t __wrap_write(int fd, const void *data, size_t bytes);
int __wrap_ftruncate(int fd, off_t length);
int __wrap_fsync(int fd);
int __wrap_close(int fd);
int __wrap_rename(const char *from, const char *to);
void *__wrap_mmap(void *start, size_t bytes, int protection, int flags, int fd, off_t offset);
void __wrap_heed_say(heed_level level, const char *format, ...);

static bool no_memory;

void faults_no_memory(bool none) {
    no_memory = none;
    heed_store_trim();
}

void *__wrap_mmap(void *start, size_t bytes, int protection, int flags, int fd, off_t offset) {
    return no_memory ? MAP_FAILED : __real_mmap(start, bytes, protection, flags, fd, offset);
}

void faults_begin(int nth, int reason) {
    memset(&faults, 0, sizeof faults);
    faults.listening = true;
    faults.nth = nth;
    faults.reason = reason;
}

int faults_end(void) {
    faults.listening = false;
    return faults.n;
}

const char *faults_calls(void) {
    return faults.calls;
}

/* Writes the call down; whether it shall fail. */
static bool fails(char letter) {
    if (!faults.listening)
        return false;
    if ((size_t)faults.n < sizeof faults.calls - 1)
        faults.calls[faults.n] = letter;
    faults.n++;
    if (faults.n != faults.nth)
        return false;
    errno = faults.reason;
    return true;
}

static bool is_short(void) {
    return faults.listening && faults.n == -faults.nth;
}

int __wrap_open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    const int mode = flags & O_CREAT ? va_arg(arguments, int) : 0;
    va_end(arguments);
    return fails('o') ? -1 : __real_open(path, flags, mode);
}

ssize_t __wrap_pwrite(int fd, const void *data, size_t bytes, off_t offset) {
    if (fails(bytes == 32 && memcmp(data, "HEEDEND1", 8) == 0 ? 't' : 'w'))
        return -1;
    return __real_pwrite(fd, data, is_short() ? (bytes + 1) / 2 : bytes, offset);
}

ssize_t __wrap_write(int fd, const void *data, size_t bytes) {
    if (fails('w'))
        return -1;
    return __real_write(fd, data, is_short() ? (bytes + 1) / 2 : bytes);
}

int __wrap_ftruncate(int fd, off_t length) {
    return fails('c') ? -1 : __real_ftruncate(fd, length);
}

int __wrap_fsync(int fd) { /* that it is called is what counts here: not done, for speed */
    struct stat file;
    return fails(fstat(fd, &file) == 0 && S_ISDIR(file.st_mode) ? 'd' : 's') ? -1 : 0;
}

int __wrap_close(int fd) { /* Linux closes even when it reports an error */
    const bool failing = fails('x');
    const int reason = errno, result = __real_close(fd);
    if (!failing)
        return result;
    errno = reason;
    return -1;
}

int __wrap_rename(const char *from, const char *to) {
    return fails('r') ? -1 : __real_rename(from, to);
}

void __wrap_heed_say(heed_level level, const char *format, ...) {
    (void)level, (void)format;
    fails('!');
}
