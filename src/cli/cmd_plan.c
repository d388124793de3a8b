/* heed plan: what a run will take, on paper. */
#include "cli/cli.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "bench/forecast.h"

/* Links that people have, by name; alpha and beta as MPI delivers them. */
static const struct {
    const char *name;
    heedi_network network;
} networks[] = {
    {"1GbE", {50e-6, 0.117e9}}, {"10GbE", {30e-6, 1.1e9}},    {"25GbE", {20e-6, 2.8e9}},
    {"100GbE", {10e-6, 11e9}},  {"HDR100", {1.5e-6, 11.5e9}}, {"HDR200", {1.5e-6, 23e9}},
};

typedef struct plan {
    heed_config config;
    heedi_sizes sizes;
    heedi_network network;
    bool has_network;
    heedi_forecast forecast;
    heedi_disk disk;
} plan;

/* "HDR200", or "1.5,23": microseconds and GB/s. */
static heed_status read_network(const char *text, heedi_network *network, heed_error *error) {
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++)
        if (strcmp(networks[i].name, text) == 0)
            return *network = networks[i].network, HEED_OK;
    char *comma, *end;
    const double alpha = strtod(text, &comma), beta = *comma == ',' ? strtod(comma + 1, &end) : 0;
    if (comma == text || *comma != ',' || *end || !(alpha >= 0 && alpha < 1e6) || !(beta > 0 && beta < 1e6)) {
        heed_fail(error, HEED_USAGE, "plan: --network = %s: expected a name, or microseconds and GB/s as in 1.5,23",
                  text);
        return heed_hint(error, "names: 1GbE, 10GbE, 25GbE, 100GbE, HDR100, HDR200");
    }
    *network = (heedi_network){1e-6 * alpha, 1e9 * beta};
    return HEED_OK;
}

static heed_status check_ranks(const plan *p, const heed_comm *comm, heed_error *error) {
    const int64_t n_grains = p->config.train.batch / p->config.train.grain;
    if (p->forecast.n_ranks > n_grains) {
        heed_fail(error, HEED_CONFIG, "plan: --ranks = %d: the batch has only %" PRId64 " grains", p->forecast.n_ranks,
                  n_grains);
        heed_hint(error, "raise train.batch, or lower train.grain");
    } else if (!p->has_network && p->forecast.n_ranks > 1 && p->forecast.n_ranks != comm->size) {
        heed_fail(error, HEED_USAGE, "plan: --network is missing: nothing is known of how %d ranks are joined",
                  p->forecast.n_ranks);
        heed_hint(error, "name a link, as in --network HDR200; or run plan itself on %d ranks", p->forecast.n_ranks);
    }
    return error->status;
}

static heed_status make_plan(plan *p, heed_comm *comm, const char *folder, heed_error *error) {
    heed_error failed = HEED_ERROR_INIT;
    heedi_bench_data data = {0};
    if (check_ranks(p, comm, &failed) == HEED_OK && comm->rank == 0 &&
        heedi_bench_data_open(&data, &p->config, &failed) == HEED_OK) {
        p->sizes = data.sizes;
        if (heedi_count_probes(&p->config, &p->sizes.probes, &failed) == HEED_OK && folder)
            heedi_measure_checkpoint(&p->config, &data, folder, &p->disk, &failed);
    }
    heedi_bench_data_reset(&data);
    if (heed_comm_agree(comm, &failed) != HEED_OK)
        return *error = failed, failed.status;
    heedi_forecast *f = &p->forecast; /* rank 0's node stands for all: nodes may have different numbers of ranks */
    if (heed_comm_broadcast(comm, &p->sizes, sizeof p->sizes, 0, error) != HEED_OK ||
        heed_comm_broadcast(comm, &f->ranks_per_node, sizeof f->ranks_per_node, 0, error) != HEED_OK)
        return error->status;
    return heedi_make_forecast(comm, &p->config, &p->sizes, p->has_network ? &p->network : NULL, f, error);
}

/* ---- saying ------------------------------------------------------------------------------------------------------ */

typedef struct sums {
    double rank_bytes, first_bytes, traffic_bytes, run_seconds, node_hours, efficiency, disk_bytes;
} sums;

static sums add_up(const plan *p) {
    const heedi_forecast *f = &p->forecast;
    const heedi_rank_memory *m = &f->memory;
    const int64_t every = p->config.checkpoint.every, steps = p->config.train.steps;
    const double written = every > 0 ? ceil((double)steps / (double)every) : 1;
    const heed_gradsync_view *x = &f->exchange;
    const double in_place = (double)m->exchange.in_place, measuring = (double)f->peak_bytes; /* one after the other */
    const double always = (double)(f->base_bytes + m->parameters + m->activations + f->map_bytes +
                                   m->exchange.gradients + m->exchange.moments + m->exchange.buffers) -
                          in_place;
    sums s = {.rank_bytes = always + fmax(measuring, in_place),
              .traffic_bytes =
                  (double)(x->sent_bytes[0] + x->sent_bytes[1] + x->returned_bytes[0] + x->returned_bytes[1]),
              .run_seconds = f->seconds * (double)steps,
              .efficiency = f->compute_seconds / f->seconds};
    s.first_bytes = always + (double)(f->first_map_bytes - f->map_bytes) + (double)f->snapshot_bytes +
                    fmax(measuring, (double)f->file_bytes + in_place);
    s.node_hours = x->n_nodes * s.run_seconds / 3600;
    /* the newest ones, the best, and the one that is being written */
    s.disk_bytes = (double)p->disk.checkpoint_bytes * fmin(written, (double)p->config.checkpoint.keep + 2);
    return s;
}

static void print_plan(const plan *p) {
    const heedi_forecast *f = &p->forecast;
    const heedi_rank_memory *m = &f->memory;
    const sums s = add_up(p);
    printf("%d rank%s, %d on a node, %d thread%s each\n\n", f->n_ranks, f->n_ranks == 1 ? "" : "s", f->ranks_per_node,
           heed_gemm_threads(), heed_gemm_threads() == 1 ? "" : "s");
    printf("parameters                 %12.4g million\n", 1e-6 * f->n_parameters);
    printf("operations                 %12.4g MFLOP a token, %.4g GFLOP a step of %.0f tokens\n",
           1e-6 * f->flops_per_token, 1e-9 * f->flops_per_token * f->tokens, f->tokens);
    printf("memory a rank              %12.1f MB; rank 0 %.1f MB\n", 1e-6 * s.rank_bytes, 1e-6 * s.first_bytes);
    printf("  parameters %.1f, gradients %.1f, moments %.1f, activations %.1f, attention maps %.1f (rank 0 %.1f), "
           "exchange %.1f, process %.1f, measuring the peak %.1f; rank 0 also a copy to save %.1f, then a file %.1f\n",
           1e-6 * (double)m->parameters, 1e-6 * (double)m->exchange.gradients, 1e-6 * (double)m->exchange.moments,
           1e-6 * (double)m->activations, 1e-6 * (double)f->map_bytes, 1e-6 * (double)f->first_map_bytes,
           1e-6 * (double)m->exchange.buffers, 1e-6 * (double)f->base_bytes, 1e-6 * (double)f->peak_bytes,
           1e-6 * (double)f->snapshot_bytes, 1e-6 * (double)f->file_bytes);
    printf("sent by a rank             %12.3f MB a step\n", 1e-6 * s.traffic_bytes);
    printf("step                       %12.3f ms: layers and update %.3f, gradients out %.3f (hidden %.3f), parameters "
           "back %.3f (hidden %.3f), sums %.3f\n",
           1e3 * f->seconds, 1e3 * f->compute_seconds, 1e3 * f->out_seconds, 1e3 * f->out_hidden_seconds,
           1e3 * f->back_seconds, 1e3 * f->back_hidden_seconds, 1e3 * f->sums_seconds);
    printf("tokens/s                   %12.0f\n", f->tokens / f->seconds);
    printf("share of time that computes %11.1f%%\n", 100 * s.efficiency);
    printf("%-10" PRId64 " steps           %12.3f hours, %.3f node-hours\n", p->config.train.steps,
           s.run_seconds / 3600, s.node_hours);
    if (p->disk.checkpoint_bytes)
        printf("checkpoint                 %12zu bytes, written in %.2f s; at most %.1f MB of them at a time\n",
               p->disk.checkpoint_bytes, p->disk.checkpoint_seconds, 1e-6 * s.disk_bytes);
}

static void print_json(const plan *p) {
    const heedi_forecast *f = &p->forecast;
    const heedi_rank_memory *m = &f->memory;
    const sums s = add_up(p);
    json_t *memory =
        json_pack("{sI sI sI sI sI sI sI sI sI sI sI}", "process", (json_int_t)f->base_bytes, "measuring_the_peak",
                  (json_int_t)f->peak_bytes, "parameters", (json_int_t)m->parameters, "gradients",
                  (json_int_t)m->exchange.gradients, "moments", (json_int_t)m->exchange.moments, "activations",
                  (json_int_t)m->activations, "attention_maps", (json_int_t)f->map_bytes, "attention_maps_of_rank_0",
                  (json_int_t)f->first_map_bytes, "exchange", (json_int_t)m->exchange.buffers, "snapshot_of_rank_0",
                  (json_int_t)f->snapshot_bytes, "file_of_rank_0", (json_int_t)f->file_bytes);
    json_t *step =
        json_pack("{sf sf sf sf sf sf sf}", "seconds", f->seconds, "compute", f->compute_seconds, "gradients_out",
                  f->out_seconds, "gradients_hidden", f->out_hidden_seconds, "parameters_back", f->back_seconds,
                  "parameters_hidden", f->back_hidden_seconds, "sums", f->sums_seconds);
    json_t *object = json_pack("{si si sf sf sf so sf sf sf so sf sf sf sf sI sf}", "ranks", f->n_ranks,
                               "ranks_per_node", f->ranks_per_node, "parameters", f->n_parameters, "flops_per_token",
                               f->flops_per_token, "tokens_per_step", f->tokens, "memory_bytes", memory, "bytes_a_rank",
                               s.rank_bytes, "bytes_of_rank_0", s.first_bytes, "bytes_sent_per_step", s.traffic_bytes,
                               "step", step, "tokens_per_second", f->tokens / f->seconds, "efficiency", s.efficiency,
                               "hours", s.run_seconds / 3600, "node_hours", s.node_hours, "checkpoint_bytes",
                               (json_int_t)p->disk.checkpoint_bytes, "checkpoint_seconds", p->disk.checkpoint_seconds);
    json_dumpf(object, stdout, JSON_REAL_PRECISION(12));
    putchar('\n');
    json_decref(object);
}

static heed_status read_config(heedi_cli *cli, heed_config *config, heed_error *error) {
    return heedi_read_shape(cli->arguments[0], cli->arguments + 1, cli->n_arguments - 1, config, error);
}

heed_status heedi_command_plan(heedi_cli *cli, heed_error *error) {
    static plan made;
    plan *p = &made;
    const char *network = NULL, *folder = NULL;
    int64_t n_ranks = 0, per_node = 0;
    bool json = false;
    const heedi_option options[] = {
        {"ranks", 'n', "N", "ranks of the run; 0: as many as plan itself runs on", .whole = &n_ranks, .low = 0,
         .high = 100000},
        {"ranks-per-node", 'p', "N", "ranks that share a node's link; 0: as many as plan runs on", .whole = &per_node,
         .low = 0, .high = 4096},
        {"network", 'w', "NAME|US,GB/S",
         "the link of a node: 1GbE, 10GbE, 25GbE, 100GbE, HDR100, HDR200, or microseconds a message and GB/s; by "
         "default measured between plan's own ranks",
         .text = &network},
        {"disk", 'd', "FOLDER", "write a checkpoint into it, and take it away again, to know its size and time",
         .text = &folder},
        {"json", 'j', NULL, "print one JSON object", .on = &json},
        {0}};
    const heedi_syntax syntax = {
        .arguments = "S|M|L|CONFIG [SECTION.KEY=VALUE...]",
        .about = "Says what a run will take before it is queued: parameters, operations, memory, traffic, the time of "
                 "a step and of the run, node-hours. Measures single layers on this machine, with the batch that a "
                 "rank will have, never a step; the network is alpha + bytes / beta, or the exchange is rehearsed. Run "
                 "it on as many ranks as a node "
                 "will have, so that layers share the node's memory as they will.",
        .examples = "  heed plan M --ranks 64 --network HDR100 train.batch=512 train.grain=8\n"
                    "  mpirun -n 2 heed plan M\n"
                    "  heed plan L --disk /scratch --json\n",
        .options = options,
        .least = 1,
        .most = -1,
    };
    if (!heedi_parse(cli, &syntax, error) || (network && read_network(network, &p->network, error) != HEED_OK) ||
        heedi_open_ranks(cli, error) != HEED_OK || heedi_share_config(cli, &p->config, read_config, error) != HEED_OK ||
        heedi_open_engines(cli->comm, p->config.train.threads, error) != HEED_OK)
        return error->status;
    p->has_network = network != NULL;
    p->forecast.n_ranks = n_ranks ? (int)n_ranks : cli->comm->size;
    p->forecast.ranks_per_node = per_node ? (int)per_node : cli->comm->local_size;
    if (make_plan(p, cli->comm, folder, error) == HEED_OK && cli->rank == 0) {
        if (json)
            print_json(p);
        else
            print_plan(p);
    }
    heed_gemm_close();
    return error->status;
}
