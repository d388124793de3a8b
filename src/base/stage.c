#include "heed/stage.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

static const struct {
    const char *name;
    bool communicates;
} stages[] = {
#define ROW(name, text, communicates) {text, communicates},
    HEED_STAGE_TABLE(ROW)
#undef ROW
};

static struct {
    _Atomic int now;
    _Atomic bool counts; /* times and operations */
    double entered;      /* the present stage, or when counting began */
    double seconds[HEED_N_STAGES];
    _Atomic uint64_t operations[HEED_N_STAGES];
    heed_mark *marks; /* NULL: no list is kept */
    size_t n_marks, most, n_missed;
    double list_started;
} room;

const char *heed_stage_name(heed_stage stage) {
    return stages[stage].name;
}

bool heed_stage_communicates(heed_stage stage) {
    return stages[stage].communicates;
}

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void mark(double now, heed_mark_kind kind, uint32_t value) {
    if (room.n_marks < room.most)
        room.marks[room.n_marks++] = (heed_mark){now - room.list_started, value, kind};
    else
        room.n_missed++;
}

heed_stage heed_stage_enter(heed_stage stage) {
    const heed_stage before = (heed_stage)atomic_load_explicit(&room.now, memory_order_relaxed);
    if (before == stage)
        return before;
    atomic_store_explicit(&room.now, (int)stage, memory_order_relaxed);
    const bool counts = atomic_load_explicit(&room.counts, memory_order_relaxed);
    if (!counts && !room.marks)
        return before;
    const double now = seconds_now();
    if (counts) {
        room.seconds[before] += now - room.entered;
        room.entered = now;
    }
    if (room.marks)
        mark(now, HEED_MARK_STAGE, stage);
    return before;
}

heed_stage heed_stage_now(void) {
    return (heed_stage)atomic_load_explicit(&room.now, memory_order_relaxed);
}

void heed_stage_work(double operations) {
    if (atomic_load_explicit(&room.counts, memory_order_relaxed))
        atomic_fetch_add_explicit(&room.operations[heed_stage_now()], (uint64_t)operations, memory_order_relaxed);
}

void heed_stage_departs(uint32_t number) {
    if (room.marks)
        mark(seconds_now(), HEED_MARK_DEPARTS, number);
}

void heed_stage_arrives(uint32_t number) {
    if (room.marks)
        mark(seconds_now(), HEED_MARK_ARRIVES, number);
}

void heed_stage_times_start(void) {
    for (size_t i = 0; i < HEED_N_STAGES; i++) {
        room.seconds[i] = 0;
        atomic_store(&room.operations[i], 0);
    }
    room.entered = seconds_now();
    atomic_store(&room.counts, true);
}

void heed_stage_times_stop(heed_stage_times *times) {
    const double now = seconds_now();
    room.seconds[heed_stage_now()] += now - room.entered;
    room.entered = now;
    atomic_store(&room.counts, false);
    for (size_t i = 0; i < HEED_N_STAGES; i++) {
        times->seconds[i] = room.seconds[i];
        times->operations[i] = (double)atomic_load(&room.operations[i]);
    }
}

heed_status heed_stage_list_start(size_t most, heed_error *error) {
    heed_stage_list_reset();
    heed_mark *marks = calloc(most + 1, sizeof *marks); /* one more for the end */
    if (!marks)
        return heed_fail(error, HEED_MEMORY, "trace: no memory for %zu marks", most);
    room.most = most;
    room.list_started = seconds_now();
    room.marks = marks;
    mark(room.list_started, HEED_MARK_STAGE, heed_stage_now());
    return HEED_OK;
}

size_t heed_stage_list(const heed_mark **marks, size_t *n_missed) {
    *marks = room.marks;
    *n_missed = room.n_missed;
    if (!room.marks)
        return 0;
    room.marks[room.n_marks] = (heed_mark){seconds_now() - room.list_started, heed_stage_now(), HEED_MARK_STAGE};
    return room.n_marks + 1;
}

void heed_stage_list_reset(void) {
    free(room.marks);
    room.marks = NULL;
    room.n_marks = room.most = room.n_missed = 0;
}
