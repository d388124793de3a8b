/* metrics.jsonl and timing.jsonl: exact numbers, one line a step, cut at a resume. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "heed/metrics.h"
#include "store/expect.h"

static void write_steps(uint64_t last_step, uint64_t first, uint64_t last) {
    heed_metrics *metrics;
    OK(heed_metrics_open(&metrics, ".", last_step, &error));
    for (uint64_t step = first; step <= last; step++) {
        const heed_step_record record = {.step = step,
                                         .tokens = 768,
                                         .loss = 1.0 / 3 + (double)step,
                                         .gradient_norm = step == 3 ? INFINITY : 0.1,
                                         .learning_rate = 1e-3,
                                         .valid_loss = step % 2 ? NAN : 0.7,
                                         .seconds = 0.5,
                                         .share_of_peak = NAN};
        OK(heed_metrics_add(metrics, &record, &error));
    }
    OK(heed_metrics_sync(metrics, &error));
    heed_metrics_close(metrics);
}

static size_t read_lines(const char *path, char lines[][512], size_t most) {
    FILE *file = fopen(path, "r");
    size_t n = 0;
    assert_non_null(file);
    while (n < most && fgets(lines[n], 512, file))
        n++;
    fclose(file);
    return n;
}

static void numbers_are_exact(void **state) {
    (void)state;
    char lines[8][512];
    write_steps(0, 1, 4);
    assert_int_equal(read_lines("metrics.jsonl", lines, 8), 4);
    for (int i = 0; i < 4; i++) {
        json_t *line = json_loads(lines[i], JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(line);
        assert_int_equal(json_integer_value(json_object_get(line, "step")), i + 1);
        assert_true(json_number_value(json_object_get(line, "loss")) == 1.0 / 3 + (double)(i + 1));
        assert_int_equal(json_is_null(json_object_get(line, "gradient_norm")), i + 1 == 3);
        assert_int_equal(json_object_get(line, "valid_loss") == NULL, (i + 1) % 2);
        assert_null(json_object_get(line, "seconds"));
        json_decref(line);
    }
    assert_int_equal(read_lines("timing.jsonl", lines, 8), 4);
    assert_string_equal(lines[1],
                        "{\"step\":2,\"seconds\":0.5,\"tokens_per_second\":1536,\"waited\":0,\"slowest\":0}\n");
}

static void resume_cuts_later_and_torn_lines(void **state) {
    (void)state;
    char whole[8][512], resumed[8][512];
    write_steps(0, 1, 6);
    assert_int_equal(read_lines("metrics.jsonl", whole, 8), 6);
    FILE *file = fopen("metrics.jsonl", "a");
    fputs("{\"step\":7,\"epoch\":0,\"lo", file); /* torn */
    fclose(file);
    write_steps(7, 1, 0);
    assert_int_equal(read_lines("metrics.jsonl", resumed, 8), 6);
    write_steps(2, 3, 6);
    assert_int_equal(read_lines("metrics.jsonl", resumed, 8), 6);
    for (int i = 0; i < 6; i++)
        assert_string_equal(resumed[i], whole[i]);
    assert_int_equal(read_lines("timing.jsonl", resumed, 8), 6);
}

static void failures_are_one_line(void **state) {
    (void)state;
    heed_metrics *metrics;
    FAILS(HEED_CREATE, "no/such/metrics.jsonl", heed_metrics_open(&metrics, "no/such", 0, &error));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_exact),
        cmocka_unit_test(resume_cuts_later_and_torn_lines),
        cmocka_unit_test(failures_are_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
