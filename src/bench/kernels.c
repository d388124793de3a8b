/* The layers that move memory rather than multiply: what counts is how long the machine itself takes for their bytes.
 * Arrays are larger than any cache. Bytes are what a kernel must read and write once; that a cache line is fetched
 * before it is overwritten is not counted, neither here nor for the machine. */
#include <math.h>
#include <stdlib.h>

#include "bench/bench.h"
#include "heed/arena.h"
#include "heed/nn/activation.h"
#include "heed/nn/dropout.h"
#include "heed/nn/norm.h"
#include "heed/optimizer.h"
#include "model/add.h"
#include "nn/loss.h"

enum { N = 1 << 24, WIDTH = 512, ROWS = N / WIDTH, PASSES = 6 };

typedef struct kernel_room {
    heed_arena arena;
    real *x, *y, *z, *v; /* (N) */
    real *gain, *row;    /* (WIDTH), (2, ROWS) */
    int32_t *target;     /* (ROWS) */
    heed_config config;  /* of the optimizer */
    heed_params params;  /* one matrix of N weights */
    heed_tensor tensor;
    heed_ragged rows; /* one sequence of all */
    size_t first_row[2];
    uint32_t sequence[1];
} kernel_room;

static void add(kernel_room *r) {
    heedi_add(r->z, r->x, r->y, N);
}

static void gelu(kernel_room *r) {
    heed_activation_forward(HEED_GELU, r->y, r->x, N);
}

static void gelu_backward(kernel_room *r) {
    heed_activation_backward(HEED_GELU, r->z, r->y, r->x, N);
}

static void norm(kernel_room *r) {
    heed_norm_forward(r->y, r->row, r->row + ROWS, r->x, r->gain, NULL, ROWS, WIDTH, (real)1e-5);
}

static void norm_backward(kernel_room *r) {
    heed_norm_backward_input(r->z, r->y, r->x, r->row, r->row + ROWS, r->gain, ROWS, WIDTH, true);
}

static void gain_backward(kernel_room *r) {
    heed_norm_backward_gain(r->v, NULL, r->y, r->x, r->row, r->row + ROWS, ROWS, WIDTH);
}

static void dropout(kernel_room *r) {
    heed_dropout(r->y, &r->rows, WIDTH, (real)0.1, 1, 2, 3);
}

static void cross_entropy(kernel_room *r) {
    heedi_cross_entropy(r->row, r->z, r->target, r->x, 0, ROWS, WIDTH);
}

static void adamw(kernel_room *r) {
    heed_optimizer_update(&r->config, &r->params, r->x, 0, N, r->y, r->z, r->v, 1e-3, 1e-4, 1);
}

/* name, function, reals moved an element. The first is the machine's own speed. */
static const struct {
    const char *name;
    void (*run)(kernel_room *room);
    int moved;
} table[HEEDI_N_KERNELS] = {
    {"x + y", add, 3},
    {"gelu", gelu, 2},
    {"gelu gradient", gelu_backward, 3},
    {"layer norm", norm, 2},
    {"layer norm gradient", norm_backward, 4},
    {"gain gradient", gain_backward, 2},
    {"dropout", dropout, 2},
    {"cross-entropy and gradient", cross_entropy, 2},
    {"AdamW", adamw, 7},
};

static heed_status open_room(kernel_room *r, heed_error *error) {
    const size_t bytes = N * sizeof(real);
    if (heed_arena_init(&r->arena, 4 * bytes + (WIDTH + 2 * ROWS) * sizeof(real) + ROWS * sizeof(int32_t),
                        "arrays to measure kernels with", error) != HEED_OK)
        return error->status;
    real **arrays[] = {&r->x, &r->y, &r->z, &r->v};
    for (size_t a = 0; a < 4; a++)
        *arrays[a] = heed_arena_take(&r->arena, bytes);
    r->gain = heed_arena_take(&r->arena, WIDTH * sizeof(real));
    r->row = heed_arena_take(&r->arena, 2 * ROWS * sizeof(real));
    r->target = heed_arena_take(&r->arena, ROWS * sizeof(int32_t));
    for (size_t i = 0; i < N; i++) {
        r->x[i] = (real)(i % 4001) * (real)2e-3 - 4;
        r->y[i] = r->z[i] = (real)0.5;
    }
    for (size_t i = 0; i < WIDTH; i++)
        r->gain[i] = 1;
    heed_config_defaults(&r->config);
    r->tensor =
        (heed_tensor){.name = "weights", .role = HEED_ROLE_MATRIX, .n_dims = 1, .dims = {N}, .size = N, .tied_to = -1};
    r->params = (heed_params){.n_tensors = 1, .tensors = &r->tensor, .n_elements = N};
    r->first_row[1] = ROWS;
    r->rows = (heed_ragged){
        .n_rows = ROWS, .n_sequences = 1, .max_length = ROWS, .first_row = r->first_row, .sequence = r->sequence};
    return HEED_OK;
}

heed_status heedi_measure_kernels(heed_comm *comm, heedi_kernel kernels[HEEDI_N_KERNELS], heed_error *error) {
    kernel_room *room = calloc(1, sizeof *room);
    heed_error failed = HEED_ERROR_INIT;
    double seconds[HEEDI_N_KERNELS] = {0};
    if (!room)
        heed_fail(&failed, HEED_MEMORY, "kernels: out of memory");
    else
        open_room(room, &failed);
    heed_status status = heed_comm_agree(comm, &failed);
    for (size_t k = 0; k < HEEDI_N_KERNELS && status == HEED_OK; k++) {
        status = heed_comm_barrier(comm, &failed);
        seconds[k] = INFINITY;
        for (int pass = 0; pass < PASSES; pass++) {
            const double start = heed_seconds();
            table[k].run(room);
            seconds[k] = fmin(seconds[k], heed_seconds() - start);
        }
    }
    if (status == HEED_OK)
        status = heed_comm_max(comm, seconds, HEEDI_N_KERNELS, &failed);
    const double pace = seconds[0] / table[0].moved;
    for (size_t k = 0; k < HEEDI_N_KERNELS && status == HEED_OK; k++)
        kernels[k] = (heedi_kernel){table[k].name, seconds[k], 1.0 * N * sizeof(real) * table[k].moved,
                                    seconds[k] / (table[k].moved * pace)};
    if (status != HEED_OK)
        *error = failed;
    if (room)
        heed_arena_reset(&room->arena);
    free(room);
    return status;
}
