/* The verbs of the MPI door, at whatever number of ranks this program was started with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/comm_engine.h"
#include "ranks.h"

static heed_comm *comm;

/* Bytes of the block that goes from one rank to another in a round; some are empty. */
static size_t block_bytes(int round, int from, int to) {
    return (size_t)((from * 7 + to * 3 + round * 5) % 11 == 0 ? 0 : 1 + (from * 131 + to * 17 + round * 1009) % 3001);
}

static unsigned char pattern(int round, int from, int to, size_t i) {
    return (unsigned char)(i * 31 + (size_t)from * 7 + (size_t)to * 13 + (size_t)round * 101 + 1);
}

static void ranks_are_placed_by_node(void **state) {
    (void)state;
    assert_in_range(comm->rank, 0, comm->size - 1);
    assert_int_equal(comm->n_nodes, 1);
    assert_int_equal(comm->node, 0);
    assert_int_equal(comm->local_rank, comm->rank);
    assert_int_equal(comm->local_size, comm->size);
    assert_true(strlen(comm->host) > 0);
    assert_true(strlen(heed_comm_library()) > 0);
    assert_null(strpbrk(heed_comm_library(), "\n\t"));
}

/* As Open MPI itself tells; other libraries have nothing of the kind. */
static void a_rank_that_waits_gives_way(void **state) {
    (void)state;
    if (!strstr(heed_comm_library(), "Open MPI"))
        skip();
    int level, index, count, gives_way = 0;
    MPI_T_cvar_handle variable;
    assert_int_equal(MPI_T_init_thread(MPI_THREAD_SINGLE, &level), MPI_SUCCESS);
    assert_int_equal(MPI_T_cvar_get_index("mpi_yield_when_idle", &index), MPI_SUCCESS);
    assert_int_equal(MPI_T_cvar_handle_alloc(index, NULL, &variable, &count), MPI_SUCCESS);
    assert_int_equal(MPI_T_cvar_read(variable, &gives_way), MPI_SUCCESS);
    assert_true(gives_way);
    MPI_T_cvar_handle_free(&variable);
    MPI_T_finalize();
}

/* Two pretended nodes, ranks dealt to them in turn as some launchers do: neighbours must end up together. */
static void ranks_of_a_node_become_neighbours(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    int world_rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    MPI_Comm node;
    MPI_Comm_split(MPI_COMM_WORLD, world_rank % 2, 0, &node);
    struct heedi_comm engine = {.all = MPI_COMM_NULL};
    heed_comm placed = {.engine = &engine};
    assert_int_equal(heedi_comm_arrange(&placed, MPI_COMM_WORLD, node, &error), HEED_OK);
    const int on_even = (comm->size + 1) / 2;
    assert_int_equal(placed.n_nodes, comm->size > 1 ? 2 : 1);
    assert_int_equal(placed.node, world_rank % 2);
    assert_int_equal(placed.local_rank, world_rank / 2);
    assert_int_equal(placed.local_size, world_rank % 2 ? comm->size - on_even : on_even);
    assert_int_equal(placed.rank, world_rank % 2 * on_even + world_rank / 2);
    MPI_Comm_free(&engine.all);
    MPI_Comm_free(&node);
}

/* Every subset of failing ranks: all ranks hold the same bytes, those of the lowest. */
static void the_lowest_failing_rank_speaks_for_all(void **state) {
    (void)state;
    for (unsigned failing = 0; failing < 1u << comm->size; failing++) {
        heed_error error = HEED_ERROR_INIT, transport = HEED_ERROR_INIT;
        if (failing >> comm->rank & 1) {
            heed_fail(&error, HEED_DATA, "rank %d of subset %u", comm->rank, failing);
            heed_hint(&error, "mend %d", comm->rank);
        }
        const heed_status status = heed_comm_agree(comm, &error);
        assert_int_equal(status, failing ? HEED_DATA : HEED_OK);
        assert_int_equal(error.status, status);
        heed_error other = error;
        assert_int_equal(heed_comm_broadcast(comm, &other, sizeof other, 0, &transport), HEED_OK);
        assert_memory_equal(&error, &other, sizeof error);
        if (failing) {
            char expected[64];
            const int lowest = __builtin_ctz(failing);
            snprintf(expected, sizeof expected, "rank %d of subset %u", lowest, failing);
            assert_string_equal(error.message, expected);
            snprintf(expected, sizeof expected, "mend %d", lowest);
            assert_string_equal(error.hint, expected);
            assert_int_equal(error.rank, lowest);
        } else {
            assert_int_equal(error.rank, -1);
        }
    }
}

static void sums_and_maxima_cover_all_ranks(void **state) {
    (void)state;
    enum { N = 1000 };
    double sums[N], maxima[N];
    heed_error error = HEED_ERROR_INIT;
    for (int i = 0; i < N; i++) {
        sums[i] = i + comm->rank * N;
        maxima[i] = (comm->rank + i) % comm->size - 0.5;
    }
    assert_int_equal(heed_comm_sum(comm, sums, N, &error), HEED_OK);
    assert_int_equal(heed_comm_max(comm, maxima, N, &error), HEED_OK);
    for (int i = 0; i < N; i++) {
        assert_true(sums[i] == (double)comm->size * i + N * comm->size * (comm->size - 1) / 2.0);
        assert_true(maxima[i] == comm->size - 1.5);
    }
}

static void a_broadcast_arrives_whole_from_any_root(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    unsigned char data[5000];
    for (int root = 0; root < comm->size; root++) {
        for (size_t i = 0; i < sizeof data; i++)
            data[i] = comm->rank == root ? pattern(0, root, 0, i) : 0;
        assert_int_equal(heed_comm_broadcast(comm, data, sizeof data, root, &error), HEED_OK);
        for (size_t i = 0; i < sizeof data; i++)
            assert_int_equal(data[i], pattern(0, root, 0, i));
    }
}

/* Layout with gaps, so that a byte too many would be seen. Returns the total. */
static size_t lay_out(size_t *bytes, size_t *offset, int round) {
    size_t end = 3;
    for (int r = 0; r < comm->size; r++) {
        bytes[r] = block_bytes(round, r, 0);
        offset[r] = end;
        end += bytes[r] + 5;
    }
    return end;
}

static void check_gathered(const unsigned char *all, const size_t *bytes, const size_t *offset, size_t total,
                           int round) {
    unsigned char *expected = malloc(total);
    memset(expected, 0xE0 + comm->rank, total);
    for (int r = 0; r < comm->size; r++)
        for (size_t i = 0; i < bytes[r]; i++)
            expected[offset[r] + i] = pattern(round, r, 0, i);
    assert_memory_equal(all, expected, total);
    free(expected);
}

static void gathers_put_every_block_in_its_place(void **state) {
    (void)state;
    size_t *bytes = calloc((size_t)comm->size, sizeof *bytes), *offset = calloc((size_t)comm->size, sizeof *offset);
    heed_error error = HEED_ERROR_INIT;
    for (int round = 0; round < 12; round++) {
        const size_t total = lay_out(bytes, offset, round), my_bytes = bytes[comm->rank];
        unsigned char *all = malloc(total), *mine = malloc(my_bytes + 1);
        for (size_t i = 0; i < my_bytes; i++)
            mine[i] = pattern(round, comm->rank, 0, i);
        memset(all, 0xE0 + comm->rank, total);
        assert_int_equal(heed_comm_allgather(comm, mine, all, bytes, offset, &error), HEED_OK);
        check_gathered(all, bytes, offset, total, round);

        memset(all, 0xE0 + comm->rank, total); /* once more with the block in place */
        memcpy(all + offset[comm->rank], mine, my_bytes);
        assert_int_equal(heed_comm_allgather(comm, all + offset[comm->rank], all, bytes, offset, &error), HEED_OK);
        check_gathered(all, bytes, offset, total, round);

        const int root = round % comm->size;
        const bool here = comm->rank == root;
        memset(all, 0xE0 + comm->rank, total);
        assert_int_equal(heed_comm_gather(comm, mine, my_bytes, here ? all : NULL, here ? bytes : NULL,
                                          here ? offset : NULL, root, &error),
                         HEED_OK);
        if (here)
            check_gathered(all, bytes, offset, total, round);
        free(all);
        free(mine);
    }
    free(bytes);
    free(offset);
}

typedef struct ragged {
    size_t *send_bytes, *send_offset, *receive_bytes, *receive_offset, received;
    unsigned char *send, *receive;
    heed_exchange exchange;
} ragged;

static void ragged_init(ragged *x, int round) {
    const size_t size = (size_t)comm->size;
    size_t sent = 0;
    x->send_bytes = calloc(4 * size, sizeof(size_t));
    x->send_offset = x->send_bytes + size;
    x->receive_bytes = x->send_bytes + 2 * size;
    x->receive_offset = x->send_bytes + 3 * size;
    x->received = 0;
    for (int r = 0; r < comm->size; r++) {
        x->send_bytes[r] = block_bytes(round, comm->rank, r);
        x->send_offset[r] = sent;
        sent += x->send_bytes[r] + 2;
        x->receive_bytes[r] = block_bytes(round, r, comm->rank);
        x->receive_offset[r] = x->received;
        x->received += x->receive_bytes[r] + 4;
    }
    x->send = malloc(sent);
    x->receive = malloc(x->received);
    memset(x->receive, 0xE0 + comm->rank, x->received);
    for (int r = 0; r < comm->size; r++)
        for (size_t i = 0; i < x->send_bytes[r]; i++)
            x->send[x->send_offset[r] + i] = pattern(round, comm->rank, r, i);
}

static void ragged_check_and_reset(ragged *x, int round) {
    unsigned char *expected = malloc(x->received);
    memset(expected, 0xE0 + comm->rank, x->received);
    for (int r = 0; r < comm->size; r++)
        for (size_t i = 0; i < x->receive_bytes[r]; i++)
            expected[x->receive_offset[r] + i] = pattern(round, r, comm->rank, i);
    assert_memory_equal(x->receive, expected, x->received);
    free(expected);
    free(x->send);
    free(x->receive);
    free(x->send_bytes);
}

/* Four exchanges under way at once, tested now and then, waited for out of order; twice, so that slots are reused. */
static void exchanges_overlap_and_deliver(void **state) {
    (void)state;
    enum { N = 4 };
    heed_error error = HEED_ERROR_INIT;
    for (int turn = 0; turn < 3; turn++) {
        ragged x[N];
        for (int i = 0; i < N; i++) {
            ragged_init(&x[i], turn * N + i);
            assert_int_equal(heed_exchange_start(comm, &x[i].exchange, x[i].send, x[i].send_bytes, x[i].send_offset,
                                                 x[i].receive, x[i].receive_bytes, x[i].receive_offset, &error),
                             HEED_OK);
        }
        bool done = false;
        while (!done)
            assert_int_equal(heed_exchange_test(comm, &x[2].exchange, &done, &error), HEED_OK);
        static const int order[N] = {3, 2, 0, 1};
        for (int i = 0; i < N; i++) {
            assert_int_equal(heed_exchange_wait(comm, &x[order[i]].exchange, &error), HEED_OK);
            ragged_check_and_reset(&x[order[i]], turn * N + order[i]);
        }
    }
}

/* Every other rank goes its own way: the parts keep the order, and neither waits for the other. */
static void parts_work_for_themselves(void **state) {
    (void)state;
    heed_error error = HEED_ERROR_INIT;
    heed_comm *part;
    const int group = comm->rank % 2;
    assert_int_equal(heed_comm_split(comm, group, &part, &error), HEED_OK);
    assert_int_equal(part->size, group ? comm->size / 2 : (comm->size + 1) / 2);
    assert_int_equal(part->rank, comm->rank / 2);
    assert_true(part->n_nodes <= comm->n_nodes && part->local_size <= comm->local_size);
    for (int turn = 0; turn < (group ? 7 : 3); turn++) {
        double sum = comm->rank;
        assert_int_equal(heed_comm_sum(part, &sum, 1, &error), HEED_OK);
        assert_true(sum == (double)(part->size * (part->size - 1) + group * part->size));
    }
    heed_comm_close(part);
    assert_int_equal(heed_comm_barrier(comm, &error), HEED_OK);
}

/* All of the above once more with messages cut every few bytes, as blocks beyond MPI's counts are. */
static int cut_small(void **state) {
    (void)state;
    heedi_comm_most_bytes = 256;
    return 0;
}

static int cut_large(void **state) {
    (void)state;
    heedi_comm_most_bytes = (size_t)1 << 30;
    return 0;
}

#define CUT(test) cmocka_unit_test_setup_teardown(test, cut_small, cut_large)

static int run_group(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_are_placed_by_node),
        cmocka_unit_test(a_rank_that_waits_gives_way),
        cmocka_unit_test(ranks_of_a_node_become_neighbours),
        cmocka_unit_test(the_lowest_failing_rank_speaks_for_all),
        cmocka_unit_test(sums_and_maxima_cover_all_ranks),
        cmocka_unit_test(a_broadcast_arrives_whole_from_any_root),
        cmocka_unit_test(gathers_put_every_block_in_its_place),
        cmocka_unit_test(exchanges_overlap_and_deliver),
        cmocka_unit_test(parts_work_for_themselves),
        CUT(the_lowest_failing_rank_speaks_for_all),
        CUT(sums_and_maxima_cover_all_ranks),
        CUT(a_broadcast_arrives_whole_from_any_root),
        CUT(gathers_put_every_block_in_its_place),
        CUT(exchanges_overlap_and_deliver),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) {
    return test_on_ranks(&comm, run_group);
}
