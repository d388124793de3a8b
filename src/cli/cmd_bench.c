/* heed bench: how fast the machine is, and what a training step makes of it. */
#include "cli/cli.h"

#include <inttypes.h>
#include <stdio.h>

#include <jansson.h>

#include "bench/bench.h"
#include "heed/trace.h"

typedef struct bench {
    heed_config config;
    heedi_sizes sizes;
    int64_t n_steps;
    heedi_machine machine;
    heedi_steps steps;
    size_t n_points; /* of the scaling */
    struct scaling_point {
        int n_ranks;
        double tokens_per_second, efficiency; /* against one rank with the same work a rank */
    } points[16];
} bench;

static const char *shape_name = "M"; /* --shape */

static heed_status read_shape(heedi_cli *cli, heed_config *config, heed_error *error) {
    return heedi_read_shape(shape_name, cli->arguments, cli->n_arguments, config, error);
}

static double tokens_per_second(const bench *b) {
    return b->steps.tokens / b->steps.seconds;
}

static double share_of_peak(const bench *b) {
    return 1e-9 * tokens_per_second(b) * b->steps.flops_per_token / b->machine.peak;
}

/* ---- measuring --------------------------------------------------------------------------------------------------- */

/* The first n ranks, with as much work each as all of them have together: the batch grows with the ranks. */
static heed_status measure_point(bench *b, heed_comm *comm, int n_ranks, heed_error *error) {
    heed_comm *part;
    if (heed_comm_part(comm, n_ranks, &part, error) != HEED_OK)
        return error->status;
    heed_config config = b->config;
    config.train.batch = b->config.train.batch / comm->size * n_ranks;
    heedi_steps steps = {0};
    heed_error failed = HEED_ERROR_INIT;
    if (part)
        heedi_measure_steps(part, &config, &b->sizes, (size_t)b->n_steps, &steps, &failed);
    heed_comm_close(part);
    if (heed_comm_agree(comm, &failed) != HEED_OK)
        return *error = failed, failed.status;
    double speed = comm->rank == 0 ? steps.tokens / steps.seconds : 0;
    if (heed_comm_sum(comm, &speed, 1, error) != HEED_OK)
        return error->status;
    struct scaling_point *point = &b->points[b->n_points++];
    *point = (struct scaling_point){n_ranks, speed, speed / n_ranks / b->points[0].tokens_per_second};
    if (b->n_points == 1)
        point->efficiency = 1;
    return HEED_OK;
}

static heed_status measure_scaling(bench *b, heed_comm *comm, heed_error *error) {
    if (b->config.train.batch % (comm->size * b->config.train.grain) != 0) {
        heed_fail(error, HEED_CONFIG, "train.batch = %" PRId64 ": cannot be shared evenly by %d ranks",
                  b->config.train.batch, comm->size);
        return heed_hint(error,
                         "--scaling gives every rank the same work: make the batch a multiple of ranks and grain");
    }
    for (int n = 1; n < comm->size && b->n_points < 14; n *= 2)
        if (measure_point(b, comm, n, error) != HEED_OK)
            return error->status;
    return measure_point(b, comm, comm->size, error);
}

static heed_status measure(bench *b, heed_comm *comm, const char *trace, bool scaling, heed_error *error) {
    heed_error failed = HEED_ERROR_INIT;
    heedi_bench_data data = {0};
    if (comm->rank == 0 && heedi_bench_data_open(&data, &b->config, &failed) == HEED_OK)
        b->sizes = data.sizes;
    heedi_bench_data_reset(&data);
    if (heed_comm_agree(comm, &failed) != HEED_OK)
        return *error = failed, failed.status;
    if (heed_comm_broadcast(comm, &b->sizes, sizeof b->sizes, 0, error) != HEED_OK ||
        heedi_measure_machine(comm, &b->machine, error) != HEED_OK ||
        (trace && heed_trace_start(comm, error) != HEED_OK) ||
        heedi_measure_steps(comm, &b->config, &b->sizes, (size_t)b->n_steps, &b->steps, error) != HEED_OK)
        return error->status;
    if (trace && heed_trace_finish(comm, trace, error) != HEED_OK)
        return error->status;
    heedi_machine after; /* processors change their speed: the better of before and after counts */
    if (heedi_measure_machine(comm, &after, error) != HEED_OK)
        return error->status;
    for (size_t i = 0; i < HEED_PEAK_SHAPES; i++)
        if (after.product[i] > b->machine.product[i])
            b->machine.product[i] = after.product[i];
    b->machine.peak = after.peak > b->machine.peak ? after.peak : b->machine.peak;
    return scaling ? measure_scaling(b, comm, error) : HEED_OK;
}

/* ---- saying ------------------------------------------------------------------------------------------------------ */

static void print_stages(const bench *b) {
    const heed_stage_times *times = &b->steps.stages;
    double total = 0;
    for (size_t i = 0; i < HEED_N_STAGES; i++)
        total += times->seconds[i];
    printf("\n%-26s %9s %7s %8s %7s\n", "stage of a step", "ms", "share", "GF/s", "of peak");
    for (size_t i = 0; i < HEED_N_STAGES; i++) {
        if (times->seconds[i] < 1e-4 * total)
            continue;
        printf("%-26s %9.3f %6.1f%%", heed_stage_name((heed_stage)i), 1e3 * times->seconds[i],
               100 * times->seconds[i] / total);
        const double rate = 1e-9 * times->operations[i] / times->seconds[i];
        if (times->operations[i] > 0)
            printf(" %8.1f %6.1f%%", rate, 100 * rate / b->machine.peak);
        printf("\n");
    }
    printf("%-26s %9.3f\n", "all", 1e3 * total);
}

static void print_table(const bench *b, const heed_comm *comm) {
    const heedi_rank_memory *memory = &b->steps.memory;
    printf("%d rank%s x %d thread%s on %d node%s, BLIS kernel %s\n\n", comm->size, comm->size == 1 ? "" : "s",
           heed_gemm_threads(), heed_gemm_threads() == 1 ? "" : "s", comm->n_nodes, comm->n_nodes == 1 ? "" : "s",
           heed_gemm_kernel());
    for (size_t i = 0; i < HEED_PEAK_SHAPES; i++)
        printf("product %4zu x %4zu x %4zu   %8.1f GF/s\n", heed_peak_shapes[i][0], heed_peak_shapes[i][1],
               heed_peak_shapes[i][2], b->machine.product[i]);
    printf("memory, z = x + y            %8.1f GB/s\n", b->machine.bandwidth);
    if (comm->size > 1)
        printf("all-reduce, 16 MB            %8.2f GB/s a rank; %.1f us for a few bytes\n", b->machine.all_reduce,
               1e6 * b->machine.latency);
    print_stages(b);
    printf("\nshape %s: %.3g million parameters, %.0f tokens a step, %.4g MFLOP a token\n", shape_name,
           1e-6 * b->steps.n_parameters, b->steps.tokens, 1e-6 * b->steps.flops_per_token);
    printf("memory a rank: parameters %.1f MB, gradients %.1f, moments %.1f, activations %.1f, exchange %.1f; "
           "at most %.1f in use\n",
           1e-6 * (double)memory->parameters, 1e-6 * (double)memory->exchange.gradients,
           1e-6 * (double)memory->exchange.moments, 1e-6 * (double)memory->activations,
           1e-6 * (double)memory->exchange.buffers, 1e-6 * b->steps.peak_bytes);
    printf("step %.3f ms, %.0f tokens/s, %.1f%% of the peak\n", 1e3 * b->steps.seconds, tokens_per_second(b),
           100 * share_of_peak(b));
    for (size_t i = 0; i < b->n_points; i++)
        printf("%s%d rank%s: %.0f tokens/s, %.1f%% of one rank's speed each\n", i ? "" : "\n", b->points[i].n_ranks,
               b->points[i].n_ranks == 1 ? "" : "s", b->points[i].tokens_per_second, 100 * b->points[i].efficiency);
}

static json_t *stages_json(const bench *b) {
    json_t *stages = json_object();
    for (size_t i = 0; i < HEED_N_STAGES; i++) {
        const double seconds = b->steps.stages.seconds[i], operations = b->steps.stages.operations[i];
        if (seconds <= 0)
            continue;
        const double rate = 1e-9 * operations / seconds;
        json_object_set_new(
            stages, heed_stage_name((heed_stage)i),
            json_pack("{sf sf sf}", "seconds", seconds, "gflops", rate, "share_of_peak", rate / b->machine.peak));
    }
    return stages;
}

static json_t *machine_json(const bench *b) {
    json_t *products = json_array();
    for (size_t i = 0; i < HEED_PEAK_SHAPES; i++)
        json_array_append_new(products, json_pack("{s[III] sf}", "shape", (json_int_t)heed_peak_shapes[i][0],
                                                  (json_int_t)heed_peak_shapes[i][1],
                                                  (json_int_t)heed_peak_shapes[i][2], "gflops", b->machine.product[i]));
    return json_pack("{ss so sf sf sf}", "kernel", heed_gemm_kernel(), "products", products, "memory_gb_per_second",
                     b->machine.bandwidth, "exchange_seconds", b->machine.latency, "all_reduce_gb_per_second",
                     b->machine.all_reduce);
}

static void print_json(const bench *b, const heed_comm *comm) {
    const heedi_rank_memory *memory = &b->steps.memory;
    json_t *scaling = json_array();
    for (size_t i = 0; i < b->n_points; i++)
        json_array_append_new(scaling,
                              json_pack("{si sf sf}", "ranks", b->points[i].n_ranks, "tokens_per_second",
                                        b->points[i].tokens_per_second, "efficiency", b->points[i].efficiency));
    json_t *bytes = json_pack("{sI sI sI sI sI sI}", "parameters", (json_int_t)memory->parameters, "gradients",
                              (json_int_t)memory->exchange.gradients, "moments", (json_int_t)memory->exchange.moments,
                              "activations", (json_int_t)memory->activations, "exchange",
                              (json_int_t)memory->exchange.buffers, "peak", (json_int_t)b->steps.peak_bytes);
    json_t *object =
        json_pack("{ss si si si sI sf sf sf sf sf so so so so}", "shape", shape_name, "ranks", comm->size, "threads",
                  heed_gemm_threads(), "nodes", comm->n_nodes, "steps", (json_int_t)b->n_steps, "seconds_per_step",
                  b->steps.seconds, "tokens_per_second", tokens_per_second(b), "share_of_peak", share_of_peak(b),
                  "peak_gflops", b->machine.peak, "flops_per_token", b->steps.flops_per_token, "machine",
                  machine_json(b), "stages", stages_json(b), "memory_bytes", bytes, "scaling", scaling);
    json_dumpf(object, stdout, JSON_REAL_PRECISION(12));
    putchar('\n');
    json_decref(object);
}

static heed_status measure_kernels(heed_comm *comm, bool json, heed_error *error) {
    heedi_kernel kernels[HEEDI_N_KERNELS];
    if (heedi_measure_kernels(comm, kernels, error) != HEED_OK || comm->rank != 0)
        return error->status;
    json_t *list = json_array();
    if (!json)
        printf("%-28s %9s %9s %9s\n", "kernel", "ms", "GB/s", "x moving");
    for (size_t i = 0; i < HEEDI_N_KERNELS; i++) {
        const heedi_kernel *k = &kernels[i];
        const double rate = 1e-9 * k->bytes / k->seconds * comm->size;
        if (!json)
            printf("%-28s %9.2f %9.1f %9.2f\n", k->name, 1e3 * k->seconds, rate, k->times_moving);
        json_array_append_new(list, json_pack("{ss sf sf sf}", "kernel", k->name, "seconds", k->seconds,
                                              "gb_per_second", rate, "times_moving", k->times_moving));
    }
    if (json) {
        json_dumpf(list, stdout, JSON_REAL_PRECISION(12));
        putchar('\n');
    }
    json_decref(list);
    return HEED_OK;
}

heed_status heedi_command_bench(heedi_cli *cli, heed_error *error) {
    static bench measured;
    bench *b = &measured;
    bool json = false, scaling = false, kernels = false;
    const char *trace = NULL;
    int64_t n_steps = 20;
    const heedi_option options[] = {
        {"shape", 's', "S|M|L|CONFIG", "what to train: a size that speed is compared at, or a config file",
         .text = &shape_name},
        {"steps", 'n', "N", "steps to measure, behind two to warm up", .whole = &n_steps, .low = 1, .high = 1e6},
        {"scaling", 0, NULL, "measure 1, 2, 4, ... ranks too, each with the same work a rank", .on = &scaling},
        {"kernels", 'k', NULL,
         "measure only the layers that move memory, against the time in which the machine moves their bytes",
         .on = &kernels},
        {"trace", 0, "FILE", "write what every rank did when, for Perfetto or Chrome", .text = &trace},
        {"json", 'j', NULL, "print one JSON object", .on = &json},
        {0}};
    const heedi_syntax syntax = {
        .arguments = "[SECTION.KEY=VALUE...]",
        .about = "Measures matrix products, memory and all-reduce, then training steps: the time of every stage, "
                 "operations a second, and the share of the matrix products' peak in the same run, counting 6 N + 12 "
                 "layers width time operations a token. Trains on noise of the shape's vocabulary, an encoder-decoder "
                 "on lists as long as its pairs "
                 "are on average, and leaves nothing behind.",
        .examples = "  heed bench --shape S\n"
                    "  mpirun -n 2 heed bench --shape M --scaling train.threads=1\n"
                    "  mpirun -n 2 heed bench --shape configs/whale.ini --json\n"
                    "  heed bench --kernels\n"
                    "  mpirun -n 4 heed bench --trace trace.json      for https://ui.perfetto.dev\n",
        .options = options,
        .least = 0,
        .most = -1,
    };
    if (heedi_parse(cli, &syntax, error) && heedi_open_ranks(cli, error) == HEED_OK &&
        heedi_share_config(cli, &b->config, read_shape, error) == HEED_OK &&
        heedi_open_engines(cli->comm, b->config.train.threads, error) == HEED_OK) {
        b->n_steps = n_steps;
        if (kernels)
            measure_kernels(cli->comm, json, error);
        else if (measure(b, cli->comm, trace, scaling, error) == HEED_OK && cli->rank == 0) {
            if (json)
                print_json(b, cli->comm);
            else
                print_table(b, cli->comm);
        }
        heed_gemm_close();
    }
    return error->status;
}
