/* Memory that the ranks of a node read of each other, at whatever number of ranks this program was started with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>
#include <sched.h>

#include "engine/shared.h"
#include "heed/arena.h"
#include "heed/shared.h"
#include "ranks.h"

enum { N_FLAGS = 5, N_TURNS = 200 };

static heed_comm *comm;

static size_t bytes_of(int rank) {
    return 1000 + 70000 * (size_t)rank;
}

static heed_shared *open_all(size_t bytes) {
    heed_shared *shared = (heed_shared *)&comm; /* to be overwritten */
    heed_error error = HEED_ERROR_INIT;
    assert_int_equal(heed_shared_open(&shared, comm, bytes, N_FLAGS, &error), HEED_OK);
    return shared;
}

static void memory_begins_with_zeros(void **state) {
    (void)state;
    heed_shared *shared = open_all(bytes_of(comm->rank));
    assert_non_null(shared);
    for (int r = 0; r < comm->size; r++) {
        const unsigned char *of = heed_shared_of(shared, r);
        assert_int_equal((uintptr_t)of % HEED_ALIGNMENT, 0);
        for (size_t i = 0; i < bytes_of(r); i++)
            assert_int_equal(of[i], 0);
        for (size_t f = 0; f < N_FLAGS; f++)
            assert_int_equal(heed_shared_flag(shared, r, f), 0);
    }
    heed_shared_close(shared);
}

/* Every rank writes all of its memory, says so, and waits for the others', many times over. */
static void a_flag_brings_what_was_written_before(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    heed_shared *shared = open_all(bytes_of(comm->rank));
    assert_non_null(shared);
    unsigned char *mine = heed_shared_mine(shared);
    for (uint64_t turn = 1; turn <= N_TURNS; turn++) {
        const size_t flag = turn % N_FLAGS;
        memset(mine, (int)(turn + (uint64_t)comm->rank) & 255, bytes_of(comm->rank));
        heed_shared_set(shared, flag, turn);
        for (int r = 0; r < comm->size; r++) {
            while (heed_shared_flag(shared, r, flag) < turn)
                sched_yield();
            const unsigned char *of = heed_shared_of(shared, r), value = (unsigned char)(turn + (uint64_t)r);
            assert_int_equal(of[0], value);
            assert_int_equal(of[bytes_of(r) / 2], value);
            assert_int_equal(of[bytes_of(r) - 1], value);
        }
        assert_int_equal(heed_comm_barrier(comm, &error), HEED_OK);
    }
    heed_shared_close(shared);
}

static void one_rank_that_may_not_speaks_for_all(void **state) {
    (void)state;
    for (int unable = 0; unable < comm->size; unable++) {
        heedi_shared_allowed = comm->rank != unable;
        assert_null(open_all(1000));
        heedi_shared_allowed = true;
    }
}

static void one_rank_without_memory_speaks_for_all(void **state) {
    (void)state;
    const int last = comm->size - 1;
    assert_null(open_all(comm->rank == last ? SIZE_MAX : 1000));
    assert_null(open_all(comm->rank == last ? (size_t)1 << 60 : 1000));
}

/* The limit of a file's length, which the system would enforce with a signal. */
static void a_limit_of_files_is_heeded(void **state) {
    (void)state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    if (comm->rank == 0)
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){100000, before.rlim_max}), 0);
    assert_null(open_all(1000000));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    heed_shared *shared = open_all(1000000);
    assert_non_null(shared);
    heed_shared_close(shared);
}

static int run_group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_begins_with_zeros),
        cmocka_unit_test(a_flag_brings_what_was_written_before),
        cmocka_unit_test(one_rank_that_may_not_speaks_for_all),
        cmocka_unit_test(one_rank_without_memory_speaks_for_all),
        cmocka_unit_test(a_limit_of_files_is_heeded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return test_on_ranks(&comm, run_group);
}
