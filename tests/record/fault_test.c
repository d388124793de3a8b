/* A file is published in an order that no crash can break, and every call on the way may fail: one line says so, the
 * earlier file stays, nothing is left open or lying about, and the next save works. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "heed/attention_log.h"
#include "heed/gemm.h"
#include "heed/metrics.h"
#include "heed/store.h"
#include "record/faults.h"
#include "record/sample.h"
#include "record/views.h"

static sample s;
static heed_attention_maps *maps;

static heed_status save_checkpoint(uint64_t step, heed_error *error) {
    sample_fill(&s, step);
    return heed_checkpoint_write("saved", &s.state, &s.arenas, s.tokenizer, error);
}

static heed_status save_log_in(const char *run_dir, uint64_t step, heed_error *error) {
    static const size_t first_row[] = {0, 3};
    static const int32_t token[3] = {1, 2, 3};
    static const double statistics[HEADS * LAYERS * HEED_N_STATISTICS];
    const heed_batch probes = {
        .rows = {.n_rows = 3, .n_sequences = 1, .first_row = first_row}, .token = token, .target = token};
    return heed_attention_log_write(run_dir, step, maps, statistics, &probes, s.tokenizer, "", error);
}

static heed_status save_log(uint64_t step, heed_error *error) {
    return save_log_in("saved", step, error);
}

static void load_checkpoint(uint64_t step) {
    char path[HEED_PATH_MAX];
    heed_checkpoint_state state;
    OK(heed_checkpoint_newest("saved", path, &error));
    OK(heed_checkpoint_read_state(path, &state, &error));
    OK(heed_checkpoint_read(path, &s.arenas, NULL, &error));
    assert_true(state.step == step);
    heed_checkpoint_state_reset(&state);
}

static void load_log(uint64_t step) {
    (void)step;
    OK(heed_attention_log_merge("saved", HEED_SELF_ATTENTION, "merged.h5", &error));
}

/* Longer than what a store keeps in memory: HDF5's writes reach the file while HDF5 still works on it. */
#define LARGE_BYTES ((size_t)17 << 20)
#define N_SMALL 12

static unsigned char large[LARGE_BYTES], found_large[LARGE_BYTES];

static heed_status save_large(uint64_t step, heed_error *error) {
    const size_t n_small = 4000;
    heed_store *store;
    large[0] = (unsigned char)step;
    heed_status status = heed_store_create(&store, "saved/step-large.h5", error);
    if (status != HEED_OK)
        return status;
    status = heed_store_write(store, "/large", HEED_TYPE_UINT8, 1, &(size_t){sizeof large}, large, false, error);
    for (int i = 0; i < N_SMALL && status == HEED_OK; i++) {
        const char name[] = {'/', (char)('a' + i), 0};
        status = heed_store_write(store, name, HEED_TYPE_UINT8, 1, &n_small, large, i % 2 == 0, error);
        if (status == HEED_OK)
            status = heed_store_write_int(store, name, "step", (int64_t)step, error);
    }
    if (status == HEED_OK)
        return heed_store_seal(store, error);
    heed_store_discard(store);
    return status;
}

static void load_large(uint64_t step) {
    heed_store *store;
    int64_t found;
    const size_t n_large = LARGE_BYTES;
    OK(heed_store_open(&store, "saved/step-large.h5", true, &error));
    OK(heed_store_read_int(store, "/l", "step", &found, &error));
    assert_true(found == (int64_t)step);
    OK(heed_store_read(store, "/large", HEED_TYPE_UINT8, 1, &n_large, found_large, &error));
    large[0] = (unsigned char)step;
    assert_memory_equal(found_large, large, sizeof large);
    heed_store_close(store);
}

static const struct file_kind {
    const char *name;
    heed_status (*save)(uint64_t step, heed_error *error);
    void (*load)(uint64_t newest);
} kinds[] = {{"checkpoint", save_checkpoint, load_checkpoint},
             {"attention log", save_log, load_log},
             {"large file", save_large, load_large}};

static int count_entries(const char *folder, const char *part) {
    DIR *open_folder = opendir(folder);
    int n = 0;
    assert_non_null(open_folder);
    for (struct dirent *entry; (entry = readdir(open_folder));)
        n += strstr(entry->d_name, part) != NULL;
    closedir(open_folder);
    return n;
}

/* Whether calls has the parts in this order; a part is a run of one letter. */
static void check_order(const char *what, const char *calls, size_t least_writes) {
    const size_t n = strlen(calls), writes = strspn(calls + 1, "wc");
    const char *end = calls + 1 + writes;
    if (calls[0] != 'o' || writes < least_writes || strcmp(end, "tsxrodx") != 0)
        fail_msg("%s: %zu calls: %s", what, n, calls);
}

static void published_in_order(void **state) {
    (void)state;
    for (int no_memory = 0; no_memory < 2; no_memory++)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            faults_no_memory(no_memory);
            faults_begin(0, 0);
            OK(kinds[k].save(5, &error));
            faults_end();
            faults_no_memory(false);
            check_order(kinds[k].name, faults_calls(), no_memory ? 3 : 2); /* from memory: whole blocks, and the rest */
        }
}

static void acknowledged_when_durable(void **state) {
    (void)state;
    heed_checkpoint_writer *writer;
    OK(heed_checkpoint_writer_create(&writer, "saved", 9, &error));
    faults_begin(0, 0);
    OK(heed_checkpoint_writer_start(writer, &s.state, &s.arenas, &no_figures, s.tokenizer, &error));
    OK(heed_checkpoint_writer_wait(writer, &error));
    faults_end();
    heed_checkpoint_writer_destroy(writer);
    const char *message = strchr(faults_calls(), '!'), *durable = strchr(faults_calls(), 'd');
    assert_non_null(message);
    assert_true(durable && durable < message);
}

/* Figures are durable before the file is made; where they are lost, so is this checkpoint and are all that follow. */
static void figures_before_the_checkpoint(void **state) {
    (void)state;
    heed_checkpoint_writer *writer;
    heed_metrics *metrics;
    OK(heed_checkpoint_writer_create(&writer, "saved", 9, &error));
    OK(heed_metrics_open(&metrics, "saved", 0, &error));
    const heed_checkpoint_figures figures = {.metrics = metrics};
    faults_begin(0, 0);
    OK(heed_checkpoint_writer_start(writer, &s.state, &s.arenas, &figures, s.tokenizer, &error));
    OK(heed_checkpoint_writer_wait(writer, &error));
    faults_end();
    assert_memory_equal(faults_calls(), "sso", 3);
    OK(heed_checkpoint_writer_lost_figures(writer, &error));
    faults_begin(2, EIO);
    OK(heed_checkpoint_writer_start(writer, &s.state, &s.arenas, &figures, s.tokenizer, &error));
    FAILS(HEED_IO, "saved/timing.jsonl: Input/output error", heed_checkpoint_writer_wait(writer, &error));
    faults_end();
    assert_string_equal(faults_calls(), "ss");
    FAILS(HEED_IO, "saved/timing.jsonl: Input/output error", heed_checkpoint_writer_lost_figures(writer, &error));
    faults_begin(0, 0);
    OK(heed_checkpoint_writer_start(writer, &s.state, &s.arenas, &figures, s.tokenizer, &error));
    FAILS(HEED_IO, "saved/timing.jsonl: Input/output error", heed_checkpoint_writer_wait(writer, &error)); /* still */
    faults_end();
    assert_string_equal(faults_calls(), "");
    heed_checkpoint_writer_destroy(writer);
    heed_metrics_close(metrics);
}

static bool thorough; /* every call with every reason; else each with one of them */

/* Fails every call of a save in turn. */
static void fail_each_call(const struct file_kind *kind, int *n_tried) {
    static const int reasons[] = {ENOSPC, EIO, EFBIG};
    for (int attempt = 0;; attempt++) {
        const int nth = 1 + (thorough ? attempt / 3 : attempt), reason = reasons[attempt % 3];
        heed_error why = HEED_ERROR_INIT;
        OK(kind->save(1, &error));
        const int n_open = count_entries("/proc/self/fd", "");
        faults_begin(nth, reason);
        const heed_status status = kind->save(2, &why);
        const int n_calls = faults_end();
        if (nth > n_calls) {
            assert_int_equal(status, HEED_OK);
            break;
        }
        ++*n_tried;
        const char letter = faults_calls()[nth - 1];
        const bool closes_folder = letter == 'x' && faults_calls()[nth - 2] == 'd'; /* all is done: no failure */
        if ((status != HEED_IO && status != HEED_CREATE) != closes_folder)
            fail_msg("%s: call %d (%c) failed with %s: %s", kind->name, nth, letter, strerror(reason),
                     heed_status_name(status));
        if (!closes_folder && (!strstr(why.message, strerror(reason)) || strchr(why.message, '\n') ||
                               strncmp(why.message, "saved/", 6) != 0))
            fail_msg("%s: call %d (%c): \"%s\"", kind->name, nth, letter, why.message);
        assert_int_equal(count_entries("saved", ".tmp") + count_entries("saved/attention", ".tmp"), 0);
        assert_int_equal(count_entries("/proc/self/fd", ""), n_open);
        kind->load(strchr(faults_calls(), 'r') && letter != 'r' ? 2 : 1);
        OK(kind->save(3, &error));
        kind->load(3);
        assert_int_equal(system("rm -rf saved/step* saved/attention/step*"), 0);
    }
}

static void every_call_may_fail(void **state) {
    (void)state;
    for (int no_memory = 0; no_memory < 2; no_memory++)
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            int n_tried = 0;
            if (no_memory && kinds[k].save == save_large)
                continue;
            faults_no_memory(no_memory);
            fail_each_call(&kinds[k], &n_tried);
            faults_no_memory(false);
            assert_true(n_tried > (no_memory ? 20 : 8));
            print_message("%s: %d failing calls survived\n", kinds[k].name, n_tried);
        }
}

static void short_and_interrupted_writes_go_on(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        faults_begin(0, 0);
        OK(kinds[k].save(1, &error));
        const int n = faults_end();
        char calls[4096];
        strcpy(calls, faults_calls());
        for (int nth = 1; nth <= n; nth++) {
            if (!strchr("wtsd", calls[nth - 1]))
                continue;
            faults_begin(nth, EINTR);
            OK(kinds[k].save(1, &error));
            faults_end();
            kinds[k].load(1);
            faults_begin(-nth, 0);
            OK(kinds[k].save(1, &error));
            faults_end();
            kinds[k].load(1);
        }
    }
}

/* Some file systems take the flag, but not the writes. */
static void direct_writes_may_be_refused(void **state) {
    (void)state;
    const int fd = open("saved/direct", O_WRONLY | O_CREAT | O_DIRECT, 0666);
    if (fd < 0)
        skip();
    close(fd);
    faults_begin(2, EINVAL);
    OK(save_checkpoint(1, &error));
    faults_end();
    assert_memory_equal(faults_calls(), "owwt", 4); /* refused; then in one piece */
    load_checkpoint(1);
}

/* The kernel's own limit on the size of files, in a child; every size up to that of the whole file. */
static void file_size_limit(void **state) {
    (void)state;
    int n_failed = 0;
    OK(save_checkpoint(1, &error));
    for (rlim_t limit = 0;; limit += 1777) {
        fflush(NULL);
        const pid_t child = fork();
        if (child == 0) {
            heed_error error = HEED_ERROR_INIT;
            setrlimit(RLIMIT_FSIZE, &(struct rlimit){limit, limit});
            signal(SIGXFSZ, SIG_IGN);
            const heed_status status = save_checkpoint(2, &error);
            const bool told = status == HEED_IO && strstr(error.message, "File too large");
            _exit(status == HEED_OK ? 0 : told ? 1 : 2);
        }
        int result;
        assert_true(waitpid(child, &result, 0) == child && WIFEXITED(result));
        if (WEXITSTATUS(result) == 0)
            break;
        assert_int_equal(WEXITSTATUS(result), 1);
        load_checkpoint(1);
        n_failed++;
    }
    load_checkpoint(2);
    assert_true(n_failed > 5);
}

static void folders_that_cannot_be_written(void **state) {
    (void)state;
    fclose(fopen("plain", "w"));
    FAILS(HEED_CREATE, "plain", heed_checkpoint_write("plain", &s.state, &s.arenas, s.tokenizer, &error));
    FAILS(HEED_CREATE, "no/where", heed_checkpoint_write("no/where", &s.state, &s.arenas, s.tokenizer, &error));
    FAILS(HEED_CREATE, "plain", save_log_in("plain", 1, &error));
    if (geteuid() != 0) { /* root may write anywhere */
        assert_int_equal(system("mkdir -p locked && chmod 500 locked"), 0);
        FAILS(HEED_CREATE, "locked", heed_checkpoint_write("locked", &s.state, &s.arenas, s.tokenizer, &error));
        assert_int_equal(system("chmod 700 locked"), 0);
    }
}

/* Each step has its line, one object, in order. */
static void check_lines(const char *path, uint64_t n_steps) {
    char line[1024];
    uint64_t step, n = 0;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        assert_int_equal(sscanf(line, "{\"step\":%" SCNu64, &step), 1);
        assert_int_equal(step, ++n);
        assert_ptr_equal(strrchr(line, '{'), line);
        assert_string_equal(strchr(line, '}'), "}\n");
    }
    fclose(file);
    assert_int_equal(n, n_steps);
}

/* Lines wait for the disk: none is lost, none is torn, and none waits for ever. */
static void lines_wait_until_they_can_be_written(void **state) {
    (void)state;
    heed_metrics *metrics;
    heed_step_record record = {.step = 1, .seconds = 1};
    OK(heed_metrics_open(&metrics, "saved", 0, &error));
    faults_begin(1, ENOSPC);
    OK(heed_metrics_add(metrics, &record, &error));
    assert_string_equal(faults_calls(), "w!w"); /* metrics.jsonl, a warning, timing.jsonl */
    record.step = 2;
    faults_begin(1, ENOSPC);
    OK(heed_metrics_add(metrics, &record, &error));
    assert_string_equal(faults_calls(), "ww"); /* it was warned of */
    record.step = 3;
    faults_begin(-1, 0);
    OK(heed_metrics_add(metrics, &record, &error)); /* three lines in two parts */
    assert_string_equal(faults_calls(), "www");
    record.step = 4;
    faults_begin(3, EIO);
    OK(heed_metrics_add(metrics, &record, &error));
    faults_begin(2, EIO);
    OK(heed_metrics_add(metrics, &(heed_step_record){.step = 5, .seconds = 1}, &error));
    faults_begin(1, EIO);
    FAILS(HEED_IO, "saved/timing.jsonl: Input/output error", heed_metrics_flush(metrics, &error));
    faults_begin(0, 0);
    OK(heed_metrics_flush(metrics, &error));
    faults_begin(2, EIO);
    FAILS(HEED_IO, "saved/timing.jsonl", heed_metrics_sync(metrics, &error));
    heed_error full = HEED_ERROR_INIT;
    for (record.step = 6; heed_metrics_add(metrics, &record, &full) == HEED_OK && record.step < 100000; record.step++)
        faults_begin(1, ENOSPC);
    faults_begin(1, ENOSPC);
    FAILS(HEED_IO, "saved/metrics.jsonl: No space left", heed_metrics_add(metrics, &record, &error));
    faults_end();
    heed_metrics_close(metrics);
    check_lines("saved/metrics.jsonl", record.step - 1);
    check_lines("saved/timing.jsonl", record.step - 1);
}

static int clean(void **state) {
    (void)state;
    return system("rm -rf saved plain locked merged.h5 && mkdir -p saved/attention");
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(published_in_order, clean),
        cmocka_unit_test_setup(acknowledged_when_durable, clean),
        cmocka_unit_test_setup(figures_before_the_checkpoint, clean),
        cmocka_unit_test_setup(every_call_may_fail, clean),
        cmocka_unit_test_setup(short_and_interrupted_writes_go_on, clean),
        cmocka_unit_test_setup(direct_writes_may_be_refused, clean),
        cmocka_unit_test_setup(file_size_limit, clean),
        cmocka_unit_test_setup(folders_that_cannot_be_written, clean),
        cmocka_unit_test_setup(lines_wait_until_they_can_be_written, clean),
    };
    heed_error error = HEED_ERROR_INIT;
    thorough = argc > 1 && strcmp(argv[1], "thorough") == 0;
    sample_create(&s, false);
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (unsigned char)(i * 2654435761u >> 24);
    if (heed_attention_maps_create(&maps, HEED_SELF_ATTENTION, 1, LAYERS, HEADS, 3, &error) != HEED_OK)
        return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    heed_attention_maps_destroy(maps);
    sample_destroy(&s);
    return failed;
}
