/* The layers' bits depend neither on the instruction set, nor on the optimisation level, nor on the number of threads:
 * all programs named on the command line print the same digests with 1, 2 and 3 threads. */
#include "nn_testing.h"

static int n_programs;
static char **programs;

#define MAX_OUTPUT (1 << 16)

static bool runs_here(const char *program) {
#ifdef __x86_64__
    if (strstr(program, "_v4"))
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (strstr(program, "_v3"))
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return true;
}

static void run(const char *program, int threads, char *output) {
    char number[12];
    snprintf(number, sizeof number, "%d", threads);
    assert_int_equal(setenv("OMP_NUM_THREADS", number, 1), 0);
    FILE *pipe = popen(program, "r");
    assert_non_null(pipe);
    const size_t n = fread(output, 1, MAX_OUTPUT - 1, pipe);
    output[n] = '\0';
    if (pclose(pipe) != 0)
        fail_msg("%s with %d threads: %s", program, threads, output);
}

static void digests_are_equal(void **state) {
    (void)state;
    static char first[MAX_OUTPUT], other[MAX_OUTPUT];
    run(programs[0], 1, first);
    assert_true(strlen(first) > 1000);
    for (int i = 0; i < n_programs; i++)
        for (int threads = 1; threads <= 3; threads++) {
            if (!runs_here(programs[i])) {
                print_message("%s does not run on this processor\n", programs[i]);
                break;
            }
            run(programs[i], threads, other);
            size_t at = 0, line = 0;
            for (; first[at] && first[at] == other[at]; at++)
                if (first[at] == '\n')
                    line = at + 1;
            if (first[at] != other[at])
                fail_msg("%s, %d threads, differs at: %.*s", programs[i], threads, (int)strcspn(other + line, "\n"),
                         other + line);
        }
}

int main(int argc, char **argv) {
    n_programs = argc - 1;
    programs = argv + 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(digests_are_equal)};
    return n_programs < 1 || cmocka_run_group_tests(tests, NULL, NULL);
}
