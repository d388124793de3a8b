/* Preloaded into `heed` (LD_PRELOAD), this makes one call of a kind fail, or counts them; HEED_INJECT says which:
 *
 *   memory:N          the Nth allocation by heed's own code returns NULL
 *   mpi:N             the Nth place in heed's code that calls MPI: its call is not done, and fails
 *   disk:N:ERRNO      the Nth call that changes the file HEED_INJECT_FILE (write, sync, cut, rename, open to write,
 *                     close of a written file) fails with that error number; with "=" behind ERRNO so do all later
 *                     ones of that file, with "+" those of any file
 *   clock             the time of day jumps by a day, forth and back, every tenth of a second; the count says whether a
 *                     rank was told a wrong time
 *
 * N = 0 fails nothing. HEED_INJECT_RANK limits it to one rank of Open MPI's numbering. At the end of the process the
 * number of calls or places goes to the file HEED_INJECT_COUNT.RANK; for the disk, a line a call goes there: the call,
 * a blank, the file as it is named in the end. Numbers are a file's own because files are written by several threads at
 * once, each by one at a time: so the Nth call is the same one in every run. Only calls from heed's own text count (its
 * libraries' are theirs), but for disk, where HDF5's way to the disk is heed's own driver anyway. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <mpi.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef enum kind { NOTHING, MEMORY, MPI, DISK, CLOCK } kind;

static struct {
    kind kind;
    bool file_for_ever, all_for_ever; /* disk: from the Nth on */
    unsigned long nth, n;
    int reason;
    const char *count_path, *file;
    int calls_fd;           /* of the disk's */
    bool failed;            /* the disk's Nth call */
    uintptr_t first, end;   /* heed's own text */
    const void *place[512]; /* of calls to MPI, in the order in which they were met */
} inject;

static int find_text(struct dl_phdr_info *info, size_t bytes, void *context) {
    (void)bytes, (void)context;
    if (info->dlpi_name[0]) /* the program itself has no name, and comes first */
        return 1;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_flags & PF_X) {
            inject.first = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            inject.end = inject.first + info->dlpi_phdr[i].p_memsz;
        }
    return 1;
}

/* Whether this is the program that is meant: mpirun is preloaded too. */
static bool is_heed(void) {
    char path[4096];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    return n > 5 && memcmp(path + n - 5, "/heed", 5) == 0;
}

__attribute__((constructor)) static void read_what(void) {
    const char *what = getenv("HEED_INJECT"), *only = getenv("HEED_INJECT_RANK"),
               *rank = getenv("OMPI_COMM_WORLD_RANK");
    char name[16] = "", reason[16] = "", path[4096];
    if (!what || !is_heed() || (only && rank && strcmp(only, rank) != 0))
        return;
    sscanf(what, "%15[a-z]:%lu:%15s", name, &inject.nth, reason);
    inject.reason = atoi(reason);
    inject.file_for_ever = strchr(reason, '=') != NULL;
    inject.all_for_ever = strchr(reason, '+') != NULL;
    inject.count_path = getenv("HEED_INJECT_COUNT");
    inject.file = getenv("HEED_INJECT_FILE");
    dl_iterate_phdr(find_text, NULL);
    const char *const names[] = {"nothing", "memory", "mpi", "disk", "clock"};
    for (int k = 1; k < 5; k++)
        if (strcmp(name, names[k]) == 0)
            inject.kind = (kind)k;
    inject.calls_fd = -1;
    if (inject.kind == DISK && inject.nth == 0 && inject.count_path) {
        snprintf(path, sizeof path, "%s.%s", inject.count_path, rank ? rank : "0");
        inject.calls_fd = (int)syscall(SYS_open, path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    }
}

static void write_count(unsigned long n) {
    char path[4096], text[32];
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    snprintf(path, sizeof path, "%s.%s", inject.count_path, rank ? rank : "0");
    const int length = snprintf(text, sizeof text, "%lu\n", n);
    const int fd = (int)syscall(SYS_open, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0 && syscall(SYS_write, fd, text, (size_t)length) == length)
        syscall(SYS_close, fd);
}

/* Counts say how many calls there are to fail, so that a test can enumerate them. */
__attribute__((destructor)) static void tell_count(void) {
    if ((inject.kind == MEMORY || inject.kind == MPI) && inject.count_path)
        write_count(inject.n);
}

static bool is_ours(const void *caller) {
    return (uintptr_t)caller >= inject.first && (uintptr_t)caller < inject.end;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

static bool memory_fails(const void *caller) {
    if (inject.kind != MEMORY || !is_ours(caller) || __atomic_add_fetch(&inject.n, 1, __ATOMIC_RELAXED) != inject.nth)
        return false;
    errno = ENOMEM;
    return true;
}
#define CALLER __builtin_return_address(0)

void *malloc(size_t bytes) {
    return memory_fails(CALLER) ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes) {
    return memory_fails(CALLER) ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes) {
    return memory_fails(CALLER) ? NULL : __libc_realloc(old, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    return memory_fails(CALLER) ? NULL : __libc_memalign(alignment, bytes);
}

char *strdup(const char *text) {
    const size_t bytes = strlen(text) + 1;
    char *copy = memory_fails(CALLER) ? NULL : __libc_malloc(bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

int vasprintf(char **text, const char *format, va_list arguments) {
    static int (*real)(char **, const char *, va_list);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "vasprintf");
    return memory_fails(CALLER) ? -1 : real(text, format, arguments);
}

int asprintf(char **text, const char *format, ...) {
    static int (*real)(char **, const char *, va_list);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "vasprintf");
    va_list arguments;
    va_start(arguments, format);
    const int n = memory_fails(CALLER) ? -1 : real(text, format, arguments);
    va_end(arguments);
    return n;
}

/* ---- MPI --------------------------------------------------------------------------------------------------------- */

static bool mpi_fails(const void *caller) {
    if (inject.kind != MPI || !is_ours(caller))
        return false;
    unsigned long i = 0;
    while (i < inject.n && inject.place[i] != caller)
        i++;
    if (i == inject.n && i < sizeof inject.place / sizeof *inject.place)
        inject.place[inject.n++] = caller;
    return i + 1 == inject.nth;
}

#define MPI_CALL(name, parameters, arguments)                                                                          \
    int name parameters {                                                                                              \
        return mpi_fails(CALLER) ? MPI_ERR_OTHER : P##name arguments;                                                  \
    }

MPI_CALL(MPI_Init_thread, (int *n, char ***words, int wanted, int *given), (n, words, wanted, given))
MPI_CALL(MPI_Query_thread, (int *given), (given))
MPI_CALL(MPI_Initialized, (int *flag), (flag))
MPI_CALL(MPI_Comm_set_errhandler, (MPI_Comm comm, MPI_Errhandler handler), (comm, handler))
MPI_CALL(MPI_Comm_rank, (MPI_Comm comm, int *rank), (comm, rank))
MPI_CALL(MPI_Comm_size, (MPI_Comm comm, int *size), (comm, size))
MPI_CALL(MPI_Get_processor_name, (char *name, int *length), (name, length))
MPI_CALL(MPI_Get_library_version, (char *version, int *length), (version, length))
MPI_CALL(MPI_Comm_split, (MPI_Comm comm, int color, int key, MPI_Comm *out), (comm, color, key, out))
MPI_CALL(MPI_Comm_split_type, (MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm *out),
         (comm, type, key, info, out))
MPI_CALL(MPI_Comm_dup, (MPI_Comm comm, MPI_Comm *out), (comm, out))
MPI_CALL(MPI_Comm_free, (MPI_Comm * comm), (comm))
MPI_CALL(MPI_Finalize, (void), ())
MPI_CALL(MPI_Barrier, (MPI_Comm comm), (comm))
MPI_CALL(MPI_Bcast, (void *data, int n, MPI_Datatype type, int root, MPI_Comm comm), (data, n, type, root, comm))
MPI_CALL(MPI_Allreduce, (const void *from, void *to, int n, MPI_Datatype type, MPI_Op op, MPI_Comm comm),
         (from, to, n, type, op, comm))
MPI_CALL(MPI_Reduce, (const void *from, void *to, int n, MPI_Datatype type, MPI_Op op, int root, MPI_Comm comm),
         (from, to, n, type, op, root, comm))
MPI_CALL(MPI_Scan, (const void *from, void *to, int n, MPI_Datatype type, MPI_Op op, MPI_Comm comm),
         (from, to, n, type, op, comm))
MPI_CALL(MPI_Gather,
         (const void *from, int n, MPI_Datatype type, void *to, int m, MPI_Datatype got, int root, MPI_Comm comm),
         (from, n, type, to, m, got, root, comm))
MPI_CALL(MPI_Allgather, (const void *from, int n, MPI_Datatype type, void *to, int m, MPI_Datatype got, MPI_Comm comm),
         (from, n, type, to, m, got, comm))
MPI_CALL(MPI_Gatherv,
         (const void *from, int n, MPI_Datatype type, void *to, const int *m, const int *at, MPI_Datatype got, int root,
          MPI_Comm comm),
         (from, n, type, to, m, at, got, root, comm))
MPI_CALL(MPI_Allgatherv,
         (const void *from, int n, MPI_Datatype type, void *to, const int *m, const int *at, MPI_Datatype got,
          MPI_Comm comm),
         (from, n, type, to, m, at, got, comm))
MPI_CALL(MPI_Isend, (const void *data, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request *request),
         (data, n, type, to, tag, comm, request))
MPI_CALL(MPI_Irecv, (void *data, int n, MPI_Datatype type, int from, int tag, MPI_Comm comm, MPI_Request *request),
         (data, n, type, from, tag, comm, request))
MPI_CALL(MPI_Send, (const void *data, int n, MPI_Datatype type, int to, int tag, MPI_Comm comm),
         (data, n, type, to, tag, comm))
MPI_CALL(MPI_Recv, (void *data, int n, MPI_Datatype type, int from, int tag, MPI_Comm comm, MPI_Status *status),
         (data, n, type, from, tag, comm, status))
MPI_CALL(MPI_Testall, (int n, MPI_Request requests[], int *done, MPI_Status statuses[]), (n, requests, done, statuses))
MPI_CALL(MPI_Waitall, (int n, MPI_Request requests[], MPI_Status statuses[]), (n, requests, statuses))
MPI_CALL(MPI_Waitany, (int n, MPI_Request requests[], int *index, MPI_Status *status), (n, requests, index, status))
MPI_CALL(MPI_Cancel, (MPI_Request * request), (request))

/* ---- the disk ---------------------------------------------------------------------------------------------------- */

/* Whether path is of the run, or what is written for it: not pipes, terminals, shared memory. */
static bool is_meant(const char *path) {
    static const char *const others[] = {"ompi.", "pmix", "out.txt"};
    if (strncmp(path, "/dev/", 5) == 0 || strncmp(path, "/proc/", 6) == 0)
        return false;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strstr(path, others[i]))
            return false;
    return true;
}

/* Tells of the call, or fails it. path may be that of a file under its temporary name. */
static bool path_fails(const char *call, const char *path) {
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    char name[4096], line[4200];
    if (inject.kind != DISK || !is_meant(path))
        return false;
    snprintf(name, sizeof name, "%s", path);
    const size_t length = strlen(name), file_length = inject.file ? strlen(inject.file) : 0;
    const bool temporary = length > 4 && strcmp(name + length - 4, ".tmp") == 0;
    name[temporary ? length - 4 : length] = '\0';
    const size_t end = strlen(name);
    pthread_mutex_lock(&mutex);
    bool fails = inject.failed && inject.all_for_ever;
    if (inject.calls_fd >= 0) {
        const int n = snprintf(line, sizeof line, "%s %s\n", call, name);
        syscall(SYS_write, inject.calls_fd, line, (size_t)n);
    }
    if (file_length && end >= file_length && strcmp(name + end - file_length, inject.file) == 0) {
        fails = fails || ++inject.n == inject.nth || (inject.failed && inject.file_for_ever);
        inject.failed = inject.failed || fails;
    }
    pthread_mutex_unlock(&mutex);
    if (fails)
        errno = inject.reason;
    return fails;
}

static bool fd_fails(const char *call, int fd) {
    struct stat file;
    char path[64], target[4096];
    if (inject.kind != DISK)
        return false;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(path, target, sizeof target - 1);
    if (n <= 0 || fstat(fd, &file) != 0 || !(S_ISREG(file.st_mode) || S_ISDIR(file.st_mode)))
        return false;
    target[n] = '\0';
    return path_fails(call, target);
}

#define REAL(name)                                                                                                     \
    static __typeof__(name) *real;                                                                                     \
    if (!real)                                                                                                         \
    *(void **)&real = dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t bytes) {
    REAL(write);
    return is_ours(CALLER) && fd_fails("write", fd) ? -1 : real(fd, data, bytes);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) {
    REAL(pwrite);
    return is_ours(CALLER) && fd_fails("pwrite", fd) ? -1 : real(fd, data, bytes, offset);
}

int fsync(int fd) {
    REAL(fsync);
    if (inject.kind == DISK && is_ours(CALLER)) /* whose power does not fail: not done, for speed */
        return fd_fails("fsync", fd) ? -1 : 0;
    return real(fd);
}

int ftruncate(int fd, off_t length) {
    REAL(ftruncate);
    return is_ours(CALLER) && fd_fails("ftruncate", fd) ? -1 : real(fd, length);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    return is_ours(CALLER) && path_fails("rename", to) ? -1 : real(from, to);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    return is_ours(CALLER) && path_fails("mkdir", path) ? -1 : real(path, mode);
}

int open(const char *path, int flags, ...) {
    REAL(open);
    va_list arguments;
    va_start(arguments, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    const bool writes = (flags & O_ACCMODE) != O_RDONLY;
    return writes && is_ours(CALLER) && path_fails("open", path) ? -1 : real(path, flags, mode);
}

/* Linux closes even when it reports an error. */
static bool close_fails(int fd) {
    return inject.kind == DISK && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY && fd_fails("close", fd);
}

int close(int fd) {
    REAL(close);
    const bool fails = is_ours(CALLER) && close_fails(fd);
    const int result = real(fd);
    if (fails)
        errno = inject.reason;
    return fails ? -1 : result;
}

FILE *fopen(const char *path, const char *mode) {
    REAL(fopen);
    return mode[0] != 'r' && is_ours(CALLER) && path_fails("fopen", path) ? NULL : real(path, mode);
}

int fflush(FILE *file) {
    REAL(fflush);
    return file && is_ours(CALLER) && fd_fails("fflush", fileno(file)) ? EOF : real(file);
}

int fclose(FILE *file) {
    REAL(fclose);
    const bool fails = is_ours(CALLER) && close_fails(fileno(file));
    const int result = real(file);
    if (fails)
        errno = inject.reason;
    return fails ? EOF : result;
}

/* ---- the time of day --------------------------------------------------------------------------------------------- */

/* By the clock that nobody can set, so that jumps come however often the time of day is asked for. */
static long jump(void) {
    struct timespec now;
    if (inject.kind != CLOCK)
        return 0;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    const long turn = (10 * now.tv_sec + now.tv_nsec / 100000000) % 3;
    if (turn != 0 && __atomic_add_fetch(&inject.n, 1, __ATOMIC_RELAXED) == 1 && inject.count_path)
        write_count(1); /* at once: a process that ends with a fault runs no destructors */
    return turn == 1 ? 86400 : turn == 2 ? -86400 : 0;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    REAL(clock_gettime);
    const int result = real(clock, time);
    if (result == 0 && clock == CLOCK_REALTIME)
        time->tv_sec += jump();
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    REAL(gettimeofday);
    const int result = real(time, zone);
    if (result == 0)
        time->tv_sec += jump();
    return result;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
